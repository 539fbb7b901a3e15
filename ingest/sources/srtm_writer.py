"""Elevation of the simulated world as SRTM tiles: one zipped HGT for each degree that the region touches."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import BBox, Grid

__all__ = ["WRITER", "SrtmWriter"]

_NODES: Final = 1201
_STEP: Final = 1 / 1200
_VOID: Final = -32768
_MARGIN_KM: Final = 5.0
_KM_PER_DEGREE: Final = 111.32
_FLOWN: Final = (2000, 2, 11, 0, 0, 0)
"""Time of the files in the zips: the same bytes at every run."""


class SrtmWriter:
    """Writes all tiles at once; elevation never changes.

    Parameters
    ----------
    land : Landscape
        What is mapped. Beyond 5 km from it the tiles are void.
    folder : Path
        Where ``N37E105.SRTMGL3.hgt.zip`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        for south, west in _corners(land.grid.bbox()):
            name = f"{'NS'[south < 0]}{abs(south):02d}{'EW'[west < 0]}{abs(west):03d}"
            heights = _heights(land, south, west)
            member = zipfile.ZipInfo(f"{name}.hgt", _FLOWN)
            member.create_system, member.external_attr = 3, 0o100644 << 16
            with (
                delivery(folder / f"{name}.SRTMGL3.hgt.zip") as path,
                zipfile.ZipFile(path, "w") as out,
            ):
                out.writestr(member, heights.tobytes(), zipfile.ZIP_DEFLATED, compresslevel=6)

    def day(self, state: DayState) -> None:
        """Do nothing: elevation has no days."""

    def end(self) -> None:
        """Do nothing: all is written."""


def _corners(box: BBox) -> Iterator[tuple[int, int]]:
    """Yield latitude and longitude of the south-west corners of the tiles that a box touches."""
    west, south, east, north = box
    for latitude in range(math.floor(south), math.ceil(north)):
        for longitude in range(math.floor(west), math.ceil(east)):
            yield latitude, longitude


def _heights(land: Landscape, south: int, west: int) -> NDArray[np.int16]:
    """Return a tile's heights [m], big-endian, shape (1201, 1201), row 0 northernmost."""
    grid = Grid.latlon(west - _STEP / 2, south + 1 + _STEP / 2, _STEP, (_NODES, _NODES))
    part = grid.crop(_widened(land.grid.bbox()))
    heights = np.full(grid.shape, _VOID, ">i2")
    rows, columns = part.shape
    heights[part.row : part.row + rows, part.column : part.column + columns] = np.rint(
        land.ground.elevation(part)
    )
    return heights


def _widened(box: BBox) -> BBox:
    west, south, east, north = box
    dlat = _MARGIN_KM / _KM_PER_DEGREE
    dlon = dlat / math.cos(math.radians(max(abs(south), abs(north))))
    return west - dlon, south - dlat, east + dlon, north + dlat


WRITER: Final[MakeWriter] = SrtmWriter
