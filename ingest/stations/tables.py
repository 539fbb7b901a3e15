"""Station tables: comma-separated files with one station's days, or with a list of stations.

What their columns mean is declared in ``tables.toml``.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.esri import beside
from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, first_line, head, sniff
from ingest.tables import check_header, read_rows
from smcatalog.core.errors import DefinitionError, RefusedInput, UsageError
from smcatalog.core.stations import Depth, Site, StationSeries

__all__ = ["READER", "Declaration", "StationTables", "Values", "declared"]

_NAME: Final = "name"
_UNIT: Final = "m3 m-3"
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_STEP_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Values:
    """Where a table holds its values.

    Parameters
    ----------
    time, column : str
        Columns of the day and of the soil moisture [m³ m⁻³].
    begins : np.timedelta64
        Where the day begins, from its midnight in UTC.
    depth : Depth
        Of the sensor.
    sensor : str
        Instrument's name.
    missing : frozenset of str
        Texts that mean no value.
    """

    time: str
    column: str
    begins: np.timedelta64
    depth: Depth
    sensor: str
    missing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the tables of one name pattern hold.

    Parameters
    ----------
    pattern : re.Pattern
        Of the whole delivered name.
    columns : frozenset of str
        Columns that must be there.
    network : str
        Network's name.
    station : str
        Column of the station's name, or "name" when the pattern's group ``station`` says it.
    latitude, longitude : str
        Columns of the place.
    values : Values or None
        None for a list of stations.
    """

    pattern: re.Pattern[str]
    columns: frozenset[str]
    network: str
    station: str
    latitude: str
    longitude: str
    values: Values | None

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Declaration:
        """Read one entry of the TOML.

        Raises
        ------
        DefinitionError
            When the entry is incomplete or contradicts itself.
        """
        try:
            values = None
            if "value" in table:
                if table["unit"] != _UNIT:
                    raise DefinitionError(
                        f"tables.toml: values are in {_UNIT}, not {table['unit']}"
                    )
                values = Values(
                    table["time"], table["value"], np.timedelta64(int(table["begins_hours"]), "h"),
                    Depth(*table["depth"]), table["sensor"], frozenset(table["missing"]),
                )  # fmt: skip
            entry = cls(
                re.compile(table["pattern"]), frozenset(table["columns"]), table["network"],
                table["station"], table["latitude"], table["longitude"], values,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, re.error) as error:
            raise DefinitionError(f"tables.toml: {error!r} in {table}") from error
        used = {entry.latitude, entry.longitude}
        used |= {values.time, values.column} if values else set()
        used |= set() if entry.station == _NAME else {entry.station}
        if not used <= entry.columns or (entry.station == _NAME) != (
            "station" in entry.pattern.groupindex
        ):
            raise DefinitionError(
                f"tables.toml: {sorted(used)} must be among the columns of {table}"
            )
        return entry


@dataclass(frozen=True, slots=True)
class StationTables:
    """Reader of declared station tables.

    Parameters
    ----------
    declarations : tuple of Declaration
        The tables it knows.
    """

    declarations: tuple[Declaration, ...]

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "station-table"

    @property
    def title(self) -> str:
        """What the source is."""
        return "Daily soil moisture of single stations, and lists of stations, as CSV"

    def _find(self, name: str) -> tuple[Declaration, re.Match[str]] | None:
        for declaration in self.declarations:
            if match := declaration.pattern.fullmatch(name):
                return declaration, match
        return None

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a table by its name; its header must then be the declared one.

        A table with a declaration of its own beside it is none of these.
        """
        found = self._find(name)
        start = head(path)
        if found is None or sniff(start) is not Format.TEXT or _declared_apart(path):
            return None
        check_header(found[0].columns, next(csv.reader([first_line(start)]), []))
        return Identity(self.source, name.removesuffix(".csv"))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield a station's series, or the sites of a list of stations."""
        found = self._find(f"{identity.name}.csv")
        if found is None:
            raise RefusedInput(f"{identity.name} is not a declared station table")
        declaration, match = found
        rows = read_rows(path, declaration.columns)
        if declaration.values is None:
            yield from _sites(declaration, rows)
        else:
            yield _series(declaration, declaration.values, match["station"], rows)


def _declared_apart(path: Path) -> bool:
    """Say whether a declaration of its own lies beside a table."""
    return beside(path, f"{path.stem}.toml") is not None


def _site(declaration: Declaration, station: str, row: dict[str, str]) -> Site:
    texts = [row[column].strip() for column in (declaration.latitude, declaration.longitude)]
    try:
        latitude, longitude = (float(text) for text in texts)
        decimals = max(len(text.partition(".")[2]) for text in texts)
        return Site(declaration.network, station, latitude, longitude, decimals)
    except (ValueError, UsageError) as error:
        raise RefusedInput(f"station {station!r} has impossible coordinates: {texts}") from error


def _sites(declaration: Declaration, rows: list[dict[str, str]]) -> Iterator[Site]:
    seen: set[str] = set()
    for row in rows:
        station = row[declaration.station].strip()
        if not station or station in seen:
            raise RefusedInput(f"the station's name {station!r} is empty or stands there twice")
        seen.add(station)
        yield _site(declaration, station, row)


def _series(
    declaration: Declaration, values: Values, station: str, rows: list[dict[str, str]]
) -> StationSeries:
    places = {(row[declaration.latitude], row[declaration.longitude]) for row in rows}
    if len(places) != 1:
        raise RefusedInput(f"gives {len(places)} places for one station: {sorted(places)[:3]}")
    present = [row for row in rows if row[values.column].strip() not in values.missing]
    if not present:
        raise RefusedInput(f"holds no value at all: {len(rows)} rows, all missing")
    days = _days([row[values.time].strip() for row in present])
    if (np.diff(days) <= np.timedelta64(0, "D")).any():
        raise RefusedInput("its days do not rise strictly: rows are twice there or out of order")
    numbers = _numbers([row[values.column] for row in present])
    n = len(days)
    times: NDArray[np.datetime64] = days.astype("datetime64[s]")
    return StationSeries(
        _site(declaration, station, rows[0]), values.sensor, "sm", values.depth, _STEP_HOURS,
        times + values.begins, numbers, np.full(n, ""), np.ones(n, bool),
    )  # fmt: skip


def _days(texts: list[str]) -> NDArray[np.datetime64]:
    for text in texts:
        if not _DAY.match(text):
            raise RefusedInput(f"{text!r} is not a day written YYYY-MM-DD")
    with refusing("holds a day that does not exist", (ValueError,)):
        return np.array(texts, "datetime64[D]")


def _numbers(texts: list[str]) -> NDArray[np.float32]:
    with refusing("holds a value that is not a number", (ValueError,)):
        numbers = np.array([float(text) for text in texts], np.float64)
    if not np.isfinite(numbers).all():
        raise RefusedInput("holds values that are not finite numbers")
    return numbers.astype(np.float32)


def declared(text: str) -> tuple[Declaration, ...]:
    """Read the declarations of a TOML text.

    Raises
    ------
    DefinitionError
        When the text is not TOML or an entry is wrong.
    """
    try:
        return tuple(map(Declaration.from_table, tomllib.loads(text)["table"]))
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise DefinitionError(f"tables.toml: {error!r}") from error


READER: Final = StationTables(
    declared(files(__package__).joinpath("tables.toml").read_text("utf-8"))
)
