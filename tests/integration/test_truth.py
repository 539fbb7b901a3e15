"""Maps against a truth made by hand, and pictures of both."""

import json
from datetime import timedelta

import numpy as np
import pytest
import rasterio
from PIL import Image
from sqlalchemy import text

from smcatalog.core.encoding import NODATA, encode
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.time import julian
from smcatalog.resample import cell_index
from smcatalog.services.picture import draw_map
from smcatalog.services.produce import produce
from smcatalog.services.truth import compare
from tests.factories import inputs as make
from tests.factories.commands import Place
from tests.fixtures.filled import filling

DAYS = make.days(6)
CELLS = cell_index(make.FINE, make.COARSE)


def write_truth(folder, day, values, where=make.FINE, **changes):
    folder.mkdir(exist_ok=True)
    rows, columns = where.shape
    profile = {
        "driver": "GTiff", "dtype": "int16", "nodata": NODATA, "count": 1, "height": rows, "width": columns,
        "crs": "EPSG:6933", "transform": where.transform,
    }  # fmt: skip
    with rasterio.open(folder / f"sm_{julian(day)}.tif", "w", **(profile | changes)) as out:
        out.write(encode(values).astype(changes.get("dtype", "int16")), 1)


def noise(day):
    return np.random.default_rng(day.toordinal()).normal(0, 0.03, make.FINE.shape)


def fill(place):
    """Six days of maps that are the planted truth to a hair; on the last the coarse product has a hole."""
    make.put_static(place)
    for day in DAYS:
        make.put_day(place, day)
    mean = CELLS.mean(make.truth(DAYS[-1])).mean
    mean[0, 0] = np.nan
    make.put(place, "C", "sm", make.COARSE, mean, DAYS[-1], granule="2")
    produce(place, make.definition())


@pytest.fixture(scope="module")
def filled(database_server, tmp_path_factory):
    with filling(database_server, tmp_path_factory.mktemp("filled"), fill) as made:
        yield made


@pytest.fixture
def copied(filled, tmp_path):
    with filled.copy(tmp_path) as both:
        yield both


@pytest.fixture
def place(copied):
    return copied[0]


@pytest.fixture
def database(copied):
    return copied[1]


@pytest.fixture
def truth(tmp_path):
    folder = tmp_path / "truth"
    for day in DAYS[:-1]:
        write_truth(folder, day, make.truth(day) + 0.01 + noise(day))
    # water has no truth, and the window may be another than the map's
    wider = grid("M01").window(slice(318 * 36 - 5, 320 * 36), slice(872 * 36 - 7, 875 * 36))
    values = np.full(wider.shape, 0.9)
    values[5:, 7:] = make.truth(DAYS[-1]) + 0.01 + noise(DAYS[-1])
    values[5:9, 7:] = np.nan
    write_truth(folder, DAYS[-1], values, wider)
    return folder


def expected(subject):
    """All scores by the textbook."""
    pairs, spatial, deviations = [], [], []
    for day in DAYS:
        real = make.truth(day) + 0.01 + noise(day)
        flat = CELLS.spread(CELLS.mean(make.truth(day)).mean)
        estimate = flat if subject == "coarse" else make.truth(day)
        used = np.ones(real.shape, bool)
        if day == DAYS[-1]:
            used[:4] = False
            if subject != "map, all":
                used[:36, :36] = False
        pairs.append((estimate[used], real[used]))
        spatial.append(np.corrcoef(estimate[used], real[used])[0, 1])
        for cell in range(6):
            inside = used & (CELLS.cells == cell)
            if inside.any():
                deviations.append((estimate[inside] - estimate[inside].mean(), real[inside] - real[inside].mean()))  # fmt: skip
    e, r = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    de, dr = (np.concatenate([pair[i] for pair in deviations]) for i in (0, 1))
    return {
        "n": len(e), "bias": (e - r).mean(), "rmse": np.sqrt(((e - r) ** 2).mean()), "ubrmse": (e - r).std(),
        "r": np.corrcoef(e, r)[0, 1], "spatial": np.mean(spatial),
        "within": np.corrcoef(de, dr)[0, 1] if subject != "coarse" else np.nan,
    }  # fmt: skip


def test_scores_are_those_of_the_textbook(place, truth):
    report = compare(place, make.definition(), truth)
    assert (report.maps, report.without_truth) == (6, 0)
    assert [row.subject for row in report.rows] == ["map", "coarse", "map, all"]
    for row in report.rows:
        wanted = expected(row.subject)
        assert row.days == 6
        assert row.scores.n == wanted["n"]
        found = {
            "bias": row.scores.bias, "rmse": row.scores.rmse, "ubrmse": row.scores.ubrmse, "r": row.scores.r,
            "spatial": row.spatial_r, "within": row.within_cell_r,
        }  # fmt: skip
        for name, value in found.items():
            assert value == pytest.approx(wanted[name], abs=2e-3, nan_ok=True), (row.subject, name)
    ours, flat, _ = report.rows
    assert ours.scores.bias == pytest.approx(-0.01, abs=1e-3)
    assert ours.within_cell_r > 0.5
    assert np.isnan(flat.within_cell_r)


def test_days_without_truth_are_counted_and_a_span_is_kept(place, truth):
    (truth / f"sm_{julian(DAYS[1])}.tif").unlink()
    report = compare(place, make.definition(), truth, DAYS[1], DAYS[3])
    assert (report.maps, report.without_truth) == (2, 1)
    assert report.rows[0].days == 2
    with pytest.raises(UsageError, match="no truth for any of the 1 maps"):
        compare(place, make.definition(), truth, DAYS[1], DAYS[1])
    with pytest.raises(UsageError, match="before the first day"):
        compare(place, make.definition(), truth, DAYS[2], DAYS[1])


@pytest.mark.parametrize(
    ("where", "changes", "said"),
    [
        (make.FINE, {"transform": make.FINE.transform * rasterio.Affine.translation(0.4, 0)}, "grid M01"),
        (make.FINE, {"crs": "EPSG:3857"}, "grid M01"),
        (make.FINE, {"transform": make.FINE.transform * rasterio.Affine.scale(1.01)}, "grid M01"),
        (make.FINE, {"dtype": "float32"}, "holds float32"),
        (make.FINE, {"nodata": 0}, "nodata 0"),
        (grid("M01").window(slice(100, 140), slice(100, 140)), {}, "does not meet"),
    ],
)  # fmt: skip
def test_what_is_no_truth_of_this_place_is_refused(place, tmp_path, where, changes, said):
    folder = tmp_path / "other"
    write_truth(folder, DAYS[0], np.full(where.shape, 0.2), where, **changes)
    with pytest.raises(UsageError, match=said):
        compare(place, make.definition(), folder)


def test_a_folder_without_truth_and_a_damaged_file_are_refused(place, tmp_path):
    with pytest.raises(UsageError, match="holds no truth"):
        compare(place, make.definition(), tmp_path)
    (tmp_path / f"sm_{julian(DAYS[0])}.tif").write_bytes(b"II*\0nothing")
    with pytest.raises(UsageError, match="cannot read the truth"):
        compare(place, make.definition(), tmp_path)
    with pytest.raises(NotFoundError, match="produce nowhere"):
        compare(place, make.definition(name="nowhere"), tmp_path)


def put_station(place, row, column):
    (x,), (y,) = (make.FINE.centres()[i][[at]] for i, at in ((0, column), (1, row)))
    from smcatalog.core.grids import Grid
    from smcatalog.resample.geometry import transformer

    lon, lat = transformer(make.FINE, Grid.latlon(-180, 90, 1.0, (180, 360))).transform(x, y)
    with place.engine.begin() as c:
        c.execute(text("INSERT INTO smcatalog.networks (name) VALUES ('NET')"))
        station = c.execute(
            text("""
                INSERT INTO smcatalog.stations (network_id, name, geometry, coordinate_decimals)
                SELECT id, 'one', public.ST_SetSRID(public.ST_MakePoint(:x, :y), 4326), 6
                FROM smcatalog.networks RETURNING id
            """),
            {"x": lon, "y": lat},
        ).scalar_one()
        c.execute(text("SELECT smcatalog.ensure_observation_partition(2020)"))
        for name, depth, offset in (("near", 0.05, 0.0), ("deep", 0.2, 0.3)):
            sensor = c.execute(
                text("""
                    INSERT INTO smcatalog.sensors (station_id, name, variable, depth_top, depth_bottom, step_hours)
                    VALUES (:s, :n, 'sm', :d, :d, 1) RETURNING id
                """),
                {"s": station, "n": name, "d": depth},
            ).scalar_one()
            c.execute(
                text("INSERT INTO smcatalog.observations (sensor_id, time, value, good) VALUES (:s, :t, :v, :g)"),
                [
                    {"s": sensor, "t": make.Period.of_day(day).start + timedelta(hours=h),
                     "v": 0.1 + offset + 0.01 * i, "g": not (i == 2 and h > 10)}
                    for i, day in enumerate(DAYS) for h in range(24)
                ],
            )  # fmt: skip


def test_a_stations_days_are_means_of_good_values_of_the_depth(place):
    from smcatalog.core.stations import Depth
    from smcatalog.database.series import station_days

    put_station(place, 40, 50)
    with place.engine.connect() as connection:
        found = station_days(connection, "NET", "one", Depth(0.0, 0.05), DAYS[0], DAYS[4])
        with pytest.raises(NotFoundError, match="NET/one"):
            station_days(connection, "NET", "two", Depth(0.0, 0.05), DAYS[0], DAYS[4])
    # the third day has eleven good hours
    assert found.days == (DAYS[0], DAYS[1], DAYS[3], DAYS[4])
    assert found.values == pytest.approx((0.10, 0.11, 0.13, 0.14))


def size(path):
    with Image.open(path) as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 200
        return image.size


def test_pictures_have_the_panels_that_are_asked_for(place, truth, tmp_path):
    put_station(place, 40, 50)
    plain, full = tmp_path / "plain.png", tmp_path / "full.png"
    assert draw_map(place, make.definition(), DAYS[2], plain) == DAYS[2]
    # the last day has a hole in the coarse product, and the first of the others comes first
    found = draw_map(place, make.definition(), None, full, truth=truth, station="NET/one")
    assert found == DAYS[0]
    assert size(plain)[0] == size(full)[0]
    assert size(plain)[1] < size(full)[1]
    other = tmp_path / "other.png"
    draw_map(place, make.definition(), None, other, truth=truth, station="NET/one")
    assert other.read_bytes() == full.read_bytes()


def test_pictures_that_cannot_be_are_refused(place, truth, tmp_path):
    out = tmp_path / "x.png"
    with pytest.raises(NotFoundError, match="no map of tiny dated"):
        draw_map(place, make.definition(), DAYS[-1] + timedelta(days=1), out)
    with pytest.raises(NotFoundError, match="none yet"):
        draw_map(place, make.definition(), DAYS[0], out, station="NET/one")
    (truth / f"sm_{julian(DAYS[0])}.tif").unlink()
    with pytest.raises(UsageError, match="no truth for"):
        draw_map(place, make.definition(), DAYS[0], out, truth=truth)
    with pytest.raises(UsageError, match="cannot write"):
        draw_map(place, make.definition(), DAYS[0], tmp_path / "none" / "x.png")
    assert not out.exists()


def test_the_commands(place, truth, tmp_path, database):
    (tmp_path / "products").mkdir()
    west, south, east, north = make.definition().bbox
    (tmp_path / "products" / "tiny.toml").write_text(f"""
name = "tiny"
title = "Tiny"
description = "Six cells"
license = "CC0-1.0"
bbox = [{west}, {south}, {east}, {north}]
grid = "M01"
depths = [[0.0, 0.05]]
first_day = 2020-01-01
training_until = 2020-01-10
[coarse]
source = "C"
variable = "sm"
grid = "M36"
[[covariates]]
variable = "swvl1"
source = "W"
time = "period_mean"
[method]
name = "linear_regression"
""")
    command = Place(tmp_path, database.url)
    rows = command.answer("validate", "tiny", "--truth", truth)["rows"]
    assert [row["subject"] for row in rows] == ["map", "coarse", "map, all"]
    assert rows[1]["within_cell_r"] is None
    table = command.run("validate", "tiny", "--truth", truth, "--to", str(DAYS[2])).stdout
    (coarse,) = (line for line in table.splitlines() if line.startswith("coarse"))
    assert coarse.endswith("–")
    assert "3 maps" in table
    refused = command.run("validate", "tiny", "--truth", truth, "--network", "NET", code=2)
    assert "--network" in refused.stderr
    done = command.run("picture", "tiny", "clearest", tmp_path / "a.png", "--truth", truth)
    assert str(DAYS[0]) in done.stdout
    assert json.loads(json.dumps(rows))  # plain values
    assert command.run("picture", "tiny", "dullest", tmp_path / "a.png", code=2).stderr
