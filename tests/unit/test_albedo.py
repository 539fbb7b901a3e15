"""Readers and writers of albedo: tiles, and grids of the globe read by strips."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.hdf4 import hdf4
from ingest.sources import modis_albedo_writer
from ingest.world.albedo import FULL_VIEWS, AlbedoDays, band7
from ingest.world.landscape import Landscape, landscape
from ingest.world.physics import albedo
from ingest.world.presets import preset
from ingest.world.tiles import tile_views
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid, grid, sinusoidal_tile
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.resample import layer_grid, overlap, regrid
from tests.factories import albedo as files
from tests.factories import granules as make
from tests.factories.albedo import FILL
from tests.factories.world import flat_state

DAY = date(2020, 1, 9)
DOUBTFUL, FROZEN = InputQuality.NOT_RECOMMENDED, InputQuality.FROZEN


def rasters(path: Path, delivered: str | None = None) -> list[Raster]:
    return list(read(examine(make.candidate(path, delivered))))


def reason(path: Path, delivered: str | None = None) -> str:
    with pytest.raises(RefusedInput) as caught:
        rasters(path, delivered)
    return caught.value.reason


class TestTiles:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        return tmp_path / files.MCD43A3_NAME

    def test_albedo_is_the_mean_of_both_skies_on_the_named_day(self, path):
        files.tile(path, [[180, 200, FILL, 100]], [[220, 240, 200, FILL]], qc=[[0, 1, 0, 0]])
        shortwave, seventh = rasters(path)
        assert (shortwave.variable.name, seventh.variable.name) == ("albedo", "albedo_wsa_b7")
        np.testing.assert_allclose(shortwave.values, [[0.2, 0.22, np.nan, np.nan]], atol=1e-6)
        np.testing.assert_allclose(seventh.values, [[0.11, 0.12, 0.1, np.nan]], atol=1e-6)
        assert shortwave.quality.tolist() == [[0, DOUBTFUL, 0, 0]]
        assert shortwave.period == seventh.period == Period.of_day(DAY)
        assert shortwave.grid == sinusoidal_tile(18, 5, 2400).window(slice(0, 1), slice(0, 4))

    def test_quality_of_fill_hides_a_value(self, path):
        files.tile(path, [[180, 180]], qc=[[0, 255]])
        for raster in rasters(path):
            assert np.isnan(raster.values).tolist() == [[False, True]]

    def test_a_file_without_band_7_has_the_shortwave(self, path):
        files.tile(path, band7=False)
        assert [raster.variable.name for raster in rasters(path)] == ["albedo"]

    @pytest.mark.parametrize(
        ("statements", "words"),
        [
            ({"black": np.full((6, 8), FILL)}, "holds no value at all"),
            ({"qc": 255}, "holds no value at all"),
            ({"scale": 0.0001}, "has steps of 0.0001, expected 0.001"),
            ({"lead": 20}, "says 2020009, inside it covers 2019-12-20…2020-01-04: files mixed up"),
            ({"tile": (18, 6)}, "says tile h18v05, inside it is h18v06"),
            ({"pixels": 2000}, "not those of the sinusoidal grid"),
            ({"white": np.full((6, 9), 200)}, "has the shape (6, 9)"),
            ({"black": np.full((6, 8), 1800)}, "outside 0 to 1"),
        ],
    )
    def test_refusals(self, path, statements, words):
        files.tile(path, **statements)
        assert words in reason(path)

    def test_a_name_of_another_day_is_refused(self, path):
        files.tile(path)
        other = files.MCD43A3_NAME.replace("A2020009", "A2020010")
        assert "says MCD43A3 of 2020010, inside it is MCD43A3 of 2020009" in reason(path, other)


class TestGlobe:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        return tmp_path / files.MCD43C3_NAME

    @pytest.mark.parametrize("packed", [True, False])
    def test_only_the_window_with_values_is_delivered(self, path, packed):
        black = np.full((10, 12), FILL)
        black[3:5, 6:9] = 180
        files.globe(path, black, packed=packed)
        (raster,) = rasters(path)
        world = Grid.latlon(-180, 90, 0.05, (3600, 7200))
        row, column = (90 - 38) * 20 + 3, round((104.5 + 180) * 20) + 6
        expected = world.window(slice(row, row + 2), slice(column, column + 3))
        assert raster.grid.name == expected.name == grid(expected.name).name
        assert raster.grid.bbox() == pytest.approx((104.8, 37.75, 104.95, 37.85))
        np.testing.assert_allclose(raster.values, 0.19, atol=1e-6)
        assert raster.period == Period.of_day(DAY)

    def test_quality_and_snow_are_told(self, path):
        files.globe(
            path, np.full((1, 6), 180), qc=[[0, 2, 3, 5, 255, 0]], snow=[[0, 9, 10, 100, 255, 0]]
        )
        (raster,) = rasters(path)
        both = DOUBTFUL | FROZEN
        assert raster.quality.tolist() == [[0, 0, both, both, 0, 0]]

    def test_strips_are_put_together(self, path):
        black = np.full((700, 3), FILL)
        black[0, 0], black[310, 1], black[699, 2] = 100, 200, 300
        # rows 900 to 1599 of the globe: strips end at row 1200
        files.globe(path, black, corner=(10.0, 45.0))
        (raster,) = rasters(path)
        assert raster.grid.shape == (700, 3)
        found = np.argwhere(np.isfinite(raster.values)).tolist()
        assert found == [[0, 0], [310, 1], [699, 2]]

    @pytest.mark.parametrize(
        ("statements", "words"),
        [
            ({"black": np.full((6, 8), FILL)}, "holds no value at all"),
            ({"corner": (104.52, 38.0)}, "not those of the global grid of 1/20 degree (off by 0.40 cells)"),
            ({"corner": (179.9, 38.0)}, "not on the globe"),
            ({"structure": "END\n"}, "describes 0 grids"),
        ],
    )  # fmt: skip
    def test_refusals(self, path, statements, words):
        files.globe(path, **statements)
        assert words in reason(path)

    def test_a_sinusoidal_grid_is_refused(self, path):
        text = files.degrees((104.5, 38.0), (6, 8), 20)
        text = text.replace("GCTP_GEO", "GCTP_SNSOID\n\t\tProjParams=(6371007.181000,0)")
        files.globe(path, structure=text)
        assert "its grid is GCTP_SNSOID, expected one in degrees" in reason(path)

    def test_a_name_of_another_day_is_refused(self, path):
        files.globe(path)
        other = files.MCD43C3_NAME.replace("A2020009", "A2020010")
        assert "says MCD43C3 of 2020010" in reason(path, other)


class TestBand7:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        return tmp_path / files.MCD43D58_NAME

    def test_blocks_of_the_globe_that_hold_values(self, path):
        stored = np.full((20, 30), FILL)
        stored[:8, 20:] = 150  # north-east of the corner
        stored[9:, :3] = 250  # south-west, and a row below the corner
        # the corner of four blocks lies 10 rows below and 12 columns right of the file's
        files.band7(path, stored, corner=(100 - 12 / 120, 35 + 10 / 120))
        found = rasters(path)
        world = Grid.latlon(-180, 90, 1 / 120, (21600, 43200))
        assert [r.grid.base for r in found] == [world.base] * 3
        assert [r.grid.shape for r in found] == [(10, 12), (10, 18), (10, 12)]
        assert {r.variable.name for r in found} == {"albedo_wsa_b7"}
        total = sum(int(np.isfinite(r.values).sum()) for r in found)
        assert total == (stored != FILL).sum()
        assert found[1].grid.bbox()[0] == pytest.approx(100.0)
        assert found[2].grid.bbox()[3] == pytest.approx(35.0)

    @pytest.mark.parametrize(
        ("statements", "words"),
        [
            ({"stored": np.full((6, 8), FILL)}, "holds no value at all"),
            (
                {"field": "BRDF_Albedo_WSA_Band6"},
                "has 0 data sets of the white-sky albedo of band 7",
            ),
            ({"corner": (104.5041, 38.0)}, "not those of the global grid of 1/120 degree"),
        ],
    )
    def test_refusals(self, path, statements, words):
        files.band7(path, **statements)
        assert words in reason(path)

    def test_rows_are_those_of_the_whole(self, path):
        stored = np.random.default_rng(1).integers(0, 1000, (50, 7))
        files.band7(path, stored)
        with hdf4(path) as file:
            (name,) = file.names
            whole = file.raw(name)
            parts = [file.raw(name, slice(first, first + 20)) for first in (0, 20, 40)]
            one = file.values(name, 0.001, rows=slice(3, 4))
        np.testing.assert_array_equal(whole, stored)
        np.testing.assert_array_equal(np.concatenate(parts), stored)
        np.testing.assert_allclose(one, stored[3:4] * 0.001, atol=1e-6)


SUMMER = date(2018, 6, 10)
NAMES = {
    "MCD43A3": "MCD43A3.A2018161.h26v05.061.2018169000000.hdf",
    "MCD43C3": "MCD43C3.A2018161.061.2018169000000.hdf",
    "MCD43D58": "MCD43D58.A2018161.061.2018169000000.hdf",
}
MAKERS = {
    "MCD43A3": modis_albedo_writer.TILE,
    "MCD43C3": modis_albedo_writer.GLOBE,
    "MCD43D58": modis_albedo_writer.BAND7,
}


@pytest.fixture(scope="module")
def land() -> Landscape:
    return landscape(preset("rao2022"), 3, 60.0)


def _write(product: str, land: Landscape, folder: Path, *, days: int = 8, **state: object) -> Path:
    writer = MAKERS[product](land, folder)
    for n in range(days):
        writer.day(flat_state(land, SUMMER + timedelta(days=n), **state))
    return folder / NAMES[product]


def _at_home(raster: Raster, land: Landscape) -> np.ndarray:
    """Bring values to the state's grid and leave the rim out."""
    on_base = regrid(raster, layer_grid(raster.grid))
    if on_base.grid.base != land.grid.base:
        return regrid(raster, land.grid).values[8:-8, 8:-8]
    shared = overlap(on_base.grid, land.grid)
    assert shared is not None
    whole = np.full(land.grid.shape, np.nan)
    whole[shared[1]] = on_base.values[shared[0]]
    return whole[3:-3, 3:-3]


class TestWorld:
    def test_the_views_of_16_days_weigh_by_their_distance(self, land):
        days = AlbedoDays()
        given = []
        for n in range(20):
            state = flat_state(
                land, SUMMER + timedelta(days=n), ndvi=0.2 + 0.02 * n, cloud_day=n % 2 == 1
            )
            given += list(days.take(state))
        assert [r.day for r in given] == [SUMMER + timedelta(days=n) for n in range(13)]
        given += list(days.end())
        assert len(given) == 20
        middle = given[10]
        expected = [albedo(flat_state(land, SUMMER, ndvi=0.2 + 0.02 * n)) for n in range(2, 18, 2)]
        weights = [1 / (1 + abs(n - 10)) for n in range(2, 18, 2)]
        np.testing.assert_allclose(
            middle.shortwave, np.average(expected, axis=0, weights=weights), atol=1e-6
        )
        assert middle.full.all()
        assert FULL_VIEWS == 7
        assert not given[-1].full.any()
        np.testing.assert_allclose((middle.black + middle.white) / 2, middle.shortwave, atol=1e-6)

    def test_wet_soil_is_dark_and_snow_is_bright(self, land):
        dry, wet = (
            flat_state(land, SUMMER, ndvi=0.15, evi=0.08, before=w, after=w) for w in (0.05, 0.3)
        )
        snow = flat_state(land, SUMMER, snow=20.0)
        ground = ~land.water
        for what in (albedo, band7):
            assert (what(wet) < what(dry) - 0.03)[ground].all()
        assert (albedo(snow) > 0.6)[ground].all()
        assert (band7(snow) < 0.1).all()

    @pytest.mark.parametrize("product", MAKERS)
    def test_what_was_in_the_world_comes_back(self, land, tmp_path, product):
        rows, columns = land.grid.shape
        green = 0.15 + 0.6 * np.linspace(0, 1, columns) * np.ones((rows, 1))
        found = {r.variable.name: r for r in rasters(_write(product, land, tmp_path, ndvi=green))}
        state = flat_state(land, SUMMER, ndvi=green)
        true = {"albedo": albedo(state), "albedo_wsa_b7": band7(state)}
        assert set(found) == {
            "MCD43A3": {"albedo", "albedo_wsa_b7"}, "MCD43C3": {"albedo"}, "MCD43D58": {"albedo_wsa_b7"},
        }[product]  # fmt: skip
        for name, raster in found.items():
            values = _at_home(raster, land)
            inner = true[name][8:-8, 8:-8] if product == "MCD43C3" else true[name][3:-3, 3:-3]
            assert np.isfinite(values).mean() > 0.99
            error = values - inner
            assert abs(np.nanmean(error)) < 0.002
            assert np.nanstd(error) < 0.02
            assert np.nanstd(inner) > 1.5 * np.nanstd(error)
            assert raster.period == Period.of_day(SUMMER)

    def test_few_views_are_doubtful_and_none_leave_a_hole(self, land, tmp_path):
        east = np.arange(land.grid.shape[1]) >= land.grid.shape[1] // 2
        writer = MAKERS["MCD43A3"](land, tmp_path)
        for n in range(8):
            cloud = np.broadcast_to(east | (n < 5), land.grid.shape)
            writer.day(flat_state(land, SUMMER + timedelta(days=n), cloud_day=cloud))
        raster, _ = rasters(tmp_path / NAMES["MCD43A3"])
        (view,) = tile_views(land, 2400)
        hidden = view.nearest(np.broadcast_to(east, land.grid.shape))
        values, quality = raster.values.ravel()[view.pixels], raster.quality.ravel()[view.pixels]
        np.testing.assert_array_equal(np.isnan(values), hidden)
        assert (quality[~hidden] == DOUBTFUL).all()

    def test_snow_is_told_on_the_globe(self, land, tmp_path):
        (raster,) = rasters(_write("MCD43C3", land, tmp_path, snow=20.0))
        assert (raster.quality == FROZEN).all()

    def test_days_without_a_clear_view_are_not_written(self, land, tmp_path):
        for product in MAKERS:
            assert not _write(product, land, tmp_path, cloud_day=True).exists()

    @pytest.mark.parametrize("product", MAKERS)
    def test_the_same_seed_gives_the_same_bytes(self, land, tmp_path, product):
        def digest(world: Landscape, folder: str) -> str:
            path = _write(product, world, tmp_path / folder)
            return hashlib.sha256(path.read_bytes()).hexdigest()

        first = digest(land, "a")
        assert digest(land, "b") == first
        assert digest(landscape(preset("rao2022"), 4, 60.0), "c") != first


GDAL = [
    ("MCD43A3", "MOD_Grid_BRDF", "Albedo_WSA_shortwave"),
    ("MCD43C3", "MCD_CMG_BRDF_0.05Deg", "Albedo_BSA_shortwave"),
    ("MCD43D58", "MCD_CMG_BRDF_30Arc Second", "BRDF_Albedo_WSA_Band7"),
]


@pytest.mark.parametrize(("product", "name", "field"), GDAL, ids=MAKERS)
def test_gdal_opens_and_places_them(land, tmp_path, product, name, field):
    program = shutil.which("gdalinfo")
    if program is None or b"HDF4Image" not in subprocess.check_output([program, "--formats"]):
        pytest.skip("there is no gdalinfo with an HDF4 driver: install the system's GDAL")
    path = _write(product, land, tmp_path)
    with hdf4(path) as file:
        rows, columns = file.shapes[field]
    told = json.loads(
        subprocess.check_output([program, "-json", f'HDF4_EOS:EOS_GRID:"{path}":{name}:"{field}"'])
    )
    assert told["size"] == [columns, rows]
    assert told["bands"][0]["type"] == "Int16"
    assert told["bands"][0]["noDataValue"] == FILL
    corner = told["cornerCoordinates"]["upperLeft"]
    if product == "MCD43A3":
        tile = sinusoidal_tile(26, 5, 2400)
        assert corner == pytest.approx([tile.transform.c, tile.transform.f])
        return
    west, _, _, north = land.grid.bbox()
    cell = 0.05 if product == "MCD43C3" else 1 / 120
    assert west - cell < corner[0] <= west
    assert north <= corner[1] < north + cell
    width, height = told["geoTransform"][1], -told["geoTransform"][5]
    assert (width, height) == pytest.approx((cell, cell))


def test_a_file_that_nobody_closed_is_not_taken_for_the_next(tmp_path):
    one = files.band7(tmp_path / "one.hdf", np.full((2, 2), 100))
    two = files.tile(tmp_path / "two.hdf")
    abandoned = hdf4(one)
    first = abandoned.__enter__()
    with hdf4(two) as second:
        assert "Albedo_WSA_shortwave" in second.names
        with pytest.raises(UsageError, match="another HDF4 file was opened"):
            first.raw("BRDF_Albedo_WSA_Band7")
        # its end comes late, as when a generator is collected
        abandoned.__exit__(None, None, None)
        assert second.raw("Albedo_WSA_shortwave").shape == (6, 8)
