"""Elevation of the Shuttle Radar Topography Mission: HGT tiles of one degree, 3″ or 1″ apart.

A tile is nothing but heights: big-endian int16 in metres, rows from north to south. What it is stands in
its size, where it is in its name, that of the node in the south-west corner. Nodes lie on whole arc seconds,
the outermost on the degrees themselves: adjoining tiles share them, and as cells they reach half a
cell beyond.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, head, sniff
from ingest.terrain import with_terrain
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from smcatalog.core.raster import Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "Srtm"]

_NAME = re.compile(r"(?P<ns>[NS])(?P<lat>\d{2})(?P<ew>[EW])(?P<lon>\d{3})", re.IGNORECASE)
_SUFFIX: Final = ".hgt"
_VOID: Final = -32768
_NODES: Final = {3: 1201, 1: 3601}
_BYTES: Final = {seconds: 2 * nodes**2 for seconds, nodes in _NODES.items()}
_SOUTHMOST, _NORTHMOST, _EASTMOST, _WESTMOST = -56, 59, 179, -180


@dataclass(frozen=True, slots=True)
class Srtm:
    """Reader of HGT tiles of one spacing.

    Parameters
    ----------
    source : str
        Name of the product family.
    title : str
        What it is.
    seconds : {3, 1}
        Spacing of the nodes [arc seconds].
    """

    source: str
    title: str
    seconds: int

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a tile by its size; its place stands in the name alone."""
        if not name.lower().endswith(_SUFFIX):
            return None
        with refusing("cannot be read", (OSError,)):
            size = path.stat().st_size
        if size in _BYTES.values():
            if size != _BYTES[self.seconds]:
                return None  # the other spacing's
        elif sniff(head(path)) is Format.HTML:
            return None  # told by the registry as what it is
        else:
            raise RefusedInput(
                f"has {size} bytes; a tile of SRTM has {_BYTES[3]} (3 arc seconds) or {_BYTES[1]} "
                "(1 arc second): cut off or another format; fetch it again"
            )
        tile = name[: -len(_SUFFIX)].upper()
        _corner(tile)
        return Identity(self.source, tile)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield the tile's heights, NaN where it is void, and the ground's slope and direction."""
        south, west = _corner(identity.name)
        nodes = _NODES[self.seconds]
        with refusing("cannot be read", (OSError, ValueError)):
            heights = np.fromfile(path, ">i2").reshape(nodes, nodes)
        values = heights.astype(np.float32)
        values[heights == _VOID] = np.nan
        if np.isnan(values).all():
            raise RefusedInput("holds no height at all: nothing but void")
        if not heights.any():
            raise RefusedInput(
                "holds nothing but nought, and tiles of sea alone are not delivered: a download that was "
                "never written; fetch it again"
            )
        elevation = variable("elevation")
        values = within_range(values, elevation).astype(np.float32, copy=False)
        grid, values = _on_earth(south, west, 1 / (nodes - 1), values)
        yield from with_terrain(Raster.good(elevation, grid, values, None))


def _corner(tile: str) -> tuple[int, int]:
    """Return latitude and longitude of a tile's south-west node [degrees].

    Raises
    ------
    RefusedInput
        When the name says no place, or one where the mission measured nothing.
    """
    match = _NAME.fullmatch(tile)
    if match is None:
        raise RefusedInput(
            f"is called {tile}{_SUFFIX}, which does not say where it is: restore the provider's "
            "name, that of the south-west corner, such as N37E105.hgt"
        )
    south = int(match["lat"]) * (1 if match["ns"].upper() == "N" else -1)
    west = int(match["lon"]) * (1 if match["ew"].upper() == "E" else -1)
    if not (_SOUTHMOST <= south <= _NORTHMOST and _WESTMOST <= west <= _EASTMOST):
        raise RefusedInput(
            f"is called {tile}{_SUFFIX}, and there is no such tile: SRTM reaches from 56 degrees "
            "south to 60 north, its tiles are named by their south-west corner"
        )
    return south, west


def _on_earth(
    south: int, west: int, step: float, values: NDArray[np.float32]
) -> tuple[Grid, NDArray[np.float32]]:
    """Return grid and heights, without the cells that lie across the antimeridian."""
    edge = west - step / 2
    if west == _WESTMOST:
        values, edge = values[:, 1:], edge + step
    elif west == _EASTMOST:
        values = values[:, :-1]
    rows, columns = values.shape
    return Grid.latlon(edge, south + 1 + step / 2, step, (rows, columns)), values


READERS: Final = (
    Srtm("SRTMGL3", "SRTM elevation, version 3, 3 arc seconds", 3),
    Srtm("SRTMGL1", "SRTM elevation, version 3, 1 arc second", 1),
)
