"""Grids of degrees from cell centres, and the blocks in which rasters that are too large at once are read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.places import check_degrees
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid, grid

__all__ = ["BLOCK", "blocks", "degree_grid", "ease_window", "global_window"]

BLOCK: Final = 10.0
"""Degrees along a block's edges: 1200 cells of 30 arc seconds, as many as a MODIS tile of 1 km has."""

_STRAY: Final = 0.02
"""Cells by which a corner may miss a lattice, or a centre its place."""
_DRIFT: Final = 0.1
"""Cells by which a spacing that is rounded may be off at the far end."""


def blocks(grid: Grid, degrees: float = BLOCK) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of a degree grid's blocks, from the north-west on.

    Blocks end at whole multiples of ``degrees``, so that parts cut out of one map have the same.
    """
    t, (rows, columns) = grid.transform, grid.shape
    for first, last in pairwise(_bounds(t.f + t.e * rows, t.f, -t.e, rows, degrees, fall=True)):
        for left, right in pairwise(_bounds(t.c, t.c + t.a * columns, t.a, columns, degrees)):
            yield slice(first, last), slice(left, right)


def _bounds(
    low: float, high: float, step: float, count: int, degrees: float, *, fall: bool = False
) -> list[int]:
    """Return the indices at which an axis is cut, 0 and ``count`` among them."""
    multiples = np.arange(math.ceil(low / degrees), math.floor(high / degrees) + 1) * degrees
    cuts = np.rint(((high - multiples) if fall else (multiples - low)) / step).astype(int)
    return sorted({0, count, *(int(cut) for cut in cuts if 0 < cut < count)})


def global_window(
    corner: tuple[float, float], step: tuple[float, float], shape: tuple[int, int], per_degree: int
) -> Grid:
    """Return the part of the globe's grid of so many cells a degree that a raster covers.

    Parameters
    ----------
    corner : (float, float)
        West and north edge [degrees].
    step : (float, float)
        Width and height of cells [degrees], positive.
    shape : (int, int)
        Rows, columns.

    Raises
    ------
    RefusedInput
        When its cells are not those of the globe's grid, or not on the globe.
    """
    (west, north), (dx, dy) = corner, step
    start = (west + 180) * per_degree, (90 - north) * per_degree
    whole = Grid.latlon(-180, 90, 1 / per_degree, (180 * per_degree, 360 * per_degree))
    return _part(
        whole, start, (dx * per_degree, dy * per_degree), shape, corner,
        f"global grid of 1/{per_degree} degree",
    )  # fmt: skip


def ease_window(
    corner: tuple[float, float], step: tuple[float, float], shape: tuple[int, int], base: str
) -> Grid:
    """Return the part of a global EASE-Grid 2.0 that a raster covers.

    Parameters
    ----------
    corner : (float, float)
        West and north edge [m].
    step : (float, float)
        Width and height of cells [m], positive.
    shape : (int, int)
        Rows, columns.
    base : str
        Name of the global grid.

    Raises
    ------
    RefusedInput
        When its cells are not those of the grid, or beyond it.
    """
    (west, north), (dx, dy) = corner, step
    whole = grid(base)
    t = whole.transform
    start = (west - t.c) / t.a, (north - t.f) / t.e
    name = f"EASE-Grid 2.0 of {t.a / 1000:.0f} km"
    return _part(whole, start, (dx / t.a, -dy / t.e), shape, corner, name)


def _part(
    whole: Grid,
    start: tuple[float, float],
    size: tuple[float, float],
    shape: tuple[int, int],
    corner: tuple[float, float],
    name: str,
) -> Grid:
    """Return the window of a grid at a corner and with cells that are told in cells of the grid.

    Raises
    ------
    RefusedInput
        When they are not whole ones, or not on the grid.
    """
    (left, top), (rows, columns) = start, shape
    right, bottom = left + columns * size[0], top + rows * size[1]
    if not np.isfinite([left, top, right, bottom]).all():
        raise RefusedInput("has a corner or cells that are no numbers: a damaged header")
    column, row = round(left), round(top)
    stray = max(
        abs(left - column), abs(top - row), abs(right - column - columns), abs(bottom - row - rows)
    )
    if stray > _STRAY:
        raise RefusedInput(
            f"its {rows} x {columns} cells are not those of the {name} (off by {stray:.2f} cells): shifted or "
            "resampled; cut it along its cells (gdal_translate -srcwin)"
        )
    height, width = whole.shape
    if min(row, column) < 0 or row + rows > height or column + columns > width:
        west, north = corner
        where = "the globe" if whole.crs.geographic else f"the {name}"
        raise RefusedInput(f"its corner {west:g}, {north:g} or its far end is not on {where}")
    return whole.window(slice(row, row + rows), slice(column, column + columns))


def degree_grid(latitudes: NDArray[Any], longitudes: NDArray[Any]) -> Grid:
    """Return the grid of evenly spaced cell centres; cells are set right for coordinates that were rounded.

    Parameters
    ----------
    latitudes : ndarray, shape (rows,)
        In degrees, either way.
    longitudes : ndarray, shape (columns,)
        In degrees, rising.

    Raises
    ------
    RefusedInput
        When the coordinates are damaged, uneven or not on Earth.
    """
    north = latitudes[::-1] if len(latitudes) and latitudes[0] < latitudes[-1] else latitudes
    top, dy = _axis(-np.asarray(north, np.float64), "latitudes")
    west, dx = _axis(np.asarray(longitudes, np.float64), "longitudes")
    grid = Grid.latlon(west, -top, (dx, dy), (len(latitudes), len(longitudes)))
    check_degrees(grid)
    return grid


def _axis(centres: NDArray[np.float64], what: str) -> tuple[float, float]:
    """Return the outer edge before the first of rising centres, and their spacing."""
    count = len(centres)
    if centres.ndim != 1 or count < 2 or not np.isfinite(centres).all():  # noqa: PLR2004 - two make a step
        raise RefusedInput(f"its {what} are no list of degrees: damaged coordinates")
    step = (centres[-1] - centres[0]) / (count - 1)
    even = centres[0] + step * np.arange(count)
    # rounded to 32 bits a longitude of 100 degrees is off by a thousandth of 30 arc seconds
    if step <= 0 or abs(centres - even).max() > _STRAY * step:
        raise RefusedInput(f"its {what} do not rise or fall evenly: damaged coordinates")
    per_degree = round(1 / step) if step < 1 else 0
    if per_degree and abs(step * per_degree - 1) * count < _DRIFT:
        step = 1 / per_degree
        middle = (centres[0] + centres[-1]) / 2
        first = (middle - step * count / 2) * per_degree
        edge = round(first) if abs(first - round(first)) < _STRAY else first
        return round(edge / per_degree, 10), step
    return round(float(centres[0] - step / 2), 9), round(float(step), 12)
