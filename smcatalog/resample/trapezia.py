"""Shares of source cells in target cells, where rows of both are parallels.

Works for projections on whose rows x is proportional to longitude: degrees, cylindrical (EASE-Grid 2.0)
and pseudo-cylindrical (MODIS sinusoidal). A target row is cut where the rows of source cells meet. In each
piece a target cell is a trapezium: its sides cross the source columns on straight lines. The overlaps
are integrated in closed form: exact but for the curvature of meridians within a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.resample.geometry import transformer

__all__ = ["NOTHING", "shares"]

NOTHING: Final = 1e-5
"""Share of a cell that is no share but rounding."""

_STRAIGHT: Final = 1e-3
"""Cells by which a line along a row may depart from a straight one with even steps."""
_UPRIGHT: Final = np.float32(1e-20)
"""Stands for the lean of a side that does not lean."""


def shares(
    source: Grid, target: Grid, first: int, last: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Return weights, source cells and entries of each target cell, for some target rows.

    Parameters
    ----------
    source, target : Grid
        The two grids.
    first, last : int
        Rows of the target, the last one excluded.

    Returns
    -------
    share : ndarray of float32, shape (entries,)
        Of the target cells' areas, cell by cell.
    cell : ndarray of int32, shape (entries,)
        Flat indices of the source cells; they rise within a target cell.
    count : ndarray of int32, shape (target cells,)
        Entries of each target cell.

    Raises
    ------
    UsageError
        When the projections' rows are not parallels with even steps of longitude.
    """
    height, width = source.shape
    pieces = _pieces(source, target, first, last)
    columns = _columns_that_meet(pieces.start, pieces.step, width, target.shape[1])
    j = np.arange(columns.start, columns.stop + 1)
    share, base = zip(
        *(
            _shares_in(pieces.start[:, n], pieces.step[:, n], pieces.part[:, n], j)
            for n in range(pieces.part.shape[1])
        ),
        strict=True,
    )
    # entries of a cell lie one behind the other, from north-west to south-east
    counts = np.zeros((last - first, target.shape[1]), np.int32)
    found = []
    for n, (weights, left) in enumerate(zip(share, base, strict=True)):
        cells = left[..., np.newaxis] + np.arange(weights.shape[-1], dtype=np.int32)
        line = (pieces.line + n)[:, np.newaxis, np.newaxis]
        used = (weights > NOTHING) & (cells >= 0) & (cells < width) & (line >= 0) & (line < height)
        counts[:, columns] += used.sum(axis=2, dtype=np.int32)
        found.append((used, weights, (line * width + cells).astype(np.int32)))
    used, weights, flat = (np.concatenate(arrays, axis=2) for arrays in zip(*found, strict=True))
    return weights[used], flat[used], counts.ravel()


def _shares_in(
    start: NDArray[np.float64],
    step: NDArray[np.float64],
    part: NDArray[np.float64],
    j: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the shares of source columns in the trapezia of target columns, in one piece of each row.

    Parameters
    ----------
    start, step : ndarray of float64, shape (rows, 2)
        As in `_Pieces`.
    part : ndarray of float64, shape (rows,)
        Height of the pieces, as share of their rows'.
    j : ndarray of int64, shape (columns + 1,)
        Numbers of the target columns' edges.

    Returns
    -------
    share : ndarray of float32, shape (rows, columns, reach)
        Of the target cells' areas.
    base : ndarray of int32, shape (rows, columns)
        The first of the ``reach`` source columns.
    """
    edges = start[..., np.newaxis] + step[..., np.newaxis] * j
    base = np.floor(edges[..., :-1].min(axis=1))
    near = (edges[..., :-1] - base[:, np.newaxis]).astype(np.float32)
    far = (edges[..., 1:] - base[:, np.newaxis]).astype(np.float32)
    reach = int(np.ceil(far.max(initial=1.0)))
    scale = (part / step.mean(axis=1)).astype(np.float32)[:, np.newaxis]
    share = np.empty((*base.shape, reach), np.float32)
    left, right = _Side.of(near), _Side.of(far)
    before: Any = 0.0
    for offset in range(reach):
        below = left.mean_distance(offset + 1) - right.mean_distance(offset + 1)
        share[..., offset] = (below - before) * scale
        before = below
    return share, base.astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Sides of trapezia: straight lines from an upper to a lower place, in source columns."""

    upper: NDArray[np.float32]
    lower: NDArray[np.float32]
    steepness: NDArray[np.float32]

    @classmethod
    def of(cls, ends: NDArray[np.float32]) -> _Side:
        """Take upper and lower ends, shape (rows, 2, columns)."""
        upper, lower = ends[:, 0], ends[:, 1]
        return cls(upper, lower, 1 / np.maximum(np.abs(upper - lower), _UPRIGHT))

    def mean_distance(self, bound: int) -> NDArray[np.float32]:
        """Return the mean over the side of how far it lies left of ``bound``, 0 where right of it."""
        a, b = (np.maximum(np.float32(bound) - end, 0) for end in (self.upper, self.lower))
        a += b
        # of a side that crosses the bound, this share lies left of it
        left = np.minimum(a * self.steepness, 1)
        mean: NDArray[np.float32] = a * left / 2
        return mean


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """Target rows, cut where the rows of source cells meet.

    Parameters
    ----------
    start, step : ndarray of float64, shape (rows, pieces, 2)
        Source column of the row's left end, and source columns that a target cell spans, at the upper
        and the lower end of each piece.
    line : ndarray of int64, shape (rows,)
        Source row of the first piece; the others follow.
    part : ndarray of float64, shape (rows, pieces)
        Share of the row's height; 0 where a row has fewer pieces.
    """

    start: NDArray[np.float64]
    step: NDArray[np.float64]
    line: NDArray[np.int64]
    part: NDArray[np.float64]


def _pieces(source: Grid, target: Grid, first: int, last: int) -> _Pieces:
    """Cut target rows at the edges of source rows.

    Raises
    ------
    UsageError
        As `shares`.
    """
    position = np.arange(first, last + 1, dtype=np.float64)
    _, _, row = _on_source(source, target, position)
    top, bottom = row[:-1], row[1:]
    line = np.floor(top).astype(np.int64)
    count = int((np.ceil(bottom) - line).max())
    bounds = np.clip(
        line[:, np.newaxis] + np.arange(count + 1.0), top[:, np.newaxis], bottom[:, np.newaxis]
    )
    # across a single row latitude, and with it the position, goes evenly to a millionth
    within = (bounds - top[:, np.newaxis]) / (bottom - top)[:, np.newaxis]
    start, step, _ = _on_source(source, target, (position[:-1, np.newaxis] + within).ravel())
    shape = (last - first, count + 1)
    start, step = start.reshape(shape), step.reshape(shape)
    ends = (slice(None, -1), slice(1, None))
    return _Pieces(
        start=np.stack([start[:, end] for end in ends], axis=-1),
        step=np.stack([step[:, end] for end in ends], axis=-1),
        line=line,
        part=np.diff(within, axis=1),
    )


def _on_source(
    source: Grid, target: Grid, position: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return where lines along the target's rows lie on the source.

    Parameters
    ----------
    position : ndarray of float64, shape (n,)
        In rows of the target, from its upper edge.

    Returns
    -------
    start, step, row : ndarray of float64, shape (n,)
        Source column where the line begins, source columns to a target cell, and source row.

    Raises
    ------
    UsageError
        As `shares`.
    """
    width = target.shape[1]
    t, s = target.transform, source.transform
    x, y = np.meshgrid(t.c + t.a * np.array([0.0, width / 2, width]), t.f + t.e * position)
    sx, sy = (np.asarray(a) for a in transformer(target, source).transform(x, y))
    column, row = (sx - s.c) / s.a, (sy - s.f) / s.e
    bent = np.abs(column[:, 1] - (column[:, 0] + column[:, 2]) / 2) > _STRAIGHT
    sloping = np.ptp(row, axis=1) > _STRAIGHT
    if np.any(bent | sloping | ~np.isfinite(column).all(axis=1)):
        raise UsageError(
            f"area weights from {source.name} to {target.name} need projections whose rows are "
            "parallels (degrees, EASE-Grid, sinusoidal): reproject the source first"
        )
    return column[:, 0], (column[:, 2] - column[:, 0]) / width, row[:, 1]


def _columns_that_meet(
    start: NDArray[np.float64], step: NDArray[np.float64], width: int, most: int
) -> slice:
    """Return the target columns that come over the source in some row."""
    low = int(np.floor((-start / step).min())) - 1
    high = int(np.ceil(((width - start) / step).max())) + 1
    low = min(max(low, 0), most)
    return slice(low, min(max(high, low), most))
