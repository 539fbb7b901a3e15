"""Grids: a GeoBox with a name.

EASE-Grid 2.0 global (EPSG:6933) after Brodzik et al. (2012, 2014): ``M36``, ``M09``, ``M03`` and
``M01`` share their origin and nest exactly; ``M25`` does not and is a grid of its own. MODIS and VIIRS
land products: sinusoidal on a sphere, in tiles of 10 by 10 degrees at the equator.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from smcatalog.core.errors import NotFoundError, UsageError

__all__ = ["EASE2_GRIDS", "BBox", "Grid", "grid", "sinusoidal_tile"]

BBox = tuple[float, float, float, float]
"""West, south, east, north, in degrees."""

_ORIGIN_X: Final = -17367530.4451615
_ORIGIN_Y: Final = 7314540.83063855
_M36_CELL: Final = 36032.220840584
_SPHERE: Final = 6371007.181
_SINUSOIDAL: Final = CRS(f"+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R={_SPHERE} +units=m +no_defs")
_TILE: Final = 1111950.5196666666
_NEARLY_POLE: Final = math.radians(89.9)
_TILES: Final = (18, 36)
"""Rows and columns of sinusoidal tiles."""
_WINDOW = re.compile(r"^(?P<base>.+)\[(?P<r0>\d+):(?P<r1>\d+),(?P<c0>\d+):(?P<c1>\d+)\]$")
_LATLON = re.compile(r"^latlon\((?P<numbers>[^)]*)\)$")


@dataclass(frozen=True, slots=True)
class Grid:
    """A raster geometry with a name that says all of it.

    Parameters
    ----------
    name : str
        ``M01`` for a whole known grid, ``M01[r0:r1,c0:c1]`` for a window of it,
        ``latlon(west,north,dx,dy,columns,rows)`` for a grid in degrees (EPSG:4326), any
        other text for any other geometry.
    geobox : odc.geo.geobox.GeoBox
        Shape, transform and CRS. Row 0 is the northernmost.
    base : str
        Name of the whole grid that this is a window of; its own name when it is none.
    row, column : int
        Position of the upper left cell in the base grid.
    """

    name: str
    geobox: GeoBox
    base: str = ""
    row: int = 0
    column: int = 0

    def __post_init__(self) -> None:
        if not self.base:
            object.__setattr__(self, "base", self.name)

    @classmethod
    def latlon(
        cls, west: float, north: float, step: float | tuple[float, float], shape: tuple[int, int]
    ) -> Self:
        """Return a grid in degrees (EPSG:4326).

        Parameters
        ----------
        west, north : float
            Outer upper left corner [degrees].
        step : float or (float, float)
            Cell width and height [degrees], positive.
        shape : (int, int)
            Rows, columns.
        """
        dx, dy = (step, step) if isinstance(step, float | int) else step
        if dx <= 0 or dy <= 0:
            raise UsageError(f"cells need a positive size, got {dx} x {dy} degrees")
        rows, columns = shape
        numbers = ",".join(_number(x) for x in (west, north, dx, dy))
        transform = Affine(dx, 0, west, 0, -dy, north)
        return cls(
            f"latlon({numbers},{columns},{rows})",
            GeoBox((rows, columns), transform, CRS("EPSG:4326")),
        )

    @classmethod
    def from_centres(cls, latitudes: NDArray[Any], longitudes: NDArray[Any]) -> Self:
        """Return the degree grid whose cell centres are these, evenly spaced, north first.

        Raises
        ------
        UsageError
            When a spacing is uneven or latitudes do not fall from north to south.
        """
        dy, dx = _step(latitudes, "latitudes"), _step(longitudes, "longitudes")
        if dy >= 0 or dx <= 0:
            raise UsageError("latitudes must fall and longitudes must rise; turn the array first")
        west = round(float(longitudes[0]) - dx / 2, 9)
        north = round(float(latitudes[0]) - dy / 2, 9)
        return cls.latlon(west, north, (dx, -dy), (len(latitudes), len(longitudes)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.geobox.shape
        return int(rows), int(columns)

    @property
    def transform(self) -> Affine:
        """Affine map from (column, row) to CRS coordinates."""
        return self.geobox.transform

    @property
    def crs(self) -> CRS:
        """Coordinate reference system."""
        crs = self.geobox.crs
        if crs is None:
            raise UsageError(f"grid {self.name} has no coordinate reference system")
        return crs

    @property
    def cell(self) -> tuple[float, float]:
        """Cell width and height, in units of the CRS, positive."""
        return abs(self.transform.a), abs(self.transform.e)

    def window(self, rows: slice, columns: slice) -> Grid:
        """Return the part of this grid between rows and columns (relative to this grid)."""
        height, width = self.shape
        r0, r1, _ = rows.indices(height)
        c0, c1, _ = columns.indices(width)
        if r1 <= r0 or c1 <= c0:
            raise UsageError(f"an empty window of grid {self.name}: rows {rows}, columns {columns}")
        row, column = self.row + r0, self.column + c0
        rows, columns = slice(row, row + r1 - r0), slice(column, column + c1 - c0)
        # cut from the whole grid where it is known: a window of a window is the same to the last bit
        whole = _GRIDS.get(self.base)
        box = self.geobox[r0:r1, c0:c1] if whole is None else whole.geobox[rows, columns]
        name = f"{self.base}[{rows.start}:{rows.stop},{columns.start}:{columns.stop}]"
        return replace(self, name=name, geobox=box, row=row, column=column)

    def crop(self, bbox: BBox, *, whole_cells: bool = False) -> Grid:
        """Return the smallest window that covers a box.

        Parameters
        ----------
        bbox : (west, south, east, north)
            In degrees. Edges are densified before projecting.
        whole_cells : bool
            Keep only cells that lie wholly inside instead of all that touch.

        Raises
        ------
        UsageError
            When box and grid do not meet.
        """
        x0, y0, x1, y1 = _project_box(bbox, self.crs)
        (c0, r0), (c1, r1) = (~self.transform) * (x0, y1), (~self.transform) * (x1, y0)
        low, high = (math.ceil, math.floor) if whole_cells else (math.floor, math.ceil)
        snap = 1e-6  # corners computed from degrees land a hair beside a cell's edge
        sign = -snap if whole_cells else snap
        rows = slice(max(low(r0 + sign), 0), max(high(r1 - sign), 0))
        columns = slice(max(low(c0 + sign), 0), max(high(c1 - sign), 0))
        height, width = self.shape
        if rows.start >= min(rows.stop, height) or columns.start >= min(columns.stop, width):
            raise UsageError(f"the box {bbox} does not meet the grid {self.name}")
        return self.window(rows, columns)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x of the columns' and y of the rows' centres, in units of the CRS."""
        rows, columns = self.shape
        t = self.transform
        return t.c + t.a * (np.arange(columns) + 0.5), t.f + t.e * (np.arange(rows) + 0.5)

    def locate(
        self, longitudes: NDArray[Any] | float, latitudes: NDArray[Any] | float
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        """Find the cells that hold points.

        Parameters
        ----------
        longitudes, latitudes : array of float, shape (n,)
            In degrees.

        Returns
        -------
        rows, columns : ndarray of int, shape (n,)
            Position in this grid; meaningless where ``inside`` is false.
        inside : ndarray of bool, shape (n,)
        """
        lon, lat = np.atleast_1d(longitudes), np.atleast_1d(latitudes)
        if self.crs.epsg == 4326:  # noqa: PLR2004 - WGS 84
            x, y = np.asarray(lon, float), np.asarray(lat, float)
        else:
            x, y = _transformer("EPSG:4326", str(self.crs)).transform(lon, lat)
        t = self.transform
        column = np.floor((np.asarray(x) - t.c) / t.a)
        row = np.floor((np.asarray(y) - t.f) / t.e)
        height, width = self.shape
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        safe_row, safe_column = np.where(inside, row, 0), np.where(inside, column, 0)
        return safe_row.astype(np.intp), safe_column.astype(np.intp), inside

    def middle(self) -> tuple[float, float]:
        """Return x and y of the middle, in units of the CRS; of a sinusoidal one of what is on the globe."""
        rows, columns = self.shape
        x, y = self.transform * (columns / 2, rows / 2)
        if self.crs != _SINUSOIDAL:
            return x, y
        latitude = min(max(y / _SPHERE, -_NEARLY_POLE), _NEARLY_POLE)
        half, edge = math.pi * _SPHERE * math.cos(latitude), columns / 2 * self.cell[0]
        west, east = max(x - edge, -half), min(x + edge, half)
        return ((west + east) / 2 if west < east else math.copysign(half, x)), latitude * _SPHERE

    def bbox(self) -> BBox:
        """Return the box around the grid in degrees: west, south, east, north.

        Of tiles at the edge of the sinusoidal grid it is the box around what lies on the globe.

        Raises
        ------
        UsageError
            When nothing of it does.
        """
        box = self.geobox.boundingbox
        edges = (float(box.left), float(box.bottom), float(box.right), float(box.top))
        if self.crs.epsg == 4326:  # noqa: PLR2004 - WGS 84
            return edges
        if self.crs == _SINUSOIDAL:
            return _sinusoidal_box(edges)
        to_degrees = Transformer.from_crs(self.crs.wkt, "EPSG:4326", always_xy=True)
        west, south, east, north = to_degrees.transform_bounds(*edges, densify_pts=41)
        return west, south, east, north


def _sinusoidal_box(edges: BBox) -> BBox:
    """Return the box in degrees of a box in metres; beyond 180 degrees the projection has no places."""
    left, bottom, right, top = (edge / _SPHERE for edge in edges)
    south, north = max(bottom, -math.pi / 2), min(top, math.pi / 2)
    # a parallel's length falls from the equator to the pole: the widest reach is at one of the ends
    latitudes = np.linspace(south, north, 181)
    if south < 0 < north:
        latitudes = np.append(latitudes, 0.0)
    length = np.maximum(np.cos(latitudes), 1e-9)
    west, east = np.maximum(left / length, -math.pi), np.minimum(right / length, math.pi)
    on_globe = west < east
    if not on_globe.any():
        raise UsageError(f"the box {edges} of the sinusoidal grid lies beyond the globe")
    return (
        math.degrees(west[on_globe].min()),
        math.degrees(south),
        math.degrees(east[on_globe].max()),
        math.degrees(north),
    )


def _number(value: float) -> str:
    return repr(round(float(value), 10)).removesuffix(".0")


def _step(centres: NDArray[Any], what: str) -> float:
    if len(centres) < 2:  # noqa: PLR2004 - one centre has no spacing
        raise UsageError(f"a grid needs at least two {what}, got {len(centres)}")
    steps = np.diff(np.asarray(centres, float))
    step = float(steps.mean())
    if not np.allclose(steps, step, rtol=0, atol=abs(step) * 1e-3):
        raise UsageError(f"the {what} are not evenly spaced")
    return round(step, 9)


def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _project_box(bbox: BBox, crs: CRS) -> BBox:
    west, south, east, north = bbox
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):  # noqa: PLR2004 - degrees
        raise UsageError(f"a box is west, south, east, north in degrees, got {bbox}")
    if crs.epsg == 4326:  # noqa: PLR2004 - WGS 84
        return bbox
    return _transformer("EPSG:4326", str(crs)).transform_bounds(*bbox, densify_pts=41)


def _ease2(name: str, cell: float, shape: tuple[int, int], origin: tuple[float, float]) -> Grid:
    transform = Affine(cell, 0, origin[0], 0, -cell, origin[1])
    return Grid(name, GeoBox(shape, transform, CRS("EPSG:6933")))


EASE2_GRIDS: Final[dict[str, Grid]] = {
    "M36": _ease2("M36", _M36_CELL, (406, 964), (_ORIGIN_X, _ORIGIN_Y)),
    "M09": _ease2("M09", _M36_CELL / 4, (1624, 3856), (_ORIGIN_X, _ORIGIN_Y)),
    "M03": _ease2("M03", _M36_CELL / 12, (4872, 11568), (_ORIGIN_X, _ORIGIN_Y)),
    "M01": _ease2("M01", _M36_CELL / 36, (14616, 34704), (_ORIGIN_X, _ORIGIN_Y)),
    "M25": _ease2("M25", 25025.26, (584, 1388), (-17367530.44, 7307375.92)),
}
"""The global EASE-Grid 2.0 grids, by name."""


def _sinusoidal(name: str, pixels: int) -> Grid:
    cell = _TILE / pixels
    rows, columns = _TILES
    transform = Affine(cell, 0, -columns / 2 * _TILE, 0, -cell, rows / 2 * _TILE)
    return Grid(name, GeoBox((rows * pixels, columns * pixels), transform, _SINUSOIDAL))


_GRIDS: Final[dict[str, Grid]] = EASE2_GRIDS | {
    "SIN1000": _sinusoidal("SIN1000", 1200),
    "SIN500": _sinusoidal("SIN500", 2400),
}


def sinusoidal_tile(horizontal: int, vertical: int, pixels: int = 1200) -> Grid:
    """Return a MODIS tile as a window of the global sinusoidal grid.

    Parameters
    ----------
    horizontal, vertical : int
        Numbers of the tile: h00 to h35 from west to east, v00 to v17 from north to south.
    pixels : {1200, 2400}
        Pixels along an edge of a tile: 926.6 m or 463.3 m wide.

    Raises
    ------
    UsageError
        When there is no such tile or no such size.
    """
    rows, columns = _TILES
    if not (0 <= horizontal < columns and 0 <= vertical < rows):
        raise UsageError(f"there is no tile h{horizontal:02d}v{vertical:02d}")
    name = {1200: "SIN1000", 2400: "SIN500"}.get(pixels)
    if name is None:
        raise UsageError(f"tiles have 1200 or 2400 pixels along an edge, got {pixels}")
    row, column = vertical * pixels, horizontal * pixels
    return _GRIDS[name].window(slice(row, row + pixels), slice(column, column + pixels))


def grid(name: str) -> Grid:
    """Return the grid that a name describes.

    Raises
    ------
    NotFoundError
        When the name is neither a known grid, nor a window of one, nor a degree grid.
    """
    if name in _GRIDS:
        return _GRIDS[name]
    if match := _WINDOW.match(name):
        base = grid(match["base"])
        r0, r1, c0, c1 = (int(match[k]) for k in ("r0", "r1", "c0", "c1"))
        return base.window(slice(r0, r1), slice(c0, c1))
    if match := _LATLON.match(name):
        west, north, dx, dy, columns, rows = match["numbers"].split(",")
        return Grid.latlon(
            float(west), float(north), (float(dx), float(dy)), (int(rows), int(columns))
        )
    raise NotFoundError(
        f"no grid is called '{name}'; there are {', '.join(sorted(_GRIDS))}, windows such as "
        "'M01[0:36,0:36]' and degree grids such as 'latlon(-180,90,0.25,0.25,1440,720)'"
    )
