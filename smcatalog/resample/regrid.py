"""Which of the three mechanisms brings a raster to a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import EASE2_GRIDS, Grid
from smcatalog.core.raster import SHARES, InputQuality, Raster, with_part
from smcatalog.core.variables import Kind, Refinement
from smcatalog.resample.area import AreaWeights, area_weights
from smcatalog.resample.averaging import components, recombined
from smcatalog.resample.binning import MIN_RATIO, cell_index
from smcatalog.resample.geometry import cell_ratio
from smcatalog.resample.refining import refine

__all__ = ["cropped", "layer_grid", "overlap", "regrid"]

_MIN_COVERAGE: Final = 0.5
"""A target cell gets a value when valid source cells cover at least this share of it."""
_ROUNDING: Final = 1e-6
_WHOLE: Final = 0.95
"""Below this share the value is flagged as partial."""
_KEPT: Final = np.uint16(InputQuality.WATER | InputQuality.FROZEN)
"""Bits that say something of a cell without a value."""


def layer_grid(source: Grid, base: str = "M01") -> Grid:
    """Return the grid on which a raster is kept as a layer.

    Rasters clearly coarser than the base grid are kept as they are and refined when they are used; all
    others are brought to the window of the base grid that covers them.
    """
    target = EASE2_GRIDS[base]
    if source.base == base or cell_ratio(source, target) <= 1 / MIN_RATIO * 1.001:
        return source
    return target.crop(source.bbox())


def overlap(inner: Grid, outer: Grid) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return the part that two windows of one base grid share.

    Returns
    -------
    (rows, columns) of ``inner``, (rows, columns) of ``outer``, or None
        None when they share nothing.

    Raises
    ------
    UsageError
        When they are windows of different grids.
    """
    if inner.base != outer.base:
        raise UsageError(f"{inner.name} and {outer.name} are windows of different grids")
    row0, column0 = max(inner.row, outer.row), max(inner.column, outer.column)
    row1 = min(inner.row + inner.shape[0], outer.row + outer.shape[0])
    column1 = min(inner.column + inner.shape[1], outer.column + outer.shape[1])
    if row1 <= row0 or column1 <= column0:
        return None

    def part(window: Grid) -> tuple[slice, slice]:
        return (
            slice(row0 - window.row, row1 - window.row),
            slice(column0 - window.column, column1 - window.column),
        )

    return part(inner), part(outer)


def cropped(raster: Raster) -> Raster | None:
    """Return the window of a raster that holds something, when that is less than half of it.

    A tile of which clouds, an ocean or a region's edge leave little then makes a small layer. Larger
    rasters stay as they are, and so does their grid, which they share with other days.

    Returns
    -------
    Raster or None
        None when there is neither a value nor open water nor frozen ground anywhere.
    """
    held = np.isfinite(raster.values) | ((raster.quality & _KEPT) != 0)
    rows, columns = (np.flatnonzero(held.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    part = raster.grid.window(*window)
    if 2 * part.shape[0] * part.shape[1] > held.size:
        return raster
    return Raster(
        raster.variable,
        part,
        np.ascontiguousarray(raster.values[window]),
        np.ascontiguousarray(raster.quality[window]),
        raster.period,
    )


def regrid(
    raster: Raster,
    target: Grid,
    *,
    parts: bool = False,
    weights: Callable[[Grid, Grid], AreaWeights] = area_weights,
) -> Raster:
    """Bring a raster to a grid.

    Windows of one grid are moved, not resampled. Otherwise the ratio of the cells' widths decides: from
    three on, centres are binned; down to a third, areas are weighed; below, values are refined
    as the variable declares. Classes get the one that most centres or the largest area have,
    means are taken of what the variable declares, such as powers for decibels.

    Parameters
    ----------
    raster : Raster
        What is brought.
    target : Grid
        Where to.
    parts : bool
        Whether a cell within which the raster ends keeps the value of the part that it covers, with
        the size of that part, for `smcatalog.resample.mosaic`. Otherwise it counts like any
        other: half of it must be covered.
    weights : callable
        Gives the area weights of two grids; default: computes them.
    """
    if raster.grid.base == target.base:
        return _place(raster, target)
    ratio = cell_ratio(raster.grid, target)
    if ratio >= MIN_RATIO:
        return _bin(raster, target, parts=parts)
    if ratio <= 1 / MIN_RATIO * 1.001:
        return _refine(raster, target)
    return _weigh(raster, weights(raster.grid, target), parts=parts)


def _with_parts(
    values: NDArray[np.float32],
    coverage: NDArray[np.floating],
    quality: NDArray[np.uint16],
    edge: NDArray[np.int64],
) -> None:
    """Drop values of too little of their cells, and write down what cells on the edge stand for.

    Parameters
    ----------
    values, coverage, quality : ndarray
        Of the target; changed in place.
    edge : ndarray of int64
        Flat indices of the cells within which the source ends.
    """
    sixteenths = np.rint(coverage.ravel()[edge] * SHARES).clip(0, SHARES - 1)
    there = values.ravel()[edge]
    np.putmask(values, coverage < _MIN_COVERAGE - _ROUNDING, np.float32(np.nan))
    values.ravel()[edge] = np.where(sixteenths > 0, there, np.float32(np.nan))
    quality.ravel()[edge] = with_part(quality.ravel()[edge], sixteenths.astype(np.uint16))


def _place(raster: Raster, target: Grid) -> Raster:
    values = np.full(target.shape, np.nan, np.float32)
    quality = np.zeros(target.shape, np.uint16)
    shared = overlap(raster.grid, target)
    if shared is not None:
        source, destination = shared
        values[destination] = raster.values[source]
        quality[destination] = raster.quality[source]
    return Raster(raster.variable, target, values, quality, raster.period)


def _bin(raster: Raster, target: Grid, *, parts: bool) -> Raster:
    index = cell_index(raster.grid, target)
    quality = index.any_bits(raster.quality)
    if raster.variable.kind is Kind.CLASSES:
        known = np.isfinite(raster.values)
        classes = np.where(known, raster.values, -1).astype(np.int32)
        mode = index.mode(classes, int(classes.max()) + 1 if known.any() else 1)
        values = np.where(mode < 0, np.nan, mode).astype(np.float32)
        if not parts:
            return Raster(raster.variable, target, values, quality, raster.period)
        coverage = index.mean(raster.values).coverage
    else:
        averaging = raster.variable.averaging
        means = [index.mean(part) for part in components(raster.values, averaging)]
        coverage = means[0].coverage
        values = recombined([one.mean for one in means], averaging).astype(np.float32)
        quality[coverage < _WHOLE] |= np.uint16(InputQuality.PARTIAL_COVERAGE)
    if parts:
        _with_parts(values, coverage, quality, index.edge)
    else:
        values = np.where(coverage >= _MIN_COVERAGE, values, np.float32(np.nan))
    return Raster(raster.variable, target, values, quality, raster.period)


def _weigh(raster: Raster, weights: AreaWeights, *, parts: bool) -> Raster:
    target = weights.target
    held = int(np.bitwise_or.reduce(raster.quality, axis=None))
    present = {bit: (raster.quality & bit) != 0 for bit in InputQuality if held & bit}
    averaging = raster.variable.averaging
    least = 0.0 if parts else _MIN_COVERAGE
    first, *others = components(raster.values, averaging)
    weighed = weights.weigh(first, list(present.values()), min_coverage=least)
    quality = np.zeros(target.shape, np.uint16)
    for bit, touched in zip(present, weighed.touched, strict=True):
        quality[touched] |= np.uint16(bit)
    quality[weighed.coverage < _WHOLE] |= np.uint16(InputQuality.PARTIAL_COVERAGE)
    if raster.variable.kind is Kind.CLASSES:
        values, _ = weights.mode(raster.values, min_coverage=least)
    else:
        means = [weighed.mean]
        means += [weights.mean(part, min_coverage=least)[0] for part in others]
        values = recombined(means, averaging).astype(np.float32, copy=False)
    if parts:
        _with_parts(values, weighed.coverage, quality, weights.edge)
    return Raster(raster.variable, target, values, quality, raster.period)


def _refine(raster: Raster, target: Grid) -> Raster:
    averaging = raster.variable.averaging
    parts = [
        refine(part, raster.grid, target, raster.variable.refinement)
        for part in components(raster.values, averaging)
    ]
    values = recombined(parts, averaging).astype(np.float32, copy=False)
    bits = refine(raster.quality.astype(np.float32), raster.grid, target, Refinement.NEAREST)
    quality = np.nan_to_num(bits).astype(np.uint16)
    return Raster(raster.variable, target, values, quality, raster.period)
