"""Which of the three mechanisms brings a raster to a grid."""

from __future__ import annotations

from typing import Final

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import EASE2_GRIDS, Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import Kind, Refinement
from smcatalog.resample.area import area_weights
from smcatalog.resample.binning import MIN_RATIO, cell_index
from smcatalog.resample.geometry import cell_ratio
from smcatalog.resample.refining import refine

__all__ = ["cropped", "layer_grid", "overlap", "regrid"]

_MIN_COVERAGE: Final = 0.5
"""A target cell gets a value when valid source cells cover at least this share of it."""
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


def regrid(raster: Raster, target: Grid) -> Raster:
    """Bring a raster to a grid.

    Windows of one grid are moved, not resampled. Otherwise the ratio of the cells' widths decides: from
    three on, centres are binned; down to a third, areas are weighed; below, values are refined
    as the variable declares.

    Raises
    ------
    UsageError
        For classes between grids of similar resolution, where a mean has no meaning.
    """
    if raster.grid.base == target.base:
        return _place(raster, target)
    ratio = cell_ratio(raster.grid, target)
    if ratio >= MIN_RATIO:
        return _bin(raster, target)
    if ratio <= 1 / MIN_RATIO * 1.001:
        return _refine(raster, target)
    return _weigh(raster, target)


def _place(raster: Raster, target: Grid) -> Raster:
    values = np.full(target.shape, np.nan, np.float32)
    quality = np.zeros(target.shape, np.uint16)
    shared = overlap(raster.grid, target)
    if shared is not None:
        source, destination = shared
        values[destination] = raster.values[source]
        quality[destination] = raster.quality[source]
    return Raster(raster.variable, target, values, quality, raster.period)


def _bin(raster: Raster, target: Grid) -> Raster:
    index = cell_index(raster.grid, target)
    quality = index.any_bits(raster.quality)
    if raster.variable.kind is Kind.CLASSES:
        known = np.isfinite(raster.values)
        classes = np.where(known, raster.values, -1).astype(np.int32)
        mode = index.mode(classes, int(classes.max()) + 1 if known.any() else 1)
        values = np.where(mode < 0, np.nan, mode).astype(np.float32)
        return Raster(raster.variable, target, values, quality, raster.period)
    coarse = index.mean(raster.values)
    mean = np.where(coarse.coverage >= _MIN_COVERAGE, coarse.mean, np.nan)
    quality[coarse.coverage < _WHOLE] |= np.uint16(InputQuality.PARTIAL_COVERAGE)
    return Raster(raster.variable, target, mean.astype(np.float32), quality, raster.period)


def _weigh(raster: Raster, target: Grid) -> Raster:
    if raster.variable.kind is Kind.CLASSES:
        raise UsageError(
            f"classes of {raster.variable.name} cannot be averaged from {raster.grid.name} to "
            f"{target.name}: bring class fractions instead"
        )
    masks = {bit: (raster.quality & bit) != 0 for bit in InputQuality}
    present = {bit: mask for bit, mask in masks.items() if mask.any()}
    weighed = area_weights(raster.grid, target).weigh(
        raster.values, list(present.values()), min_coverage=_MIN_COVERAGE
    )
    quality = np.zeros(target.shape, np.uint16)
    for bit, touched in zip(present, weighed.touched, strict=True):
        quality[touched] |= np.uint16(bit)
    quality[weighed.coverage < _WHOLE] |= np.uint16(InputQuality.PARTIAL_COVERAGE)
    return Raster(raster.variable, target, weighed.mean, quality, raster.period)


def _refine(raster: Raster, target: Grid) -> Raster:
    values = refine(raster.values, raster.grid, target, raster.variable.refinement)
    bits = refine(raster.quality.astype(np.float32), raster.grid, target, Refinement.NEAREST)
    quality = np.nan_to_num(bits).astype(np.uint16)
    return Raster(raster.variable, target, values, quality, raster.period)
