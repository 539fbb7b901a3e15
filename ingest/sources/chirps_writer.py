"""CHIRPS 2.0 of the simulated world: a day's rain on cells of 0.05 degrees, from clouds and few gauges.

Files hold the window around the region that a subset order would; what lies outside is fill. The
estimate sees each storm, mistakes its strength by a factor that is the same over some tens of kilometres, and
turns drizzle into nought.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import BBox, Grid
from smcatalog.core.variables import Refinement
from smcatalog.resample import cell_index, refine

__all__ = ["WRITER", "ChirpsWriter"]

_SOURCE: Final = "CHIRPS"
_PER_DEGREE: Final = 20
_FILL: Final = -9999.0
_NORTHMOST: Final = 50.0
_SMOOTH: Final = 8
"""Cells between which the factor of the error is drawn."""
_ERROR: Final = 0.45
"""Standard deviation of the factor's logarithm."""
_DRIZZLE: Final = 0.3
"""Rain that is not seen [mm]."""
_HALF: Final = 0.5


class ChirpsWriter:
    """Writes a map of each day.

    Parameters
    ----------
    land : Landscape
        What is mapped, as far as it lies south of 50 degrees north.
    folder : Path
        Where ``chirps-v2.0.2018.06.10.tif`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._grid = _window(land.grid.bbox())
        rows, columns = (-(-n // _SMOOTH) + 1 for n in self._grid.shape)
        corner = self._grid.transform
        self._coarse = Grid.latlon(
            corner.c, corner.f, _SMOOTH / _PER_DEGREE, (rows, columns)
        )  # reaches beyond the window on the south and east

    def day(self, state: DayState) -> None:
        """Write the day's map."""
        rain = cell_index(self._land.grid, self._grid).mean(state.rain)
        random = self._land.generator(_SOURCE, state.day).standard_normal(self._coarse.shape)
        error = refine(random, self._coarse, self._grid, Refinement.BILINEAR)
        # the mean of the factors is one
        seen = rain.mean * np.exp(_ERROR * error - _ERROR**2 / 2)
        seen[seen < _DRIZZLE] = 0.0
        known = (rain.coverage >= _HALF) & np.isfinite(seen)
        self._write(
            self._folder / f"chirps-v2.0.{state.day:%Y.%m.%d}.tif", np.where(known, seen, _FILL)
        )

    def end(self) -> None:
        """Write nothing: each day is complete in itself."""

    def _write(self, target: Path, values: NDArray[np.float64]) -> None:
        rows, columns = self._grid.shape
        with (
            delivery(target) as path,
            # the provider declares no nodata
            rasterio.open(
                path, "w", driver="GTiff", height=rows, width=columns, count=1, dtype="float32",
                crs="EPSG:4326", transform=self._grid.transform, compress="DEFLATE",
            ) as out,
        ):  # fmt: skip
            out.write(values.astype(np.float32), 1)


def _window(box: BBox) -> Grid:
    """Return the provider's cells around a box: they lie on whole multiples of 0.05 degrees."""
    west, south, east, north = box
    left, right = math.floor(west * _PER_DEGREE), math.ceil(east * _PER_DEGREE)
    bottom = math.floor(south * _PER_DEGREE)
    top = math.ceil(min(north, _NORTHMOST) * _PER_DEGREE)
    return Grid.latlon(
        left / _PER_DEGREE, top / _PER_DEGREE, 1 / _PER_DEGREE, (top - bottom, right - left)
    )


WRITER: Final[MakeWriter] = ChirpsWriter
