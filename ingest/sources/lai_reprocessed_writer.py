"""Reprocessed leaf area of the simulated world: a smooth map of each 8 days at 0.1°, without gaps, a file a year.

The reprocessing knows the season well and single years less: it sees the leaves of the world with a factor that is the
same over some tens of kilometres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from ingest.world.landscape import Landscape
from ingest.world.quarters import DegreeCells
from ingest.world.reflectance import leaf_area
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery

__all__ = ["WRITER", "LaiReprocessedWriter"]

_PER_DEGREE: Final = 10
_DAYS: Final = 8
_ERROR: Final = 0.12
"""Standard deviation of the factor's logarithm."""
_MOST: Final = 10.0
_FILL: Final = np.float32(-9999.0)


class LaiReprocessedWriter:
    """Writes a file for each year, of the 8 days that the simulation touches.

    Parameters
    ----------
    land : Landscape
        What is mapped; open water has no leaves and is fill.
    folder : Path
        Where ``lai_8-day_0.1_2018.nc`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._cells = DegreeCells(land, _PER_DEGREE)
        self._factor = np.exp(
            _ERROR * self._cells.noise("LAI-reprocessed", longest=4.0, shortest=0.3)
        )
        self._year: int | None = None
        self._sums: dict[int, tuple[NDArray[np.float64], int]] = {}

    def day(self, state: DayState) -> None:
        """Take a day; write the year that ended before it."""
        if self._year not in {None, state.day.year}:
            self.end()
        self._year = state.day.year
        start = (state.day.timetuple().tm_yday - 1) // _DAYS * _DAYS + 1
        total, count = self._sums.get(start, (np.zeros(self._cells.grid.shape), 0))
        self._sums[start] = total + self._cells.mean(leaf_area(state.ndvi)), count + 1

    def end(self) -> None:
        """Write the year, as far as it went."""
        if self._year is None:
            return
        starts = sorted(self._sums)
        values = np.stack([total / count for total, count in (self._sums[s] for s in starts)])
        values = np.clip(values * self._factor, 0, _MOST)
        with delivery(self._folder / f"lai_8-day_0.1_{self._year}.nc") as path:
            self._write(path, starts, values)
        self._sums.clear()
        self._year = None

    def _write(self, path: Path, starts: list[int], values: NDArray[np.float64]) -> None:
        longitudes, latitudes = self._cells.grid.centres()
        axes = (
            ("time", "i4", starts, "day of year"), ("lat", "f8", latitudes, "degrees_north"),
            ("lon", "f8", longitudes, "degrees_east"),
        )  # fmt: skip
        with netcdf_file(path, "w", version=2) as file:
            for name, kind, numbers, unit in axes:
                file.createDimension(name, len(numbers))
                axis = file.createVariable(name, kind, (name,))
                axis.units = unit
                axis[:] = numbers
            data = file.createVariable("lai", "f4", ("time", "lat", "lon"))
            data.units, data.long_name = "m2/m2", "leaf area index"
            data._FillValue = _FILL  # noqa: SLF001 - the attribute's name
            data[:] = np.where(np.isnan(values), _FILL, values).astype("f4")


WRITER: Final[MakeWriter] = LaiReprocessedWriter
