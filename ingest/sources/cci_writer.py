"""ESA CCI soil moisture, COMBINED, of the simulated world: the globe's daily image, in which the region alone holds anything.

An image shows the upper 5 cm around its midnight, where one of two radiometers passed; the merged product keeps a bias of its
own in each place, has less contrast than the world, and no value on frozen ground, which its flags tell.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.orbits import AMSR2, SMAP, Overpass, passes
from ingest.world.quarters import DegreeCells, window_of
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery

__all__ = ["WRITER", "CciWriter"]

_PER_DEGREE: Final = 4
_VERSION: Final = "fv09.1"
_EPOCH: Final = date(1970, 1, 1)
_CHUNK: Final = (1, 90, 120)
_FILL: Final = -9999.0

_CONTRAST: Final = 0.85
_BIAS: Final = 0.025
_ERROR: Final = 0.02
_ERROR_BY_VEGETATION: Final = 0.006
"""Of the retrievals [m3 m-3; per kg m-2]."""
_MIDDLE: Final = 0.2
_LEAST: Final = 0.01
_HALF: Final = 0.5
_DENSE: Final = 5.0
_SNOWY: Final = 5.0

_SNOW, _VEGETATION = 1, 2
_FLAGS: Final = (
    (0, "no_data_inconsistency_detected"),
    (_SNOW, "snow_coverage_or_temperature_below_zero"),
    (_VEGETATION, "dense_vegetation"),
    (3, "combination_of_flag_values_1_and_2"),
    (4, "others_no_convergence_in_the_model_thus_no_valid_sm_estimates"),
)
_SENSORS: Final = {AMSR2: 1 << 7, SMAP: 1 << 12}


class CciWriter:
    """Writes an image of each day on which a radiometer passed.

    Parameters
    ----------
    land : Landscape
        What is seen.
    folder : Path
        Where the images go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._cells = DegreeCells(land, _PER_DEGREE)
        self._window = window_of(self._cells.grid, _PER_DEGREE)
        self._bias = _BIAS * self._cells.noise("CCI", "bias", longest=4.0, shortest=0.5)
        self._capacity = self._cells.mean(land.porosity)

    def day(self, state: DayState) -> None:
        """Write the day's image, if there is a retrieval in it."""
        cells = self._cells
        longitude, latitude = cells.grid.centres()
        sensors = np.zeros(cells.grid.shape, np.int16)
        for orbit, bit in _SENSORS.items():
            seen, _ = passes(
                orbit, state.day, Overpass.DESCENDING, longitude[None, :], latitude[:, None]
            )
            sensors[seen] |= np.int16(bit)
        known = (sensors != 0) & (cells.water <= _HALF)
        vegetation = cells.mean(state.vegetation_water)
        flags = np.zeros(known.shape, np.int8)
        with np.errstate(invalid="ignore"):
            cold = cells.mean(state.frozen | (state.snow > _SNOWY)) > _HALF
            flags[known & cold] |= np.int8(_SNOW)
            flags[known & (vegetation > _DENSE)] |= np.int8(_VEGETATION)
        retrieved = known & ~cold
        if not retrieved.any():
            return
        error = _ERROR + _ERROR_BY_VEGETATION * vegetation
        noise = cells.noise("CCI", state.day, longest=1.0, shortest=0.5)
        truth = cells.mean(state.surface(0.0))
        values = _MIDDLE + _CONTRAST * (truth - _MIDDLE) + self._bias + error * noise
        values = np.clip(values, _LEAST, self._capacity)
        self._write(state.day, {
            "sm": (np.where(retrieved, values, _FILL), "f4", "m3 m-3", "Volumetric Soil Moisture"),
            "sm_uncertainty": (np.where(retrieved, error, _FILL), "f4", "m3 m-3", "Volumetric Soil Moisture Uncertainty"),
            "flag": (flags, "i1", None, "Flag"),
            "sensor": (sensors, "i2", None, "Sensor"),
        })  # fmt: skip

    def end(self) -> None:
        """Write nothing: each day is complete in itself."""

    def _write(
        self, day: date, fields: dict[str, tuple[NDArray[Any], str, str | None, str]]
    ) -> None:
        name = f"ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-{day:%Y%m%d}000000-{_VERSION}.nc"
        shape = (1, 180 * _PER_DEGREE, 360 * _PER_DEGREE)
        with delivery(self._folder / name) as path, h5py.File(path, "w") as file:
            noons = day - timedelta(days=1), day
            file.attrs.update({
                "id": np.bytes_(name), "title": np.bytes_("ESA CCI Surface Soil Moisture COMBINED active+passive Product"),
                "product_version": np.bytes_(_VERSION.removeprefix("fv")),
                "time_coverage_start": np.bytes_(f"{noons[0]}T12:00:00Z"), "time_coverage_end": np.bytes_(f"{noons[1]}T12:00:00Z"),
            })  # fmt: skip
            steps = (np.arange(n) + 0.5 for n in shape[1:])
            latitude, longitude = (next(steps) / -_PER_DEGREE + 90, next(steps) / _PER_DEGREE - 180)
            _coordinate(
                file,
                "time",
                np.array([float((day - _EPOCH).days)]),
                "days since 1970-01-01 00:00:00 UTC",
            )
            _coordinate(file, "lat", latitude.astype("f4"), "degrees_north")
            _coordinate(file, "lon", longitude.astype("f4"), "degrees_east")
            for variable, (values, kind, unit, title) in fields.items():
                fill = np.dtype(kind).type(_FILL if unit else 0)
                data = file.create_dataset(
                    variable, shape, kind, chunks=_CHUNK, compression="gzip", fillvalue=fill, track_times=False,
                )  # fmt: skip
                data[(0, *self._window)] = values
                data.attrs["long_name"] = np.bytes_(title)
                if unit:
                    data.attrs.update({"units": np.bytes_(unit), "_FillValue": np.array([fill])})
                for axis, scale in enumerate(("time", "lat", "lon")):
                    data.dims[axis].attach_scale(file[scale])
            file["flag"].attrs.update({
                "flag_values": np.array([value for value, _ in _FLAGS], "i1"),
                "flag_meanings": np.bytes_(" ".join(word for _, word in _FLAGS)),
            })  # fmt: skip


def _coordinate(file: h5py.File, name: str, values: NDArray[Any], unit: str) -> None:
    data = file.create_dataset(name, data=values, track_times=False)
    data.make_scale(name)
    data.attrs["units"] = np.bytes_(unit)


WRITER: Final[MakeWriter] = CciWriter
