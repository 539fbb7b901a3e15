"""A variable's values on a grid for a period, and its quality."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.time import Period
from smcatalog.core.variables import Variable

__all__ = ["SHARES", "InputQuality", "Raster", "part_of", "with_part"]

SHARES: Final = 16
"""Parts in which `part_of` counts."""

_SHIFT: Final = 12
_BITS: Final = np.uint16((1 << _SHIFT) - 1)


class InputQuality(IntFlag):
    """Bits of a layer's quality band; 0 is a good, directly observed value.

    The four highest bits hold a number, see `part_of`.
    """

    NOT_RECOMMENDED = 1
    """The provider retrieved the value but does not recommend it."""
    PARTIAL_COVERAGE = 2
    """The value rests on only a part of its cell, or of its period."""
    FILLED = 4
    """The value was estimated, not observed."""
    WATER = 8
    """Open water in the cell."""
    FROZEN = 16
    """Frozen ground or snow."""


def part_of(quality: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return how many sixteenths of a cell a value stands for, where the raster ends within the cell.

    0 where the raster covers the whole cell. Of the cells on the edges of tiles each tile knows a part;
    `smcatalog.resample.mosaic` puts them together.
    """
    parts: NDArray[np.uint16] = quality >> np.uint16(_SHIFT)
    return parts


def with_part(quality: NDArray[np.uint16], parts: NDArray[np.integer]) -> NDArray[np.uint16]:
    """Return quality bits with another number of sixteenths, 0 to 15."""
    written: NDArray[np.uint16] = (quality & _BITS) | (parts.astype(np.uint16) << np.uint16(_SHIFT))
    return written


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """A variable on a grid.

    Parameters
    ----------
    variable : Variable
        What the values are.
    grid : Grid
        Where they are.
    values : ndarray of float32, shape (rows, columns)
        In the variable's unit; NaN where there is none.
    quality : ndarray of uint16, shape (rows, columns)
        `InputQuality` bits.
    period : Period or None
        When they hold; None for a static variable.

    Raises
    ------
    UsageError
        When shapes and grid disagree.
    """

    variable: Variable
    grid: Grid
    values: NDArray[np.float32]
    quality: NDArray[np.uint16]
    period: Period | None

    def __post_init__(self) -> None:
        for name in ("values", "quality"):
            shape = getattr(self, name).shape
            if shape != self.grid.shape:
                raise UsageError(
                    f"{name} of {self.variable.name} have shape {shape}, "
                    f"the grid {self.grid.name} has {self.grid.shape}"
                )

    @classmethod
    def good(
        cls, variable: Variable, grid: Grid, values: NDArray[np.floating], period: Period | None
    ) -> Raster:
        """Return a raster whose values are all of good quality."""
        return cls(
            variable, grid, values.astype(np.float32), np.zeros(grid.shape, np.uint16), period
        )
