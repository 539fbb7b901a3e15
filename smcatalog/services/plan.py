"""What is missing or stale, and why: worked out from the database alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection

from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import BBox, grid
from smcatalog.core.maps import MapStatus
from smcatalog.core.time import Period
from smcatalog.database.inputs import LayerRecord, layers_of, refusals_of
from smcatalog.database.maps import LiveMap, live_maps
from smcatalog.methods import recipe as method_recipe
from smcatalog.products import Covariate, Definition, TimeRule

__all__ = ["ALGORITHM", "DayInputs", "DayState", "Plan", "PlannedDay", "make_plan"]

ALGORITHM: Final = 1
"""Version of everything between layers and maps that is not a method's own.

Raised whenever the same layers and recipe would give another map."""


class DayState(StrEnum):
    """What is to be done about a day."""

    MISSING = "missing"
    STALE = "stale"
    CURRENT = "current"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DayInputs:
    """The layers that a map is made of.

    Parameters
    ----------
    period : Period
        What the map covers.
    coarse : tuple of LayerRecord
        Layers of the coarse product in that period.
    covariates : tuple of tuple of LayerRecord
        Layers of each covariate, in the order of the product's covariates.
    """

    period: Period
    coarse: tuple[LayerRecord, ...]
    covariates: tuple[tuple[LayerRecord, ...], ...]

    def checksums(self) -> list[list[str]]:
        """Return the checksums of all layers, in the order in which they are used."""
        return [[layer.sha256 for layer in part] for part in (self.coarse, *self.covariates)]


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
    fingerprint : str or None
        That the map has or will have.
    status : MapStatus
        Provisional as long as the look-ahead has not closed.
    item_id : str or None
        The live map's item.
    """

    period: Period
    state: DayState
    reason: str
    inputs: DayInputs | None
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
    training : tuple of DayInputs
        Whose samples the model learns from.
    model_fingerprint : str
        Of that model, fitted or not.
    days : tuple of PlannedDay
        In the order of time.
    """

    training: tuple[DayInputs, ...]
    model_fingerprint: str
    days: tuple[PlannedDay, ...]

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
    layers of all days up to the training horizon. No file is opened.
    """
    if first is not None and last is not None and last < first:
        raise UsageError(f"the last day {last} is before the first day {first}")
    present = now or datetime.now(UTC)
    first = max(first, definition.first_day) if first else definition.first_day
    last = min(filter(None, (last, definition.last_day)), default=None)
    days = _collect(connection, definition)
    recipe = definition.recipe_fingerprint
    training = tuple(
        day
        for day in days.values()
        if day.period.day <= definition.training_until and not _missing(definition, day)
    )
    model = _model_fingerprint(definition, recipe, training)
    live = live_maps(connection, product_id, first, last) if product_id is not None else {}
    planned = [
        _plan_day(definition, day, live.get(day.period.day), (recipe, model), present)
        for day in days.values()
        if first <= day.period.day and (last is None or day.period.day <= last)
    ]
    planned += [
        PlannedDay(
            refusal.period,
            DayState.REFUSED,
            f"{refusal.name}: {refusal.reason}",
            None,
            None,
            MapStatus.PROVISIONAL,
        )
        for refusal in refusals_of(connection, definition.coarse.source, first, last)
        if refusal.period is not None and refusal.period not in days
    ]
    return Plan(training, model, tuple(sorted(planned, key=lambda day: day.period)))


def _collect(connection: Connection, definition: Definition) -> dict[Period, DayInputs]:
    """Gather the layers of every period of the coarse product."""
    coarse = (definition.coarse.source, definition.coarse.variable)
    wanted = [coarse, *((c.source, c.variable) for c in definition.covariates)]
    layers = {
        key: [layer for layer in found if _reaches(layer.grid, definition.bbox)]
        for key, found in layers_of(connection, wanted).items()
    }
    periods: dict[Period, list[LayerRecord]] = {}
    for layer in layers[coarse]:
        if layer.period is not None:
            periods.setdefault(layer.period, []).append(layer)
    by_day = [
        _by_day(layers[c.source, c.variable]) if c.time is not TimeRule.STATIC else {}
        for c in definition.covariates
    ]
    static = [
        tuple(layer for layer in layers[c.source, c.variable] if layer.period is None)
        for c in definition.covariates
    ]
    return {
        period: DayInputs(
            period,
            tuple(parts),
            tuple(
                static[i]
                if c.time is TimeRule.STATIC
                else tuple(layer for day in period.days() for layer in by_day[i].get(day, ()))
                for i, c in enumerate(definition.covariates)
            ),
        )
        for period, parts in sorted(periods.items())
    }


@lru_cache(maxsize=1024)
def _reaches(name: str, bbox: BBox) -> bool:
    """Say whether a grid meets a region: what lies elsewhere makes no day possible or stale."""
    west, south, east, north = grid(name).bbox()
    return west < bbox[2] and bbox[0] < east and south < bbox[3] and bbox[1] < north


def _by_day(layers: Sequence[LayerRecord]) -> dict[date, list[LayerRecord]]:
    found: dict[date, list[LayerRecord]] = {}
    for layer in layers:
        if layer.period is not None:
            found.setdefault(layer.period.day, []).append(layer)
    return found


def _missing(definition: Definition, day: DayInputs) -> list[Covariate]:
    return [
        covariate
        for covariate, layers in zip(definition.covariates, day.covariates, strict=True)
        if not layers
    ]


def _model_fingerprint(definition: Definition, recipe: str, training: Sequence[DayInputs]) -> str:
    content: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "recipe": recipe,
        "method": method_recipe(definition.method.name, definition.method.parameters),
        "samples": [[day.period.start, day.period.end, day.checksums()] for day in training],
    }
    return fingerprint(content)


def _plan_day(
    definition: Definition,
    day: DayInputs,
    live: LiveMap | None,
    parents: tuple[str, str],
    present: datetime,
) -> PlannedDay:
    closes = day.period.end + timedelta(days=definition.look_ahead_days)
    status = MapStatus.FINAL if closes <= present else MapStatus.PROVISIONAL
    item = live.item_id if live else None
    missing = _missing(definition, day)
    if missing:
        names = " and ".join(f"{c.source} {c.variable}" for c in missing)
        reason = f"no layer of {names} for {day.period}: ingest it and run again"
        return PlannedDay(day.period, DayState.REFUSED, reason, None, None, status, item)
    content = {
        "algorithm": ALGORITHM,
        "recipe": parents[0],
        "model": parents[1],
        "layers": day.checksums(),
        "status": status.value,
    }
    mark = fingerprint(content)
    if live is None:
        state, reason = DayState.MISSING, "never made"
    elif live.fingerprint != mark:
        state = DayState.STALE
        reason = f"inputs, recipe or model are not those of {live.item_id}"
    else:
        state, reason = DayState.CURRENT, "up to date"
    return PlannedDay(day.period, state, reason, day, mark, status, item)
