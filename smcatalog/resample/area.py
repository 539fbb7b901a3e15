"""Mechanism 2: between grids of similar resolution, by the areas that cells share.

Works for projections whose rows are parallels on which x is proportional to longitude: degrees,
cylindrical (EASE-Grid 2.0) and pseudo-cylindrical (MODIS sinusoidal). A target row is cut into
thin strips; along each strip the overlaps are exact, across it they are a quadrature whose error
falls with the number of strips.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.resample.geometry import transformer

__all__ = ["AreaWeights", "area_weights"]

_STRIPS = 8
_ROWS_AT_ONCE = 64
_STRAIGHT = 1e-3
"""Cells by which a strip may depart from a straight line with even steps."""


@dataclass(frozen=True, slots=True, eq=False)
class AreaWeights:
    """Shares of source cells in target cells.

    Parameters
    ----------
    source, target : Grid
        The two grids.
    matrix : csr_array, shape (target cells, source cells)
        Share of each target cell's area that each source cell covers. Rows of cells that lie
        wholly in the source grid sum to one.
    """

    source: Grid
    target: Grid
    matrix: Any

    def mean(
        self, values: NDArray[np.floating], *, min_coverage: float = 0.5
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Average a continuous variable by area.

        Parameters
        ----------
        values : ndarray of float, shape of ``source``
            NaN where there is no value.
        min_coverage : float
            Share of a target cell that valid source cells must cover.

        Returns
        -------
        mean, coverage : ndarray of float32, shape of ``target``
            Mean is NaN where the coverage, 0…1, is below ``min_coverage`` or nought.
        """
        if values.shape != self.source.shape:
            raise UsageError(
                f"values have shape {values.shape}, the grid {self.source.name} has {self.source.shape}"
            )
        flat = values.astype(np.float64).ravel()
        known = np.isfinite(flat)
        total = self.matrix @ np.where(known, flat, 0.0)
        coverage = self.matrix @ known.astype(np.float64)
        mean = np.full(total.shape, np.nan)
        enough = (coverage > 0) & (coverage >= min_coverage - 1e-9)
        np.divide(total, coverage, out=mean, where=enough)
        shape = self.target.shape
        return mean.reshape(shape).astype(np.float32), coverage.reshape(shape).astype(np.float32)


@lru_cache(maxsize=4)  # 100 MB for a full MODIS tile
def area_weights(source: Grid, target: Grid) -> AreaWeights:
    """Return the shares of source cells in target cells, from the cache when asked for before.

    Raises
    ------
    UsageError
        When the projections' rows are not parallels with even steps of longitude.
    """
    from scipy.sparse import csr_array, vstack  # noqa: PLC0415 - slow; most runs need none

    rows, _ = target.shape
    blocks = [
        _rows(source, target, first, min(first + _ROWS_AT_ONCE, rows))
        for first in range(0, rows, _ROWS_AT_ONCE)
    ]
    return AreaWeights(source, target, csr_array(vstack(blocks)))


def _rows(source: Grid, target: Grid, first: int, last: int) -> Any:
    """Return the matrix for the target rows ``first`` to ``last`` (excluded)."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - as above

    _, width = target.shape
    height_s, width_s = source.shape
    n_strips = (last - first) * _STRIPS
    position = first + (np.arange(n_strips) + 0.5) / _STRIPS
    t, s = target.transform, source.transform
    columns = np.array([0.0, width / 2, width])
    x, y = np.meshgrid(t.c + t.a * columns, t.f + t.e * position)
    sx, sy = (np.asarray(a) for a in transformer(target, source).transform(x, y))
    column, row = (sx - s.c) / s.a, (sy - s.f) / s.e
    bent = np.abs(column[:, 1] - (column[:, 0] + column[:, 2]) / 2) > _STRAIGHT
    sloping = np.ptp(row, axis=1) > _STRAIGHT
    if np.any(bent | sloping | ~np.isfinite(column).all(axis=1)):
        raise UsageError(
            f"area weights from {source.name} to {target.name} need projections whose rows are "
            "parallels (degrees, EASE-Grid, sinusoidal): reproject the source first"
        )
    step = (column[:, 2] - column[:, 0]) / width
    left = column[:, :1] + step[:, np.newaxis] * np.arange(width)
    right = left + step[:, np.newaxis]
    source_row = np.floor(row[:, 0]).astype(np.int64)
    base = np.floor(left).astype(np.int64)
    target_cell = (np.arange(n_strips) // _STRIPS)[:, np.newaxis] * width + np.arange(width)
    entries: list[tuple[Any, Any, Any]] = []
    for offset in range(int(np.ceil(step.max())) + 1):
        cell = base + offset
        share = np.minimum(right, cell + 1.0) - np.maximum(left, cell)
        used = (share > 0) & (cell >= 0) & (cell < width_s)
        used &= ((source_row >= 0) & (source_row < height_s))[:, np.newaxis]
        weight = share / (step[:, np.newaxis] * _STRIPS)
        flat = source_row[:, np.newaxis] * width_s + cell
        entries.append((weight[used], target_cell[used], flat[used]))
    data, i, j = (np.concatenate(part) for part in zip(*entries, strict=True))
    shape = ((last - first) * width, height_s * width_s)
    return coo_array((data, (i, j)), shape=shape).tocsr()
