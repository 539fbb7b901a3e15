"""Means of decibels and directions, by all three ways from one grid to another."""

from __future__ import annotations

import numpy as np
import pytest

from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.variables import VARIABLES, Averaging, variable
from smcatalog.resample import regrid
from smcatalog.resample.averaging import components, recombined

TARGET = grid("M01").window(slice(2900, 2904), slice(27600, 27604))


def _around(cells_per_degree: int) -> Grid:
    """Return a degree grid that covers the target."""
    west, south, east, north = TARGET.bbox()
    step = 1 / cells_per_degree
    shape = (int((north - south) / step) + 3, int((east - west) / step) + 3)
    return Grid.latlon(west - step, north + step, step, shape)


def _checked(fine: Grid, name: str, one: float, other: float) -> np.ndarray:
    """Bring columns of two values, taken in turn, to the target."""
    columns = np.where(np.arange(fine.shape[1]) % 2 == 0, one, other)
    values = np.broadcast_to(columns, fine.shape)
    return regrid(Raster.good(variable(name), fine, values, None), TARGET).values


@pytest.mark.parametrize("per_degree", [2000, 200, 100, 20])
@pytest.mark.parametrize(("name", "value"), [("vv", -12.5), ("vh", -30.0), ("aspect", 350.0)])
def test_a_constant_stays_what_it_is(per_degree, name, value):
    values = _checked(_around(per_degree), name, value, value)
    np.testing.assert_allclose(values, value, rtol=1e-5)


def test_decibels_are_averaged_as_powers():
    values = _checked(_around(20_000), "vv", -10.0, -30.0)
    # of 0.1 and 0.001, not -20 dB
    np.testing.assert_allclose(values, 10 * np.log10(0.0505), atol=0.1)


def test_directions_are_averaged_across_north():
    values = _checked(_around(20_000), "aspect", 350.0, 30.0)
    np.testing.assert_allclose(values, 10.0, atol=1.0)


def test_opposite_directions_cancel_each_other_out():
    both = components(np.array([90.0, 270.0]), Averaging.DIRECTION)
    assert np.isnan(
        recombined([np.array([part.mean()]) for part in both], Averaging.DIRECTION)
    ).all()


def test_similar_grids_are_weighed_as_powers_too():
    fine = _around(150)  # nearly a kilometre: areas are weighed
    values = np.full(fine.shape, -20.0)
    values[:, : fine.shape[1] // 2] = -5.0
    layer = regrid(Raster.good(variable("vv"), fine, values, None), TARGET).values
    plain = regrid(Raster.good(variable("air_temperature"), fine, values, None), TARGET).values
    mixed = (plain > -19.9) & (plain < -5.1)
    assert mixed.any()
    share = (plain[mixed] + 20) / 15
    expected = 10 * np.log10(share * 10**-0.5 + (1 - share) * 0.01)
    np.testing.assert_allclose(layer[mixed], expected, atol=1e-3)


def test_missing_values_stay_missing_and_no_echo_has_no_decibels():
    for averaging in Averaging:
        parts = components(np.array([np.nan, 10.0]), averaging)
        values = recombined(parts, averaging)
        assert np.isnan(values[0])
        assert values[1] == pytest.approx(10.0)
    assert np.isnan(recombined([np.array([0.0])], Averaging.POWER)).all()


def test_only_decibels_and_directions_are_averaged_otherwise():
    for one in VARIABLES.values():
        expected = {"dB": Averaging.POWER}.get(one.unit, Averaging.VALUE)
        assert one.averaging is (Averaging.DIRECTION if one.name == "aspect" else expected)
