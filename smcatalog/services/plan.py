"""What is missing or stale, and why: asked of the database, which keeps it as it changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Engine

from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import canonical_json
from smcatalog.core.maps import MapStatus
from smcatalog.core.time import Period
from smcatalog.database.engine import rehearse, transaction
from smcatalog.database.plan import day_states, open_states
from smcatalog.database.products import (
    ProductVersionRecord,
    activate_product,
    is_active,
    live_versions,
)
from smcatalog.database.training import first_partition
from smcatalog.products import Definition
from smcatalog.services.refresh import algorithm_of, reaches, refresh

__all__ = [
    "Cause",
    "DayState",
    "Plan",
    "PlannedDay",
    "activate",
    "make_plan",
    "preview",
    "states_of",
]


class DayState(StrEnum):
    """What is to be done about a day."""

    MISSING = "missing"
    """It was never made."""
    STALE = "stale"
    """It was made of something else than what there is now."""
    GONE = "gone"
    """What it was made of is there no longer: it is to be withdrawn."""
    HELD = "held"
    """It is stale, and the product's policy leaves it so."""
    CURRENT = "current"
    """Nothing."""
    REFUSED = "refused"
    """It cannot be made."""


class Cause(StrEnum):
    """Why a day is not current."""

    NEW = "new"
    RECIPE = "recipe"
    ALGORITHM = "algorithm"
    INPUTS = "inputs"
    MODEL = "model"
    CLOSING = "closing"
    DAMAGED = "damaged"
    GONE = "gone"
    INCOMPLETE = "incomplete"
    UNTRAINED = "untrained"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class PlannedDay:
    """A day of a product and what is to be done about it.

    Parameters
    ----------
    period : Period
        What the map covers.
    state : DayState
        What is to be done.
    cause : Cause or None
        Why; None when it is current.
    reason : str
        The same for a person, in one line.
    granules : tuple of str
        That changed what it, or its model, is made of, as far as they are known.
    status : MapStatus
        Final when its look-ahead has closed and its period is complete.
    closes_at : datetime
        When that is.
    item_id : str or None
        Item of the map in force.
    partition : str or None
        Period whose model makes the map; None when there is nothing to learn from yet.
    """

    period: Period
    state: DayState
    cause: Cause | None
    reason: str
    granules: tuple[str, ...]
    status: MapStatus
    closes_at: datetime
    item_id: str | None
    partition: str | None

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
    version : ProductVersionRecord
        The version that is planned.
    days : tuple of PlannedDay
        In the order of time.
    """

    version: ProductVersionRecord
    days: tuple[PlannedDay, ...]

    def in_state(self, state: DayState) -> list[PlannedDay]:
        """Return the days in a state."""
        return [day for day in self.days if day.state is state]


def activate(connection: Connection, definition: Definition) -> ProductVersionRecord:
    """Return the version of a product that its definition is, as the one that is planned and made.

    It is declared now if it is new: as the next version when its recipe is.
    """
    return activate_product(
        connection,
        name=definition.name,
        title=definition.title,
        definition=definition.as_dict(),
        recipe_fingerprint=definition.recipe_fingerprint,
        training_until=definition.training_until,
        inputs=reaches(definition),
    )


def make_plan(
    connection: Connection,
    definition: Definition,
    first: date | None = None,
    last: date | None = None,
    *,
    now: datetime | None = None,
    open_only: bool = False,
) -> Plan:
    """Work out what is missing or stale.

    Parameters
    ----------
    connection : Connection
        In a transaction. The definition becomes the active version of its product and its plan is brought
        up to date: roll back to leave no trace.
    first, last : date, optional
        Days that maps are dated by, both included; the product's own span by default.
    now : datetime, optional
        The present, for tests.
    open_only : bool
        Leave out what is current: of the whole span this costs what is open, not what there is.

    Raises
    ------
    UsageError
        When ``last`` is before ``first``.

    Notes
    -----
    Only days near a layer that came or went since the last time are put together anew; no file is opened.
    A map is stale when the recipe, the algorithms' version, the checksums of its layers or its model
    are not those that it was made with. The model of a partition is that which was fitted to the
    layers of its training days as they are now, or that of the partition before if samples were too few.
    """
    if first is not None and last is not None and last < first:
        raise UsageError(f"the last day {last} is before the first day {first}")
    version = activate(connection, definition)
    refresh(connection, definition, version.id)
    days = states_of(connection, definition, version, first, last, now=now, open_only=open_only)
    return Plan(version, days)


def preview(
    engine: Engine,
    definition: Definition,
    first: date | None = None,
    last: date | None = None,
    *,
    now: datetime | None = None,
) -> Plan:
    """Work out what is missing or stale, and leave no trace but a plan brought up to date.

    A definition that is not the active one of its product is planned as if it were, and forgotten again.

    Raises
    ------
    UsageError
        As `make_plan`.
    """

    def work(connection: Connection) -> Plan:
        return make_plan(connection, definition, first, last, now=now)

    def known(connection: Connection) -> bool:
        return is_active(connection, definition.name, definition.as_dict())

    run = transaction if transaction(engine, known) else rehearse
    return run(engine, work)


def states_of(
    connection: Connection,
    definition: Definition,
    version: ProductVersionRecord,
    first: date | None = None,
    last: date | None = None,
    *,
    now: datetime | None = None,
    open_only: bool = False,
) -> tuple[PlannedDay, ...]:
    """Return the states of days as they were planned last, in the order of time."""
    present = now or datetime.now(UTC)
    if open_only and first is None and last is None:
        rows = open_states(connection, version.id, present)
    else:
        rows = day_states(connection, version.id, present, first, last)
        if open_only:
            rows = [row for row in rows if row.state != DayState.CURRENT]
    explain = _Explainer(connection, definition, version)
    return tuple(_planned(row, explain) for row in rows)


def _planned(row: Any, explain: _Explainer) -> PlannedDay:
    granules = tuple(dict.fromkeys(c["granule"] for c in row.causes or () if c["granule"]))
    return PlannedDay(
        period=Period(row.start_time, row.end_time),
        state=DayState(row.state),
        cause=Cause(row.cause) if row.cause else None,
        reason=explain(row),
        granules=granules if row.state != DayState.CURRENT else (),
        status=MapStatus.FINAL if row.final else MapStatus.PROVISIONAL,
        closes_at=row.closes_at,
        item_id=row.item_id,
        partition=row.partition,
    )


class _Explainer:
    """Says in one line why a day is in its state; asks for no more than that takes."""

    def __init__(
        self, connection: Connection, definition: Definition, version: ProductVersionRecord
    ) -> None:
        self._connection = connection
        self._definition = definition
        self._version = version

    @cached_property
    def _versions(self) -> Mapping[str, tuple[int, str, dict[str, Any]]]:
        return live_versions(self._connection, self._version.product_id)

    @cached_property
    def _first_trained(self) -> str | None:
        return first_partition(self._connection, self._version.id)

    def __call__(self, row: Any) -> str:
        return self._why(row) + self._held(row)

    def _why(self, row: Any) -> str:  # noqa: C901, PLR0911 - a table, one line a cause
        period = Period(row.start_time, row.end_time)
        match row.cause:
            case Cause.NEW:
                return "never made"
            case Cause.RECIPE:
                return self._recipe(row.item_id)
            case Cause.ALGORITHM:
                before = self._versions.get(row.item_id, (0, "an older one", {}))[1]
                now = algorithm_of(self._definition)
                return f"made by algorithms {before or 'of an older version'}, now they are {now}"
            case Cause.INPUTS:
                return _named(row.causes) or f"its layers are not those of {row.item_id}"
            case Cause.MODEL:
                learned = f"its model, of {row.partition}, is not that of {row.item_id}"
                changed = _named(row.causes)
                return f"{learned}: {changed}" if changed else learned
            case Cause.CLOSING:
                return f"provisional, and closed on {row.closes_at:%Y-%m-%d}: it becomes final"
            case Cause.GONE:
                lacking = f" ({row.detail})" if row.detail else ""
                return f"what {row.item_id} was made of is there no longer{lacking}: withdraw it"
            case Cause.INCOMPLETE:
                return f"no layer of {row.detail} for {period}: ingest it and run again"
            case Cause.UNTRAINED:
                return row.detail or self._too_early()
            case Cause.QUARANTINE | Cause.DAMAGED:
                return str(row.detail)
        return "up to date"

    def _held(self, row: Any) -> str:
        match row.held_for:
            case "closing":
                return f"; made again when it becomes final, on {row.closes_at:%Y-%m-%d}"
            case "listed":
                return "; left as it is until 'smcatalog reprocess' lists it"
            case "never":
                return "; left as it is: the product makes no final map again"
        return ""

    def _recipe(self, item_id: str) -> str:
        number, _, definition = self._versions.get(item_id, (0, "", {}))
        now = json.loads(canonical_json(self._definition.as_dict()))
        keys = _differences(definition, now)
        return f"made with version {number}, now it is {self._version.number}: {', '.join(keys)}"

    def _too_early(self) -> str:
        definition = self._definition
        source = definition.coarse.source
        if self._first_trained is None:
            return (
                f"{source} has no sample up to {definition.training_until}: ingest it and its "
                "covariates first"
            )
        return (
            f"{source} has no sample up to its period of {definition.partitions}; the first is in the "
            f"one that begins {self._first_trained}: ingest earlier days and run again"
        )


def _named(causes: Sequence[dict[str, str]] | None) -> str:
    """Name the granules that changed something, a few of them."""
    if not causes:
        return ""
    shown = [f"{c['source']} {c['variable']} {c['change']}: {c['granule']}" for c in causes[:3]]
    more = len(causes) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _differences(before: Any, now: Any, where: str = "") -> list[str]:
    """Name the parameters in which two recipes differ."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return [] if before == now else [where]
    found: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        inner = f"{where}.{key}" if where else str(key)
        found += _differences(before.get(key), now.get(key), inner)
    return found
