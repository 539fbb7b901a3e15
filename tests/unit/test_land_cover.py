"""Land cover: classes and shares are read, and classes go to a similar grid by area."""

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
from ingest.sources import modis_land_cover_writer
from ingest.world.landscape import Landscape, landscape
from ingest.world.presets import preset
from ingest.world.tiles import tile_views
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import grid, sinusoidal_tile
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from smcatalog.resample import area_weights, layer_grid, overlap, regrid
from tests.factories import albedo as files
from tests.factories import granules as make
from tests.factories.tiles import near
from tests.factories.world import flat_state

SHARES = ["forest", "shrub", "grass", "crop", "urban", "barren", "water"]


def rasters(path: Path) -> dict[str, Raster]:
    return {raster.variable.name: raster for raster in read(examine(make.candidate(path)))}


def reason(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        rasters(path)
    return caught.value.reason


class TestReader:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        return tmp_path / files.MCD12Q1_NAME

    def test_every_type_has_its_share(self, path):
        files.land_cover(path, [[*range(12), 255]])
        found = rasters(path)
        assert list(found) == [
            "land_cover_pft",
            "land_cover_igbp",
            *(f"fraction_{n}" for n in SHARES),
        ]
        np.testing.assert_array_equal(found["land_cover_pft"].values, [[*range(12), np.nan]])
        np.testing.assert_array_equal(found["land_cover_igbp"].values, [[10] * 12 + [np.nan]])
        shares = {
            name: np.flatnonzero(found[f"fraction_{name}"].values == 1).tolist() for name in SHARES
        }
        assert shares == {
            "forest": [1, 2, 3, 4], "shrub": [5], "grass": [6], "crop": [7, 8], "urban": [9],
            "barren": [11], "water": [0],
        }  # fmt: skip
        for raster in found.values():
            assert np.isnan(raster.values).tolist() == [[False] * 12 + [True]]
            assert raster.period == Period.of_days(date(2019, 1, 1), date(2019, 12, 31))
            assert raster.grid == sinusoidal_tile(18, 5, 2400).window(slice(0, 1), slice(0, 13))
            assert raster.quality[0, 0] == InputQuality.WATER
            assert raster.quality[0, 10] == InputQuality.FROZEN
            assert not raster.quality[0, 1:10].any()

    def test_quality_tells_what_was_changed_or_filled(self, path):
        files.land_cover(path, np.full((1, 11), 6), qc=[range(11)])
        quality = rasters(path)["land_cover_pft"].quality[0]
        assert np.flatnonzero(quality == InputQuality.NOT_RECOMMENDED).tolist() == [5, 6, 7]
        assert np.flatnonzero(quality == InputQuality.FILLED).tolist() == [8]
        assert np.count_nonzero(quality) == 4

    def test_a_file_without_the_igbp_has_the_rest(self, path):
        files.land_cover(path, left_out=("LC_Type1",))
        assert "land_cover_igbp" not in rasters(path)

    @pytest.mark.parametrize(
        ("statements", "words"),
        [
            ({"pft": np.full((6, 8), 255)}, "LC_Type5 holds no class at all"),
            ({"pft": np.full((6, 8), 13)}, "outside 0 to 11"),
            ({"days": 8}, "expected a year"),
            ({"left_out": ("LC_Type5",)}, "has no data set 'LC_Type5'"),
            ({"left_out": ("QC",)}, "has no data set 'QC'"),
            ({"tile": (18, 6)}, "says tile h18v05, inside it is h18v06"),
        ],
    )
    def test_refusals(self, path, statements, words):
        files.land_cover(path, **statements)
        assert words in reason(path)


class TestModeByArea:
    SOURCE = sinusoidal_tile(26, 5, 2400).window(slice(1000, 1060), slice(1000, 1080))

    def _brute(self, classes: np.ndarray) -> np.ndarray:
        weights = area_weights(self.SOURCE, layer_grid(self.SOURCE)).matrix.toarray()
        flat = np.where(np.isfinite(classes), classes, -1).ravel()
        shares = np.stack([weights @ (flat == n) for n in range(4)])
        mode = shares.argmax(axis=0).astype(float)
        mode[shares.sum(axis=0) < 0.5] = np.nan
        return mode.reshape(layer_grid(self.SOURCE).shape)

    def test_the_class_of_the_largest_area_wins(self):
        rng = np.random.default_rng(2)
        classes = rng.integers(0, 4, self.SOURCE.shape).astype(np.float32)
        classes[rng.random(classes.shape) < 0.3] = np.nan
        target = layer_grid(self.SOURCE)
        mode, coverage = area_weights(self.SOURCE, target).mode(classes)
        np.testing.assert_array_equal(mode, self._brute(classes))
        assert set(np.unique(mode[np.isfinite(mode)])) == {0, 1, 2, 3}
        assert np.isnan(mode[coverage < 0.499]).all()
        assert 0.1 < np.isnan(mode).mean() < 0.9

    def test_a_corner_with_classes_is_enough(self):
        classes = np.full(self.SOURCE.shape, np.nan, np.float32)
        classes[:10, :10] = 3
        mode, _ = area_weights(self.SOURCE, layer_grid(self.SOURCE)).mode(classes)
        np.testing.assert_array_equal(mode, self._brute(classes))
        assert np.nanmin(mode) == np.nanmax(mode) == 3

    def test_no_class_anywhere(self):
        nothing = np.full(self.SOURCE.shape, np.nan, np.float32)
        mode, coverage = area_weights(self.SOURCE, layer_grid(self.SOURCE)).mode(nothing)
        assert np.isnan(mode).all()
        assert not coverage.any()

    def test_another_shape_is_refused(self):
        with pytest.raises(UsageError, match="values have shape"):
            area_weights(self.SOURCE, layer_grid(self.SOURCE)).mode(np.zeros((2, 2), np.float32))

    def test_layers_of_classes_stay_classes(self):
        left = np.arange(self.SOURCE.shape[1]) < 40
        classes = np.broadcast_to(np.where(left, 1.0, 11.0), self.SOURCE.shape)
        quality = np.where(classes == 1, np.uint16(InputQuality.FILLED), np.uint16(0))
        period = Period.of_days(date(2019, 1, 1), date(2019, 12, 31))
        raster = Raster(
            variable("land_cover_pft"), self.SOURCE, classes.astype(np.float32), quality, period
        )
        layer = regrid(raster, layer_grid(self.SOURCE))
        assert set(np.unique(layer.values[np.isfinite(layer.values)])) == {1.0, 11.0}
        filled = (layer.quality & InputQuality.FILLED) != 0
        assert filled[layer.values == 1].all()
        assert not filled[layer.values == 11].all()
        assert layer.period == period
        # and again, to a grid three times as coarse
        coarse = regrid(layer, grid("M09").crop(self.SOURCE.bbox()))
        assert set(np.unique(coarse.values[np.isfinite(coarse.values)])) <= {1.0, 11.0}


@pytest.fixture(scope="module")
def land() -> Landscape:
    return landscape(preset("smci"), 3, 60.0)


@pytest.fixture(scope="module")
def written(land, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cover")
    writer = modis_land_cover_writer.WRITER(land, folder)
    for n in range(3):
        writer.day(flat_state(land, date(2018, 12, 30) + timedelta(days=n)))
    writer.end()
    return folder


class TestWorld:
    def test_each_year_has_its_map(self, written, land):
        tiles = {view.name for view in tile_views(land, 2400)}
        names = sorted(path.name[:24] for path in written.iterdir())
        assert names == sorted(f"MCD12Q1.A{y}001.{t}." for y in (2018, 2019) for t in tiles)

    def test_shares_are_those_of_the_landscape(self, written, land):
        total = {name: np.full(land.grid.shape, np.nan) for name in ("forest", "crop", "water")}
        modes = np.full(land.grid.shape, np.nan)
        for path in written.glob("*A2018001*"):
            found = rasters(path)
            for name, whole in [*total.items(), ("", modes)]:
                raster = near(found[f"fraction_{name}" if name else "land_cover_pft"], land)
                layer = regrid(raster, layer_grid(raster.grid))
                shared = overlap(layer.grid, land.grid)
                if shared is not None:
                    part = layer.values[shared[0]]
                    whole[shared[1]] = np.where(np.isfinite(part), part, whole[shared[1]])
        inner = np.isfinite(total["forest"])
        assert inner.mean() > 0.9
        for name, true in (("forest", land.woody), ("crop", land.irrigated), ("water", land.water)):
            assert total[name][inner].mean() == pytest.approx(true[inner].mean(), abs=0.03)
            assert np.corrcoef(total[name][inner], true[inner])[0, 1] > 0.75
        wooded = inner & (land.woody > 0.9)
        assert np.isin(modes[wooded], (1, 4)).mean() > 0.9

    def test_years_differ_by_mistakes_alone_and_bytes_do_not(self, written, land, tmp_path):
        name = min(path.name for path in written.iterdir()).split(".")[2]
        one, other = (
            rasters(next(written.glob(f"*A{year}001.{name}*")))["land_cover_pft"].values
            for year in (2018, 2019)
        )
        assert 0.01 < (one != other)[np.isfinite(one)].mean() < 0.09
        writer = modis_land_cover_writer.WRITER(land, tmp_path)
        writer.day(flat_state(land, date(2018, 3, 1)))
        for path in tmp_path.iterdir():
            first = hashlib.sha256((written / path.name).read_bytes()).hexdigest()
            assert hashlib.sha256(path.read_bytes()).hexdigest() == first

    def test_gdal_opens_it(self, written):
        program = shutil.which("gdalinfo")
        if program is None or b"HDF4Image" not in subprocess.check_output([program, "--formats"]):
            pytest.skip("there is no gdalinfo with an HDF4 driver: install the system's GDAL")
        path = min(written.iterdir())
        name = f'HDF4_EOS:EOS_GRID:"{path}":MCD12Q1:LC_Type5'
        told = json.loads(subprocess.check_output([program, "-json", name]))
        tile = sinusoidal_tile(int(path.name[18:20]), int(path.name[21:23]), 2400)
        assert told["size"] == [2400, 2400]
        assert told["cornerCoordinates"]["upperLeft"] == pytest.approx(
            [tile.transform.c, tile.transform.f]
        )
        assert told["bands"][0]["type"] == "Byte"
        assert told["bands"][0]["noDataValue"] == 255
