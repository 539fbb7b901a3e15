"""The simulated region on a global EASE-Grid 2.0: means of the state over its cells."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.variables import Refinement
from smcatalog.resample import refine
from smcatalog.resample.geometry import transformer

__all__ = ["Array", "Cells"]

Array = NDArray[np.float64]
_COARSEST: Final = 36
"""Cells of 1 km along an edge of a cell of 36 km."""
_DAMPED: Final = 1.5
"""Numbers between points that are drawn scatter less than these, by two thirds on average."""


class Cells:
    """The region's cells of a grid and what stays with them; arrays of shape (rows, columns).

    Parameters
    ----------
    land : Landscape
        The region, made of whole cells of 36 km.
    base : {"M36", "M09"}
        Global grid.
    reach : int
        So many cells on all sides add to a cell's mean, as to what a radiometer sees whose footprint is
        wider than the cell.

    Raises
    ------
    UsageError
        When the region is not made of whole cells of 36 km.
    """

    def __init__(self, land: Landscape, base: str, reach: int = 0) -> None:
        corner, edges = (land.grid.row, land.grid.column), land.grid.shape
        if land.grid.base != "M01" or any(n % _COARSEST for n in (*corner, *edges)):
            raise UsageError(f"the region {land.grid.name} is not made of whole cells of 36 km")
        self.nest = round(grid(base).cell[0] / land.grid.cell[0])
        self._reach = reach
        self.rows, self.columns = (
            slice(first // self.nest, (first + n) // self.nest)
            for first, n in zip(corner, edges, strict=True)
        )
        self.base = base
        self.grid = grid(base).window(self.rows, self.columns)
        self.latitude, self.longitude = _degrees(self.grid)
        self._land = (~land.water).astype(np.float64)
        self._count = self._sum(self._land)
        self._size = self._sum(np.ones(land.grid.shape))
        self.water = 1.0 - self._count / self._size
        spacing = land.grid.cell
        fall, rise = np.gradient(land.elevation.astype(np.float64), spacing[1], spacing[0])
        self.slope = self._sum(np.degrees(np.arctan(np.hypot(fall, rise)))) / self._size

    @staticmethod
    def everywhere(base: str) -> tuple[Array, Array]:
        """Return latitudes of the rows and longitudes of the columns of the whole grid [degrees]."""
        return _degrees(grid(base))

    def mean(self, values: NDArray[Any]) -> Array:
        """Return the mean over a cell's land; NaN where it is all water."""
        total = self._sum(np.where(self._land > 0, values, 0).astype(np.float64))
        result = np.full(total.shape, np.nan)
        np.divide(total, self._count, out=result, where=self._count > 0)
        return result

    def random(self, rng: np.random.Generator, count: int = 1) -> Array:
        """Return standard normal numbers of the cells, shape (count, rows, columns).

        They are drawn for the cells of 36 km of the whole globe, so that a larger region shows the
        same, and lie smoothly between these on a finer grid.
        """
        drawn = rng.standard_normal((count, *grid("M36").shape))
        if self.base == "M36":
            return drawn[:, self.rows, self.columns]
        ratio, shape = _COARSEST // self.nest, grid("M36").shape
        around = tuple(
            slice(max(axis.start // ratio - 1, 0), min(axis.stop // ratio + 1, size))
            for axis, size in zip((self.rows, self.columns), shape, strict=True)
        )
        coarse = grid("M36").window(*around)
        return np.stack([
            _DAMPED * refine(one[around], coarse, self.grid, Refinement.BILINEAR).astype(np.float64)
            for one in drawn
        ])  # fmt: skip

    def _sum(self, values: Array) -> Array:
        rows, columns = (n // self.nest for n in values.shape)
        cells: Array = values.reshape(rows, self.nest, columns, self.nest).sum(axis=(1, 3))
        if not self._reach:
            return cells
        width = 2 * self._reach + 1
        padded = np.pad(cells, self._reach)
        views = np.lib.stride_tricks.sliding_window_view(padded, (width, width))
        around: Array = views.sum(axis=(2, 3))
        return around


def _degrees(cells: Grid) -> tuple[Array, Array]:
    x, y = cells.centres()
    to_degrees = transformer(cells, Grid.latlon(-180, 90, 1.0, (180, 360)))
    latitude = np.asarray(to_degrees.transform(np.full_like(y, x[0]), y)[1])
    return latitude, np.asarray(to_degrees.transform(x, np.full_like(x, y[0]))[0])
