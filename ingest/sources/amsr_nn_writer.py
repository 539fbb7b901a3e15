"""AMSR2's soil moisture by a neural network in the simulated world: what learned from SMAP makes of another radiometer.

The pass at half past one in the night; the network keeps SMAP's kind of bias and adds an error of its own, has less contrast than
the world, and no value on frozen ground or where half of a cell is water.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import h5py
import numpy as np

from ingest.world.cells import Array, Cells
from ingest.world.landscape import Landscape
from ingest.world.orbits import AMSR2, Overpass, passes
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import grid

__all__ = ["WRITER", "AmsrNnWriter"]

_BASE: Final = "M36"
_BIAS: Final = 0.015
_CONTRAST: Final = 0.9
_MIDDLE: Final = 0.2
_ERROR: Final = 0.02
_ERROR_BY_VEGETATION: Final = 0.008
"""Of the retrievals [m3 m-3; per kg m-2]: a shorter wave than SMAP's sees less through the leaves."""
_LEAST: Final = 0.02
_HALF: Final = 0.5
_SNOWY: Final = 5.0
_CHUNK: Final = (58, 241)


class AmsrNnWriter:
    """Writes a field of each day on which a pass retrieves anything in the region.

    Parameters
    ----------
    land : Landscape
        What is seen.
    folder : Path
        Where ``NNsm-AMSR-2018152.nc`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._cells = Cells(land, _BASE)
        self._porosity = self._cells.mean(land.porosity)
        self._bias = _BIAS * self._cells.random(land.generator("AMSR-NN", "bias"))[0]

    def day(self, state: DayState) -> None:
        """Write the day's field, if there is anything in it."""
        cells = self._cells
        seen, hour = passes(
            AMSR2, state.day, Overpass.DESCENDING, cells.longitude[None, :], cells.latitude[:, None]
        )
        with np.errstate(invalid="ignore"):
            cold = cells.mean(state.frozen | (state.snow > _SNOWY)) > _HALF
        retrieved = seen & (cells.water <= _HALF) & ~cold
        if not retrieved.any():
            return
        # the region is crossed in a minute
        truth = cells.mean(state.surface(float(np.nanmean(hour))))
        error = _ERROR + _ERROR_BY_VEGETATION * cells.mean(state.vegetation_water)
        noise = cells.random(self._land.generator("AMSR-NN", state.day))[0]
        values = _MIDDLE + _CONTRAST * (truth - _MIDDLE) + self._bias + error * noise
        self._write(state, np.where(retrieved, np.clip(values, _LEAST, self._porosity), np.nan))

    def end(self) -> None:
        """Write nothing: each day is complete in itself."""

    def _write(self, state: DayState, values: Array) -> None:
        name = f"NNsm-AMSR-{state.day:%Y%j}.nc"
        latitude, longitude = Cells.everywhere(_BASE)
        with delivery(self._folder / name) as path, h5py.File(path, "w") as file:
            for key, degrees in (("latitude", latitude), ("longitude", longitude)):
                file.create_dataset(key, data=degrees.astype("f4")[:, None], track_times=False)
            data = file.create_dataset(
                "soil_moisture", grid(_BASE).shape, "f4", chunks=_CHUNK, compression="gzip",
                fillvalue=np.float32(np.nan), track_times=False,
            )  # fmt: skip
            data[self._cells.rows, self._cells.columns] = values


WRITER: Final[MakeWriter] = AmsrNnWriter
