"""Numbers of coarse cells that are unique on the whole grid and stay the same whatever part of it is worked on."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.grids import Grid

__all__ = ["cell_numbers", "numbers_of", "rows_and_columns"]

_COLUMNS: Final = 100_000
"""More than any grid's columns."""


def numbers_of(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the numbers of cells from their rows and columns on the whole grid."""
    found: NDArray[np.int64] = rows.astype(np.int64) * _COLUMNS + columns
    return found


def rows_and_columns(
    numbers: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns on the whole grid from the numbers of cells."""
    rows, columns = np.divmod(numbers.astype(np.int64), _COLUMNS)
    return rows, columns


def cell_numbers(coarse: Grid) -> NDArray[np.int64]:
    """Return the number of each cell of a grid, shape (rows, columns)."""
    rows, columns = (np.arange(size) for size in coarse.shape)
    return numbers_of(coarse.row + rows[:, np.newaxis], coarse.column + columns)
