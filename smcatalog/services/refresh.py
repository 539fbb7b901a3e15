"""Keeping the plan: what changed is looked at, and nothing else.

A layer that comes or goes leaves a note in its own transaction (`alembic`'s revision 0006). Here the notes are
taken, the days that they name are put together anew from the live layers around them, and what is
different is written. The states of days then follow in SQL (``smcatalog.day_states``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.time import DAY
from smcatalog.database.changes import LayerCause, MapBefore, layer_causes, maps_before
from smcatalog.database.plan import (
    Changes,
    InputReach,
    StoredDay,
    extent_of,
    lock_plan,
    note_everything,
    stored_days,
    take_changes,
    write_days,
)
from smcatalog.database.products import planned_algorithm, set_planned_algorithm
from smcatalog.database.training import lost_partitions, summarise_training, trained_partitions
from smcatalog.methods import recipe as method_recipe
from smcatalog.products import Definition, Step, TimeRule, partition_name
from smcatalog.services.inputs import DayInputs, LayerIndex
from smcatalog.services.observed import IN_SITU

__all__ = [
    "ALGORITHM",
    "algorithm_of",
    "inputs_fingerprint",
    "joined_fingerprint",
    "model_fingerprint",
    "reaches",
    "refresh",
    "training_fingerprint",
]

ALGORITHM: Final = 1
"""Version of everything between layers and maps that is not a method's own.

Raised whenever the same layers and recipe would give another map."""

_AT_ONCE: Final = 400
"""Days whose layers are held in memory together."""
_NEAR: Final = 16
"""Days between two spans that are looked at too, since asking twice costs more."""
_CAUSES: Final = 8
"""Granules that are named as causes, of a day or of a partition."""


def algorithm_of(definition: Definition) -> str:
    """Return the version of the algorithms that make a product: the common one, the method's and its learners'."""
    method = method_recipe(definition.method.name, definition.method.parameters)
    versions = {method["method"]: method["version"]} | method.get("learners", {})
    return f"{ALGORITHM}/{'+'.join(f'{name}-{version}' for name, version in versions.items())}"


def inputs_fingerprint(definition: Definition, day: DayInputs) -> str:
    """Return the fingerprint of what a map itself is made of: its period and its layers.

    A map for a day does not read the coarse product of that day, its model did; unless its method learns in a window
    around the day.
    """
    layers = day.checksums(coarse=definition.step is Step.COARSE)
    return fingerprint([day.period.start, day.period.end, layers])


def training_fingerprint(day: DayInputs) -> str:
    """Return the fingerprint of what a day teaches: its period, all its layers, and what stations observed."""
    content = [day.period.start, day.period.end, day.checksums()]
    return fingerprint([*content, day.observed] if day.observed else content)


def joined_fingerprint(days: Iterable[str]) -> str:
    """Return the fingerprint of the days that teach a partition, as the database joins them.

    Parameters
    ----------
    days : iterable of str
        Fingerprints of the days, in the order of time.
    """
    return hashlib.sha256(",".join(days).encode()).hexdigest()


def model_fingerprint(definition: Definition, training: str) -> str:
    """Return the fingerprint of a partition's own model.

    Parameters
    ----------
    training : str
        Fingerprint of the layers of the days that teach.
    """
    content: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "recipe": definition.recipe_fingerprint,
        "method": method_recipe(definition.method.name, definition.method.parameters),
        "samples": training,
    }
    return fingerprint(content)


def reaches(definition: Definition) -> list[InputReach]:
    """Return what a product reads, and how far in time."""
    coarse = (definition.coarse.source, definition.coarse.variable)
    back, ahead = definition.window or (0, 0)
    dated = [c for c in definition.covariates if c.time is not TimeRule.STATIC]
    by_day = definition.step is Step.DAY
    found = {
        coarse: InputReach(
            *coarse, back, ahead, everywhere=by_day and not dated, leading=not by_day
        )
    }
    if definition.in_situ is not None:
        found[IN_SITU] = InputReach(*IN_SITU, 0, 0, everywhere=False, leading=False)
    for c in definition.covariates:
        key = (c.source, c.variable)
        before = found.get(key, InputReach(*key, 0, 0, everywhere=False, leading=False))
        found[key] = InputReach(
            *key,
            reach_days=max(before.reach_days, c.reach_days + back),
            reach_before=max(before.reach_before, c.ahead_days + ahead),
            everywhere=before.everywhere or c.time is TimeRule.STATIC,
            leading=before.leading or (by_day and c.time is TimeRule.DAY),
        )
    return list(found.values())


def refresh(connection: Connection, definition: Definition, version_id: int) -> int:
    """Bring the plan of a product version up to date and return how many of its days changed.

    Parameters
    ----------
    connection : Connection
        In a transaction: what it takes and writes belongs together.
    version_id : int
        Key of the version, which must be the active one.

    Raises
    ------
    UsageError
        When a newer version of this software planned it.
    """
    lock_plan(connection, version_id)
    other = _changed_algorithm(connection, definition, version_id)
    changes = take_changes(connection, version_id)
    if not (changes.whole or changes.spans):
        return 0
    changed = 0
    partitions: dict[str, list[Any]] = {}
    for first, last in _parts(_spans(connection, definition, version_id, changes)):
        found = _look(connection, definition, version_id, first, last, changes)
        changed += found.days
        for name, causes in found.partitions.items():
            partitions[name] = (partitions.get(name, []) + causes)[:_CAUSES]
    if other:  # no model of other algorithms stays in force, whatever it learned from
        for one in trained_partitions(connection, version_id):
            partitions.setdefault(one.name, [])
    trained = summarise_training(connection, version_id, partitions)
    lost = [one for one in trained if one.changed or other]
    own = {t.name: model_fingerprint(definition, t.fingerprint) for t in lost if t.fingerprint}
    lost_partitions(connection, version_id, lost, own)
    return changed


def _changed_algorithm(connection: Connection, definition: Definition, version_id: int) -> bool:
    """Record the algorithms' version; say whether it is another one than the plan was made for."""
    mine, planned = algorithm_of(definition), planned_algorithm(connection, version_id)
    if mine == planned:
        return False
    if planned and int(planned.partition("/")[0]) > ALGORITHM:
        raise UsageError(
            f"product {definition.name} is planned by a newer version of this software "
            f"(algorithms {planned}, here {mine}): bring this machine up to date"
        )
    set_planned_algorithm(connection, version_id, mine)
    if planned:
        note_everything(connection, version_id)
    return bool(planned)


def _spans(
    connection: Connection, definition: Definition, version_id: int, changes: Changes
) -> list[tuple[date, date]]:
    if not changes.whole:
        return list(changes.spans)
    reach = reaches(definition)
    extent = extent_of(connection, version_id, [(r.source, r.variable) for r in reach])
    if extent is None:
        return []
    longest = max(r.reach_days for r in reach)
    first = extent[0] - timedelta(days=definition.ahead_days + 2)
    if all(c.time is TimeRule.STATIC for c in definition.covariates):
        first = min(first, definition.first_day)
    return [(first, extent[1] + timedelta(days=longest + 2))]


def _parts(spans: Iterable[tuple[date, date]]) -> Iterator[tuple[date, date]]:
    """Divide spans into parts that are looked at together; near ones become one."""
    merged: list[tuple[date, date]] = []
    for first, last in spans:
        if merged and (first - merged[-1][1]).days <= _NEAR:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    for first, last in merged:
        start = first
        while start <= last:
            end = min(start + timedelta(days=_AT_ONCE - 1), last)
            yield start, end
            start = end + DAY


class _Found:
    """What looking at some days found."""

    def __init__(self) -> None:
        self.days = 0
        self.partitions: dict[str, list[Any]] = {}


def _look(
    connection: Connection,
    definition: Definition,
    version_id: int,
    first: date,
    last: date,
    changes: Changes,
) -> _Found:
    """Put some days together anew and write those that are different."""
    index = LayerIndex(connection, definition, first, last, teaching=True)
    first, last = index.widened(first, last)
    inputs = {day.period.day: day for day in index.days(first, last)}
    now = {day: _stored(definition, index, one) for day, one in inputs.items()}
    before = stored_days(connection, version_id, first, last)
    different = {day: one for day, one in now.items() if before.get(day) != one}
    gone = before.keys() - now.keys()
    causes = _Causes(connection, version_id, changes.layers, [*different, *gone])
    found = _Found()
    found.days = len(different) + len(gone)
    for day in sorted([*different, *gone]):
        old, new = before.get(day), now.get(day)
        if (old and old.training) == (new and new.training):
            continue
        partition = partition_name(definition.partitions, day)
        listed = found.partitions.setdefault(partition, [])
        listed += [c for c in causes.of(day, inputs.get(day)) if c not in listed]
    written = {
        day: (one, causes.since(day, inputs[day], before.get(day)) or None)
        for day, one in different.items()
    }
    write_days(connection, version_id, written, gone)
    return found


def _stored(definition: Definition, index: LayerIndex, day: DayInputs) -> StoredDay:
    complete = day.complete
    teaches = complete and day.coarse and definition.teaches(day.period.day)
    lacking = index.missing(day)
    return StoredDay(
        period=day.period,
        partition=partition_name(definition.partitions, day.period.day),
        inputs=inputs_fingerprint(definition, day) if complete else None,
        training=training_fingerprint(day) if teaches else None,
        missing=" and ".join(f"{c.source} {c.variable}" for c in lacking) or None,
        closes_at=definition.closes(day.period),
    )


class _Causes:
    """Says which granules changed a day, as far as the notes name the layers."""

    def __init__(
        self,
        connection: Connection,
        version_id: int,
        layers: Collection[int],
        days: Collection[date],
    ) -> None:
        self._layers: Mapping[int, LayerCause] = {}
        self._before: Mapping[date, MapBefore] = {}
        if layers and days:
            self._layers = layer_causes(connection, layers)
            self._before = maps_before(connection, version_id, days, layers)

    def of(self, day: date, inputs: DayInputs | None) -> list[dict[str, str]]:
        """Return what came or went of a day's layers."""
        if not self._layers:
            return []
        read = set(inputs.layers) if inputs else set()
        before = self._before.get(day)
        read |= before.layers if before else set()
        causes = [self._layers[key] for key in sorted(read & self._layers.keys())]
        if not causes:  # what went was in no map: name it where it lay
            causes = [c for c in self._layers.values() if c.covers(day)]
        # what came says more than what went for it
        return _distinct(c.plain() for c in sorted(causes, key=lambda cause: not cause.live))

    def since(self, day: date, inputs: DayInputs, stored: StoredDay | None) -> list[dict[str, str]]:
        """Return these and, where the map in force is of before them, what changed earlier."""
        before = self._before.get(day)
        earlier: list[dict[str, str]] = []
        if before and stored and before.inputs_fingerprint != stored.inputs:
            earlier = before.causes
        return _distinct([*self.of(day, inputs), *earlier])


def _distinct(causes: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    kept: list[dict[str, str]] = []
    for cause in causes:
        if cause not in kept:
            kept.append(cause)
    return kept[:_CAUSES]
