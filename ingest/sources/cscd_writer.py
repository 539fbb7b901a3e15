"""Soil of the simulated world as Shangguan et al. (2012) deliver it: sand and clay of 0 to 30 cm as GeoTIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import rasterio

from ingest.world.landscape import Landscape
from ingest.world.soil import around, survey, under_water
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery

__all__ = ["WRITER", "CscdWriter"]

_PER_DEGREE: Final = 120
_NODATA: Final = -9999.0


class CscdWriter:
    """Writes both maps at once; soil never changes.

    Parameters
    ----------
    land : Landscape
        What is mapped, and 0.05° around it. Open water has no soil.
    folder : Path
        Where ``sand1.tif`` and ``clay1.tif`` go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        grid = around(land.grid.bbox(), _PER_DEGREE)
        soil, wet = survey(land, grid, "CSCD"), under_water(land, grid)
        rows, columns = grid.shape
        for name in ("sand", "clay"):
            percent = np.where(wet, _NODATA, np.rint(soil[name] * 1000) / 10).astype(np.float32)
            with (
                delivery(folder / f"{name}1.tif") as path,
                rasterio.open(
                    path, "w", driver="GTiff", height=rows, width=columns, count=1, dtype="float32",
                    crs="EPSG:4326", transform=grid.transform, nodata=_NODATA, compress="DEFLATE",
                ) as out,
            ):  # fmt: skip
                out.write(percent, 1)

    def day(self, state: DayState) -> None:
        """Do nothing: soil has no days."""

    def end(self) -> None:
        """Do nothing: all is written."""


WRITER: Final[MakeWriter] = CscdWriter
