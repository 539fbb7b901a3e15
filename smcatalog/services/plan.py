"""What is missing or stale, and why: worked out from the database alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection

from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.maps import MapStatus
from smcatalog.core.time import Period
from smcatalog.database.inputs import refusals_of
from smcatalog.database.maps import LiveMap, live_maps
from smcatalog.database.products import model_fingerprints
from smcatalog.methods import recipe as method_recipe
from smcatalog.products import Definition, Step, TimeRule, partition_name
from smcatalog.services.inputs import DayInputs, LayerIndex

__all__ = [
    "ALGORITHM",
    "DayInputs",
    "DayState",
    "PartitionInputs",
    "Plan",
    "PlannedDay",
    "make_plan",
    "map_fingerprint",
    "stand_in_fingerprint",
]

ALGORITHM: Final = 1
"""Version of everything between layers and maps that is not a method's own.

Raised whenever the same layers and recipe would give another map."""


class DayState(StrEnum):
    """What is to be done about a day."""

    MISSING = "missing"
    STALE = "stale"
    CURRENT = "current"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, eq=False)
class PartitionInputs:
    """What the model of a partition is learned from.

    Parameters
    ----------
    name : str
        Name of the partition, from `partition_name`.
    training : tuple of DayInputs
        Days whose samples it learns from; at least one.
    models : tuple of str
        Fingerprints that its model can have: its own first; then, should its samples be too few, those
        with the model of the partition before. At most one of them is ever fitted.
    earlier : PartitionInputs or None
        The partition before, whose model is used when the samples are too few.
    """

    name: str
    training: tuple[DayInputs, ...]
    models: tuple[str, ...]
    earlier: PartitionInputs | None


@dataclass(frozen=True, slots=True)
class PlannedDay:
    """A day of a product and what is to be done about it.

    Parameters
    ----------
    period : Period
        What the map covers.
    state : DayState
        Missing, stale, current or refused.
    reason : str
        Why, for a person.
    inputs : DayInputs or None
        None when the day cannot be made.
    partition : PartitionInputs or None
        Whose model makes the map; None when there is nothing to learn from yet.
    fingerprint : str or None
        That the map has or will have; None when that depends on a model not yet fitted.
    status : MapStatus
        Provisional as long as the look-ahead has not closed.
    item_id : str or None
        The live map's item.
    """

    period: Period
    state: DayState
    reason: str
    inputs: DayInputs | None
    partition: PartitionInputs | None
    fingerprint: str | None
    status: MapStatus
    item_id: str | None = None

    @property
    def day(self) -> date:
        """Day that the map is dated by."""
        return self.period.day

    @property
    def to_make(self) -> bool:
        """Whether the map is to be made now."""
        return self.state in {DayState.MISSING, DayState.STALE}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a product between two days.

    Parameters
    ----------
    partitions : tuple of PartitionInputs
        Those with something to learn from, in the order of time.
    days : tuple of PlannedDay
        In the order of time.
    """

    partitions: tuple[PartitionInputs, ...]
    days: tuple[PlannedDay, ...]

    @property
    def training(self) -> tuple[DayInputs, ...]:
        """Days whose samples models learn from."""
        return tuple(day for partition in self.partitions for day in partition.training)

    def in_state(self, state: DayState) -> list[PlannedDay]:
        """Return the days in a state."""
        return [day for day in self.days if day.state is state]


def make_plan(
    connection: Connection,
    definition: Definition,
    product_id: int | None,
    first: date | None = None,
    last: date | None = None,
    *,
    now: datetime | None = None,
) -> Plan:
    """Work out what is missing or stale.

    Parameters
    ----------
    product_id : int or None
        Key of the product; None when it was never produced.
    first, last : date, optional
        Days that maps are dated by, both included; the product's own span by default.
    now : datetime, optional
        The present, for tests.

    Raises
    ------
    UsageError
        When ``last`` is before ``first``.

    Notes
    -----
    A map's fingerprint covers the algorithm's version, the recipe, the model's fingerprint and the
    checksums of the layers of its day. The model's covers the method, its parameters and the
    layers of the partition's days up to the training horizon.

    Whether a partition has enough samples is known once they were drawn. When they were too few, its
    model's fingerprint covers its own layers and the model of the partition before that stands in,
    and is recorded under the partition. So it is enough to see which of the fingerprints that its model
    can have is recorded: when none is, its maps cannot be current. No file is opened.
    """
    if first is not None and last is not None and last < first:
        raise UsageError(f"the last day {last} is before the first day {first}")
    present = now or datetime.now(UTC)
    first = max(first, definition.first_day) if first else definition.first_day
    last = min(filter(None, (last, definition.last_day)), default=None)
    index = LayerIndex(connection, definition)
    partitions = _partitions(definition, index.training())
    known = _known_models(connection, product_id, partitions)
    live = live_maps(connection, product_id, first, last) if product_id is not None else {}
    planner = _Planner(definition, index, partitions, known, present)
    days = index.maps(first, last)
    planned = [planner.plan(day, live.get(day.period.day)) for day in days]
    periods = {day.period for day in days}
    planned += [
        _refused(refusal.period, f"{refusal.name}: {refusal.reason}", MapStatus.PROVISIONAL)
        for source in _leading(definition)
        for refusal in refusals_of(connection, source, first, last)
        if refusal.period is not None and refusal.period not in periods
    ]
    return Plan(partitions, tuple(sorted(planned, key=lambda day: day.period)))


def map_fingerprint(definition: Definition, day: DayInputs, model: str, status: MapStatus) -> str:
    """Return the fingerprint of a map: of all that it is made of.

    Parameters
    ----------
    model : str
        Fingerprint of the model.
    """
    content = {
        "algorithm": ALGORITHM,
        "recipe": definition.recipe_fingerprint,
        "model": model,
        # a map for a day does not read the coarse product of that day: its model did
        "layers": day.checksums(coarse=definition.step is Step.COARSE),
        "status": status.value,
    }
    return fingerprint(content)


def stand_in_fingerprint(own: str, earlier: str) -> str:
    """Return the fingerprint of a partition's model when another one stands in for it.

    Parameters
    ----------
    own : str
        That the model would have had, had the samples been enough.
    earlier : str
        Of the model that stands in.
    """
    return fingerprint({"too few samples": own, "instead": earlier})


def _partitions(
    definition: Definition, training: Sequence[DayInputs]
) -> tuple[PartitionInputs, ...]:
    parts: dict[str, list[DayInputs]] = {}
    for day in training:
        parts.setdefault(partition_name(definition.partitions, day.period.day), []).append(day)
    found: list[PartitionInputs] = []
    for name, days in sorted(parts.items()):
        earlier = found[-1] if found else None
        own = _model_fingerprint(definition, days)
        others = (stand_in_fingerprint(own, model) for model in (earlier.models if earlier else ()))
        found.append(PartitionInputs(name, tuple(days), (own, *others), earlier))
    return tuple(found)


def _model_fingerprint(definition: Definition, training: Sequence[DayInputs]) -> str:
    content: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "recipe": definition.recipe_fingerprint,
        "method": method_recipe(definition.method.name, definition.method.parameters),
        "samples": [[day.period.start, day.period.end, day.checksums()] for day in training],
    }
    return fingerprint(content)


def _known_models(
    connection: Connection, product_id: int | None, partitions: Sequence[PartitionInputs]
) -> dict[str, str]:
    """Return the fingerprint of each partition's model by the partition's name, where it is fitted."""
    if product_id is None:
        return {}
    recorded = model_fingerprints(connection, product_id)
    return {p.name: model for p in partitions for model in p.models if model in recorded}


def _leading(definition: Definition) -> list[str]:
    """Return the sources without whose granules of a day there is no map of that day."""
    if definition.step is Step.COARSE:
        return [definition.coarse.source]
    daily = (c.source for c in definition.covariates if c.time is TimeRule.DAY)
    return list(dict.fromkeys(daily))


def _refused(
    period: Period, reason: str, status: MapStatus, item_id: str | None = None
) -> PlannedDay:
    return PlannedDay(period, DayState.REFUSED, reason, None, None, None, status, item_id)


class _Planner:
    """Says what is to be done about one day after another."""

    def __init__(
        self,
        definition: Definition,
        index: LayerIndex,
        partitions: Sequence[PartitionInputs],
        known: Mapping[str, str],
        present: datetime,
    ) -> None:
        self._definition = definition
        self._index = index
        self._partitions = partitions
        self._names = [partition.name for partition in partitions]
        self._known = known
        self._present = present

    def _partition(self, day: date) -> PartitionInputs | None:
        """Return a day's own partition, or the last one before it that has something to learn from."""
        own = partition_name(self._definition.partitions, day)
        number = bisect_right(self._names, own)
        return self._partitions[number - 1] if number else None

    def plan(self, day: DayInputs, live: LiveMap | None) -> PlannedDay:
        """Say what is to be done about a day."""
        closes = day.period.end + timedelta(days=self._definition.look_ahead_days)
        status = MapStatus.FINAL if closes <= self._present else MapStatus.PROVISIONAL
        item = live.item_id if live else None
        if missing := self._index.missing(day):
            names = " and ".join(f"{c.source} {c.variable}" for c in missing)
            reason = f"no layer of {names} for {day.period}: ingest it and run again"
            return _refused(day.period, reason, status, item)
        partition = self._partition(day.period.day)
        if partition is None and self._partitions:
            return _refused(day.period, self._too_early(), status, item)
        mark = self._mark(day, partition, status)
        if live is None:
            state, reason = DayState.MISSING, "never made"
        elif live.fingerprint != mark:
            state = DayState.STALE
            reason = f"inputs, recipe or model are not those of {live.item_id}"
        else:
            state, reason = DayState.CURRENT, "up to date"
        return PlannedDay(day.period, state, reason, day, partition, mark, status, item)

    def _too_early(self) -> str:
        return (
            f"{self._definition.coarse.source} has no sample up to its period of "
            f"{self._definition.partitions}; the first is in the one that begins "
            f"{self._names[0]}: ingest earlier days and run again"
        )

    def _mark(
        self, day: DayInputs, partition: PartitionInputs | None, status: MapStatus
    ) -> str | None:
        if partition is None:
            return None
        model = self._known.get(partition.name)
        if model is None and len(partition.models) == 1:
            model = partition.models[0]
        return map_fingerprint(self._definition, day, model, status) if model else None
