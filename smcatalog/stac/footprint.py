"""Where a grid lies on the Earth, as GeoJSON."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from pyproj import Transformer
from shapely.geometry import Polygon, mapping
from shapely.geometry.polygon import orient

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import BBox, Grid

__all__ = ["Footprint", "footprint", "mean_resolution"]

_POINTS_PER_EDGE: Final = 33
_INSET: Final = 1e-6
"""Part of a cell by which the outline is drawn in: a hair (1 mm at 1 km), and the edge of a global
grid then stays on its own side of the antimeridian."""
_DECIMALS: Final = 7
"""About 1 cm on the ground."""
_TOLERANCE: Final = 1e-6
"""Degrees by which the outline may deviate: about 10 cm."""
_METRES_PER_DEGREE: Final = 111_319.49


@dataclass(frozen=True, slots=True)
class Footprint:
    """A grid's outline in WGS 84.

    Parameters
    ----------
    geometry : dict
        GeoJSON polygon, counterclockwise, as RFC 7946 asks.
    bbox : (west, south, east, north)
        Degrees; the polygon's own bounds.
    """

    geometry: dict[str, Any]
    bbox: BBox


@lru_cache(maxsize=64)
def _outline(grid: Grid) -> Polygon:
    rows, columns = grid.shape
    along = np.linspace(0.0, 1.0, _POINTS_PER_EDGE)
    west, east = np.full_like(along, _INSET), np.full_like(along, columns - _INSET)
    north, south = np.full_like(along, _INSET), np.full_like(along, rows - _INSET)
    eastward = _INSET + along * (columns - 2 * _INSET)
    southward = _INSET + along * (rows - 2 * _INSET)
    # Down the west edge, along the south, up the east, back along the north.
    column = np.concatenate([west, eastward, east, eastward[::-1]])
    row = np.concatenate([southward, south, southward[::-1], north])
    t = grid.transform
    x = t.a * column + t.b * row + t.c
    y = t.d * column + t.e * row + t.f
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        raise UsageError(f"the outline of grid {grid.name} has no place on the Earth in {grid.crs}")
    if np.abs(longitude).max() > 180 + 1e-9 or np.abs(np.diff(longitude)).max() > 180:  # noqa: PLR2004
        raise UsageError(
            f"grid {grid.name} crosses the antimeridian; cut it there into two grids, west and east"
        )
    ring = np.round(np.column_stack([longitude, latitude]), _DECIMALS) + 0.0  # no negative zeros
    simple = Polygon(ring).simplify(_TOLERANCE)
    if not isinstance(simple, Polygon) or not simple.is_valid or simple.is_empty:
        raise UsageError(f"the outline of grid {grid.name} crosses itself in degrees")
    return orient(simple, sign=1.0)


def footprint(grid: Grid) -> Footprint:
    """Return the outline of a grid, its edges followed at 33 points each before projecting.

    Points that add nothing (an EASE-Grid window is a rectangle in degrees) are left out.

    Raises
    ------
    UsageError
        When the outline crosses the antimeridian or has no place on the Earth.
    """
    outline = _outline(grid)
    shape = mapping(outline)
    rings = [[[float(x), float(y)] for x, y in ring] for ring in shape["coordinates"]]
    west, south, east, north = (float(v) for v in outline.bounds)
    return Footprint({"type": "Polygon", "coordinates": rings}, (west, south, east, north))


def mean_resolution(grid: Grid) -> float:
    """Return the side of a square as large as a cell, in metres.

    For a grid in degrees this is the cell at the grid's middle latitude.
    """
    dx, dy = grid.cell
    side = float(np.sqrt(dx * dy))
    if grid.crs.geographic:
        _, south, _, north = footprint(grid).bbox
        side *= _METRES_PER_DEGREE * float(np.sqrt(np.cos(np.radians((south + north) / 2))))
    return round(side, 3)
