"""SPL4SMGP of the simulated world: three-hourly means of a land model on the grid of 9 km.

The provider's model runs from midnight on and gives eight granules a day. Only two of them are written, 21 to
24 and 0 to 3 UTC, the hours around the morning pass of a radiometer over East Asia: a subset order for these
hours looks the same. The model follows the truth of its cells, has a bias of its own that varies smoothly from place to
place, and errors that come and go.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.world.cells import Array, Cells
from ingest.world.landscape import Landscape
from ingest.world.state import LAYERS_CM, DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import grid
from smcatalog.core.time import DAY, utc_midnight

__all__ = ["HOURS", "MODEL", "Spl4smgpWriter"]

HOURS: Final = (1.5, 22.5)
"""Middles of the steps that are written, in hours of the UTC day."""

_SOURCE: Final = "SPL4SMGP"
_GRID: Final = "M09"
_FILL: Final = -9999.0
_CHUNK: Final = (116, 241)
_EPOCH: Final = datetime.fromisoformat("2000-01-01T11:58:55.816+00:00")
_EPOCH_UNITS: Final = "seconds since 2000-01-01 11:58:55.816"
_HALF_STEP: Final = timedelta(minutes=90)
_BIAS: Final = {"sm_surface": 0.020, "sm_rootzone": 0.015}
_ERROR: Final = {"sm_surface": 0.012, "sm_rootzone": 0.004}
"""Standard deviations between places and between days [m3 m-3]."""
_DAMPED: Final = 0.85
"""Of the truth's departures from field capacity the model shows so much."""
_LEAST: Final = 0.01
_FIELDS: Final[dict[str, tuple[str, str, float, float]]] = {
    "sm_surface": ("Top layer soil moisture (0-5 cm)", "m3 m-3", 0.0, 0.9),
    "sm_rootzone": ("Root zone soil moisture (0-100 cm)", "m3 m-3", 0.0, 0.9),
    "surface_temp": (
        "Mean land surface temperature (incl. snow-covered land area)",
        "K",
        180.0,
        350.0,
    ),
}
_PLACES: Final = {
    "cell_lat": ("The geodetic latitude of the center of each cell.", "degrees"),
    "cell_lon": ("The longitude of the center of each cell.", "degrees"),
}


class Spl4smgpWriter:
    """Writes a granule for each of `HOURS` of a day.

    Parameters
    ----------
    land : Landscape
        What does not change.
    folder : Path
        Where the granules go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._cells = Cells(land, _GRID)
        self._places = {name: list(_compressed(name)) for name in _PLACES}
        self._capacity = self._cells.mean(land.capacity)
        self._porosity = self._cells.mean(land.porosity)
        drawn = self._cells.random(land.generator(_SOURCE, "bias"), len(_BIAS))
        self._bias = {
            name: scale * one for (name, scale), one in zip(_BIAS.items(), drawn, strict=True)
        }

    def day(self, state: DayState) -> None:
        """Write the day's granules."""
        random = self._cells.random(self._land.generator(_SOURCE, state.day), len(_ERROR))
        errors = dict(zip(_ERROR, random, strict=True))
        for hour in HOURS:
            self._write(state, hour, self._fields(state, hour, errors))

    def end(self) -> None:
        """Write nothing: each day is complete in itself."""

    def _fields(self, state: DayState, hour: float, errors: dict[str, Array]) -> dict[str, Array]:
        """Return the fields of a step, NaN over water."""
        mean = self._cells.mean
        thickness = np.diff(LAYERS_CM) / LAYERS_CM[-1]
        profile = sum(
            np.float32(part) * state.layer(i, hour) for i, part in enumerate(thickness.tolist())
        )
        truth = {"sm_surface": mean(state.surface(hour)), "sm_rootzone": mean(np.asarray(profile))}
        fields = {}
        for name, true in truth.items():
            shown = self._capacity + _DAMPED * (true - self._capacity)
            shown = shown + self._bias[name] + _ERROR[name] * errors[name]
            fields[name] = np.clip(shown, _LEAST, self._porosity)
        return fields | {"surface_temp": mean(state.air_temperature(hour)) + 273.15}

    def _write(self, state: DayState, hour: float, fields: dict[str, Array]) -> None:
        middle = utc_midnight(state.day) + timedelta(hours=hour)
        name = f"SMAP_L4_SM_gph_{middle:%Y%m%dT%H%M%S}_Vv7032_001.h5"
        cells = self._cells
        with delivery(self._folder / name) as path, h5py.File(path, "w") as file:
            file.attrs.update({
                "Conventions": np.bytes_("CF"),
                "Filename": np.bytes_(name),
                "Title": np.bytes_("SMAP L4_SM Geophysical (GPH) Data Granule"),
                "Comment": np.bytes_("Simulated: no model of the provider made these values."),
            })  # fmt: skip
            for group, attributes in _metadata(name, middle).items():
                file.create_group(f"Metadata/{group}").attrs.update(attributes)
            time = file.create_dataset(
                "time", data=[(middle - _EPOCH).total_seconds()], track_times=False
            )
            time.attrs["units"] = np.bytes_(_EPOCH_UNITS)
            for key, (text, unit) in _PLACES.items():
                data = _create(file, key, text, unit, (_ROWS, grid(_GRID).shape[1]))
                for row, chunk in self._places[key]:
                    data.id.write_direct_chunk((row, 0), chunk)
            group = file.create_group("Geophysical_Data")
            for key, (text, unit, low, high) in _FIELDS.items():
                data = _create(group, key, text, unit, _CHUNK)
                data.attrs.update(valid_min=np.float32(low), valid_max=np.float32(high))
                data.attrs["coordinates"] = np.bytes_("cell_lat cell_lon")
                values = np.nan_to_num(fields[key], nan=_FILL).astype(np.float32)
                data[cells.rows, cells.columns] = values


def _create(
    group: h5py.Group, name: str, text: str, unit: str, chunk: tuple[int, int]
) -> h5py.Dataset:
    data = group.create_dataset(
        name, grid(_GRID).shape, "f4", chunks=chunk, compression="gzip", fillvalue=_FILL,
        track_times=False,
    )  # fmt: skip
    data.attrs.update({
        "long_name": np.bytes_(text), "units": np.bytes_(unit),
        "_FillValue": np.float32(_FILL), "missing_value": np.float32(_FILL),
    })  # fmt: skip
    return data


_ROWS: Final = 203
"""Rows of the coordinates that are compressed together: an eighth of the globe."""


def _compressed(name: str) -> Iterator[tuple[int, bytes]]:
    """Yield first row and bytes of each chunk of a coordinate: the same in all granules, made once."""
    whole = Cells.everywhere(_GRID)[name == "cell_lon"]
    rows, columns = grid(_GRID).shape
    for row in range(0, rows, _ROWS):
        lines: NDArray[Any] = whole[row : row + _ROWS, None] if name == "cell_lat" else whole[None]
        block = np.broadcast_to(lines, (_ROWS, columns)).astype("<f4")
        yield row, zlib.compress(block.tobytes(), 4)


def _metadata(name: str, middle: datetime) -> dict[str, dict[str, Any]]:
    first, last = middle - _HALF_STEP, middle + _HALF_STEP
    return {
        "DatasetIdentification": {
            "shortName": _SOURCE,
            "fileName": name,
            "VersionID": "Vv7032",
            "creationDate": f"{middle + 3 * DAY:%Y-%m-%d}",
            "abstract": "Simulated: no model of the provider made these values.",
            "originatorOrganizationName": "smcatalog, simulated world",
        },
        "SeriesIdentification": {
            "shortName": _SOURCE,
            "VersionID": "Vv7032",
            "longName": "SMAP L4 Global 3-hourly 9 km EASE-Grid Surface and Root Zone Soil Moisture "
            "Geophysical Data",
        },
        "Extent": {
            "rangeBeginningDateTime": f"{first:%Y-%m-%dT%H:%M:%S}.000Z",
            "rangeEndingDateTime": f"{last:%Y-%m-%dT%H:%M:%S}.000Z",
            "westBoundLongitude": np.float32(-180.0),
            "eastBoundLongitude": np.float32(180.0),
            "southBoundLatitude": np.float32(-85.0445),
            "northBoundLatitude": np.float32(85.0445),
        },
    }


MODEL: Final[MakeWriter] = Spl4smgpWriter
"""Makes the writer of SPL4SMGP."""
