"""Soil of the simulated world as SoilGrids 2.0 delivers it: sand, silt and clay of the upper 5 cm.

A soil map is never the soil: smooth errors, as of a survey with few profiles, are added to the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from ingest.world.landscape import Landscape
from ingest.world.noise import field
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import BBox, Grid

__all__ = ["WRITER", "SoilGridsWriter", "survey"]

_PER_DEGREE: Final = 480
_MARGIN: Final = 0.05
_NODATA: Final = -32768
_ERROR: Final = 0.03
_LEAST: Final = 0.01
_ROWS: Final = 256
"""Rows that are made at a time."""


class SoilGridsWriter:
    """Writes the three maps at once; soil never changes.

    Parameters
    ----------
    land : Landscape
        What is mapped, and 0.05° around it. Open water has no soil.
    folder : Path
        Where ``sand_0-5cm_mean_<preset>.tif`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        grid = _grid(land.grid.bbox())
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(
                    _created(folder / f"{name}_0-5cm_mean_{land.preset.name}.tif", grid)
                )
                for name in ("sand", "silt", "clay")
            }
            _fill(files, land, grid)

    def day(self, state: DayState) -> None:
        """Do nothing: soil has no days."""

    def end(self) -> None:
        """Do nothing: all is written."""


def survey(land: Landscape, grid: Grid) -> dict[str, NDArray[np.float64]]:
    """Return what the soil map says of sand, silt and clay by weight.

    Parameters
    ----------
    land : Landscape
        The truth.
    grid : Grid
        In degrees (EPSG:4326).

    Returns
    -------
    dict of ndarray of float64, shape (rows, columns)
        Fractions that add up to 1, by name.
    """
    longitude, latitude = grid.centres()
    parts = dict(zip(("sand", "clay"), land.ground.texture(grid), strict=True))
    for name, true in parts.items():
        error = field(
            land.seed, f"survey/{name}", longitude, latitude,
            longest=0.4, shortest=0.02, roughness=0.6,
        )  # fmt: skip
        parts[name] = np.maximum(true + _ERROR * error, _LEAST)
    silt = np.maximum(1.0 - parts["sand"] - parts["clay"], _LEAST)
    whole = parts["sand"] + parts["clay"] + silt
    return {name: values / whole for name, values in (parts | {"silt": silt}).items()}


def _grid(box: BBox) -> Grid:
    """Return cells of 1/480° on whole multiples of that around a box."""
    west, south, east, north = box
    left, right = (
        math.floor((west - _MARGIN) * _PER_DEGREE),
        math.ceil((east + _MARGIN) * _PER_DEGREE),
    )
    bottom, top = (
        math.floor((south - _MARGIN) * _PER_DEGREE),
        math.ceil((north + _MARGIN) * _PER_DEGREE),
    )
    return Grid.latlon(
        left / _PER_DEGREE, top / _PER_DEGREE, 1 / _PER_DEGREE, (top - bottom, right - left)
    )


@contextmanager
def _created(target: Path, grid: Grid) -> Iterator[Any]:
    """Give an empty map, open for writing; it gets its name when the block has filled it."""
    rows, columns = grid.shape
    with (
        delivery(target) as path,
        rasterio.open(
            path, "w", driver="GTiff", height=rows, width=columns, count=1, dtype="int16",
            crs="EPSG:4326", transform=grid.transform, nodata=_NODATA,
            compress="DEFLATE", predictor=2, tiled=True, blockxsize=_ROWS, blockysize=_ROWS,
        ) as out,
    ):  # fmt: skip
        yield out


def _fill(files: dict[str, Any], land: Landscape, grid: Grid) -> None:
    rows, columns = grid.shape
    for first in range(0, rows, _ROWS):
        strip = grid.window(slice(first, first + _ROWS), slice(None))
        wet = _under_water(land, strip)
        for name, fractions in survey(land, strip).items():
            stored = np.rint(fractions * 1000).astype(np.int16)
            stored[wet] = _NODATA
            files[name].write(stored, 1, window=Window(0, first, columns, strip.shape[0]))


def _under_water(land: Landscape, grid: Grid) -> NDArray[np.bool_]:
    """Mark cells in the landscape's water; around the landscape all is land."""
    longitude, latitude = grid.centres()
    # both grids' axes are meridians and parallels: columns and rows are found apart
    _, columns, east = land.grid.locate(longitude, np.full_like(longitude, land.latitude.mean()))
    rows, _, north = land.grid.locate(np.full_like(latitude, land.longitude.mean()), latitude)
    wet: NDArray[np.bool_] = land.water[np.ix_(rows, columns)] & np.logical_and.outer(north, east)
    return wet


WRITER: Final[MakeWriter] = SoilGridsWriter
