"""The region of the simulated world in the tiles of the sinusoidal grid, and how a satellite passes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from smcatalog.core.grids import Grid, grid
from smcatalog.resample.geometry import fractional_coordinates, transformer

__all__ = ["PIXELS", "Look", "Overpass", "TileView", "overpass", "tile_views"]

PIXELS: Final = 1200
"""Along an edge of a tile of 1 km; one of 500 m has twice as many."""
_GRIDS: Final = {PIXELS: "SIN1000", 2 * PIXELS: "SIN500"}
_KM_PER_DEGREE: Final = 111.3195
_EARTH: Final = 6371.0
_HEIGHT: Final = 705.0
"""Of the orbit of Terra and Aqua [km]."""
_INCLINATION: Final = 81.8
"""Of the orbit to the equator, seen from the west [degrees]."""
_WIDEST: Final = 55.0
"""Largest angle of the scan at the satellite [degrees]."""
_REPEAT: Final = 16
"""Days after which the satellite's track is the same."""
_SPACING: Final = 360.0 * _REPEAT / 233
"""Degrees between neighbouring tracks of a day: 233 orbits in 16 days."""
_SHIFT: Final = (233 / _REPEAT % 1) * _SPACING
"""Degrees by which the tracks move from a day to the next."""


@dataclass(frozen=True, slots=True)
class Overpass:
    """One of the daily passes of a satellite in a sun-synchronous orbit.

    Parameters
    ----------
    hour : float
        Local solar time at the equator below the track [h].
    ascending : bool
        Whether it flies northward.
    """

    hour: float
    ascending: bool


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How the pixels of a tile are seen in an overpass, each of shape (n,).

    Parameters
    ----------
    zenith : ndarray of float32
        View zenith angle [degrees], negative to the west of the track.
    hour : ndarray of float32
        Local solar time [h].
    seen : ndarray of bool
        Whether the swath reaches the pixel.
    """

    zenith: NDArray[np.float32]
    hour: NDArray[np.float32]
    seen: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TileView:
    """The pixels of a tile whose centres lie in the region, and where they lie in the state's grid.

    Parameters
    ----------
    horizontal, vertical : int
        Numbers of the tile.
    pixels : ndarray of int64, shape (n,)
        Places of the pixels in the tile, row by row.
    corners : ndarray of int64, shape (4, n)
        The four cells of the state's grid around each pixel, as flat indices.
    weights : ndarray of float32, shape (4, n)
        Their weights.
    cells : ndarray of int64, shape (n,)
        The cell of the state's grid that holds the pixel's centre.
    longitude, latitude : ndarray of float32, shape (n,)
        Of the pixels' centres [degrees].
    lean : ndarray of float32, shape (n,)
        Degrees of longitude by which a descending track has drifted from the equator to here.
    stretch : ndarray of float32, shape (n,)
        Angle at the Earth's centre for a degree of longitude here.
    size : int
        Pixels along the tile's edge.
    """

    horizontal: int
    vertical: int
    pixels: NDArray[np.int64]
    corners: NDArray[np.int64]
    weights: NDArray[np.float32]
    cells: NDArray[np.int64]
    longitude: NDArray[np.float32]
    latitude: NDArray[np.float32]
    lean: NDArray[np.float32]
    stretch: NDArray[np.float32]
    size: int = PIXELS

    @property
    def name(self) -> str:
        """Name of the tile, as ``h26v05``."""
        return f"h{self.horizontal:02d}v{self.vertical:02d}"

    def smooth(self, field: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a field of the state at the pixels, bilinear, shape (n,)."""
        return _mixed(field, self.corners, self.weights)

    def smooths(
        self, fields: Mapping[str, NDArray[np.float32]], at: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float32]]:
        """Return fields of the state at some of the pixels, bilinear, each of shape (len(at),)."""
        corners, weights = self.corners[:, at], self.weights[:, at]
        return {name: _mixed(field, corners, weights) for name, field in fields.items()}

    def nearest(self, field: NDArray[Any]) -> NDArray[Any]:
        """Return a field of the state at the pixels, of the cell that holds each, shape (n,)."""
        found: NDArray[Any] = field.ravel()[self.cells]
        return found

    def whole(self, values: NDArray[Any], fill: int, dtype: type[np.integer]) -> NDArray[Any]:
        """Lay values of the pixels into a whole tile of ``fill``, shape (size, size)."""
        tile = np.full(self.size * self.size, fill, dtype)
        tile[self.pixels] = values
        return tile.reshape(self.size, self.size)


def _mixed(
    field: NDArray[np.float32], corners: NDArray[np.int64], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    flat = field.ravel()
    total: NDArray[np.float32] = flat[corners[0]] * weights[0]
    for corner, weight in zip(corners[1:], weights[1:], strict=True):
        total += flat[corner] * weight
    return total


def tile_views(land: Landscape, size: int = PIXELS) -> list[TileView]:
    """Return a view of each tile that holds a pixel of the region, from north-west to south-east.

    Parameters
    ----------
    size : {1200, 2400}
        Pixels along the edge of a tile: 926.6 m or 463.3 m wide.
    """
    window = grid(_GRIDS[size]).crop(land.grid.bbox())
    rows, columns = np.broadcast_arrays(*fractional_coordinates(window, land.grid))
    height, width = land.grid.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    line, place = np.nonzero(inside)
    vertical, horizontal = (line + window.row) // size, (place + window.column) // size
    views = []
    for v, h in sorted(set(zip(vertical.tolist(), horizontal.tolist(), strict=True))):
        here = (vertical == v) & (horizontal == h)
        i, j = line[here], place[here]
        pixel = (i + window.row - v * size) * size + j + window.column - h * size
        views.append(
            _view((h, v), pixel, rows[i, j], columns[i, j], land.grid, window, (i, j), size)
        )
    return views


def _view(
    tile: tuple[int, int],
    pixels: NDArray[np.int64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    state: Grid,
    window: Grid,
    at: tuple[NDArray[np.int64], NDArray[np.int64]],
    size: int,
) -> TileView:
    height, width = state.shape
    r, c = np.clip(rows - 0.5, 0, height - 1), np.clip(columns - 0.5, 0, width - 1)
    r0, c0 = np.floor(r).astype(np.int64), np.floor(c).astype(np.int64)
    r1, c1 = np.minimum(r0 + 1, height - 1), np.minimum(c0 + 1, width - 1)
    fr, fc = r - r0, c - c0
    x, y = window.centres()
    to_degrees = transformer(window, Grid.latlon(-180, 90, 1.0, (180, 360)))
    longitude, latitude = (np.asarray(a) for a in to_degrees.transform(x[at[1]], y[at[0]]))
    radians = np.radians(latitude)
    lean = np.degrees(np.arcsin(np.tan(radians) / np.tan(np.radians(_INCLINATION))))
    return TileView(
        *tile,
        pixels=pixels,
        corners=np.stack([r0 * width + c0, r0 * width + c1, r1 * width + c0, r1 * width + c1]),
        weights=np.stack(
            [(1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc], dtype=np.float32
        ),
        cells=np.floor(rows).astype(np.int64) * width + np.floor(columns).astype(np.int64),
        longitude=longitude.astype(np.float32),
        latitude=latitude.astype(np.float32),
        lean=lean.astype(np.float32),
        stretch=(np.cos(radians) * _KM_PER_DEGREE / _EARTH).astype(np.float32),
        size=size,
    )


def overpass(view: TileView, day: date, which: Overpass) -> Look:
    """Return how a satellite sees a tile's pixels on a day: its tracks repeat after 16 days."""
    # the track leans: the longitude that it has drifted from the equator to a latitude
    lean = -view.lean if which.ascending else view.lean
    phase = (day.toordinal() % _REPEAT) * _SHIFT + (_SPACING / 4 if which.ascending else 0.0)
    off = (view.longitude - lean - np.float32(phase)) % np.float32(_SPACING) - np.float32(
        _SPACING / 2
    )
    across = off * view.stretch
    scan = np.arctan2(np.sin(across), np.float32(1.0 + _HEIGHT / _EARTH) - np.cos(across))
    return Look(
        zenith=np.degrees(scan + across),
        hour=((lean + off) / 15.0 + which.hour).astype(np.float32),
        seen=np.abs(scan) <= np.radians(_WIDEST),
    )
