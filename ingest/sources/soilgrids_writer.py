"""Soil of the simulated world as SoilGrids 2.0 delivers it: sand, silt and clay of the upper 5 cm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.windows import Window

from ingest.world.landscape import Landscape
from ingest.world.soil import around, survey, under_water
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import Grid

__all__ = ["WRITER", "SoilGridsWriter"]

_PER_DEGREE: Final = 480
_NODATA: Final = -32768
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
        grid = around(land.grid.bbox(), _PER_DEGREE)
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
        wet = under_water(land, strip)
        for name, fractions in survey(land, strip).items():
            stored = np.rint(fractions * 1000).astype(np.int16)
            stored[wet] = _NODATA
            files[name].write(stored, 1, window=Window(0, first, columns, strip.shape[0]))


WRITER: Final[MakeWriter] = SoilGridsWriter
