"""VNP13A2: the reader on hand-made granules, the writer through the reader, a real granule against GDAL."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from ingest.sources import viirs_vi_writer
from ingest.world.landscape import Landscape, landscape
from ingest.world.presets import preset
from ingest.world.tiles import tile_views
from smcatalog.core.grids import sinusoidal_tile
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories import viirs
from tests.factories.tiles import gdal_subset, half, inside, on_state, rasters, reason
from tests.factories.world import flat_state

DAY = date(2018, 6, 10)  # day 161 of the year: the first of a composite
NAME = "VNP13A2.A2018161.h26v05.002.2018177000000.h5"
REAL = "VNP13A2.A2025001.h18v09.002.2025017085341.h5"
DOUBTFUL, WATER, FROZEN, FILLED = (
    InputQuality.NOT_RECOMMENDED, InputQuality.WATER, InputQuality.FROZEN, InputQuality.FILLED,
)  # fmt: skip


@pytest.fixture(scope="module")
def land() -> Landscape:
    return landscape(preset("rao2022"), 3, 60.0)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / viirs.VNP13A2_NAME


def test_ranks_have_the_meaning_of_modis(path):
    rank = np.array([[*range(12), -1, -4]])
    ndvi = np.full((1, 14), 5000)
    ndvi[0, 12:] = -13000, -15000
    viirs.vi(path, ndvi, rank=rank)
    found = rasters(path)
    assert list(found) == ["ndvi", "evi"]
    quality = [0, 0, 0, *[DOUBTFUL] * 5, FROZEN, 0, FILLED, FILLED, 0, 0]
    hidden = [*[False] * 9, True, False, False, True, True]
    for name, value in (("ndvi", 0.5), ("evi", 0.25)):
        raster = found[name]
        assert np.isnan(raster.values).tolist() == [hidden]
        assert raster.quality.tolist() == [quality]
        assert np.nanmax(np.abs(raster.values - value)) < 1e-6
        assert raster.period == Period.of_days(date(2020, 1, 1), date(2020, 1, 16))
        assert raster.grid == sinusoidal_tile(18, 5).window(slice(0, 1), slice(0, 14))


def test_both_kinds_of_fill_and_water(path):
    land, shore, lake, sea = (kind << 11 for kind in (1, 2, 3, 7))
    ndvi = [[-15000, -13000, -9000, 5000, 5000, -15000, 5000]]
    viirs.vi(path, ndvi, quality=[[65535, land, land, shore, lake, sea, 65535]])
    raster = rasters(path)["ndvi"]
    assert np.isnan(raster.values).tolist() == [[1, 1, 0, 0, 0, 1, 0]]
    assert raster.quality.tolist() == [[0, 0, 0, 0, WATER, WATER, 0]]


def test_a_file_without_evi_has_ndvi(path):
    viirs.vi(path, left_out=("EVI",))
    assert list(rasters(path)) == ["ndvi"]


def test_a_window_and_a_renamed_file(path, tmp_path):
    viirs.vi(path, np.full((5, 7), 4000), corner=(30, 40))
    renamed = path.rename(tmp_path / "indices.h5")
    found = rasters(renamed)["ndvi"]
    assert found.grid == sinusoidal_tile(18, 5).window(slice(40, 45), slice(30, 37))


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ({"scale": 0.001}, "1 km 16 days NDVI has steps of 0.001, expected 0.0001"),
        ({"rank": 9}, "every pixel is cloudy or was not processed"),
        ({"ndvi": np.full((6, 8), 20_000)}, "values of ndvi are outside"),
        ({"left_out": ("NDVI",)}, "has no data set '1 km 16 days NDVI'"),
        ({"left_out": ("VI Quality",)}, "has no data set '1 km 16 days VI Quality'"),
        ({"group": "HDFEOS/GRIDS/another/Data Fields"}, "has no group 'HDFEOS/GRIDS/VIIRS"),
        ({"tile": (18, 6)}, "says tile h18v05, inside it is h18v06"),
        ({"corner": (0.4, 0)}, "not those of the sinusoidal grid"),
        ({"structure": "END\n"}, "describes 0 grids"),
        ({"product": "VNP13A9"}, "is a granule of VNP13A9, which is not read yet"),
        ({"core": ""}, "is an HDF5/NetCDF file of no known source"),
    ],
)
def test_what_contradicts_itself_is_refused(path, statements, words):
    viirs.vi(path, **statements)
    assert words in reason(path)


def test_a_delivered_name_that_contradicts_the_inside_is_refused(path):
    viirs.vi(path)
    assert "says tile h18v06" in reason(path, viirs.VNP13A2_NAME.replace("v05", "v06"))
    assert "says VNP13A2 of 2020017" in reason(
        path, viirs.VNP13A2_NAME.replace("A2020001", "A2020017")
    )


def test_shapes_that_differ_are_refused(path):
    viirs.vi(path)
    with h5py.File(path, "r+") as file:
        name = f"{viirs.GROUP}/1 km 16 days EVI"
        del file[name]
        file[name] = np.full((5, 8), 2000, np.int16)
        file[name].attrs["scale_factor"] = np.array([0.0001])
    assert "EVI has the shape (5, 8) and the grid (6, 8)" in reason(path)


def test_indices_come_back(land, tmp_path):
    writer = viirs_vi_writer.WRITER(land, tmp_path)
    for n in range(16):
        # greenest behind clouds; the greenest clear day of the western half is the fourth
        ndvi = np.where(half(land), 0.6 if n == 3 else 0.3, 0.4)
        cloud = n in {7, 8}
        ndvi = np.full(ndvi.shape, 0.8) if cloud else ndvi
        writer.day(flat_state(land, DAY + timedelta(days=n), ndvi=ndvi,
                              evi=0.02 + 0.66 * ndvi**1.25, cloud_day=cloud))  # fmt: skip
        assert (len(list(tmp_path.iterdir())) == 1) is (n == 15)
    found = rasters(tmp_path / NAME)
    columns = land.grid.shape[1]
    for name, west, east in (("ndvi", 0.6, 0.4), ("evi", 0.3685, 0.23)):
        brought = np.where(land.water, np.nan, on_state(found[name], land))
        assert np.nanmedian(inside(brought)[:, : columns // 2 - 3]) == pytest.approx(west, abs=0.01)
        assert np.nanmedian(inside(brought)[:, columns // 2 + 3 :]) == pytest.approx(east, abs=0.01)
    assert found["ndvi"].grid == sinusoidal_tile(26, 5)
    assert found["ndvi"].period == Period.of_days(DAY, DAY + timedelta(days=15))


def test_snow_clouds_and_water_are_told(land, tmp_path):
    writer = viirs_vi_writer.WRITER(land, tmp_path)
    writer.day(flat_state(land, DAY, snow=20.0, ndvi=0.02, evi=0.025, cloud_day=half(land)))
    writer.end()
    ndvi = rasters(tmp_path / NAME)["ndvi"]
    (view,) = tile_views(land)
    clear = np.isfinite(ndvi.values).ravel()
    assert (ndvi.quality.ravel()[clear] & FROZEN != 0).all()
    np.testing.assert_array_equal(clear[view.pixels], ~view.nearest(half(land)))
    water = (ndvi.quality.ravel() & WATER) != 0
    np.testing.assert_array_equal(water[view.pixels], view.nearest(land.water))


def _write(land: Landscape, folder: Path) -> str:
    writer = viirs_vi_writer.WRITER(land, folder)
    writer.day(flat_state(land, DAY, cloud_day=half(land)))
    writer.end()
    return hashlib.sha256((folder / NAME).read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes(land, tmp_path):
    first = _write(land, tmp_path / "a")
    assert _write(land, tmp_path / "another folder") == first
    assert _write(landscape(preset("rao2022"), 4, 60.0), tmp_path / "b") != first


def test_a_day_without_a_clear_pixel_is_not_written(land, tmp_path):
    writer = viirs_vi_writer.WRITER(land, tmp_path)
    writer.day(flat_state(land, DAY, cloud_day=True))
    writer.end()
    assert not list(tmp_path.iterdir())


def subset(path: Path, short: str) -> str:
    place = f"//{viirs.GROUP}/1 km 16 days {short}".replace(" ", "_")
    return f'HDF5:"{path}":{place}'


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_reads_the_same_values(land, tmp_path):
    _write(land, tmp_path)
    path = tmp_path / NAME
    ours = rasters(path)["ndvi"].values
    theirs = gdal_subset(subset(path, "NDVI"), tmp_path / "out.tif", "HDF5Image")
    kept = np.isfinite(ours)
    assert theirs.values.shape == (1200, 1200)
    np.testing.assert_allclose(theirs.values[kept] * 1e-4, ours[kept], atol=1e-6)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_real_granule_is_read_as_gdal_reads_it(real_data, tmp_path):
    path = real_data / "modis" / REAL
    found = rasters(path)
    rank = gdal_subset(subset(path, "pixel reliability"), tmp_path / "rank.tif", "HDF5Image").values
    rank = rank.astype(np.uint8).view(np.int8)  # some versions of GDAL take it for unsigned
    for name, short in (("ndvi", "NDVI"), ("evi", "EVI")):
        stored = gdal_subset(subset(path, short), tmp_path / "out.tif", "HDF5Image").values
        raster = found[name]
        kept = np.isfinite(raster.values)
        np.testing.assert_array_equal(kept, (rank >= 0) & (rank != 9))
        assert kept.sum() > 20_000
        np.testing.assert_allclose(raster.values[kept], stored[kept] * 1e-4, atol=1e-6)
        doubtful = raster.quality & DOUBTFUL != 0
        np.testing.assert_array_equal(doubtful, (rank >= 3) & (rank <= 7))
        assert raster.grid == sinusoidal_tile(18, 9)
        assert raster.period == Period.of_days(date(2025, 1, 1), date(2025, 1, 16))


def layout(path: Path) -> dict[str, tuple]:
    """Return type, shape, chunks and attributes of all data sets; objects by where they are."""
    found: dict[str, tuple] = {}

    def take(name: str, data: h5py.Dataset | h5py.Group) -> None:
        if isinstance(data, h5py.Dataset) and "Metadata" not in name:
            references = {"DIMENSION_LIST", "REFERENCE_LIST", "NAME"}
            told = {
                key: np.asarray(value).tolist()
                for key, value in data.attrs.items()
                if key not in references | {"Legend"}
            }
            found[name] = (data.dtype, data.shape, data.chunks, told)

    with h5py.File(path) as file:
        file.visititems(take)
    return found


def test_data_sets_are_those_of_a_real_granule(land, real_data, tmp_path):
    _write(land, tmp_path)
    ours, theirs = layout(tmp_path / NAME), layout(real_data / "modis" / REAL)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert ours[name] == theirs[name], name
