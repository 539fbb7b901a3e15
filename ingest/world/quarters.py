"""The simulated region on cells of a part of a degree, as coarse products and models have it: means of the state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.noise import field
from ingest.world.soil import around
from smcatalog.core.grids import Grid
from smcatalog.resample import cell_index

__all__ = ["DegreeCells", "window_of"]


class DegreeCells:
    """The region's cells of a degree grid; arrays of shape (rows, columns).

    Parameters
    ----------
    land : Landscape
        The region.
    per_degree : int
        Cells a degree.
    least : float
        Share of a cell that the region must cover for it to have a value.
    """

    def __init__(self, land: Landscape, per_degree: int, least: float = 0.5) -> None:
        self._land = land
        self.grid = around(land.grid.bbox(), per_degree)
        self._index = cell_index(land.grid, self.grid)
        whole = self._index.mean(land.water.astype(np.float64))
        self._covered = whole.coverage >= least
        self.water = np.where(self._covered, whole.mean, np.nan)

    def mean(
        self, values: NDArray[np.floating] | NDArray[np.bool_], *, land: bool = True
    ) -> NDArray[np.float64]:
        """Return the mean over a cell, or over the land in it; NaN where the region covers too little of it."""
        dry = values.astype(np.float64)
        if land:
            dry = np.where(self._land.water, np.nan, dry)
        found = self._index.mean(dry).mean
        return np.where(self._covered, found, np.nan)

    def noise(self, *keys: object, longest: float, shortest: float) -> NDArray[np.float64]:
        """Return smooth standard normal numbers of a purpose; a larger region shows the same.

        Parameters
        ----------
        longest, shortest : float
            Wavelengths [degrees].
        """
        x, y = self.grid.centres()
        key = "/".join(map(str, keys))
        return field(self._land.seed, key, x, y, longest=longest, shortest=shortest, roughness=0.7)


def window_of(part: Grid, per_degree: int) -> tuple[slice, slice]:
    """Return rows and columns of a part of the globe's grid of so many cells a degree, row 0 northernmost."""
    t, (rows, columns) = part.transform, part.shape
    row, column = round((90 - t.f) * per_degree), round((t.c + 180) * per_degree)
    return slice(row, row + rows), slice(column, column + columns)
