"""Area weights beside ``gdalwarp -r average``, pixel for pixel, on real tiles and on one of random numbers.

Both average the source pixels under a target cell by the area that they share with it. They differ in
what they take a target cell for. On the sinusoidal grid, meridians lean more with every degree away from
Greenwich, so that a cell of ``M01`` is there a sheared box:

* ours is the mean over that sheared box, as an intersection of polygons computed independently shows;
* GDAL takes the upright box between the places of the cell's upper left and lower right corner, as a
  small implementation of that rule shows: the box is too narrow or too wide by the shear;
* so the whole difference is the shear, and where meridians hardly lean both agree.

GDAL also gives a value as soon as its box holds one valid pixel, ours from half a cell on: compared are
the means without that bound.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from ingest.granules import examine, read
from smcatalog.core.grids import Grid, sinusoidal_tile
from smcatalog.resample import area_weights, layer_grid, regrid
from smcatalog.resample.geometry import transformer
from tests.factories import granules as make

LST = "MODIS_Grid_Daily_1km_LST:LST_Day_1km"
NDVI = 'MODIS_Grid_16DAY_1km_VI:"1 km 16 days NDVI"'
REAL = [
    ("MOD11A1.A2021227.h11v05.061.2021228105320.hdf", LST, (11, 5)),
    ("MOD11A1_renamed_h14v09.hdf", LST, (14, 9)),
    ("MOD13A2.A2021225.h11v06.061.2021320163717.hdf", NDVI, (11, 6)),
    ("MOD13A2.A2025001.h18v09.061.2025022080611.hdf", NDVI, (18, 9)),
]


def gdal(tool: str, *arguments: str) -> str:
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"there is no {tool}: install GDAL's programs")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def hdf4_driver() -> None:
    if "HDF4Image" not in gdal("gdalinfo", "--formats"):
        pytest.skip("this gdalwarp has no HDF4 driver: install the system's GDAL with it")


@dataclass(frozen=True)
class Pair:
    """One source brought to one window both ways: NaN where there is nothing."""

    source: Grid
    target: Grid
    values: np.ndarray
    ours: np.ndarray
    coverage: np.ndarray
    theirs: np.ndarray


def band(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        values = file.read(1).astype(np.float64)
        return np.where(values == file.nodata, np.nan, values)


def both(source: Grid, name: str, folder: Path) -> Pair:
    """Let GDAL read and warp what it calls ``name``, and bring what it reads over ourselves."""
    target = layer_grid(source)
    gdal("gdal_translate", "-q", name, str(folder / "read.tif"))
    warp(name, folder / "warped.tif", target)
    values = band(folder / "read.tif")
    ours, coverage = area_weights(source, target).mean(values, min_coverage=0.0)
    return Pair(source, target, values, ours, coverage, band(folder / "warped.tif"))


def warp(name: str, out: Path, target: Grid) -> None:
    (rows, columns), t = target.shape, target.transform
    right, bottom = t * (columns, rows)
    gdal(
        "gdalwarp", "-q", "-r", "average", "-et", "0", "-ot", "Float64", "-dstnodata", "-99999",
        "-t_srs", "EPSG:6933", "-te", *map(repr, (t.c, bottom, right, t.f)),
        "-ts", str(columns), str(rows), name, str(out),
    )  # fmt: skip
    with rasterio.open(out) as file:
        assert file.shape == target.shape
        assert file.transform.almost_equals(t, 1e-5)


def corners(pair: Pair, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return source column and row of points given in rows and columns of the target."""
    t, s = pair.target.transform, pair.source.transform
    x, y = t.c + t.a * columns, t.f + t.e * rows
    sx, sy = (np.asarray(a) for a in transformer(pair.target, pair.source).transform(x, y))
    return (sx - s.c) / s.a, (sy - s.f) / s.e


def boxes(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Return means over upright boxes between upper left and lower right corners.

    And which of the boxes lie in the source: at its edge GDAL treats them in a way of its own.
    """
    rows, columns = (index.ravel() for index in np.indices(pair.target.shape))
    x0, y0 = corners(pair, rows, columns)
    x1, y1 = corners(pair, rows + 1, columns + 1)
    x0, x1 = np.minimum(x0, x1), np.maximum(x0, x1)
    left, top = np.floor(x0 + 1e-10).astype(int), np.floor(y0 + 1e-10).astype(int)
    right, bottom = np.ceil(x1 - 1e-10).astype(int), np.ceil(y1 - 1e-10).astype(int)
    right, bottom = np.maximum(right, left + 1), np.maximum(bottom, top + 1)
    height, width = pair.source.shape
    total, weight = np.zeros(len(rows)), np.zeros(len(rows))
    for i in range(int((bottom - top).max())):
        for j in range(int((right - left).max())):
            line, place = top + i, left + j
            inside = (line < bottom) & (place < right) & (line >= 0) & (line < height)
            inside &= (place >= 0) & (place < width)
            line, place = line.clip(0, height - 1), place.clip(0, width - 1)
            # a box within one pixel counts that pixel whole
            tall = np.where(bottom == top + 1, 1, np.minimum(y1, line + 1) - np.maximum(y0, line))
            wide = np.where(right == left + 1, 1, np.minimum(x1, place + 1) - np.maximum(x0, place))
            value = pair.values[line, place]
            share = np.where(inside & np.isfinite(value), tall * wide, 0.0)
            total += share * np.where(share > 0, value, 0.0)
            weight += share
    mean = np.divide(total, weight, out=np.full(len(rows), np.nan), where=weight > 0)
    within = (x0 >= 0) & (y0 >= 0) & (x1 <= width) & (y1 <= height)
    return mean.reshape(pair.target.shape), within.reshape(pair.target.shape)


def polygon_mean(pair: Pair, row: int, column: int) -> tuple[float, float]:
    """Return mean and coverage of a target cell by intersecting polygons in source coordinates."""
    along = np.linspace(0, 1, 9)[:-1]
    zero, one = np.zeros_like(along), np.ones_like(along)
    down, right = (
        np.concatenate([zero, along, one, 1 - along]),
        np.concatenate([along, one, 1 - along, zero]),
    )
    cell = shapely.Polygon(np.transpose(corners(pair, row + down, column + right)))
    west, north, east, south = cell.bounds
    total = area = 0.0
    for line in range(int(np.floor(north)), int(np.ceil(south))):
        for place in range(int(np.floor(west)), int(np.ceil(east))):
            inside = 0 <= line < pair.values.shape[0] and 0 <= place < pair.values.shape[1]
            if inside and np.isfinite(pair.values[line, place]):
                share = cell.intersection(shapely.box(place, line, place + 1, line + 1)).area
                total, area = total + share * pair.values[line, place], area + share
    return (total / area if area else np.nan), area / cell.area


@pytest.fixture(scope="module")
def pairs() -> dict[str, Pair]:
    return {}


@pytest.fixture(params=REAL, ids=lambda param: param[0].split(".06")[0])
def real_pair(request, real_data, hdf4_driver, pairs, tmp_path) -> Pair:
    name, grid_name, tile = request.param
    if name not in pairs:
        path = real_data / "modis" / name
        pairs[name] = both(
            sinusoidal_tile(*tile), f'HDF4_EOS:EOS_GRID:"{path}":{grid_name}', tmp_path
        )
    return pairs[name]


def test_ours_is_the_mean_over_the_sheared_cell(real_pair):
    rng = np.random.default_rng(5)
    rows, columns = np.nonzero(real_pair.coverage > 1e-3)
    some = rng.choice(len(rows), 400, replace=False)
    spread = np.nanstd(real_pair.values)
    for row, column in zip(rows[some], columns[some], strict=True):
        mean, coverage = polygon_mean(real_pair, row, column)
        assert real_pair.coverage[row, column] == pytest.approx(coverage, abs=1e-4)
        assert real_pair.ours[row, column] == pytest.approx(mean, abs=1e-3 * spread / coverage)


def test_gdal_is_the_mean_over_an_upright_box_at_every_pixel(real_pair):
    expected, within = boxes(real_pair)
    assert (np.isfinite(expected) & within).sum() > 5000
    tolerance = 1e-8 * np.nanmax(np.abs(real_pair.values))
    np.testing.assert_allclose(
        real_pair.theirs[within], expected[within], rtol=1e-6, atol=tolerance
    )


def lean(pair: Pair) -> np.ndarray:
    """Return by how many source columns the left side of each target cell leans."""
    rows, columns = (index.ravel() for index in np.indices(pair.target.shape))
    upper, lower = corners(pair, rows, columns)[0], corners(pair, rows + 1, columns)[0]
    return np.abs(lower - upper).reshape(pair.target.shape)


def test_the_difference_between_both_grows_with_the_shear(real_pair):
    _, within = boxes(real_pair)
    whole = within & (real_pair.coverage > 0.999) & np.isfinite(real_pair.theirs)
    rough = np.nanstd(np.diff(real_pair.values, axis=1))  # between neighbours
    sheared = lean(real_pair)
    off = np.abs(real_pair.ours - real_pair.theirs) / rough
    # a side that leans by d covers and misses triangles of d/2 by 1/2 on each side
    assert np.sqrt(np.mean(off[whole] ** 2)) < 0.02 + np.mean(sheared[whole])
    assert off[whole].max() < 0.2 + 12 * sheared[whole].max()


@pytest.fixture(scope="module")
def random_tile(tmp_path_factory) -> Pair:
    """A tile of random numbers at Greenwich, as a GeoTIFF: needs no HDF4."""
    source = sinusoidal_tile(18, 4)
    folder = tmp_path_factory.mktemp("random")
    values = np.random.default_rng(11).normal(15000, 400, source.shape).astype(np.float32)
    values[np.random.default_rng(12).random(source.shape) < 0.1] = -9999
    rows, columns = source.shape
    with rasterio.open(
        folder / "tile.tif", "w", driver="GTiff", height=rows, width=columns, count=1, dtype="float32",
        crs=source.crs.to_wkt(), transform=source.transform, nodata=-9999,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return both(source, str(folder / "tile.tif"), folder)


def test_where_meridians_hardly_lean_both_agree(random_tile):
    _, within = boxes(random_tile)
    upright = within & (lean(random_tile) < 2e-3) & (random_tile.coverage > 0.5)
    assert upright.sum() > 2000
    off = np.abs(random_tile.ours - random_tile.theirs)[upright]
    assert off.max() < 0.01 * 400
    leaning = within & (lean(random_tile) > 0.1) & (random_tile.coverage > 0.5)
    assert np.abs(random_tile.ours - random_tile.theirs)[leaning].max() > 0.1 * 400


def test_random_numbers_keep_the_same_rules(random_tile):
    expected, within = boxes(random_tile)
    np.testing.assert_allclose(random_tile.theirs[within], expected[within], rtol=1e-6)
    rng = np.random.default_rng(13)
    for row, column in rng.integers((0, 0), random_tile.target.shape, (300, 2)):
        mean, coverage = polygon_mean(random_tile, row, column)
        assert random_tile.coverage[row, column] == pytest.approx(coverage, abs=1e-4)
        if coverage > 0.05:
            assert random_tile.ours[row, column] == pytest.approx(mean, abs=0.4)


def test_layers_of_real_granules_are_these_means_from_half_a_cell_on(real_data):
    path = real_data / "modis" / REAL[0][0]
    for raster in read(examine(make.candidate(path))):
        target = layer_grid(raster.grid)
        mean, coverage = area_weights(raster.grid, target).mean(raster.values, min_coverage=0.0)
        layer = regrid(raster, target)
        kept = np.isfinite(layer.values)
        np.testing.assert_array_equal(kept, coverage >= 0.5 - 1e-6)
        np.testing.assert_array_equal(layer.values[kept], mean[kept])
