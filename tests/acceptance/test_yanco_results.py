"""What users do with the Yanco maps: find, open, validate, score, look at."""

import math
import socket
import time
import warnings
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from smcatalog.api.settings import ApiSettings
from tests.factories.commands import Place
from tests.factories.schemas import problems
from tests.factories.serving import serving
from tests.fixtures.databases import Database
from tests.fixtures.yanco import copy_of

WINDOWS = 98
BOX = [146.2, -35.1, 146.4, -34.9]
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def address(
    produced: tuple[Place, Database], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    place, database = produced
    settings = ApiSettings(database_url=database.libpq_url("smcatalog_api"), store_root=place.store)
    with serving(settings, tmp_path_factory.mktemp("api") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def found(address: str) -> list:
    """All items of 2019 at the stations, by pages of ten."""
    import pystac_client

    client = pystac_client.Client.open(address)
    search = client.search(
        collections=["yanco"], bbox=BOX, datetime="2019-01-01/2019-12-31", limit=10
    )
    items = list(search.items())
    assert search.matched() == len(items)
    return items


def test_pystac_client_finds_the_maps_of_a_year_and_a_place(found, address):
    import pystac_client

    # 52 windows a year, four of them empty; one begins in 2018 and one ends in 2020
    assert 47 <= len(found) <= 49
    assert len({item.id for item in found}) == len(found)
    client = pystac_client.Client.open(address)
    elsewhere = client.search(collections=["yanco"], bbox=[10, 50, 11, 51])
    assert list(elsewhere.items()) == []
    day = client.search(collections=["yanco"], datetime="2018-08-02")
    assert [item.id for item in day.items()] == ["yanco_2018214_v1r1"]


def test_every_item_and_the_collection_are_valid(found, address):
    documents = [item.to_dict(transform_hrefs=False) for item in found]
    documents.append(httpx.get(f"{address}/collections/yanco", trust_env=False).json())
    assert [said for document in documents for said in problems(document)] == []


def test_odc_stac_loads_the_maps_into_xarray(found):
    import odc.stac

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # odc-geo 0.5 with shapely 2.2
        data = odc.stac.load(found[:6], bands=["soil_moisture", "quality"])
    assert data.soil_moisture.dtype == np.int16
    assert data.soil_moisture.nodata == -9999
    assert data.sizes["time"] == 6
    assert data.odc.geobox.crs.epsg == 6933
    assert data.odc.geobox.shape == (83, 97)
    valid = data.soil_moisture.where(data.soil_moisture != -9999) * 0.0001
    assert 0 <= float(valid.min()) < float(valid.max()) <= 0.6


def test_rioxarray_gives_cubic_metres_per_cubic_metre(produced):
    import rioxarray

    place, _ = produced
    maps = sorted(place.store.glob("maps/yanco/*/*_soil_moisture_*.tif"))
    assert len(maps) == WINDOWS
    for path in maps:
        with rioxarray.open_rasterio(path, mask_and_scale=True) as opened:
            values = opened.values
        assert np.isfinite(values).mean() > 0.9
        assert np.nanmin(values) >= 0.0
        assert np.nanmax(values) <= 0.6
        assert np.nanstd(values) > 0.001


def test_every_file_is_a_cog(produced):
    place, _ = produced
    files = sorted(place.store.glob("maps/yanco/*/*.tif"))
    assert len(files) == 3 * WINDOWS
    for path in files:
        valid, errors, problems_ = cog_validate(path, strict=True, quiet=True)
        assert (valid, errors, problems_) == (True, [], [])


def test_uncertainty_and_quality_lie_where_soil_moisture_does(produced):
    place, _ = produced
    for path in sorted(place.store.glob("maps/yanco/*/*_soil_moisture_*.tif"))[::20]:
        stem = path.name.split("_soil_moisture_")[0]
        bands = {}
        for kind in ("soil_moisture", "uncertainty", "quality"):
            (one,) = path.parent.glob(f"{stem}_{kind}_*.tif")
            with rasterio.open(one) as source:
                bands[kind] = np.ma.masked_equal(source.read(1), source.nodata)
        masks = [np.ma.getmaskarray(band) for band in bands.values()]
        assert np.array_equal(masks[0], masks[1])
        assert np.array_equal(masks[0], masks[2])
        assert bands["uncertainty"].min() > 0


@pytest.fixture(scope="module")
def scored(produced: tuple[Place, Database]) -> dict:
    return produced[0].answer("validate", "yanco", "--by", "station")


def pairs_of(database: Database) -> dict[tuple[str, str], np.ndarray]:
    """The pairs themselves, through the analysts' view: estimate, coarse, reference."""
    with database.connect("smcatalog_analyst") as connection:
        rows = connection.execute(
            """
            SELECT network, station, estimate, coarse, reference FROM views.matchups
            WHERE product = 'yanco' AND estimate IS NOT NULL ORDER BY day
            """
        ).fetchall()
    grouped: dict[tuple[str, str], list] = {}
    for network, station, *values in rows:
        grouped.setdefault((network, station), []).append(values)
    return {key: np.array(values, float) for key, values in grouped.items()}


def pytesmo_scores(estimate: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytesmo's own imports warn about its dependencies
        from pytesmo import metrics
    return {
        "bias": metrics.bias(estimate, reference),
        "rmse": metrics.rmsd(estimate, reference),
        "ubrmse": metrics.ubrmsd(estimate, reference),
        "mae": np.abs(estimate - reference).mean(),
        "r": metrics.pearson_r(estimate, reference),
    }


def test_command_view_and_pytesmo_agree_on_the_same_pairs(produced, scored):
    _, database = produced
    pairs = pairs_of(database)
    assert len(scored["rows"]) == len(pairs) == 22
    with database.connect("smcatalog_analyst") as connection:
        columns = ("n", "bias", "rmse", "ubrmse", "mae", "r")
        listed = ", ".join([*columns, *(f"coarse_{c}" for c in columns)])
        view = {
            row[:2]: row[2:]
            for row in connection.execute(
                f"SELECT network, station, {listed} FROM views.station_metrics WHERE product = 'yanco'"
            )
        }
    for row in scored["rows"]:
        key = (row["network"], row["station"])
        estimate, coarse, reference = pairs[key].T
        both = np.isfinite(coarse)
        truth = {
            "map": pytesmo_scores(estimate, reference),
            "coarse": pytesmo_scores(coarse[both], reference[both]),
        }
        assert row["map"]["n"] == len(estimate) == view[key][0]
        assert row["coarse"]["n"] == both.sum() == view[key][6]
        for offset, subject in ((1, "map"), (7, "coarse")):
            for number, (name, expected) in enumerate(truth[subject].items()):
                assert math.isclose(row[subject][name], expected, abs_tol=TOLERANCE), (
                    key,
                    subject,
                    name,
                )
                assert math.isclose(view[key][offset + number], expected, abs_tol=TOLERANCE)


def test_raw_smap_scores_as_it_is_known_to(produced, scored):
    """RMSE 0.072, ubRMSE 0.063, R 0.59 over the region's stations, as others found."""
    place, _ = produced
    (row,) = place.answer("validate", "yanco", "--by", "all")["rows"]
    assert row["coarse"]["rmse"] == pytest.approx(0.072, abs=0.004)
    assert row["coarse"]["ubrmse"] == pytest.approx(0.063, abs=0.004)
    assert row["coarse"]["r"] == pytest.approx(0.59, abs=0.03)
    # five stations stand at one place with another one and count once
    assert row["stations"] == 17


def test_validating_again_changes_nothing(produced, scored):
    place, _ = produced
    again = place.answer("validate", "yanco", "--by", "station")
    assert again["written"] == again["dropped"] == again["statistics_changed"] == 0
    assert again["rows"] == scored["rows"]


def test_a_picture_shows_map_and_coarse_cells(produced, tmp_path):
    from PIL import Image

    place, _ = produced
    out = tmp_path / "map.png"
    place.run("picture", "yanco", "2019-12-31", out)
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape[0] > 400
    width = pixels.shape[1]
    left, middle = pixels[:, : width // 3], pixels[:, width // 3 : 2 * width // 3]
    colours = [len(np.unique(part.reshape(-1, 3), axis=0)) for part in (left, middle)]
    assert colours[1] > colours[0]  # nine coarse cells against thousands of pixels
    missing = place.run("picture", "yanco", "2019-12-30", tmp_path / "none.png", code=1)
    assert "no map" in missing.stderr


def test_the_second_learner_goes_through_the_same_interface(ingested, database_server, tmp_path):
    # in a catalogue of its own: others count the maps of the one that all share
    with copy_of(ingested, database_server, tmp_path / "home") as (place, database):
        place.run("produce", "yanco-linear", "--from", "2019-01-01", "--to", "2019-02-28")
        with database.connect() as connection:
            rows = connection.execute(
                """
                SELECT p.name, m.method, count(*) FROM smcatalog.maps x JOIN smcatalog.products p ON p.id = x.product_id
                JOIN smcatalog.models m ON m.id = x.model_id GROUP BY 1, 2
                """
            ).fetchall()
    assert rows == [("yanco-linear", "linear_regression", 9)]


def test_serve_answers_on_loopback_as_the_reading_role(produced):
    place, database = produced
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = place.start("serve", "--port", str(port))
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(f"{url}/collections/yanco/items?limit=1", trust_env=False)
                break
            except httpx.TransportError:
                assert server.poll() is None, server.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        (item,) = answer.json()["features"]
        asset = httpx.get(
            item["assets"]["soil_moisture"]["href"], headers={"Range": "bytes=0-3"}, trust_env=False
        )
        assert (asset.status_code, asset.content[:2]) == (206, b"II")
        with database.connect() as connection:
            users = connection.execute(
                "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'smcatalog api'"
                " AND datname = current_database()"
            ).fetchall()
        assert users == [("smcatalog_api",)]
    finally:
        server.terminate()
        server.communicate(timeout=30)


@pytest.mark.long
def test_benchmarks_measure(produced):
    place, _ = produced
    assert {"cog", "map"} <= {
        row.split()[0] for row in place.run("bench", "--list").stdout.splitlines()[2:]
    }
    (measured,) = place.answer("bench", "cog")
    assert measured["ours"] > 0
    assert measured["ratio"] == pytest.approx(measured["ours"] / measured["reference"])
