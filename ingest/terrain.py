"""Slope and direction of the ground, from heights at their own resolution.

Gradients after Horn (1981), Hill shading and the reflectance map, Proceedings of the IEEE 69 (1). They are taken
before anything is averaged: the slope of mean heights is not the mean slope.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod
from pyproj.exceptions import ProjError

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.raster import Raster
from smcatalog.core.variables import variable
from smcatalog.resample.geometry import transformer

__all__ = ["Terrain", "spacing", "terrain", "with_terrain"]

Array = NDArray[np.float32]

_GEOD: Final = Geod(ellps="WGS84")
_SKEW: Final = 5.0
"""Degrees by which a grid's axes may differ from east and north: UTM's do by less than three."""
_NARROWEST: Final = 0.1
"""Cells narrower than this [m] lie at a pole."""
_FLAT: Final = 1e-5
"""Gradient below which the ground faces nowhere."""
_DEGREES: Final = Grid.latlon(-180, 90, 1.0, (180, 360))


@dataclass(frozen=True, slots=True, eq=False)
class Terrain:
    """What the ground does around each height; arrays of the heights' shape, NaN where not known.

    Parameters
    ----------
    slope : ndarray of float32
        Against the horizontal [degrees].
    aspect : ndarray of float32
        Direction that the slope faces, clockwise from north [degrees]; NaN on flat ground.
    northness, eastness : ndarray of float32
        Horizontal parts of the unit vector that stands upright on the ground [1]: ``sin(slope) cos(aspect)`` and
        ``sin(slope) sin(aspect)``. Nought on flat ground, and unlike directions fit for any mean.
    """

    slope: Array
    aspect: Array
    northness: Array
    eastness: Array


def spacing(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the true width and height of a grid's cells on the ellipsoid.

    Returns
    -------
    width, height : ndarray of float64, shape (rows, 1)
        Metres, of each row in the middle of the grid.

    Raises
    ------
    UsageError
        When columns do not run to the north or rows to the east, or the way to degrees is not known.
    """
    x, y = grid.centres()
    dx, dy = grid.cell
    middle = np.full_like(y, x[len(x) // 2])
    width, _ = _steps(grid, (middle - dx / 2, y), (middle + dx / 2, y))
    height, _ = _steps(grid, (middle, y - dy / 2), (middle, y + dy / 2))
    columns, rows = (axis.ravel() for axis in np.meshgrid(x[[0, -1]], y[[0, len(y) // 2, -1]]))
    for start, end, wanted in (
        ((columns - dx / 2, rows), (columns + dx / 2, rows), 90.0),
        ((columns, rows - dy / 2), (columns, rows + dy / 2), 0.0),
    ):
        length, azimuth = _steps(grid, start, end)
        turned = abs((azimuth - wanted + 180.0) % 360.0 - 180.0)
        if (turned[length > _NARROWEST] > _SKEW).any():
            raise UsageError(
                f"the axes of {grid.name} run up to {turned.max():.0f} degrees beside east and north: "
                "slopes need a grid in degrees or UTM"
            )
    return width[:, None], height[:, None]


def _steps(
    grid: Grid, start: tuple[Any, Any], end: tuple[Any, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lengths [m] and azimuths [degrees] of steps between points in a grid's coordinates."""
    try:
        to_degrees = transformer(grid, _DEGREES)
    except ProjError as error:
        raise UsageError(f"nobody knows the way from {grid.name} to degrees") from error
    # beside a pole half a cell may lie beyond it
    (lon0, lat0), (lon1, lat1) = (
        (np.asarray(lon), np.clip(lat, -90.0, 90.0))
        for lon, lat in (to_degrees.transform(*point) for point in (start, end))
    )
    azimuth, _, length = _GEOD.inv(lon0, lat0, lon1, lat1)
    return np.asarray(length), np.asarray(azimuth)


def terrain(heights: NDArray[np.floating], grid: Grid) -> Terrain:
    """Return slope and direction at each height.

    At the edges the heights are continued evenly.

    Parameters
    ----------
    heights : ndarray of float, shape of ``grid``
        Metres, row 0 northernmost; NaN where there is none, and then its neighbours have no slope.

    Raises
    ------
    UsageError
        When there are less than two rows or columns, or the axes do not run east and north.
    """
    if min(heights.shape) < 2:  # noqa: PLR2004 - two make a slope
        raise UsageError(f"slopes need two rows and columns, got {heights.shape}")
    width, height = (side.astype(np.float32) for side in spacing(grid))
    z = np.pad(heights.astype(np.float32), 1, mode="reflect", reflect_type="odd")
    along = z[:-2] + 2 * z[1:-1] + z[2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        east = (along[:, 2:] - along[:, :-2]) / (8 * width)
        across = z[:, :-2] + 2 * z[:, 1:-1] + z[:, 2:]
        north = (across[:-2] - across[2:]) / (8 * height)
        # the pattern leaves out the height itself
        unknown = np.isnan(heights) | (width < _NARROWEST)
        east[unknown], north[unknown] = np.nan, np.nan
        steep = np.hypot(east, north)
        upright = 1 / np.sqrt(1 + steep * steep)
        aspect = np.degrees(np.arctan2(-east, -north)) % np.float32(360)
    aspect[steep < _FLAT] = np.nan
    return Terrain(np.degrees(np.arctan(steep)), aspect, -north * upright, -east * upright)


def with_terrain(elevation: Raster) -> Iterator[Raster]:
    """Yield an elevation, and ``slope``, ``aspect``, ``northness`` and ``eastness`` of it.

    What has no value anywhere is left out, such as the direction of a plain.

    Raises
    ------
    UsageError
        As `terrain` does.
    """
    yield elevation
    found = terrain(elevation.values, elevation.grid)
    for name in ("slope", "aspect", "northness", "eastness"):
        values: Array = getattr(found, name)
        if not np.isnan(values).all():
            yield Raster.good(variable(name), elevation.grid, values, elevation.period)
