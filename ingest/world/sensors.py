"""Soil moisture stations of the simulated world: where they stand, and what their probes read.

A probe reads the water of its own spot, not of the square kilometre around it: an offset and a factor per
station. Upon that come noise, ice (a probe sees liquid water only) and now and then a defect, which
the provider's quality control finds or misses. Everything is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.defects import Defect, apply, defects
from ingest.world.landscape import Landscape
from ingest.world.noise import white
from ingest.world.state import LAYERS_CM, DayState
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.stations import Depth, Site
from smcatalog.resample.geometry import transformer

__all__ = ["Readings", "Record", "Sensor", "Station", "read", "sensor_defects", "stations"]

_HOURS: Final = 24
_KM2_PER_STATION: Final = 4800.0
_FEWEST: Final = 6
_CLUSTERED: Final = 0.5
"""Share of the stations that stand in clusters of three or four."""
_COARSE: Final = 36
"""Kilometre cells along an edge of a cell of 36 km: what a cluster stands in."""
_DECIMALS: Final = 5
_OFFSET, _FACTOR, _NOISE = 0.02, 0.08, 0.004
_DRIEST: Final = 0.25
"""Water of the driest spells, relative to the wilting point."""
_CARELESS: Final = 0.45
_THERMOMETER: Final = 0.7
_LIQUID: Final = 0.25
"""What a probe still sees of the water in frozen soil."""
_FREEZES: Final = 0.10
"""Down to here the soil freezes when the state says that its upper part is frozen [m]."""
_FLAGGED: Final = 0.2
"""Ice from which on the soil counts as frozen."""
_MODELLED: Final = 2.05
"""Of a normal number; what is below it in all but one of fifty."""
_INSTRUMENTS: Final = ("5TM", "EC-TM", "CS655", "Hydraprobe II")
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Sensor:
    """A probe.

    Parameters
    ----------
    depth : Depth
        Where it is [m].
    instrument : str
        Its type.
    layer : int
        Layer of the profile that it is in.
    """

    depth: Depth
    instrument: str
    layer: int


@dataclass(frozen=True, slots=True)
class Station:
    """A station and how it differs from the cell around it.

    Parameters
    ----------
    site : Site
        Names and place.
    row, column : int
        Its cell in the landscape's grid.
    offset, factor : float
        ``reading = offset + factor * truth``: how its spot differs from its cell [m3 m-3], [1].
    saturation : float
        Water content at saturation [m3 m-3].
    careless : bool
        Whether it is badly kept: defects come often.
    thermometer : bool
        Whether the provider knows its soil's temperature and flags frost by that.
    sensors : tuple of Sensor
        From the surface down.
    """

    site: Site
    row: int
    column: int
    offset: float
    factor: float
    saturation: float
    careless: bool
    thermometer: bool
    sensors: tuple[Sensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What a sensor delivers.

    Parameters
    ----------
    times : ndarray of datetime64[s], shape (n,)
        Every hour, UTC.
    values : ndarray of float64, shape (n,)
        To four decimals [m3 m-3]; NaN where the sensor was silent.
    flags : ndarray of str, shape (n,)
        The provider's quality flags, as the ISMN writes them.
    """

    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    flags: NDArray[np.str_]


class Record:
    """Collects the truth at the stations day by day.

    Parameters
    ----------
    stations : sequence of Station
        The order in which the arrays have them.
    """

    def __init__(self, stations: tuple[Station, ...]) -> None:
        self.stations = stations
        self.layers = sorted({s.layer for station in stations for s in station.sensors})
        self._rows = np.array([station.row for station in stations])
        self._columns = np.array([station.column for station in stations])
        self._days: list[date] = []
        self._water: list[NDArray[np.float32]] = []
        self._frozen: list[NDArray[np.bool_]] = []

    def add(self, state: DayState) -> None:
        """Take a day.

        Raises
        ------
        UsageError
            When it does not follow the day before.
        """
        if self._days and state.day != self._days[-1] + timedelta(days=1):
            raise UsageError(f"after {self._days[-1]} comes {state.day}: give every day, in order")
        here = _at(state, self._rows, self._columns)
        water = [[here.layer(i, float(hour)) for hour in range(_HOURS)] for i in self.layers]
        self._days.append(state.day)
        self._water.append(np.array(water, np.float32))
        self._frozen.append(here.frozen)

    @property
    def days(self) -> tuple[date, ...]:
        """The days that were taken."""
        return tuple(self._days)

    def hours(self) -> tuple[int, int]:
        """Return the first hour, since 1970, and the number of hours."""
        if not self._days:
            return 0, 0
        return (self._days[0] - _EPOCH).days * _HOURS, len(self._days) * _HOURS

    def water(self, index: int, layer: int) -> NDArray[np.float64]:
        """Return the hourly water content at a station in a layer [m3 m-3], shape (hours,)."""
        at = self.layers.index(layer)
        return np.concatenate([day[at, :, index] for day in self._water]).astype(np.float64)

    def frozen(self, index: int) -> NDArray[np.float64]:
        """Return how far the upper soil of a station is frozen, 0…1, hour by hour.

        Frost comes and goes within a day: from noon to noon.
        """
        daily = np.array([day[index] for day in self._frozen], np.float64)
        noons = np.arange(len(daily)) * _HOURS + _HOURS / 2
        return np.interp(np.arange(len(daily) * _HOURS), noons, daily)


def _at(state: DayState, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> DayState:
    """Return the state at some cells only: its arrays get one axis of cells instead of rows and columns."""
    arrays: dict[str, Any] = {
        f.name: values[..., rows, columns]
        for f in fields(state)
        if isinstance(values := getattr(state, f.name), np.ndarray)
    }
    return replace(state, **arrays)


def stations(land: Landscape) -> tuple[Station, ...]:
    """Return the stations of a landscape: the same at every call.

    Half of them stand in clusters of three or four within a coarse cell, as networks made for satellite
    validation do; none stands in water, and no two in one cell.

    Raises
    ------
    UsageError
        When there is no room for them on land.
    """
    rng = land.generator("stations")
    rows, columns = land.grid.shape
    area = rows * columns * land.grid.cell[0] * land.grid.cell[1] / 1e6
    count = max(_FEWEST, round(area / _KM2_PER_STATION))
    free = ~land.water
    plan = []
    for name, block in _blocks(land, rng, count):
        row, column = _free_cell(free, block, rng)
        free[row, column] = False
        plan.append(_station(land, name, row, column, rng))
    return tuple(plan)


def _blocks(
    land: Landscape, rng: np.random.Generator, count: int
) -> Iterator[tuple[str, tuple[slice, slice]]]:
    """Yield each station's name and the coarse cell in which it stands."""
    rows, columns = land.grid.shape
    blocks = [
        (slice(r, r + _COARSE), slice(c, c + _COARSE))
        for r in range(0, rows, _COARSE)
        for c in range(0, columns, _COARSE)
    ]
    dry = [block for block in blocks if land.water[block].mean() < 0.5]  # noqa: PLR2004 - half
    if not dry:
        raise UsageError(
            "the region is under water: there is no place for stations; choose another seed"
        )
    order = rng.permutation(len(dry))
    made = cluster = 0
    while made < count:
        size = int(rng.integers(3, 5)) if made < _CLUSTERED * count else 1
        block = dry[order[cluster % len(dry)]]
        cluster += 1
        for member in range(min(size, count - made)):
            yield (f"C{cluster:02d}-{member + 1}" if size > 1 else f"P{cluster:02d}"), block
            made += 1


def _free_cell(
    free: NDArray[np.bool_], block: tuple[slice, slice], rng: np.random.Generator
) -> tuple[int, int]:
    inside = np.argwhere(free[block])
    if not len(inside):
        raise UsageError("there is no place left for stations on land: choose a larger region")
    row, column = inside[rng.integers(len(inside))]
    return int(row) + block[0].start, int(column) + block[1].start


def _station(
    land: Landscape, name: str, row: int, column: int, rng: np.random.Generator
) -> Station:
    longitude, latitude = _place(land.grid, row, column, rng)
    site = Site(
        land.preset.network, name, latitude, longitude, _DECIMALS,
        round(float(land.elevation[row, column]), 1),
    )  # fmt: skip
    instrument = str(rng.choice(_INSTRUMENTS))
    # some probes stand upright and average over the upper 5 cm, most lie at 5 cm
    surface = Depth(0.0, 0.05) if rng.random() < 0.3 else Depth(0.05, 0.05)  # noqa: PLR2004
    deeper = ((0.10, 0.20, 0.50), (0.10,), (), ())[rng.integers(4)]
    depths = (surface, *(Depth(depth, depth) for depth in deeper))
    offset, factor = rng.normal(0.0, _OFFSET), rng.normal(1.0, _FACTOR)
    # networks calibrate a probe that reads less than nothing in dry soil
    offset = max(offset, -_DRIEST * float(land.wilting[row, column]))
    return Station(
        site, row, column,
        offset=round(float(offset), 4), factor=round(float(factor), 4),
        saturation=round(float(land.porosity[row, column]), 2),
        careless=bool(rng.random() < _CARELESS), thermometer=bool(rng.random() < _THERMOMETER),
        sensors=tuple(Sensor(depth, instrument, _layer(depth)) for depth in depths),
    )  # fmt: skip


def _layer(depth: Depth) -> int:
    """Return the layer whose lower bound is at or just below the sensor's lower end."""
    return int(np.searchsorted(LAYERS_CM, round(depth.bottom * 100, 3), side="left")) - 1


def _place(grid: Grid, row: int, column: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return a place well inside a cell, as a network states it [degrees]."""
    x, y = grid.transform * (column + rng.uniform(0.1, 0.9), row + rng.uniform(0.1, 0.9))
    to_degrees = transformer(grid, Grid.latlon(-180, 90, 1.0, (180, 360)))
    longitude, latitude = to_degrees.transform(x, y)
    return round(float(longitude), _DECIMALS), round(float(latitude), _DECIMALS)


def sensor_defects(
    land: Landscape, station: Station, sensor: Sensor, first_hour: int, hours: int
) -> tuple[Defect, ...]:
    """Return a sensor's defects that touch some hours, counted since 1970."""
    key = _key(station, sensor)
    rate = 1.0 if station.careless else 0.15
    return defects(land, key, first_hour, hours, rate=rate, saturation=station.saturation)


def read(land: Landscape, record: Record, index: int, sensor: Sensor) -> Readings:
    """Return what a sensor of a station delivers over the recorded days.

    Parameters
    ----------
    index : int
        Number of the station in the record.
    sensor : Sensor
        One of its sensors.
    """
    station = record.stations[index]
    first, count = record.hours()
    values = station.offset + station.factor * record.water(index, sensor.layer)
    ice = record.frozen(index) if sensor.depth.bottom <= _FREEZES else np.zeros(count)
    values *= 1.0 - (1.0 - _LIQUID) * ice
    values += _NOISE * white(land.seed, f"probe/{_key(station, sensor)}", first, count)
    events = sensor_defects(land, station, sensor, first, count)
    values, marked = apply(events, values, first)
    values = np.round(values, 4)
    with np.errstate(invalid="ignore"):
        marked |= {
            "C01": values < 0.0,
            "C02": values > 0.6,  # noqa: PLR2004 - the provider's bound
            "C03": values > station.saturation,
            **_frost_flags(land, station, first, ice),
        }
    times = (first + np.arange(count)).astype("datetime64[h]").astype("datetime64[s]")
    return Readings(times, values, _flags(marked, np.isnan(values)))


def _key(station: Station, sensor: Sensor) -> str:
    return f"{station.site.station}/{sensor.depth}"


def _frost_flags(
    land: Landscape, station: Station, first: int, ice: NDArray[np.float64]
) -> dict[str, NDArray[np.bool_]]:
    """Flag frozen hours: by a thermometer all, by a land surface model (GLDAS) all but one day in fifty."""
    frozen = ice > _FLAGGED
    if station.thermometer:
        return {"D01": frozen}
    days = len(ice) // _HOURS
    seen = white(land.seed, f"gldas/{station.site.station}", first // _HOURS, days) < _MODELLED
    return {"D03": frozen & np.repeat(seen, _HOURS)}


def _flags(marked: dict[str, NDArray[np.bool_]], silent: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Join the codes of each hour with commas; G where there is none, M where there is no value."""
    text = np.full(len(silent), "", "U40")
    for code in sorted(marked):
        text[marked[code]] = np.char.add(text[marked[code]], f",{code}")
    text = np.char.lstrip(text, ",")
    flags: NDArray[np.str_] = np.where(silent, "M", np.where(text == "", "G", text))
    return flags
