"""Slope and direction of the ground: planes whose answer is known, and GDAL's answer on rough ground."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ingest.granules import examine, read
from ingest.terrain import spacing, terrain, with_terrain
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.variables import variable
from smcatalog.resample import layer_grid, regrid
from tests.factories import granules as make

GDALDEM = shutil.which("gdaldem")
SHAPE = (40, 60)


def _utm(cell: float = 30.0, shape: tuple[int, int] = SHAPE) -> Grid:
    box = GeoBox(shape, Affine(cell, 0, 500_000, 0, -cell, 4_200_000), CRS("EPSG:32648"))
    return Grid("utm", box)


def _degrees(latitude: float = 38.0) -> Grid:
    return Grid.latlon(105.0, latitude, 1 / 1200, SHAPE)


def _plane(where: Grid, slope: float, aspect: float) -> np.ndarray:
    """Return heights [m] that fall towards ``aspect`` at ``slope`` [degrees]."""
    width, height = spacing(where)
    rows, columns = np.indices(where.shape)
    east = columns * width[len(width) // 2]
    north = -rows * height[len(height) // 2]
    fall = np.tan(np.radians(slope))
    return 1000 - fall * (np.sin(np.radians(aspect)) * east + np.cos(np.radians(aspect)) * north)


@pytest.mark.parametrize("where", [_utm(), _degrees(), _degrees(-34.3), _degrees(59.9)], ids=str)
@pytest.mark.parametrize("slope", [0.5, 10.0, 60.0])
@pytest.mark.parametrize("aspect", [0.0, 45.0, 90.0, 200.0, 315.0])
def test_a_plane_has_its_slope_everywhere_to_the_edge(where, slope, aspect):
    found = terrain(_plane(where, slope, aspect), where)
    # the cells' width changes a little with the latitude
    np.testing.assert_allclose(found.slope, slope, rtol=2e-3)
    turned = (found.aspect - aspect + 180) % 360 - 180
    assert abs(turned).max() < 0.15
    across = np.sin(np.radians(slope))
    np.testing.assert_allclose(found.northness, across * np.cos(np.radians(aspect)), atol=3e-3)
    np.testing.assert_allclose(found.eastness, across * np.sin(np.radians(aspect)), atol=3e-3)


def test_cells_are_measured_on_the_ellipsoid():
    width, height = spacing(Grid.latlon(105.0, 60.0, 1 / 1200, (1200, 4)))
    # lengths of a degree at 60 and 59.5 degrees of latitude, from the tables of WGS 84
    assert width[0, 0] * 1200 == pytest.approx(55_800, rel=1e-3)
    assert height[600, 0] * 1200 == pytest.approx(111_406, rel=1e-3)
    assert (np.diff(width[:, 0]) > 0).all()
    width, height = spacing(_utm())
    # at the central meridian UTM is 0.9996 of the truth
    np.testing.assert_allclose([width, height], 30 / 0.9996, rtol=1e-5)


def test_flat_ground_leans_nowhere_and_faces_nowhere():
    found = terrain(np.full(SHAPE, 812.0), _degrees())
    assert (found.slope == 0).all()
    assert (found.northness == 0).all()
    assert (found.eastness == 0).all()
    assert np.isnan(found.aspect).all()


def test_beside_a_void_there_is_no_slope():
    heights = _plane(_utm(), 10, 90)
    heights[10, 20] = np.nan
    found = terrain(heights, _utm())
    unknown = np.zeros(SHAPE, bool)
    unknown[9:12, 19:22] = True
    for values in (found.slope, found.aspect, found.northness, found.eastness):
        np.testing.assert_array_equal(np.isnan(values), unknown)


def test_the_row_at_a_pole_has_no_slope():
    where = Grid.latlon(0.0, 90.0 + 0.05, 0.1, (4, 5))
    found = terrain(np.random.default_rng(1).random((4, 5)) * 100, where)
    assert np.isnan(found.slope[0]).all()
    assert np.isfinite(found.slope[1:]).all()


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        (grid("SIN1000").window(slice(5000, 5040), slice(32_000, 32_060)), "beside east and north"),
        (_utm(shape=(1, 60)), "two rows and columns"),
    ],
)
def test_grids_on_which_slopes_mean_nothing_are_refused(where, reason):
    with pytest.raises(UsageError, match=reason):
        terrain(np.zeros(where.shape), where)


@pytest.mark.skipif(GDALDEM is None, reason="the system has no gdaldem")
@pytest.mark.parametrize("what", ["slope", "aspect"])
def test_agrees_with_gdal_on_rough_ground(tmp_path, what):
    where = _utm()
    heights = np.cumsum(np.random.default_rng(3).normal(0, 9, SHAPE), axis=1).astype("f4")
    path = make.geotiff(tmp_path / "dem.tif", heights, crs="EPSG:32648", transform=where.transform)
    # of a grid whose cells are taken as they are
    command = [GDALDEM, what, "-alg", "Horn", str(path), str(tmp_path / "out.tif"), "-q"]
    subprocess.run(command, check=True, capture_output=True)
    with rasterio.open(tmp_path / "out.tif") as file:
        theirs = file.read(1)[1:-1, 1:-1]
    ours = getattr(terrain(heights, where), what)[1:-1, 1:-1]
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_of_an_elevation_come_five_rasters_and_none_that_is_empty():
    where = _degrees()
    rough = Raster.good(variable("elevation"), where, _plane(where, 10, 90), None)
    names = ["elevation", "slope", "aspect", "northness", "eastness"]
    assert [r.variable.name for r in with_terrain(rough)] == names
    flat = Raster.good(variable("elevation"), where, np.full(SHAPE, 5.0), None)
    assert [r.variable.name for r in with_terrain(flat)] == [
        "elevation",
        "slope",
        "northness",
        "eastness",
    ]


def test_a_projection_of_another_planet_has_no_slopes():
    moon = CRS("+proj=longlat +R=1737400 +type=crs")
    where = Grid("moon", GeoBox(SHAPE, Affine(0.1, 0, 5, 0, -0.1, 9), moon))
    with pytest.raises(UsageError, match="nobody knows the way from moon to degrees"):
        terrain(np.zeros(SHAPE), where)


class TestReaders:
    def test_a_tile_gives_slopes_taken_before_the_mean(self, tmp_path):
        """A ridge and furrow field is level at the kilometre, and steep all the same."""
        heights = np.full((1201, 1201), 1000)
        heights[:, ::4], heights[:, 1::4] = 1040, 1020
        heights[:, 3::4] = 1020
        path = make.srtm(tmp_path / "N37E105.hgt", heights)
        rasters = {r.variable.name: r for r in read(examine(make.candidate(path)))}
        assert list(rasters) == ["elevation", "slope", "aspect", "northness", "eastness"]
        target = grid("M01").crop((105.4, 37.4, 105.5, 37.5))
        layers = {name: regrid(raster, target).values for name, raster in rasters.items()}
        assert np.std(layers["elevation"]) < 3
        # half of the nodes lie on flanks of 40 m in two nodes of 73.9 m, the other half on tops and floors
        flank = np.degrees(np.arctan(40 / (2 * 73.7)))
        assert np.mean(layers["slope"]) == pytest.approx(flank / 2, rel=0.02)
        assert abs(np.mean(layers["eastness"])) < 0.02

    @pytest.mark.parametrize(
        "name", ["dem_here.tif", "ASTGTMV003_N37E105_dem.tif", "DEM_100m_resampled.tif"]
    )
    def test_any_elevation_model_in_utm(self, tmp_path, name):
        where = _utm()
        path = make.geotiff(
            tmp_path / name, _plane(where, 20, 135).astype("f4"),
            crs="EPSG:32648", transform=where.transform,
        )  # fmt: skip
        granule = examine(make.candidate(path))
        assert granule.identity.source == ("DEM-100m" if "100m" in name else "DEM")
        layers = {r.variable.name: regrid(r, layer_grid(r.grid)).values for r in read(granule)}
        assert np.nanmean(layers["slope"]) == pytest.approx(20, rel=1e-3)
        assert np.nanmean(layers["aspect"]) == pytest.approx(135, abs=0.1)
        assert np.nanmean(layers["eastness"]) == pytest.approx(
            np.sin(np.radians(20)) * 0.5**0.5, abs=1e-3
        )

    def test_a_model_in_a_skewed_projection_is_refused_with_advice(self, tmp_path):
        where = grid("SIN1000").window(slice(5000, 5040), slice(32_000, 32_060))
        path: Path = make.geotiff(
            tmp_path / "dem_here.tif", np.full(where.shape, 9, "f4"),
            crs=where.crs.wkt, transform=where.transform,
        )  # fmt: skip
        with pytest.raises(RefusedInput, match="slopes need a grid in degrees or UTM: warp it"):
            list(read(examine(make.candidate(path))))
