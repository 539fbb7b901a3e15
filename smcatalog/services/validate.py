"""Validation: maps beside stations, and how well they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from smcatalog.core.encoding import QUALITY_NODATA, decode
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.stations import Depth
from smcatalog.core.variables import variable
from smcatalog.database import matchups as db
from smcatalog.database.engine import transaction
from smcatalog.database.metrics import Grouping, GroupMoments, group_moments
from smcatalog.database.products import find_product
from smcatalog.database.statistics import refresh_statistics
from smcatalog.store import Store
from smcatalog.validation.metrics import Scores

__all__ = [
    "Grouping",
    "MatchupChanges",
    "ScoreRow",
    "ValidationReport",
    "update_matchups",
    "validate",
]

_MAPS_AT_ONCE: Final = 100
_BLOCK: Final = 512

_Pixel = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """Scores of one group of match-ups.

    Parameters
    ----------
    version : int
        Number of the product version.
    network, station : str or None
        Of the group, where it is grouped by them.
    month : date or None
        First day of the month, where it is grouped by month.
    band : int
        Band of the map, from 1.
    depth : Depth
        Of the band.
    stations : int
        How many stations count; those at one place count once.
    map : Scores
        Of the map.
    coarse : Scores
        Of the coarse product at the same pairs, as far as it has values there.
    """

    version: int
    network: str | None
    station: str | None
    month: date | None
    band: int
    depth: Depth
    stations: int
    map: Scores
    coarse: Scores


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """How well a product's maps agree with stations.

    Parameters
    ----------
    product : str
        Name of the product.
    by : Grouping
        What the rows are.
    rows : tuple of ScoreRow
        Ordered by version, band and names.
    written, dropped : int
        Match-ups that this run wrote, new or again, and removed because no observation supports
        them any more.
    statistics_changed : int
        Rows of the monthly roll-up that this run changed.
    as_of : datetime or None
        Instant at which the maps were in force; None for the live ones.
    """

    product: str
    by: Grouping
    rows: tuple[ScoreRow, ...]
    written: int
    dropped: int
    statistics_changed: int
    as_of: datetime | None = None

    @property
    def changed(self) -> bool:
        """Whether this run changed anything in the database."""
        return bool(self.written or self.dropped or self.statistics_changed)


@dataclass(frozen=True, slots=True)
class MatchupChanges:
    """What bringing match-ups up to date did: rows written, removed, changed in the roll-up."""

    written: int
    dropped: int
    statistics: int


def validate(
    engine: Engine,
    store: Store,
    product: str,
    *,
    by: Grouping = Grouping.STATION,
    first: date | None = None,
    last: date | None = None,
    network: str | None = None,
    as_of: datetime | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ValidationReport:
    """Bring a product's match-ups up to date and score its maps against stations.

    Parameters
    ----------
    engine : Engine
        Of the database.
    store : Store
        Where maps and layers lie.
    product : str
        Name of the product.
    by : Grouping
        What the rows of the report are.
    first, last : date, optional
        Only maps dated from ``first`` to ``last``, both included.
    network : str, optional
        Only stations of this network.
    as_of : datetime, optional
        Score the maps that were in force at this instant, not the live ones. The observations are
        today's: they have no history.
    dry_run : bool
        Score the match-ups that there are and leave them as they are.
    progress : callable, optional
        Called with the number of maps done and of all that have something to do.

    Raises
    ------
    NotFoundError
        When the product was never produced here, or no network is called so.
    UsageError
        When ``last`` is before ``first``.
    StoreError
        When a file of a map or layer is missing or damaged.
    DatabaseUnavailable
        When no database answers.
    """
    if first is not None and last is not None and last < first:
        raise UsageError(f"the last day {last} is before the first day {first}")
    product_id = transaction(engine, lambda c: _known(c, product, network))
    changes = MatchupChanges(0, 0, 0)
    if not dry_run:
        changes = update_matchups(engine, store, product_id, as_of=as_of, progress=progress)
    groups = transaction(
        engine,
        lambda c: group_moments(
            c, product_id, by=by, first=first, last=last, network=network, as_of=as_of
        ),
    )
    return ValidationReport(
        product=product,
        by=by,
        rows=tuple(map(_score, groups)),
        written=changes.written,
        dropped=changes.dropped,
        statistics_changed=changes.statistics,
        as_of=as_of,
    )


def update_matchups(
    engine: Engine,
    store: Store,
    product_id: int,
    *,
    as_of: datetime | None = None,
    first: date | None = None,
    last: date | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MatchupChanges:
    """Make the match-ups of a product's live maps, or of those of an instant, that are missing or out of date.

    With days, only of maps dated from ``first`` to ``last``, both included: what they cost does not depend on
    the history before them then.

    Each hundred maps are a transaction of their own: a run that is cut off loses no more, and the
    next one goes on.
    """
    places, grids = transaction(
        engine, lambda c: _places_and_grids(c, product_id, as_of, first, last)
    )
    inside = [(name, station) for name in grids for station in places.inside(name)]
    waiting, obsolete = transaction(
        engine, lambda c: db.outdated(c, product_id, inside, as_of, first, last)
    )
    transaction(engine, lambda c: db.drop(c, obsolete))
    by_map: dict[int, list[db.PendingMatchup]] = defaultdict(list)
    for matchup in waiting:
        by_map[matchup.map_id].append(matchup)
    done, maps = 0, iter(sorted(by_map))
    while chunk := list(islice(maps, _MAPS_AT_ONCE)):
        where = transaction(engine, partial(db.inputs, map_ids=chunk))
        found: list[db.NewMatchup] = []
        for map_id in chunk:
            found += _sample(store, where[map_id], by_map[map_id], places)
            done += 1
            if progress is not None:
                progress(done, len(by_map))
        transaction(engine, partial(db.write, matchups=found))
    statistics = transaction(engine, lambda c: refresh_statistics(c, product_id, first, last))
    return MatchupChanges(len(waiting), len(obsolete), statistics)


class _Places:
    """Stations' places, and the pixels of grids that hold them."""

    def __init__(self, places: Sequence[tuple[int, float, float]]) -> None:
        self._stations = [station for station, _, _ in places]
        self._longitudes = np.array([longitude for _, longitude, _ in places], float)
        self._latitudes = np.array([latitude for _, _, latitude in places], float)
        self._pixels: dict[str, dict[int, _Pixel]] = {}

    def inside(self, name: str) -> dict[int, _Pixel]:
        """Return row and column by station, for the stations in a grid."""
        if name not in self._pixels:
            rows, columns, inside = grid(name).locate(self._longitudes, self._latitudes)
            self._pixels[name] = {
                station: (int(row), int(column))
                for station, row, column, there in zip(
                    self._stations, rows, columns, inside, strict=True
                )
                if there
            }
        return self._pixels[name]


def _known(connection: Connection, product: str, network: str | None) -> int:
    product_id = find_product(connection, product)
    if product_id is None:
        raise NotFoundError(
            f"no map of a product '{product}' was ever made here: run `smcatalog produce {product}`"
        )
    if network is not None and network not in (names := db.network_names(connection)):
        raise NotFoundError(
            f"no network is called '{network}'; there are {', '.join(names) or 'none yet'}"
        )
    return product_id


def _places_and_grids(
    connection: Connection,
    product_id: int,
    as_of: datetime | None,
    first: date | None,
    last: date | None,
) -> tuple[_Places, list[str]]:
    grids = db.grids_in_force(connection, product_id, as_of, first, last)
    return _Places(db.station_places(connection)), grids


def _sample(
    store: Store, where: db.MatchupInput, waiting: Sequence[db.PendingMatchup], places: _Places
) -> list[db.NewMatchup]:
    """Read a map and what was downscaled at the stations; each file is opened once a block."""
    stations = sorted({matchup.station_id for matchup in waiting})
    pixels = {station: places.inside(where.grid)[station] for station in stations}
    stored = _read(store, where.soil_moisture, pixels)
    values = {station: decode(steps) for station, steps in stored.items()}
    quality = _read(store, where.quality, pixels)
    coarse = _coarse(store, where, stations, places)
    found = []
    for matchup in waiting:
        bits = quality[matchup.station_id]
        flags = int(bits[min(matchup.band, len(bits)) - 1])  # one band of quality may serve all
        estimate = float(values[matchup.station_id][matchup.band - 1])
        found.append(
            db.NewMatchup(
                matchup,
                estimate=None if np.isnan(estimate) else estimate,
                coarse=coarse.get(matchup.station_id),
                quality=None if flags == QUALITY_NODATA else flags,
            )
        )
    return found


def _coarse(
    store: Store, where: db.MatchupInput, stations: Sequence[int], places: _Places
) -> dict[int, float]:
    """Return the coarse product by station: the mean of its layers that have a value there."""
    values: dict[int, list[float]] = defaultdict(list)
    for key, grid_name, variable_name in where.coarse:
        inside = places.inside(grid_name)
        pixels = {station: inside[station] for station in stations if station in inside}
        for station, stored in _read(store, key, pixels).items():
            value = float(variable(variable_name).decode(stored[:1])[0])
            if not np.isnan(value):
                values[station].append(value)
    return {station: float(np.mean(found)) for station, found in values.items()}


def _read(store: Store, key: str, pixels: Mapping[int, _Pixel]) -> dict[int, NDArray[Any]]:
    """Return the stored values of all bands by station.

    Stations of one block of the file are read at once, and blocks without a station not at all.
    """
    blocks: dict[_Pixel, list[int]] = defaultdict(list)
    for station, (row, column) in pixels.items():
        blocks[row // _BLOCK, column // _BLOCK].append(station)
    values: dict[int, NDArray[Any]] = {}
    for stations in blocks.values():
        rows = [pixels[station][0] for station in stations]
        columns = [pixels[station][1] for station in stations]
        window = store.read(
            key,
            rows=slice(min(rows), max(rows) + 1),
            columns=slice(min(columns), max(columns) + 1),
        )
        for station, row, column in zip(stations, rows, columns, strict=True):
            values[station] = window[:, row - min(rows), column - min(columns)]
    return values


def _score(group: GroupMoments) -> ScoreRow:
    return ScoreRow(
        version=group.version,
        network=group.network,
        station=group.station,
        month=group.month,
        band=group.band,
        depth=Depth(*group.depth),
        stations=group.stations,
        map=Scores.of(group.map),
        coarse=Scores.of(group.coarse),
    )
