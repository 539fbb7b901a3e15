"""Where one grid's points lie in another grid."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import pyproj
from numpy.typing import NDArray

from smcatalog.core.grids import Grid

__all__ = ["Coordinates", "cell_ratio", "fractional_coordinates", "transformer"]

Coordinates = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Fractional rows and columns that broadcast against each other to the grid's shape."""

_CYLINDRICAL: Final = frozenset({4326, 6933})
"""Projections where x depends on longitude alone and y on latitude alone."""


def transformer(source: Grid, target: Grid) -> pyproj.Transformer:
    """Return the transformation between two grids' coordinate systems, x before y."""
    return _transformer(source.crs.wkt, target.crs.wkt)


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _separable(a: Grid, b: Grid) -> bool:
    return a.crs == b.crs or {a.crs.epsg, b.crs.epsg} <= _CYLINDRICAL


def fractional_coordinates(points: Grid, frame: Grid) -> Coordinates:
    """Return where the centres of one grid's cells lie in another grid.

    Parameters
    ----------
    points : Grid
        Grid whose cell centres are looked up.
    frame : Grid
        Grid in which they are looked up.

    Returns
    -------
    rows, columns : ndarray of float
        In cells of ``frame``, from its upper left corner: a cell's centre lies at ``i + 0.5``. Shapes
        (rows, 1) and (1, columns) where the projections allow it, else both (rows, columns).
        Infinite where a point has no place in the frame's projection.
    """
    x, y = points.centres()
    if _separable(points, frame):
        if points.crs != frame.crs:
            to_frame = transformer(points, frame)
            middle_x, middle_y = np.full_like(y, x.mean()), np.full_like(x, y.mean())
            new_x = np.asarray(to_frame.transform(x, middle_y)[0])
            new_y = np.asarray(to_frame.transform(middle_x, y)[1])
            x, y = new_x, new_y
        xx, yy = x[np.newaxis, :], y[:, np.newaxis]
    else:
        grid_x, grid_y = np.meshgrid(x, y)
        xx, yy = (np.asarray(a) for a in transformer(points, frame).transform(grid_x, grid_y))
    t = frame.transform
    return (yy - t.f) / t.e, (xx - t.c) / t.a


def cell_ratio(fine: Grid, coarse: Grid) -> float:
    """Return how many times wider a cell of ``coarse`` is than one of ``fine``, at the middle of ``fine``.

    The geometric mean over both directions, measured in the projection of ``coarse``. The middle of
    what lies on the globe, where a grid reaches beyond.
    """
    t = fine.transform
    x, y = fine.middle()
    corners_x = np.array([x, x + t.a, x])
    corners_y = np.array([y, y, y + t.e])
    px, py = (np.asarray(a) for a in transformer(fine, coarse).transform(corners_x, corners_y))
    area = abs((px[1] - px[0]) * (py[2] - py[0]) - (px[2] - px[0]) * (py[1] - py[0]))
    width, height = coarse.cell
    return float(np.sqrt(width * height / area))
