"""Station tables of one's own: ``NAME.csv`` with ``NAME.toml`` beside it, which says what its columns mean.

The declaration::

    network = "NZW"
    station = "Xilinhot"           # or station_column = "site", for several stations in one table
    latitude = 43.950              # or latitude_column = "lat"; every decimal written counts
    longitude = 116.120            # or longitude_column
    elevation = 1003.0             # may be left out
    separator = ","                # may be left out

    [time]
    column = "time"
    format = "%Y-%m-%d %H:%M"      # left out: 2018-06-01 or 2018-06-01 14:00
    utc_offset_hours = 8           # of the clock that wrote the times
    step_hours = 1                 # 1 for hourly values, 24 for daily means
    stamps = "start"               # or "end": where in its hour or day a time stands

    [[sensor]]                     # as many as there are columns of values
    column = "sm_10cm"
    depth = [0.1, 0.1]             # metres below ground, from and to
    name = "5TM"
    content = "volumetric"         # or "relative": to what the soil holds at most
    unit = "percent"               # or "1"; "m3 m-3" for volumetric content
    full = 0.38                    # for relative content: m3 m-3 at 100 percent; or, where that is the field capacity,
    # field_capacity = 0.24        # kg kg-1 of dry soil, and
    # bulk_density = 1300          # kg m-3
    missing = ["NA", "-9999"]      # texts that mean no value; an empty one always does
    flag_column = "flag"           # may be left out, with good_flags
    good_flags = ["G", ""]

Hourly values are kept as they are; days are made of them where they are compared with maps.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.esri import beside
from ingest.reader import Identity, Yield
from ingest.refusal import one_line, refusing
from ingest.sniff import Format, head, sniff
from ingest.tables import read_rows
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.soil_water import relative_to_volumetric
from smcatalog.core.stations import Depth, Site, StationSeries

__all__ = ["READER", "StationCsv"]

_SUFFIX: Final = ".csv"
_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?$")
_PERCENT: Final = "percent"
_VOLUMETRIC: Final = {"m3 m-3": 1.0, "1": 1.0, _PERCENT: 0.01}
_RELATIVE: Final = {"1": 1.0, _PERCENT: 0.01}
_WETTEST: Final = 1.5
"""Relative content that is wetter than the soil holds by so much is in another unit."""
_OFFSETS: Final = 14
_STEPS: Final = (1, 24)


def _declaration(path: Path) -> Path | None:
    """Return the file that declares a table's columns; None when there is none."""
    return beside(path, f"{path.stem}.toml")


@dataclass(frozen=True, slots=True)
class _Either:
    """A value that holds for the whole table, or the column that has it."""

    value: str | None
    column: str | None

    def of(self, row: dict[str, str]) -> str:
        if self.value is not None:
            return self.value
        return row[self.column or ""].strip()


@dataclass(frozen=True, slots=True)
class _Sensor:
    """A column of values; ``factor`` makes m3 m-3 of them."""

    column: str
    depth: Depth
    name: str
    factor: float
    relative: bool
    percent: bool
    missing: frozenset[str]
    flag_column: str | None
    good_flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Map:
    """What the columns of a table mean."""

    network: str
    station: _Either
    latitude: _Either
    longitude: _Either
    elevation: float | None
    separator: str
    time: str
    format: str | None
    to_start: np.timedelta64
    step_hours: int
    sensors: tuple[_Sensor, ...]

    @property
    def columns(self) -> frozenset[str]:
        places = (self.station, self.latitude, self.longitude)
        used = {self.time, *(p.column for p in places if p.column is not None)}
        used |= {s.column for s in self.sensors}
        used |= {s.flag_column for s in self.sensors if s.flag_column is not None}
        return frozenset(used)


class _Table:
    """A table of the declaration; what nobody asked for at the end is a mistake in it."""

    def __init__(self, values: Any, what: str) -> None:
        if not isinstance(values, dict):
            raise RefusedInput(f"its declaration has no table {what}")
        self._values, self._what = dict(values), what

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        value = self._values.pop(key, default)
        if value is None:
            raise RefusedInput(f"its declaration lacks '{key}' in {self._what}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RefusedInput(f"its declaration has {key} = {value!r} in {self._what}")
        return value

    def maybe(self, key: str, kind: type | tuple[type, ...]) -> Any:
        return self.take(key, kind) if key in self._values else None

    def either(self, key: str, kind: type | tuple[type, ...]) -> _Either:
        value, column = self.maybe(key, kind), self.maybe(f"{key}_column", str)
        if (value is None) == (column is None):
            raise RefusedInput(f"its declaration must have one of '{key}' and '{key}_column'")
        return _Either(None if value is None else str(value), column)

    def end(self) -> None:
        if self._values:
            raise RefusedInput(
                f"its declaration has keys in {self._what} that mean nothing: {', '.join(sorted(self._values))}"
            )


_NUMBER: Final = (int, Decimal)


def _declared(path: Path) -> _Map:
    """Read a declaration.

    Raises
    ------
    RefusedInput
        When it is no TOML, incomplete or contradicts itself.
    """
    with refusing("has a declaration that is no TOML", (OSError, ValueError)):
        # Decimal keeps the zeros at the end, which are decimals of a place too
        root = _Table(
            tomllib.loads(path.read_text("utf-8-sig"), parse_float=Decimal), "its first part"
        )
    time = _Table(root.take("time", dict), "[time]")
    sensors = root.take("sensor", list)
    elevation = root.maybe("elevation", _NUMBER)
    step = time.take("step_hours", int)
    offset = float(time.take("utc_offset_hours", _NUMBER))
    stamps = time.take("stamps", str, "start")
    if step not in _STEPS or abs(offset) > _OFFSETS or stamps not in {"start", "end"}:
        raise RefusedInput(
            f"its declaration has step_hours = {step}, utc_offset_hours = {offset:g}, stamps = {stamps!r}: "
            "the step is 1 or 24, the offset at most 14 hours, the stamp at start or end"
        )
    # kept in seconds: clocks of half hours exist
    seconds = -round(offset * 3600) - (step * 3600 if stamps == "end" else 0)
    found = _Map(
        root.take("network", str), root.either("station", str), root.either("latitude", _NUMBER),
        root.either("longitude", _NUMBER), None if elevation is None else float(elevation),
        root.take("separator", str, ","), time.take("column", str), time.maybe("format", str),
        np.timedelta64(seconds, "s"), step, tuple(map(_sensor, sensors)),
    )  # fmt: skip
    root.end()
    time.end()
    if not found.sensors or len({(s.name, s.depth) for s in found.sensors}) != len(found.sensors):
        raise RefusedInput("its declaration has no [[sensor]], or two of one name and depth")
    if len(found.separator) != 1:
        raise RefusedInput(f"its declaration has separator = {found.separator!r}: one character")
    return found


def _sensor(values: Any) -> _Sensor:
    table = _Table(values, "[[sensor]]")
    content, unit = table.take("content", str), table.take("unit", str)
    units = {"volumetric": _VOLUMETRIC, "relative": _RELATIVE}.get(content)
    if units is None or unit not in units:
        raise RefusedInput(
            f"its declaration has content = {content!r} in unit = {unit!r}: volumetric in m3 m-3, 1 or percent, "
            "or relative in 1 or percent"
        )
    relative = content == "relative"
    full = _full(table) if relative else 1.0
    if not 0 < full <= 1:
        raise RefusedInput(
            f"its declaration has full = {full:g}: m3 m-3 that the soil holds at most"
        )
    depth = table.take("depth", list)
    with _possible("a depth"):
        top, bottom = (float(end) for end in depth)
        layer = Depth(top, bottom)
    flag = table.maybe("flag_column", str)
    sensor = _Sensor(
        table.take("column", str), layer, table.take("name", str, "unknown"), units[unit] * full, relative,
        unit == _PERCENT, frozenset(map(str, table.take("missing", list, []))) | {""}, flag,
        frozenset(map(str, table.take("good_flags", list))) if flag else frozenset({""}),
    )  # fmt: skip
    table.end()
    return sensor


def _full(table: _Table) -> float:
    """Return what 100 percent of relative content is [m³ m⁻³]."""
    capacity = table.maybe("field_capacity", _NUMBER)
    if capacity is None:
        return float(table.take("full", _NUMBER))
    with _possible("a field capacity or bulk density"):
        density = float(table.take("bulk_density", _NUMBER))
        return float(relative_to_volumetric(np.array(100.0), float(capacity), density))


@contextmanager
def _possible(what: str) -> Iterator[None]:
    try:
        yield
    except (UsageError, ValueError, TypeError) as error:
        raise RefusedInput(f"has {what} that is impossible: {one_line(error)}") from error


@dataclass(frozen=True, slots=True)
class StationCsv:
    """Reader of tables that come with a declaration."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "station-csv"

    @property
    def title(self) -> str:
        """What the source is."""
        return "Soil moisture of stations as CSV, with a TOML beside it that says what the columns mean"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a table by the declaration beside it."""
        if not name.lower().endswith(_SUFFIX) or sniff(head(path)) is not Format.TEXT:
            return None
        declaration = _declaration(path)
        if declaration is None:
            return None
        _declared(declaration)
        return Identity(self.source, name[: -len(_SUFFIX)])

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield the series of each station and sensor, in volumetric content and UTC."""
        declaration = _declaration(path)
        if declaration is None:
            raise RefusedInput("has no declaration beside it any more")
        declared = _declared(declaration)
        rows = read_rows(path, declared.columns, declared.separator)
        stations: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            stations.setdefault(declared.station.of(row), []).append(row)
        empty = True
        for station, own in stations.items():
            site = _site(declared, station, own)
            times = _times(declared, [row[declared.time].strip() for row in own])
            for sensor in declared.sensors:
                series = _series(declared, site, sensor, times, own)
                if series is not None:
                    empty = False
                    yield series
        if empty:
            raise RefusedInput(f"holds no value at all: {len(rows)} rows, all missing")


def _site(declared: _Map, station: str, rows: list[dict[str, str]]) -> Site:
    places = {(declared.latitude.of(row), declared.longitude.of(row)) for row in rows}
    if not station or len(places) != 1:
        raise RefusedInput(f"gives {len(places)} places for the station {station!r}")
    ((latitude, longitude),) = places
    decimals = max(len(text.partition(".")[2]) for text in (latitude, longitude))
    with _possible(f"a place of station {station!r}"):
        return Site(
            declared.network,
            station,
            float(latitude),
            float(longitude),
            decimals,
            declared.elevation,
        )


def _times(declared: _Map, texts: list[str]) -> NDArray[np.datetime64]:
    """Return the starts of hours or days in UTC."""
    if declared.format is None:
        for text in texts:
            if not _ISO.match(text):
                raise RefusedInput(
                    f"{text!r} is not written YYYY-MM-DD HH:MM: declare the format of the times"
                )
        with refusing("holds a time that does not exist", (ValueError,)):
            parsed = [datetime.fromisoformat(text) for text in texts]
    else:
        with refusing("holds a time that is not of the declared format", (ValueError,)):
            parsed = [datetime.strptime(text, declared.format) for text in texts]  # noqa: DTZ007 - shifted below
        if any(time.tzinfo for time in parsed):
            raise RefusedInput("declares a format with a time zone: declare utc_offset_hours alone")
    times: NDArray[np.datetime64] = np.array([time.isoformat() for time in parsed], "datetime64[s]")
    shifted: NDArray[np.datetime64] = times + declared.to_start
    return shifted


def _series(
    declared: _Map,
    site: Site,
    sensor: _Sensor,
    times: NDArray[np.datetime64],
    rows: list[dict[str, str]],
) -> StationSeries | None:
    """Return a sensor's values that are there, in the order of time; None when there is none."""
    texts = [row[sensor.column].strip() for row in rows]
    there = np.array([text not in sensor.missing for text in texts], bool)
    if not there.any():
        return None
    with refusing(f"holds a value of {sensor.column} that is not a number", (ValueError,)):
        values = np.array([float(t) for t, kept in zip(texts, there, strict=True) if kept])
    _check_unit(sensor, values)
    flags = (
        np.full(len(rows), "")
        if sensor.flag_column is None
        else np.array([row[sensor.flag_column].strip() for row in rows])
    )[there]
    order = np.argsort(times[there], kind="stable")
    ordered = times[there][order]
    if (np.diff(ordered) <= np.timedelta64(0, "s")).any():
        raise RefusedInput(f"has a time of station {site.station} twice")
    flags = flags[order]
    return StationSeries(
        site, sensor.name, "sm", sensor.depth, declared.step_hours, ordered,
        (values * sensor.factor).astype(np.float32)[order], flags,
        np.isin(flags, sorted(sensor.good_flags)),
    )  # fmt: skip


def _check_unit(sensor: _Sensor, values: NDArray[np.float64]) -> None:
    """Refuse values that are in another unit than is declared, as far as they show it."""
    if not np.isfinite(values).all():
        raise RefusedInput(f"holds values of {sensor.column} that are not finite numbers")
    highest = float(values.max())
    if sensor.percent and 0 < highest <= 1:
        raise RefusedInput(
            f"{sensor.column} is declared in percent and reaches {highest:g} at most: fractions?"
        )
    if sensor.relative and float(np.median(values)) * (0.01 if sensor.percent else 1) > _WETTEST:
        raise RefusedInput(
            f"half of {sensor.column} is over {_WETTEST:.0%} of what the soil holds: percent for fractions, or "
            "not relative"
        )


READER: Final = StationCsv()
