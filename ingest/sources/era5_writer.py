"""ERA5-Land of the simulated world: a month's hours at 0.1° as the Climate Data Store delivers them.

The model follows the weather, and its soil is its own: too wet or too dry by place, and it moves less than the
world's. Rain, evaporation and sunshine are totals since 00 UTC: midnight holds the day before. The soil's
temperature follows the air's, the later and the weaker the deeper it is; evaporation is what the air asks for, as far
as the soil has it. What the air asks for and the sunshine come after Hargreaves and Samani (1985) from the day's
range of temperature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.noise import field
from ingest.world.reflectance import leaf_area
from ingest.world.state import LAYERS_CM, DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import BBox, Grid
from smcatalog.core.time import utc_midnight
from smcatalog.resample import cell_index

__all__ = ["WRITER", "Era5LandWriter"]

_PER_DEGREE: Final = 10
_LAYERS: Final = ((0, 7), (7, 28), (28, 100), (100, 289))
"""Bounds of the model's layers [cm]."""
_HOURS: Final = 24
_HALF: Final = 0.5
_CONTRAST, _MIDDLE, _BIAS = 0.7, 0.24, 0.03
_LEAST, _MOST = 0.02, 0.5
_RAIN_ERROR: Final = 0.25
"""Standard deviation of the logarithm of the rain's factor."""
_MEMORY: Final = (1.0, 5.0, 30.0, 120.0)
"""Days over which the layers' temperatures are means of the air's."""
_SWING: Final = (0.5, 0.05, 0.0, 0.0)
"""Shares of the day's swing that reach the layers."""
_LAG: Final = 3.0
"""Hours by which the upper soil is warmest after the air."""
_ZERO: Final = 273.15
_UNITS: Final = {
    **{f"swvl{n}": "m**3 m**-3" for n in (1, 2, 3, 4)}, **{f"stl{n}": "K" for n in (1, 2, 3, 4)},
    "t2m": "K", "d2m": "K", "lai_hv": "m**2 m**-2", "lai_lv": "m**2 m**-2", "tp": "m",
    "e": "m of water equivalent", "pev": "m", "ssrd": "J m**-2",
}  # fmt: skip
_TOTALS: Final = ("tp", "e", "pev", "ssrd")
_ROUNDED: Final = {"swvl": 1e-4, "stl": 0.01, "t2m": 0.01, "d2m": 0.01, "lai": 0.01, "ssrd": 10.0}
"""Steps to which values are rounded, as packing does it, by the beginning of the name; others to a µm."""

Array = NDArray[np.float64]


def _weights(top: int, bottom: int) -> list[float]:
    """Return the shares that the world's layers have in one of the model's; what is below is as the last."""
    found = [max(min(end, bottom) - max(start, top), 0) for start, end in pairwise(LAYERS_CM)]
    found[-1] += max(bottom - max(LAYERS_CM[-1], top), 0)
    return [one / sum(found) for one in found]


_WEIGHTS: Final = np.array([_weights(*layer) for layer in _LAYERS])


@dataclass(frozen=True, slots=True, eq=False)
class _Day:
    """A day's hours; states of 00 to 24 UTC, totals of 01 to 24, by name, shape (hours, rows, columns)."""

    day: date
    states: dict[str, Array]
    totals: dict[str, Array]


class Era5LandWriter:
    """Writes a file for each month.

    The last one ends with the midnight that completes its last day.

    Parameters
    ----------
    land : Landscape
        What is modelled; open water is not.
    folder : Path
        Where ``ERA5-Land_201806.nc`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land, self._folder = land, folder
        self._cells = _Cells(land)
        self._bias = _BIAS * self._cells.noise("bias", longest=4.0, shortest=0.3)
        self._rain = np.exp(_RAIN_ERROR * self._cells.noise("rain", longest=3.0, shortest=0.5))
        self._rain /= np.nanmean(self._rain)
        self._woody = self._cells.mean(land.woody)
        self._warmth: list[Array] = []
        self._days: list[_Day] = []
        self._last: _Day | None = None

    def day(self, state: DayState) -> None:
        """Take a day; write the month that ended before it."""
        if self._days and self._days[-1].day.month != state.day.month:
            self._write(ended=False)
        self._days.append(self._model(state))

    def end(self) -> None:
        """Write the last month, as far as it went."""
        if self._days:
            self._write(ended=True)

    def _model(self, state: DayState) -> _Day:
        mean, land = self._cells.mean, self._land
        hours = np.arange(_HOURS + 1.0)[:, None, None]
        coldest, warmest = mean(state.coldest), mean(state.warmest)
        air, swing = (warmest + coldest) / 2, (warmest - coldest) / 2
        states = dict(self._soil(state, hours))
        states |= self._temperatures(air, swing, hours)
        leaves = leaf_area(state.ndvi)
        states["lai_hv"] = _still(mean(leaves * land.woody) / np.maximum(self._woody, 0.01))
        states["lai_lv"] = _still(
            mean(leaves * (1 - land.woody)) / np.maximum(1 - self._woody, 0.01)
        )
        sun = self._sun(state.day)
        bright = sun * np.clip(0.16 * np.sqrt(2 * swing), 0.1, 0.75)
        asked = np.maximum(0.0023 * 0.408 * sun * (air + 17.8) * np.sqrt(2 * swing), 0.0)
        lost = asked * np.clip(states["swvl1"].mean(axis=0) / 0.3, 0.05, 1.0)
        risen, fallen = self._daylight(hours[1:]), _fallen(state.rain_hour, hours[1:])
        totals = {
            "tp": 1e-3 * mean(state.rain) * self._rain * fallen,
            "e": -1e-3 * lost * risen,
            "pev": -1e-3 * asked * risen,
            "ssrd": 1e6 * bright * risen,
        }
        return _Day(state.day, states, totals)

    def _soil(self, state: DayState, hours: Array) -> list[tuple[str, Array]]:
        """Return the water of the layers, which changes evenly over the day."""
        found = []
        for number, weights in enumerate(_WEIGHTS, 1):
            ends = (
                _MIDDLE
                + _CONTRAST * (self._cells.mean(np.tensordot(weights, profile, 1)) - _MIDDLE)
                + self._bias
                for profile in (state.before, state.after)
            )
            before, after = (np.clip(end, _LEAST, _MOST) for end in ends)
            found.append((f"swvl{number}", before + (after - before) * hours / _HOURS))
        return found

    def _temperatures(self, air: Array, swing: Array, hours: Array) -> dict[str, Array]:
        if not self._warmth:
            self._warmth = [air.copy() for _ in _MEMORY]
        phase = (hours - self._land.utc_hour(14.0)) * np.pi / 12
        found = {"t2m": _ZERO + air + swing * np.cos(phase)}
        # air that is near to saturation at dawn
        found["d2m"] = np.minimum(_still(_ZERO + air - swing - 1.0), found["t2m"])
        late = np.cos(phase - _LAG * np.pi / 12)
        for number, (days, share) in enumerate(zip(_MEMORY, _SWING, strict=True), 1):
            warmth = self._warmth[number - 1]
            warmth += (air - warmth) / days
            found[f"stl{number}"] = _ZERO + warmth + share * swing * late
        return found

    def _sun(self, day: date) -> Array:
        """Return the sunshine above the atmosphere [MJ m-2 d-1]: Allen et al. (1998), eq. 21."""
        turn = 2 * np.pi * day.timetuple().tm_yday / 365
        declination, distance = 0.409 * math.sin(turn - 1.39), 1 + 0.033 * math.cos(turn)
        phi = np.radians(self._cells.grid.centres()[1])[:, None]
        sunset = np.arccos(np.clip(-np.tan(phi) * math.tan(declination), -1, 1))
        above = sunset * np.sin(phi) * math.sin(declination)
        above = above + np.cos(phi) * math.cos(declination) * np.sin(sunset)
        found: Array = np.broadcast_to(37.6 * distance * above, self._cells.grid.shape)
        return found

    def _daylight(self, hours: Array) -> Array:
        """Return the share of the day's light that came from 00 UTC until some hours."""
        # daylight from 6 to 18 solar time, which may lie over midnight of UTC
        noon = self._land.utc_hour(12.0)
        steps = np.arange(0.5, _HOURS, 1.0)
        away = (steps - noon + 12) % 24 - 12
        light = np.maximum(np.cos(away * np.pi / 12), 0.0)
        share = np.cumsum(light) / light.sum()
        found: Array = share[np.rint(hours).astype(int) - 1]
        return found

    def _write(self, *, ended: bool) -> None:
        days = self._days
        first = utc_midnight(days[0].day)
        fields: dict[str, list[Array]] = {name: [] for name in _UNITS}
        for day in days:
            for name, values in day.states.items():
                fields[name].append(values[:_HOURS])
            for name in _TOTALS:
                before = self._last.totals[name][-1:] if self._last else _nothing(day.totals[name])
                fields[name] += [before, day.totals[name][:-1]]
            self._last = day
        hours = _HOURS * len(days)
        if ended:
            hours += 1
            for name, values in days[-1].states.items():
                fields[name].append(values[_HOURS:])
            for name in _TOTALS:
                fields[name].append(days[-1].totals[name][-1:])
        with delivery(self._folder / f"ERA5-Land_{first:%Y%m}.nc") as path:
            whole = {name: np.concatenate(parts) for name, parts in fields.items()}
            _save(path, self._cells.grid, first, hours, whole)
        self._days = []


class _Cells:
    """The model's cells, whose centres are on tenths of a degree; means over their land."""

    def __init__(self, land: Landscape) -> None:
        self._seed = land.seed
        self.grid = _window(land.grid.bbox())
        self._index = cell_index(land.grid, self.grid)
        self._dry = np.where(land.water, np.nan, 1.0)
        whole = self._index.mean(np.where(land.water, 0.0, 1.0))
        self._kept = (whole.coverage >= _HALF) & (np.nan_to_num(whole.mean) > _HALF)

    def mean(self, values: NDArray[Any]) -> Array:
        """Return the mean over a cell's land; NaN where there is too little of it."""
        found = self._index.mean(values.astype(np.float64) * self._dry).mean
        return np.where(self._kept, found, np.nan)

    def noise(self, purpose: str, *, longest: float, shortest: float) -> Array:
        """Return smooth standard normal numbers; wavelengths in degrees."""
        x, y = self.grid.centres()
        return field(
            self._seed,
            f"ERA5-Land/{purpose}",
            x,
            y,
            longest=longest,
            shortest=shortest,
            roughness=0.7,
        )


def _window(box: BBox) -> Grid:
    """Return the model's cells around a box."""
    west, south, east, north = box
    left, right = (math.floor(x * _PER_DEGREE + _HALF) for x in (west, east))
    bottom, top = (math.floor(y * _PER_DEGREE + _HALF) for y in (south, north))
    return Grid.latlon(
        (left - _HALF) / _PER_DEGREE, (top + _HALF) / _PER_DEGREE, 1 / _PER_DEGREE,
        (top - bottom + 1, right - left + 1),
    )  # fmt: skip


def _still(values: Array) -> Array:
    """Return what does not change over the day for each hour of it."""
    return np.broadcast_to(values, (_HOURS + 1, *values.shape))


def _fallen(middle: float, hours: Array) -> Array:
    """Return the share of the day's rain that fell until some hours, as the state has it."""
    start, end = (1 / (1 + math.exp(middle - hour)) for hour in (0.0, 24.0))
    share: Array = (1 / (1 + np.exp(middle - hours)) - start) / (end - start)
    return share


def _nothing(totals: Array) -> Array:
    """Return the midnight before the first day, of which nobody knows anything."""
    return np.full((1, *totals.shape[1:]), np.nan)


def _save(path: Path, grid: Grid, first: datetime, hours: int, fields: dict[str, Array]) -> None:
    longitudes, latitudes = grid.centres()
    seconds = int(first.timestamp()) + 3600 * np.arange(hours)
    axes: tuple[tuple[str, NDArray[Any], str], ...] = (
        ("valid_time", seconds, "seconds since 1970-01-01"),
        ("latitude", np.round(latitudes, 6), "degrees_north"),
        ("longitude", np.round(longitudes, 6), "degrees_east"),
    )
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = np.bytes_("CF-1.7")
        file.attrs["institution"] = np.bytes_("European Centre for Medium-Range Weather Forecasts")
        for name, values, unit in axes:
            scale = file.create_dataset(name, data=values, track_times=False)
            scale.make_scale(name)
            scale.attrs["units"] = np.bytes_(unit)
        file["valid_time"].attrs["calendar"] = np.bytes_("proleptic_gregorian")
        for name, values in fields.items():
            step = next((s for start, s in _ROUNDED.items() if name.startswith(start)), 1e-6)
            data = file.create_dataset(
                name, data=(np.rint(values / step) * step).astype("f4"), track_times=False,
                compression="gzip", compression_opts=1, shuffle=True,
                chunks=(min(_HOURS, hours), *grid.shape),
            )  # fmt: skip
            data.attrs["units"] = np.bytes_(_UNITS[name])
            data.attrs["_FillValue"] = np.array([np.nan], "f4")
            for i, (axis, _, _) in enumerate(axes):
                data.dims[i].attach_scale(file[axis])


WRITER: Final[MakeWriter] = Era5LandWriter
