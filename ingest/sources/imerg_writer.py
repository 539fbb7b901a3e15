"""GPM IMERG's daily rain of the simulated world, 0.1 degrees: the window around the region that a subset order would hold.

The estimate sees each storm by satellites, mistakes its strength by a factor that is the same over some tens of kilometres, and misses
drizzle; on some days a few of the half hours are missing.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.quarters import DegreeCells
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery

__all__ = ["WRITER", "ImergWriter"]

_PER_DEGREE: Final = 10
_FILL: Final = np.float32(-9999.9)
_EPOCH: Final = date(1970, 1, 1)
_ERROR: Final = 0.4
"""Standard deviation of the factor's logarithm."""
_DRIZZLE: Final = 0.2
"""Rain that is not seen [mm]."""
_HALF_HOURS: Final = 48
_LOST: Final = 0.05
"""Share of the days on which half hours are missing."""


class ImergWriter:
    """Writes a file of each day.

    Parameters
    ----------
    land : Landscape
        Where it rains.
    folder : Path
        Where ``3B-DAY.MS.MRG.3IMERG.20180610-S000000-E235959.V07B.nc4`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._cells = DegreeCells(land, _PER_DEGREE)

    def day(self, state: DayState) -> None:
        """Write the day's file."""
        rain = self._cells.mean(state.rain, land=False)
        error = self._cells.noise("IMERG", state.day, longest=0.8, shortest=0.4)
        # the mean of the factors is one
        seen = rain * np.exp(_ERROR * error - _ERROR**2 / 2)
        seen = np.where(seen < _DRIZZLE, 0.0, seen)
        random = self._land.generator("IMERG", state.day, "gaps").random(2)
        count = _HALF_HOURS - (1 + int(4 * random[1]) if random[0] < _LOST else 0)
        self._write(state.day, {
            "precipitation": (np.where(np.isnan(seen), _FILL, seen).astype("f4"), "mm/day"),
            "precipitation_cnt": (np.where(np.isnan(seen), 0, count).astype("i1"), "count"),
            "randomError": (np.where(np.isnan(seen), _FILL, _ERROR * seen).astype("f4"), "mm/day"),
        })  # fmt: skip

    def end(self) -> None:
        """Write nothing: each day is complete in itself."""

    def _write(self, day: date, fields: dict[str, tuple[NDArray[Any], str]]) -> None:
        name = f"3B-DAY.MS.MRG.3IMERG.{day:%Y%m%d}-S000000-E235959.V07B.nc4"
        longitudes, latitudes = self._cells.grid.centres()
        axes = (
            ("time", np.array([(day - _EPOCH).days], "i4"), "days since 1970-01-01 00:00:00Z"),
            ("lon", longitudes.astype("f4"), "degrees_east"),
            ("lat", latitudes[::-1].astype("f4"), "degrees_north"),
        )
        with delivery(self._folder / name) as path, h5py.File(path, "w") as file:
            file.attrs["FileHeader"] = np.bytes_(
                f"AlgorithmID=3IMERGD;\nFileName={name};\nTimeInterval=DAY;\nProductVersion=V07B;\n"
            )
            for axis, values, unit in axes:
                scale = file.create_dataset(axis, data=values, track_times=False)
                scale.make_scale(axis)
                scale.attrs["units"] = np.bytes_(unit)
            for variable, (values, unit) in fields.items():
                data = file.create_dataset(
                    variable, data=values[::-1].T[None], compression="gzip", track_times=False
                )
                data.attrs["units"] = np.bytes_(unit)
                if values.dtype.kind == "f":
                    data.attrs["_FillValue"] = np.array([_FILL])
                for i, (axis, _, _) in enumerate(axes):
                    data.dims[i].attach_scale(file[axis])


WRITER: Final[MakeWriter] = ImergWriter
