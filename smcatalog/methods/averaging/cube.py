"""Samples of several days laid out in space and time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.cells import numbers_of, rows_and_columns
from smcatalog.methods.values import Matrix, Samples

__all__ = ["SampleCube"]


@dataclass(frozen=True, slots=True, eq=False)
class SampleCube:
    """Samples by day, row and column, every day between the first and the last one among them.

    Parameters
    ----------
    names : tuple of str
        Names of the features.
    features : ndarray of float64, shape (p, t, rows, columns)
        NaN where there is no sample.
    target : ndarray of float64, shape (t, rows, columns)
        Coarse soil moisture [m³ m⁻³]; NaN where there is no sample.
    first : datetime64[D]
        Day of the first place in time.
    row, column : int
        Of the first cell, on the whole coarse grid.
    """

    names: tuple[str, ...]
    features: Matrix
    target: Matrix
    first: np.datetime64
    row: int
    column: int

    @classmethod
    def of(cls, samples: Samples, margin: int = 0) -> Self:
        """Lay samples out.

        Parameters
        ----------
        margin : int
            Cells without a sample around the outermost ones: they have windows too.

        Raises
        ------
        UsageError
            When there is no sample, or two of one cell and day.
        """
        if not len(samples):
            raise UsageError("a window in space and time needs samples around it")
        rows, columns = rows_and_columns(samples.groups)
        row, column = int(rows.min()) - margin, int(columns.min()) - margin
        size = int(rows.max()) - row + 1 + margin, int(columns.max()) - column + 1 + margin
        first = samples.days.min()
        time = (samples.days - first).astype(np.int64)
        shape = int(time.max()) + 1, *size
        flat = np.ravel_multi_index((time, rows - row, columns - column), shape)
        if len(np.unique(flat)) != len(flat):
            raise UsageError("a window in space and time needs samples of different cells and days")
        features = np.full((len(samples.names), int(np.prod(shape))), np.nan)
        features[:, flat] = samples.features.T
        target = np.full(int(np.prod(shape)), np.nan)
        target[flat] = samples.target[:, 0]
        return cls(
            samples.names,
            features.reshape(-1, *shape),
            target.reshape(shape),
            first,
            row,
            column,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        _, rows, columns = self.target.shape
        return rows, columns

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Number of each cell on the whole grid, shape (rows, columns)."""
        rows, columns = (np.arange(size) for size in self.shape)
        return numbers_of(self.row + rows[:, np.newaxis], self.column + columns)

    def place(self, numbers: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return places of cells in the flattened rows and columns; -1 outside."""
        rows, columns = rows_and_columns(numbers)
        rows, columns = rows - self.row, columns - self.column
        height, width = self.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return np.where(inside, rows * width + columns, -1)

    def time(self, day: np.datetime64) -> int:
        """Return the place of a day in time, perhaps before the first or after the last."""
        return int((day - self.first).astype(np.int64))

    def around(self, day: np.datetime64, back: int, ahead: int) -> Self:
        """Return the part from so many days before a day to so many after it, as far as there are any.

        The day itself is always among them.
        """
        at = self.time(day)
        first, last = at - back, at + ahead + 1
        held = slice(max(first, 0), max(min(last, len(self.target)), 0))
        before = max(min(-first, last - first), 0)
        gaps = before, last - first - before - max(held.stop - held.start, 0)
        features, target = self.features[:, held], self.target[held]
        if any(gaps):
            features = np.pad(features, ((0, 0), gaps, (0, 0), (0, 0)), constant_values=np.nan)
            target = np.pad(target, (gaps, (0, 0), (0, 0)), constant_values=np.nan)
        return type(self)(self.names, features, target, day - back, self.row, self.column)

    def without(self, out: NDArray[np.bool_]) -> Self:
        """Return a cube in which some (t, rows, columns) are no samples."""
        return replace(self, target=np.where(out, np.nan, self.target))
