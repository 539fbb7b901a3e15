"""Mechanism 2: between grids of similar resolution, by the areas that cells share.

The weights of a pair of grids are made once (`smcatalog.resample.trapezia`) and kept as a sparse matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.resample.trapezia import NOTHING, shares

__all__ = ["AreaWeights", "Weighed", "area_weights"]

_ROWS_AT_ONCE: Final = 64
_ROUNDING: Final = 1e-6
"""By which a coverage may miss a bound: weights are 32-bit numbers."""
_ENTIRE: Final = 0.999
"""Share of a cell from which on the source does not end within it."""
_BLOCK: Final = 64
"""Source cells to which a region with values is widened, so that other clouds ask for the same part."""
_MOST: Final = 0.6
"""Share of the source from which on a part is not worth cutting out."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """What came of a raster, each of the target's shape.

    Parameters
    ----------
    mean : ndarray of float32
        Mean of the valid source cells by area; NaN where too few cover the target cell.
    coverage : ndarray of float32
        Share of the target cell that valid source cells cover, 0…1.
    touched : list of ndarray of bool
        For each mask that was given, where a marked source cell shares area.
    """

    mean: NDArray[np.float32]
    coverage: NDArray[np.float32]
    touched: list[NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class AreaWeights:
    """Shares of source cells in target cells.

    Parameters
    ----------
    source, target : Grid
        The two grids.
    matrix : csr_array of float32, shape (target cells, source cells)
        Share of each target cell's area that each source cell covers. Rows of cells that lie
        wholly in the source grid sum to one.
    """

    source: Grid
    target: Grid
    matrix: Any

    @cached_property
    def edge(self) -> NDArray[np.int64]:
        """Flat indices of the target cells within which the source ends."""
        width = self.matrix.shape[1]
        covered = self.matrix @ np.ones(width, np.float32)
        return np.flatnonzero((covered > 0) & (covered < _ENTIRE))

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
        weighed = self.weigh(values, min_coverage=min_coverage)
        return weighed.mean, weighed.coverage

    def weigh(
        self,
        values: NDArray[np.floating],
        masks: Sequence[NDArray[np.bool_]] = (),
        *,
        min_coverage: float = 0.5,
    ) -> Weighed:
        """Average a continuous variable by area and carry masks along.

        Parameters
        ----------
        values, min_coverage
            As for `mean`.
        masks : sequence of ndarray of bool, shape of ``source``
            Marked source cells.
        """
        self._check(values)
        known = np.isfinite(values)
        used = known
        for mask in masks:
            used = used | mask
        box = _box(used)
        if box is None:
            return self._nothing(len(masks))
        part = _part(self, *box)
        # a product for each column: twice as fast as one with a matrix of columns
        total = part.of(np.where(known[part.lines], values[part.lines], 0.0))
        share = part.of(known[part.lines])
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.divide(total, share, out=total)
        np.putmask(mean, share < max(min_coverage - _ROUNDING, NOTHING), np.nan)
        touched = [part.of(mask[part.lines]) > 0 for mask in masks]
        if part.cells is None:
            shape = self.target.shape
            return Weighed(
                mean.reshape(shape), share.reshape(shape), [m.reshape(shape) for m in touched]
            )
        whole = self._nothing(len(masks))
        whole.mean.ravel()[part.cells], whole.coverage.ravel()[part.cells] = mean, share
        for marked, mask in zip(whole.touched, touched, strict=True):
            marked.ravel()[part.cells] = mask
        return whole

    def mode(
        self, classes: NDArray[np.floating], *, min_coverage: float = 0.5
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the class that covers most of each target cell; the smaller one on a tie.

        Parameters
        ----------
        classes : ndarray of float, shape of ``source``
            Class numbers; NaN where there is none.
        min_coverage : float
            Share of a target cell that classified source cells must cover.

        Returns
        -------
        mode, coverage : ndarray of float32, shape of ``target``
            Mode is NaN where the coverage, 0…1, is below ``min_coverage`` or nought.
        """
        self._check(classes)
        known = np.isfinite(classes)
        whole = self._nothing(0)
        box = _box(known)
        if box is None:
            return whole.mean, whole.coverage
        part = _part(self, *box)
        held = classes[part.lines]
        coverage = part.of(known[part.lines])
        mode = np.full(coverage.shape, np.nan, np.float32)
        largest = np.zeros(coverage.shape, np.float32)
        for number in np.unique(classes[known]):
            share = part.of(held == number)
            more = share > largest + np.float32(_ROUNDING)  # equal areas differ by rounding
            mode[more], largest[more] = number, share[more]
        mode[coverage < max(min_coverage - _ROUNDING, NOTHING)] = np.nan
        cells = slice(None) if part.cells is None else part.cells
        whole.mean.ravel()[cells], whole.coverage.ravel()[cells] = mode, coverage
        return whole.mean, whole.coverage

    def _check(self, values: NDArray[np.floating]) -> None:
        if values.shape != self.source.shape:
            raise UsageError(
                f"values have shape {values.shape}, the grid {self.source.name} has {self.source.shape}"
            )

    def _nothing(self, masks: int) -> Weighed:
        """Return what comes of a raster without a value."""
        shape = self.target.shape
        return Weighed(
            np.full(shape, np.nan, np.float32),
            np.zeros(shape, np.float32),
            [np.zeros(shape, bool) for _ in range(masks)],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The target cells that a part of the source reaches.

    Parameters
    ----------
    lines : slice
        The source rows that they read.
    cells : ndarray of int64 or None
        Their flat indices; None for all.
    matrix : csr_array of float32, shape (cells, source cells in ``lines``)
        Their rows of the weights.
    """

    lines: slice
    cells: NDArray[np.int64] | None
    matrix: Any

    def of(self, column: NDArray[Any]) -> NDArray[np.float32]:
        """Return the weighted sums of source cells."""
        sums: NDArray[np.float32] = self.matrix @ column.ravel().astype(np.float32, copy=False)
        return sums


def _box(used: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return first and last row, first and last column (excluded) of what is marked, in whole blocks."""
    bounds: list[int] = []
    for axis, size in zip((1, 0), used.shape, strict=True):
        places = np.flatnonzero(used.any(axis=axis))
        if not places.size:
            return None
        first, last = places[0] // _BLOCK * _BLOCK, -(-(places[-1] + 1) // _BLOCK) * _BLOCK
        bounds += [int(first), min(int(last), size)]
    return bounds[0], bounds[1], bounds[2], bounds[3]


@lru_cache(maxsize=4)
def _part(weights: AreaWeights, top: int, bottom: int, left: int, right: int) -> _Part:
    """Return the weights of the target cells that a box of the source reaches."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow; most runs need none

    (height, width), matrix = weights.source.shape, weights.matrix
    if (bottom - top) * (right - left) >= _MOST * height * width:
        return _Part(slice(0, height), None, matrix)
    cells = np.flatnonzero(np.diff(matrix.indptr))
    # indices rise: a cell's first and last entry are its upper left and lower right source cells
    first, last = matrix.indices[matrix.indptr[cells]], matrix.indices[matrix.indptr[cells + 1] - 1]
    reached = (last // width >= top) & (first // width < bottom)
    columns = np.stack([first, last]) % width
    lean = 1 + int(np.abs(columns[1] - columns[0]).max(initial=0))
    reached &= (columns.max(axis=0) + lean >= left) & (columns.min(axis=0) - lean < right)
    cells = cells[reached]
    rows = matrix[cells]
    lines = slice(int(first[reached].min()) // width, int(last[reached].max()) // width + 1)
    indices = rows.indices - np.int32(lines.start * width)
    shape = (len(cells), (lines.stop - lines.start) * width)
    return _Part(lines, cells, csr_array((rows.data, indices, rows.indptr), shape=shape))


@lru_cache(maxsize=4)  # 60 MB for a full MODIS tile
def area_weights(source: Grid, target: Grid) -> AreaWeights:
    """Return the shares of source cells in target cells, from the cache when asked for before.

    Raises
    ------
    UsageError
        When the projections' rows are not parallels with even steps of longitude.
    """
    from scipy.sparse import csr_array  # noqa: PLC0415 - as above

    rows, width = target.shape
    blocks = [
        shares(source, target, first, min(first + _ROWS_AT_ONCE, rows))
        for first in range(0, rows, _ROWS_AT_ONCE)
    ]
    data, indices, counts = (np.concatenate(part) for part in zip(*blocks, strict=True))
    indptr = np.zeros(rows * width + 1, np.int32)
    np.cumsum(counts, out=indptr[1:])
    shape = (rows * width, source.shape[0] * source.shape[1])
    return AreaWeights(source, target, csr_array((data, indices, indptr), shape=shape))
