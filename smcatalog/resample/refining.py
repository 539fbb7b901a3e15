"""Mechanism 3: to a finer grid, nearest or bilinear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.variables import Refinement
from smcatalog.resample.geometry import fractional_coordinates

__all__ = ["refine"]


def refine(
    values: NDArray[np.floating], coarse: Grid, fine: Grid, how: Refinement
) -> NDArray[np.float32]:
    """Bring values to a finer grid.

    Parameters
    ----------
    values : ndarray of float, shape of ``coarse``
        NaN where there is no value.
    coarse, fine : Grid
        Where the values are and where they are wanted.
    how : Refinement
        ``NEAREST`` gives each point the value of the cell that holds it. ``BILINEAR`` weighs the four
        nearest centres; a missing one is left out and the weights of the others scaled up, but
        the cell that holds the point must have a value. Between the outermost centres and
        the grid's edge the outermost values hold.

    Returns
    -------
    ndarray of float32, shape of ``fine``
        NaN where the coarse grid does not reach or has no value.
    """
    if values.shape != coarse.shape:
        raise UsageError(
            f"values have shape {values.shape}, the grid {coarse.name} has {coarse.shape}"
        )
    rows, columns = fractional_coordinates(fine, coarse)
    height, width = coarse.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    own_row, own_column = _cell(rows, height), _cell(columns, width)
    nearest = values[own_row, own_column]
    if how is Refinement.BILINEAR:
        result = _bilinear(values.astype(np.float64), rows - 0.5, columns - 0.5)
        result = np.where(np.isnan(nearest), np.nan, result)
    else:
        result = nearest.astype(np.float64)
    return np.where(inside, result, np.nan).astype(np.float32)


def _cell(position: NDArray[np.float64], size: int) -> NDArray[np.intp]:
    cell: NDArray[np.intp] = np.clip(np.nan_to_num(np.floor(position)), 0, size - 1).astype(np.intp)
    return cell


def _bilinear(
    values: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    height, width = values.shape
    r = np.clip(np.nan_to_num(rows), 0, height - 1)
    c = np.clip(np.nan_to_num(columns), 0, width - 1)
    r0, c0 = np.floor(r).astype(np.intp), np.floor(c).astype(np.intp)
    r1, c1 = np.minimum(r0 + 1, height - 1), np.minimum(c0 + 1, width - 1)
    fr, fc = r - r0, c - c0
    total = np.zeros(np.broadcast_shapes(r.shape, c.shape))
    weight = np.zeros_like(total)
    for row, column, w in (
        (r0, c0, (1 - fr) * (1 - fc)),
        (r0, c1, (1 - fr) * fc),
        (r1, c0, fr * (1 - fc)),
        (r1, c1, fr * fc),
    ):
        corner = values[row, column]
        known = np.isfinite(corner)
        total += np.where(known, corner * w, 0.0)
        weight += np.where(known, w, 0.0)
    result = np.full_like(total, np.nan)
    np.divide(total, weight, out=result, where=weight > 0)
    return result
