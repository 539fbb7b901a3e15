"""MODIS tiles of the simulated world: true HDF4-EOS, and what was in the state comes back."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ingest.sources import modis_lst_writer, modis_vi_writer
from ingest.world.composites import beginnings
from ingest.world.landscape import Landscape, landscape
from ingest.world.presets import preset
from ingest.world.tiles import Overpass, overpass, tile_views
from smcatalog.core.grids import sinusoidal_tile
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories.tiles import data_sets, half, inside, on_state, rasters
from tests.factories.world import flat_state

DAY = date(2018, 6, 10)  # day 161 of the year: the first of a composite
LST_NAME = "MOD11A1.A2018161.h26v05.061.2018162000000.hdf"
VI_NAME = "MOD13A2.A2018161.h26v05.061.2018177000000.hdf"


@pytest.fixture(scope="module")
def land() -> Landscape:
    return landscape(preset("rao2022"), 3, 60.0)


def test_temperatures_come_back(land, tmp_path):
    writer = modis_lst_writer.WRITER(land, tmp_path)
    rows, columns = land.grid.shape
    slope = 290.0 + 20.0 * np.linspace(0, 1, columns) + 5.0 * np.linspace(0, 1, rows)[:, np.newaxis]
    writer.day(flat_state(land, DAY, lst_day=slope, lst_night=270.0))
    writer.end()
    assert [path.name for path in tmp_path.iterdir()] == [LST_NAME]
    found = rasters(tmp_path / LST_NAME)
    assert found["lst_day"].period == Period.of_day(DAY)
    assert found["lst_day"].grid == sinusoidal_tile(26, 5)
    error = inside(on_state(found["lst_day"], land) - slope)
    assert abs(error.mean()) < 0.05
    # 0.7 K on a pixel; a cell is a mean of two or three
    assert 0.3 < error.std() < 0.7
    assert inside(on_state(found["lst_night"], land)).mean() == pytest.approx(270.0, abs=0.05)
    assert not found["lst_day"].quality.any()


def test_clouds_hide_and_their_edges_are_doubtful(land, tmp_path):
    writer = modis_lst_writer.WRITER(land, tmp_path)
    writer.day(flat_state(land, DAY, cloud_day=half(land)))
    found = rasters(tmp_path / LST_NAME)
    day = found["lst_day"]
    brought = on_state(day, land)
    columns = land.grid.shape[1]
    assert np.isnan(brought[:, : columns // 2 - 2]).all()
    assert np.isfinite(inside(brought)[:, columns // 2 :]).all()
    doubtful = (day.quality & InputQuality.NOT_RECOMMENDED) != 0
    assert 0.2 < doubtful.sum() / land.grid.shape[0] < 4
    values = day.values
    assert values[doubtful].std() > 1.5 * values[np.isfinite(values) & ~doubtful].std()
    assert values[doubtful].mean() < 299.8
    assert not found["lst_night"].quality.any()


def test_a_day_without_a_clear_pixel_is_not_written(land, tmp_path):
    writer = modis_lst_writer.WRITER(land, tmp_path)
    writer.day(flat_state(land, DAY, cloud_day=True, cloud_night=True))
    assert not list(tmp_path.iterdir())
    writer.day(flat_state(land, DAY, cloud_day=True))
    assert list(rasters(tmp_path / LST_NAME)) == ["lst_night"]


def test_a_composite_takes_the_greenest_clear_view(land, tmp_path):
    writer = modis_vi_writer.WRITER(land, tmp_path)
    for n in range(16):
        # greenest behind clouds; the greenest clear day of the western half is the fourth
        green = np.where(half(land), 0.6 if n == 3 else 0.3, 0.4)
        cloud = n in {7, 8}
        writer.day(flat_state(land, DAY + timedelta(days=n), ndvi=0.8 if cloud else green,
                              evi=green / 2, cloud_day=cloud))  # fmt: skip
        assert (len(list(tmp_path.iterdir())) == 1) is (n == 15)
    found = rasters(tmp_path / VI_NAME)
    assert found["ndvi"].period == Period.of_days(DAY, DAY + timedelta(days=15))
    ndvi = inside(on_state(found["ndvi"], land))
    columns = ndvi.shape[1]
    # the best of one view, and of fourteen: noise of 0.01 lifts the best of many
    assert np.abs(ndvi[:, : columns // 2 - 3].mean() - 0.6) < 0.003
    assert 0.40 < ndvi[:, columns // 2 + 3 :].mean() < 0.43
    assert not (found["ndvi"].quality & ~np.uint16(InputQuality.WATER)).any()


def test_snow_clouds_and_water_are_told(land, tmp_path):
    writer = modis_vi_writer.WRITER(land, tmp_path)
    cloudy = half(land)
    writer.day(flat_state(land, DAY, snow=20.0, cloud_day=cloudy))
    writer.end()
    ndvi = rasters(tmp_path / VI_NAME)["ndvi"]
    (view,) = tile_views(land)
    clear = np.isfinite(ndvi.values).ravel()
    assert (ndvi.quality.ravel()[clear] & InputQuality.FROZEN != 0).all()
    np.testing.assert_array_equal(clear[view.pixels], ~view.nearest(cloudy))
    water = (ndvi.quality.ravel() & InputQuality.WATER) != 0
    np.testing.assert_array_equal(water[view.pixels], view.nearest(land.water))


def test_composites_overlap_at_new_year_and_begin_before_the_simulation(land, tmp_path):
    assert beginnings(date(2018, 12, 31), 16) == [date(2018, 12, 19)]
    assert beginnings(date(2019, 1, 2), 16) == [date(2018, 12, 19), date(2019, 1, 1)]
    assert beginnings(date(2019, 1, 4), 16) == [date(2019, 1, 1)]
    writer = modis_vi_writer.WRITER(land, tmp_path)
    for day in (date(2019, 1, 2), date(2019, 1, 3)):
        writer.day(flat_state(land, day))
    assert [path.name[:16] for path in tmp_path.iterdir()] == ["MOD13A2.A2018353"]
    writer.end()
    assert sorted(path.name[:16] for path in tmp_path.iterdir()) == [
        "MOD13A2.A2018353", "MOD13A2.A2019001",
    ]  # fmt: skip


def _sums(land: Landscape, folder: Path) -> dict[str, str]:
    for module in (modis_lst_writer, modis_vi_writer):
        writer = module.WRITER(land, folder)
        writer.day(flat_state(land, DAY, cloud_day=half(land)))
        writer.end()
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes_wherever_they_are_written(land, tmp_path):
    first = _sums(land, tmp_path / "a")
    assert sorted(first) == [LST_NAME, VI_NAME]
    assert _sums(land, tmp_path / "another folder") == first
    other = _sums(landscape(preset("rao2022"), 4, 60.0), tmp_path / "b")
    assert all(other[name] != first[name] for name in first)


def test_a_region_over_several_tiles_is_cut_into_them(tmp_path):
    wide = landscape(preset("song2022"), 1, 400.0)  # 31.6 N: the tiles meet at 30 N
    views = tile_views(wide)
    assert len(views) > 1
    for view in views:
        assert len(np.unique(view.pixels)) == len(view.pixels)
        assert np.abs(view.weights.sum(axis=0) - 1).max() < 1e-5
    area = sum(len(view.pixels) for view in views) * 926.625**2
    assert area == pytest.approx(np.prod(wide.grid.shape) * np.prod(wide.grid.cell), rel=0.01)
    writer = modis_lst_writer.WRITER(wide, tmp_path)
    writer.day(flat_state(wide, DAY))
    tiles = {path.name.split(".")[2] for path in tmp_path.iterdir()}
    assert tiles == {view.name for view in views}


def test_tracks_repeat_after_16_days_and_look_to_both_sides(land):
    (view,) = tile_views(land)
    morning = Overpass(10.5, ascending=False)
    looks = [overpass(view, DAY + timedelta(days=n), morning) for n in range(17)]
    np.testing.assert_allclose(looks[0].zenith, looks[16].zenith, atol=1e-3)
    means = [look.zenith.mean() for look in looks[:16]]
    assert min(means) < -40
    assert max(means) > 40
    for look in looks:
        assert np.abs(look.zenith[look.seen]).max(initial=0) < 66
        assert ((look.hour > 9.5) & (look.hour < 12.2)).all()


@pytest.fixture(scope="module")
def written(land, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("granules")
    _sums(land, folder)
    return folder


def gdal(tool: str, *arguments: str) -> str:
    program = shutil.which(tool)
    if program is None or b"HDF4Image" not in subprocess.check_output([program, "--formats"]):
        pytest.skip(f"there is no {tool} with an HDF4 driver: install the system's GDAL")
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


FIELDS = [
    (LST_NAME, "MODIS_Grid_Daily_1km_LST", "LST_Day_1km", "UInt16", 0),
    (LST_NAME, "MODIS_Grid_Daily_1km_LST", "QC_Night", "Byte", 0),  # GDAL takes the text NA for it
    (VI_NAME, "MODIS_Grid_16DAY_1km_VI", "1 km 16 days NDVI", "Int16", -3000),
    (VI_NAME, "MODIS_Grid_16DAY_1km_VI", "1 km 16 days VI Quality", "UInt16", 65535),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "grid", "field", "kind", "fill"), FIELDS, ids=lambda v: str(v)[:24]
)
def test_gdal_opens_and_places_them(written, tmp_path, name, grid, field, kind, fill):
    subset = f'HDF4_EOS:EOS_GRID:"{written / name}":{grid}:"{field}"'
    told = json.loads(gdal("gdalinfo", "-json", subset))
    tile = sinusoidal_tile(26, 5)
    assert told["size"] == [1200, 1200]
    assert told["cornerCoordinates"]["upperLeft"] == pytest.approx(
        [tile.transform.c, tile.transform.f]
    )
    assert told["cornerCoordinates"]["lowerRight"] == pytest.approx(tile.transform * (1200, 1200))
    assert "Sinusoidal" in told["coordinateSystem"]["wkt"]
    assert told["bands"][0]["type"] == kind
    assert told["bands"][0].get("noDataValue") == fill
    gdal("gdal_translate", "-q", subset, str(tmp_path / "out.tif"))
    with rasterio.open(tmp_path / "out.tif") as file:
        stored = file.read(1)
    if field == "LST_Day_1km":
        ours = rasters(written / name)["lst_day"].values
        np.testing.assert_allclose(stored[stored > 0] * 0.02, ours[stored > 0], rtol=1e-6)
    assert len(np.unique(stored)) > 1


@pytest.mark.parametrize(
    ("name", "real"),
    [
        (LST_NAME, "MOD11A1.A2021227.h11v05.061.2021228105320.hdf"),
        (VI_NAME, "MOD13A2.A2021225.h11v06.061.2021320163717.hdf"),
    ],
    ids=["MOD11A1", "MOD13A2"],
)
def test_data_sets_are_those_of_real_granules(written, real_data, name, real):
    ours, theirs = data_sets(written / name), data_sets(real_data / "modis" / real)
    assert list(ours) == list(theirs)
    for field, (kind, shape, attributes, dimensions) in theirs.items():
        assert ours[field][0] == kind, field
        assert ours[field][1] == shape, field
        assert ours[field][2] == attributes, field
        assert ours[field][3] == dimensions, field
