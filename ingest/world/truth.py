"""The truth of a simulated world, beside the granules that show it through instruments.

Each day's mean water content of the upper 5 cm at 1 km, the ground that never changes, and the stations with
what is wrong with them. Nothing here is ingested: it is what results are compared with.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from ingest.world.defects import Defect
from ingest.world.landscape import Landscape
from ingest.world.sensors import Sensor, Station, sensor_defects, stations
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import Grid
from smcatalog.core.time import julian

__all__ = ["WRITER", "TruthWriter"]

_SCALE: Final = 0.0001
_NODATA: Final = -9999
_BLOCK: Final = 256
_EPOCH: Final = date(1970, 1, 1)


class TruthWriter:
    """Writes the truth.

    ``sm_YYYYDDD.tif`` a day (int16, scale 0.0001 set, m3 m-3; water has no value), ``landscape.tif``
    (float32 bands with descriptions) and ``stations.json``, all on the landscape's window of M01.

    Parameters
    ----------
    land : Landscape
        What does not change.
    folder : Path
        Where the files go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._first: date | None = None
        self._last: date | None = None
        _write_landscape(land, folder / "landscape.tif")

    def day(self, state: DayState) -> None:
        """Write the day's mean soil moisture."""
        self._first = self._first or state.day
        self._last = state.day
        mean = state.surface_mean().astype(np.float64)
        stored = np.rint(mean / _SCALE).astype(np.int16)
        stored[self._land.water] = _NODATA
        with delivery(self._folder / f"sm_{julian(state.day)}.tif") as path:
            _write(
                path, self._land.grid, stored[np.newaxis], ("soil_moisture",), ("m3 m-3",),
                scale=_SCALE, nodata=_NODATA,
            )  # fmt: skip

    def end(self) -> None:
        """Write the stations, with the defects of the simulated days."""
        if self._first is None or self._last is None:
            return
        first = (self._first - _EPOCH).days * 24
        hours = ((self._last - self._first).days + 1) * 24
        preset = self._land.preset
        told = {
            "simulated": True,
            "preset": preset.name,
            "seed": self._land.seed,
            "grid": self._land.grid.name,
            "first_day": str(self._first),
            "last_day": str(self._last),
            "reading": "offset + factor * truth, less liquid water in frozen ground, noise, defects",
            "stations": [
                _station(self._land, station, first, hours) for station in stations(self._land)
            ],
        }
        with delivery(self._folder / "stations.json") as path:
            path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _write_landscape(land: Landscape, target: Path) -> None:
    bands = {
        "elevation": (land.elevation, "m"),
        "sand": (land.sand, "1"),
        "clay": (land.clay, "1"),
        "irrigated": (land.irrigated, "1"),
        "woody": (land.woody, "1"),
        "water": (land.water, "1"),
    }
    stack = np.stack([values.astype(np.float32) for values, _ in bands.values()])
    with delivery(target) as path:
        _write(path, land.grid, stack, tuple(bands), tuple(unit for _, unit in bands.values()))


def _write(
    path: Path,
    grid: Grid,
    stack: NDArray[Any],
    names: tuple[str, ...],
    units: tuple[str, ...],
    *,
    scale: float | None = None,
    nodata: float | None = None,
) -> None:
    count, rows, columns = stack.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=columns, count=count, dtype=stack.dtype.name,
        crs=f"EPSG:{grid.crs.epsg}", transform=grid.transform, nodata=nodata, compress="DEFLATE",
        predictor=3 if stack.dtype.kind == "f" else 2, tiled=True, blockxsize=_BLOCK,
        blockysize=_BLOCK,
    ) as out:  # fmt: skip
        out.write(stack)
        out.descriptions = names
        out.units = units
        if scale is not None:
            out.scales = (scale,) * count


def _station(land: Landscape, station: Station, first: int, hours: int) -> dict[str, Any]:
    site = station.site
    return {
        "network": site.network,
        "station": site.station,
        "longitude": site.longitude,
        "latitude": site.latitude,
        "elevation": site.elevation,
        "row": station.row,
        "column": station.column,
        "offset": station.offset,
        "factor": station.factor,
        "saturation": station.saturation,
        "careless": station.careless,
        "sensors": [_sensor(land, station, one, first, hours) for one in station.sensors],
    }


def _sensor(
    land: Landscape, station: Station, sensor: Sensor, first: int, hours: int
) -> dict[str, Any]:
    return {
        "depth": [sensor.depth.top, sensor.depth.bottom],
        "instrument": sensor.instrument,
        "defects": [_defect(one) for one in sensor_defects(land, station, sensor, first, hours)],
    }


def _defect(one: Defect) -> dict[str, Any]:
    start, end = (str(np.datetime64(hour, "h")) + ":00Z" for hour in (one.start, one.end))
    return {
        "kind": one.kind.value,
        "start": start,
        "end": end,
        "size": one.size,
        "flagged": one.flagged,
    }


WRITER: Final[MakeWriter] = TruthWriter
