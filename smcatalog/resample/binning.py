"""Mechanism 1: every fine pixel belongs to the coarse cell that holds its centre."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.resample.geometry import cell_ratio, fractional_coordinates

__all__ = ["CellIndex", "Coarse", "cell_index"]

MIN_RATIO = 3.0
"""From this ratio of widths on, binning centres leaves no holes and no visible aliasing."""


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """Means over coarse cells.

    Parameters
    ----------
    mean : ndarray of float64, shape (rows, columns)
        Mean of the valid fine pixels; NaN where there is none.
    coverage : ndarray of float64, shape (rows, columns)
        Share of the cell's area that valid fine pixels cover, 0…1.
    """

    mean: NDArray[np.float64]
    coverage: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CellIndex:
    """Which coarse cell each fine pixel belongs to.

    Parameters
    ----------
    fine, coarse : Grid
        The two grids.
    cells : ndarray of int32, shape of ``fine``
        Flat index of the coarse cell; −1 outside the coarse grid.
    expected : ndarray of int64, shape of ``coarse``
        Fine pixels that each coarse cell would hold if the fine grid went on for ever.
    """

    fine: Grid
    coarse: Grid
    cells: NDArray[np.int32]
    expected: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of coarse cells."""
        rows, columns = self.coarse.shape
        return rows * columns

    @property
    def edge(self) -> NDArray[np.int64]:
        """Flat indices of the coarse cells within which the fine grid ends."""
        count = np.bincount(self.cells[self.cells >= 0], minlength=self.size)
        return np.flatnonzero((count > 0) & (count < self.expected.ravel()))

    def _kept(self, valid: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
        if valid.shape != self.fine.shape:
            raise UsageError(
                f"values have shape {valid.shape}, the grid {self.fine.name} has {self.fine.shape}"
            )
        kept = valid & (self.cells >= 0)
        return kept, self.cells[kept]

    def mean(self, values: NDArray[np.floating]) -> Coarse:
        """Average a continuous variable over the coarse cells.

        Parameters
        ----------
        values : ndarray of float, shape of ``fine``
            NaN where there is no value.
        """
        kept, cells = self._kept(np.isfinite(values))
        count = np.bincount(cells, minlength=self.size)
        total = np.bincount(cells, weights=values[kept].astype(np.float64), minlength=self.size)
        mean = np.full(self.size, np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        shape = self.coarse.shape
        return Coarse(mean.reshape(shape), count.reshape(shape) / np.maximum(self.expected, 1))

    def any_bits(self, bits: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Combine quality bits: a coarse cell has every bit that one of its pixels has."""
        result = np.zeros(self.size, np.uint16)
        kept, cells = self._kept(bits != 0)
        np.bitwise_or.at(result, cells, bits[kept])
        return result.reshape(self.coarse.shape)

    def fractions(self, classes: NDArray[np.integer], n_classes: int) -> NDArray[np.float64]:
        """Return the share of each class in the classified pixels of each coarse cell.

        Parameters
        ----------
        classes : ndarray of int, shape of ``fine``
            Class numbers from 0; negative where there is none.
        n_classes : int
            Number of classes.

        Returns
        -------
        ndarray of float64, shape (n_classes, rows, columns)
            NaN where a cell has no classified pixel.
        """
        kept, cells = self._kept((classes >= 0) & (classes < n_classes))
        flat = cells.astype(np.int64) * n_classes + classes[kept]
        counts = np.bincount(flat, minlength=self.size * n_classes).reshape(self.size, n_classes)
        total = counts.sum(axis=1, keepdims=True)
        shares = np.full(counts.shape, np.nan)
        np.divide(counts, total, out=shares, where=total > 0)
        return shares.T.reshape(n_classes, *self.coarse.shape)

    def mode(self, classes: NDArray[np.integer], n_classes: int) -> NDArray[np.int32]:
        """Return each coarse cell's most frequent class (the smaller number on a tie); −1 for none."""
        shares = self.fractions(classes, n_classes)
        empty = np.isnan(shares[0])
        mode: NDArray[np.int32] = np.argmax(np.nan_to_num(shares), axis=0).astype(np.int32)
        mode[empty] = -1
        return mode

    def spread(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Lay coarse values flat: give each fine pixel its cell's value, NaN outside."""
        if values.shape != self.coarse.shape:
            raise UsageError(
                f"values have shape {values.shape}, the grid {self.coarse.name} has {self.coarse.shape}"
            )
        flat = np.append(values.astype(np.float64).ravel(), np.nan)
        spread: NDArray[np.float64] = flat[self.cells]
        return spread


@lru_cache(maxsize=32)
def cell_index(fine: Grid, coarse: Grid) -> CellIndex:
    """Return the index raster of a pair of grids, from the cache when it was asked for before.

    Raises
    ------
    UsageError
        When the coarse cells are less than three times wider than the fine ones: binning
        centres would leave holes; use `area_weights`.
    """
    ratio = cell_ratio(fine, coarse)
    if ratio < MIN_RATIO * 0.999:
        raise UsageError(
            f"cells of {coarse.name} are only {ratio:.2f} times wider than those of {fine.name}: "
            "binning centres would leave holes, use area weights"
        )
    cells = _cells(fine, coarse)
    cells.setflags(write=False)
    margin = math.ceil(2 * ratio) + 1
    beyond = _cells(_padded(fine, margin), coarse)
    expected = np.bincount(beyond[beyond >= 0], minlength=coarse.shape[0] * coarse.shape[1])
    return CellIndex(fine, coarse, cells, expected.reshape(coarse.shape))


def _cells(fine: Grid, coarse: Grid) -> NDArray[np.int32]:
    rows, columns = fractional_coordinates(fine, coarse)
    height, width = coarse.shape
    row, column = np.floor(rows), np.floor(columns)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    with np.errstate(invalid="ignore"):
        return np.where(inside, row * width + column, -1).astype(np.int32)


def _padded(fine: Grid, margin: int) -> Grid:
    """Return the grid with more cells of its kind on all sides."""
    rows, columns = fine.shape
    transform = fine.transform * Affine.translation(-margin, -margin)
    shape = (rows + 2 * margin, columns + 2 * margin)
    return Grid(f"{fine.name} and {margin} around", GeoBox(shape, transform, fine.crs))
