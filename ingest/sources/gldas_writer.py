"""GLDAS-2.1 Noah of the simulated world, 0.25 degrees: what a model with its own soil makes of the region's weather.

Files hold the window around the region that a subset order would, at midnight and noon of UTC, as an order of every fourth file. The model
follows the weather and is too wet or too dry by place, and its soil moves less than the world's. It is deeper than the
world's profile, whose last layer goes on below.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.quarters import DegreeCells
from ingest.world.state import LAYERS_CM, DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.time import utc_midnight

__all__ = ["WRITER", "GldasWriter"]

_PER_DEGREE: Final = 4
_LAYERS: Final = ((0, 10), (10, 40), (40, 100), (100, 200))
"""Bounds of the model's layers [cm]."""
_HOURS: Final = (0, 12)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FILL: Final = np.float32(-9999.0)
_CONTRAST: Final = 0.75
_MIDDLE: Final = 0.22
_BIAS: Final = 0.03
_LEAST, _MOST = 0.02, 0.468
"""Water that its loams can hold [m3 m-3]."""


def _weights(top: int, bottom: int) -> list[float]:
    """Return the shares that the world's layers have in one of the model's."""
    found = [max(min(end, bottom) - max(start, top), 0) for start, end in pairwise(LAYERS_CM)]
    if not any(found):
        found[-1] = 1
    return [one / sum(found) for one in found]


_WEIGHTS: Final = np.array([_weights(*layer) for layer in _LAYERS], np.float32)


class GldasWriter:
    """Writes two files of each day.

    Parameters
    ----------
    land : Landscape
        What is modelled; open water is not.
    folder : Path
        Where ``GLDAS_NOAH025_3H.A20180610.0000.021.nc4`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._cells = DegreeCells(land, _PER_DEGREE)
        self._bias = _BIAS * self._cells.noise("GLDAS", "bias", longest=5.0, shortest=0.5)

    def day(self, state: DayState) -> None:
        """Write the day's files."""
        for hour in _HOURS:
            layers = range(len(LAYERS_CM) - 1)
            profile = (
                np.stack([state.layer(i, float(hour)) for i in layers]) if hour else state.before
            )
            water = np.tensordot(_WEIGHTS, profile, 1)
            fields = {
                f"SoilMoi{top}_{bottom}cm_inst": 10 * (bottom - top) * self._model(one)
                for (top, bottom), one in zip(_LAYERS, water, strict=True)
            }
            self._write(utc_midnight(state.day) + timedelta(hours=hour), fields)

    def end(self) -> None:
        """Write nothing: each file is complete in itself."""

    def _model(self, water: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what the model has where the world has so much water [m3 m-3]."""
        values = _MIDDLE + _CONTRAST * (self._cells.mean(water) - _MIDDLE) + self._bias
        return np.clip(values, _LEAST, _MOST)

    def _write(self, instant: datetime, fields: dict[str, NDArray[np.float64]]) -> None:
        longitudes, latitudes = self._cells.grid.centres()
        minutes = (instant - _EPOCH).total_seconds() / 60
        axes: tuple[tuple[str, NDArray[Any], str], ...] = (
            ("time", np.array([minutes]), "minutes since 2000-01-01 00:00:00"),
            ("lat", latitudes[::-1].astype("f4"), "degrees_north"),
            ("lon", longitudes.astype("f4"), "degrees_east"),
        )
        name = f"GLDAS_NOAH025_3H.A{instant:%Y%m%d.%H%M}.021.nc4"
        with delivery(self._folder / name) as path, h5py.File(path, "w") as file:
            file.attrs["title"] = np.bytes_("GLDAS2.1 LIS land surface model output")
            for axis, values, unit in axes:
                scale = file.create_dataset(axis, data=values, track_times=False)
                scale.make_scale(axis)
                scale.attrs["units"] = np.bytes_(unit)
            file["time"].attrs["time_increment"] = np.bytes_("180")
            for variable, values in fields.items():
                stored = np.where(np.isnan(values), _FILL, values)[::-1][None].astype("f4")
                data = file.create_dataset(
                    variable, data=stored, compression="gzip", track_times=False
                )
                data.attrs.update({"units": np.bytes_("kg m-2"), "_FillValue": np.array([_FILL])})
                for i, (axis, _, _) in enumerate(axes):
                    data.dims[i].attach_scale(file[axis])


WRITER: Final[MakeWriter] = GldasWriter
