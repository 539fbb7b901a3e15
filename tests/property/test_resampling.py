"""Laws of the three mechanisms: conservation, constants, round trips, truth that must come back."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import Refinement, variable
from smcatalog.resample import (
    area_weights,
    cell_index,
    cropped,
    layer_grid,
    overlap,
    refine,
    regrid,
)
from smcatalog.resample.geometry import fractional_coordinates, transformer

M36 = grid("M36").window(slice(318, 321), slice(872, 875))
M01 = grid("M01").window(slice(318 * 36, 321 * 36), slice(872 * 36, 875 * 36))
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
TILE, PIXEL = 1111950.5197665, 926.625433055833


def sinusoidal(row: int, column: int, shape: tuple[int, int], pixel: float = PIXEL) -> Grid:
    """A window of the MODIS sinusoidal grid in tile h27v05."""
    x = -20015109.354 + 27 * TILE + column * pixel
    y = 10007554.677 - 5 * TILE - row * pixel
    return Grid(
        f"sin{row},{column},{shape}", GeoBox(shape, Affine(pixel, 0, x, 0, -pixel, y), SINUSOIDAL)
    )


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9))
@settings(max_examples=20, deadline=None)
def test_binning_conserves_the_total(seed, holes):
    rng = np.random.default_rng(seed)
    values = rng.random(M01.shape)
    values[rng.random(M01.shape) < holes] = np.nan
    coarse = cell_index(M01, M36).mean(values)
    weights = np.round(coarse.coverage * 36**2)
    assert np.nansum(coarse.mean * weights) == pytest.approx(np.nansum(values))
    assert weights.sum() == np.isfinite(values).sum()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_flat_coarse_values_come_back(seed):
    values = np.random.default_rng(seed).random(M36.shape)
    index = cell_index(M01, M36)
    assert np.allclose(index.mean(index.spread(values)).mean, values)


def test_every_fine_pixel_has_one_cell_and_nested_cells_hold_1296():
    index = cell_index(M01, M36)
    counts = np.bincount(index.cells.ravel(), minlength=9)
    assert (counts == 36**2).all()
    shifted = cell_index(M01, grid("M36").window(slice(319, 320), slice(873, 874)))
    assert (shifted.cells == 0).sum() == 36**2
    assert (shifted.cells == -1).sum() == M01.shape[0] * M01.shape[1] - 36**2


def test_a_degree_grid_is_binned_where_its_centres_lie():
    degrees = Grid.latlon(146.0, -34.5, 0.002, (200, 300))
    target = grid("M01").crop(degrees.bbox())
    index = cell_index(degrees, target)
    x, y = degrees.centres()
    lon, lat = np.meshgrid(x, y)
    rows, columns, inside = target.locate(lon.ravel(), lat.ravel())
    assert inside.all()
    assert np.array_equal(index.cells.ravel(), rows * target.shape[1] + columns)


def test_classes_are_counted():
    classes = np.zeros(M01.shape, np.int32)
    classes[:, : 36 * 2] = 2
    classes[0, :36] = -1
    index = cell_index(M01, M36)
    shares = index.fractions(classes, 3)
    assert np.allclose(shares.sum(axis=0), 1)
    assert index.mode(classes, 3).tolist() == [[2, 2, 0]] * 3
    assert index.mode(np.full(M01.shape, -1), 3).tolist() == [[-1] * 3] * 3


def test_quality_bits_are_united():
    bits = np.zeros(M01.shape, np.uint16)
    bits[0, 0], bits[1, 1], bits[40, 40] = 1, 4, 2
    assert cell_index(M01, M36).any_bits(bits)[:2, :2].tolist() == [[5, 0], [0, 2]]


def test_binning_of_similar_cells_is_refused():
    with pytest.raises(UsageError, match="area weights"):
        cell_index(sinusoidal(0, 0, (9, 9)), grid("M01"))


@pytest.mark.parametrize("row", [0, 600, 1100])
def test_area_weights_are_shares_and_keep_constants(row):
    source = sinusoidal(row, 300, (60, 60))
    target = grid("M01").crop(source.bbox())
    weights = area_weights(source, target)
    mean, coverage = weights.mean(np.full(source.shape, 0.25))
    assert coverage.max() == pytest.approx(1.0)
    assert (coverage > 0.999).sum() > 1000
    assert np.allclose(mean[coverage >= 0.5], 0.25)
    assert np.isnan(mean[coverage < 0.49]).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_area_weights_conserve_the_area_integral(seed):
    source = sinusoidal(700, 300, (40, 40))
    target = grid("M01").crop(source.bbox())
    weights = area_weights(source, target)
    values = np.random.default_rng(seed).random(source.shape)
    total = (weights.matrix @ values.ravel()).sum() * np.prod(target.cell)
    # cells of both projections have equal areas, so that the integral is the sum times the area;
    # the sphere and the ellipsoid differ by less than a percent
    assert total == pytest.approx(values.sum() * PIXEL**2, rel=0.01)


def test_area_weights_leave_no_holes_where_binning_would():
    source = sinusoidal(0, 300, (80, 80))  # 40 N: target cells are narrower than the source's
    target = grid("M01").crop(source.bbox())
    _, coverage = area_weights(source, target).mean(np.ones(source.shape))
    rows, columns = fractional_coordinates(target, source)
    inside = (rows > 3) & (rows < 77) & (columns > 3) & (columns < 77)
    assert inside.sum() > 3000
    assert (coverage[inside] > 0.999).all()
    lines, places, _ = target.locate(*_centres_in_degrees(source))
    hit = np.zeros(target.shape, bool)
    hit[lines, places] = True
    assert 0.02 < (~hit[inside]).mean() < 0.2  # holes that binning centres would leave


def _centres_in_degrees(where: Grid) -> tuple[np.ndarray, np.ndarray]:
    xx, yy = np.meshgrid(*where.centres())
    lon, lat = transformer(where, grid("latlon(-180,90,1,1,360,180)")).transform(xx, yy)
    return np.ravel(lon), np.ravel(lat)


def test_area_weights_agree_with_a_smooth_truth():
    source = sinusoidal(700, 300, (80, 80))
    target = grid("M01").crop(source.bbox())

    def truth(where: Grid) -> np.ndarray:
        lon, lat = _centres_in_degrees(where)
        values = np.sin(np.radians(lon) * 200) + np.cos(np.radians(lat) * 300)
        return values.reshape(where.shape)

    mean, coverage = area_weights(source, target).mean(truth(source))
    whole = coverage > 0.999
    assert np.abs(mean - truth(target))[whole].max() < 0.01


def test_area_weights_of_other_projections_are_refused():
    utm = Grid("utm", GeoBox((20, 20), Affine(1000, 0, 400000, 0, -1000, 6150000), "EPSG:32755"))
    with pytest.raises(UsageError, match="parallels"):
        area_weights(utm, grid("M01").crop(utm.bbox()))


COARSE = Grid.latlon(145.675, -34.525, 0.25, (4, 8))
FINE = grid("M01").crop((145.8, -35.4, 147.4, -34.65))


def test_bilinear_keeps_constants_and_planes():
    assert np.allclose(refine(np.full(COARSE.shape, 0.3), COARSE, FINE, Refinement.BILINEAR), 0.3)
    x, y = COARSE.centres()
    plane = 0.2 * x[np.newaxis, :] - 0.1 * y[:, np.newaxis]
    rows, columns = fractional_coordinates(FINE, COARSE)
    lon = COARSE.transform.c + columns * 0.25
    lat = COARSE.transform.f - rows * 0.25
    found = refine(plane, COARSE, FINE, Refinement.BILINEAR)
    between = (rows > 0.5) & (rows < 3.5) & (columns > 0.5) & (columns < 7.5)
    assert np.allclose(found[between], (0.2 * lon - 0.1 * lat)[between], atol=1e-5)


def test_nearest_gives_the_cell_that_holds_the_point():
    values = np.arange(32, dtype=np.float32).reshape(COARSE.shape)
    found = refine(values, COARSE, FINE, Refinement.NEAREST)
    x, y = FINE.centres()
    from pyproj import Transformer

    lon, lat = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True).transform(
        x[10], y[20]
    )
    row, column, _ = COARSE.locate(lon, lat)
    assert found[20, 10] == values[row[0], column[0]]


def test_missing_cells_stay_missing_and_do_not_spread():
    values = np.full(COARSE.shape, 0.3)
    values[1, 3] = np.nan
    found = refine(values, COARSE, FINE, Refinement.BILINEAR)
    nearest = refine(values, COARSE, FINE, Refinement.NEAREST)
    assert np.array_equal(np.isnan(found), np.isnan(nearest))
    assert np.allclose(found[np.isfinite(found)], 0.3)


def test_beyond_the_coarse_grid_there_is_nothing():
    wide = grid("M01").crop((145.0, -35.4, 147.4, -34.65))
    found = refine(np.ones(COARSE.shape), COARSE, wide, Refinement.BILINEAR)
    assert np.isnan(found[:, :50]).all()
    assert np.isfinite(found[:, -50:]).all()


def test_windows_of_one_grid_are_moved_not_resampled():
    part = M01.window(slice(10, 20), slice(30, 50))
    raster = Raster.good(variable("sm"), part, np.random.default_rng(0).random(part.shape), None)
    moved = regrid(raster, M01)
    assert np.array_equal(moved.values[10:20, 30:50], raster.values)
    assert np.isfinite(moved.values).sum() == 200
    assert overlap(part, M01.window(slice(50, 60), slice(0, 5))) is None


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        (Grid.latlon(146.0, -34.3, 0.001, (50, 50)), False),
        (sinusoidal(700, 300, (20, 20)), False),
        (COARSE, True),
        (M36, True),
        (M01, True),
    ],
)
def test_layers_are_kept_coarse_or_brought_to_m01(source, kept):
    target = layer_grid(source)
    assert (target == source) is kept
    assert kept or target.base == "M01"
    raster = Raster.good(variable("sm"), source, np.full(source.shape, 0.2), None)
    found = regrid(raster, target)
    assert np.nanmax(np.abs(found.values - 0.2)) < 1e-6
    assert np.isfinite(found.values).sum() > 0


def test_partly_covered_cells_are_flagged():
    fine = Grid.latlon(146.0, -34.3, 0.001, (60, 60))
    found = regrid(
        Raster.good(variable("silt"), fine, np.full(fine.shape, 0.1), None), layer_grid(fine)
    )
    partial = (found.quality & InputQuality.PARTIAL_COVERAGE) != 0
    assert partial[0].all()
    assert not partial[1:-1, 1:-1].any()


def whole(source: Grid, target: Grid, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weigh with the matrix itself and 64-bit numbers."""
    matrix = area_weights(source, target).matrix.astype(np.float64)
    known = np.isfinite(values)
    total, coverage = (
        matrix @ np.where(known, values, 0).ravel(),
        matrix @ known.ravel().astype(float),
    )
    mean = np.full(total.shape, np.nan)
    np.divide(total, coverage, out=mean, where=coverage >= 0.5)
    return mean.reshape(target.shape), coverage.reshape(target.shape)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(0, 290), st.integers(0, 290)),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
@settings(max_examples=25, deadline=None)
def test_a_region_in_a_tile_gives_what_the_whole_tile_gives(seed, corner, size):
    source = sinusoidal(700, 300, (300, 300))
    target = layer_grid(source)
    rng = np.random.default_rng(seed)
    values = np.full(source.shape, np.nan, np.float32)
    part = tuple(slice(c, min(c + s, 300)) for c, s in zip(corner, size, strict=True))
    values[part] = rng.normal(300, 10, values[part].shape)
    values[rng.random(values.shape) < 0.2] = np.nan
    marked = rng.random(values.shape) < 0.001
    found = area_weights(source, target).weigh(values, [marked])
    mean, coverage = whole(source, target, values)
    assert np.abs(found.coverage - coverage).max() < 1e-5
    clear = np.abs(coverage - 0.5) > 1e-5  # at the bound rounding decides
    np.testing.assert_allclose(found.mean[clear], mean[clear], rtol=1e-5)
    touched = area_weights(source, target).matrix @ marked.ravel().astype(float) > 0
    np.testing.assert_array_equal(found.touched[0].ravel(), touched)


def test_a_raster_without_values_gives_none():
    source = sinusoidal(700, 300, (70, 70))
    found = area_weights(source, layer_grid(source)).weigh(np.full(source.shape, np.nan), [])
    assert np.isnan(found.mean).all()
    assert not found.coverage.any()


@given(st.integers(0, 17), st.integers(0, 35), st.floats(0, 0.9))
@settings(max_examples=20, deadline=None)
def test_weights_are_exact_areas_of_sheared_cells(row, column, turn):
    """Beside an integral over latitude with many steps, anywhere on the globe."""
    north = 10007554.677 - row * TILE - turn * TILE
    west = -20015109.354 + column * TILE + turn * TILE
    source = Grid("s", GeoBox((12, 12), Affine(PIXEL, 0, west, 0, -PIXEL, north), SINUSOIDAL))
    lon, lat = _centres_in_degrees(source)
    if not (np.isfinite(lon).all() and np.abs(lon).max() < 179 and np.abs(lat).max() < 80):
        return
    target = grid("M01").crop((lon.min(), lat.min(), lon.max(), lat.max()))
    values = np.random.default_rng(row * 36 + column).random(source.shape)
    weights = area_weights(source, target)
    mean, coverage = weights.mean(values, min_coverage=0)
    inside = np.argwhere(coverage > 0.999)
    for i, j in inside[:: max(len(inside) // 5, 1)]:
        n = 400
        y = target.transform.f + target.transform.e * (i + (np.arange(n) + 0.5) / n)
        x = target.transform.c + target.transform.a * (j + (np.arange(n) + 0.5) / n)
        sx, sy = transformer(target, source).transform(*np.meshgrid(x, y))
        line = np.floor((sy - source.transform.f) / source.transform.e).astype(int).clip(0, 11)
        place = np.floor((sx - source.transform.c) / source.transform.a).astype(int).clip(0, 11)
        assert mean[i, j] == pytest.approx(values[line, place].mean(), abs=0.004)


def test_a_mostly_empty_raster_is_cropped_and_comes_back_whole():
    values = np.full(M01.shape, np.nan, np.float32)
    values[20:25, 30:50] = 0.3
    quality = np.zeros(M01.shape, np.uint16)
    quality[10, 60] = InputQuality.WATER  # says something of a cell without a value
    quality |= np.uint16(InputQuality.PARTIAL_COVERAGE)  # says nothing
    raster = Raster(variable("sm"), M01, values, quality, None)
    small = cropped(raster)
    assert small is not None
    assert small.grid == M01.window(slice(10, 25), slice(30, 61))
    back = regrid(small, M01)
    assert np.array_equal(back.values, values, equal_nan=True)
    assert (back.quality[10, 60] & InputQuality.WATER) != 0


def test_a_raster_that_is_half_full_stays_as_it_is():
    values = np.full(M01.shape, np.nan, np.float32)
    assert cropped(Raster.good(variable("sm"), M01, values, None)) is None
    values[5:-5, 5:-5] = 0.2
    raster = Raster.good(variable("sm"), M01, values, None)
    assert cropped(raster) is raster
