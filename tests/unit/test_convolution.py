"""Coarse cells by cubic convolution."""

import numpy as np
import pytest

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import grid, sinusoidal_tile
from smcatalog.methods import Covariates
from smcatalog.methods.sampling import cell_convolutions, cell_means, join_blocks
from smcatalog.resample.convolution import convolution

COARSE = grid("latlon(-180,90,0.25,0.25,1440,720)").window(slice(186, 194), slice(1167, 1176))
FINE = grid("M01").crop((111.75, 41.5, 114.0, 43.5))


def inner(values):
    return values[2:-2, 2:-2]


def test_constants_and_slopes_are_kept_where_the_kernel_has_all_its_pixels():
    weights = convolution(FINE, COARSE)
    same = weights.mean(np.full(FINE.shape, 0.3))
    assert np.allclose(same.mean, 0.3)
    assert np.allclose(inner(same.coverage), 1.0, atol=1e-9)
    x, y = FINE.centres()
    slope = weights.mean(np.broadcast_to(x, FINE.shape) * 1e-6)
    columns = np.interp(COARSE.centres()[0], *degrees(x)) * 1e-6
    assert np.allclose(inner(slope.mean), columns[2:-2], atol=1e-6)
    assert y.shape == (FINE.shape[0],)


def degrees(x):
    """Longitudes of a cylindrical grid's columns, and x there."""
    return x / 17367530.4451615 * 180, x


def test_it_keeps_more_of_what_is_wider_than_cells_and_leaves_gaps_out():
    rows, columns = FINE.shape
    wave = np.sin(np.arange(columns) / 24.0)[np.newaxis].repeat(rows, 0)
    block = Covariates(("a",), wave[np.newaxis].astype(np.float32), np.zeros(FINE.shape, np.uint16))
    cubic, mean = (f(block, FINE, COARSE).values[0] for f in (cell_convolutions, cell_means))
    assert inner(cubic).std() > inner(mean).std()
    gaps = np.full(FINE.shape, 0.2)
    gaps[:, ::3] = np.nan
    found = convolution(FINE, COARSE).mean(gaps)
    assert np.allclose(found.mean, 0.2)
    assert np.allclose(inner(found.coverage), 2 / 3, atol=0.02)
    assert np.isnan(convolution(FINE, COARSE).mean(np.full(FINE.shape, np.nan)).mean).all()


def test_blocks_together_are_the_whole():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, *FINE.shape)).astype(np.float32)
    values[0, 30:40, 20:90] = np.nan
    block = Covariates(("a", "b"), values, np.zeros(FINE.shape, np.uint16))
    whole = cell_convolutions(block, FINE, COARSE)
    parts = []
    for rows in (slice(0, 37), slice(37, 90), slice(90, FINE.shape[0])):
        cut = Covariates(block.names, values[:, rows], block.quality[rows])
        parts.append(cell_convolutions(cut, FINE.window(rows, slice(None)), COARSE))
    joined = join_blocks(parts)
    assert np.allclose(joined.coverage, whole.coverage)
    assert np.allclose(joined.values, whole.values)


def test_grids_that_lie_askew_are_refused():
    with pytest.raises(UsageError, match="parallel rows"):
        convolution(sinusoidal_tile(25, 4), COARSE)
    with pytest.raises(UsageError, match="two rows and columns"):
        convolution(FINE, COARSE.window(slice(0, 1), slice(None)))
