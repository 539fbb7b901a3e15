"""Which layers the map of a day is made of, and which days there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection

from smcatalog.core.grids import BBox, Grid, grid
from smcatalog.core.time import DAY, Period, utc_midnight
from smcatalog.database.inputs import LayerRecord, last_end, layers_of
from smcatalog.methods.antecedents import LEAST_KNOWN
from smcatalog.products import Covariate, Definition, Step, TimeRule
from smcatalog.resample import overlap
from smcatalog.services.observed import observed_by_day

__all__ = ["UNDATED", "DayInputs", "LayerIndex", "LayerSeries"]

_AROUND: Final = frozenset({TimeRule.CENTRED_MEAN, TimeRule.INTERPOLATED, TimeRule.SMOOTHED})
UNDATED: Final = _AROUND | {TimeRule.STATIC, TimeRule.HOLDING}
"""Rules under which a covariate has a value for days on which nothing of it came in."""


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
    around : tuple of DayInputs or None
        Of the days in the method's window, its own left out; None where the method learns nothing then.
    observed : str
        Fingerprint of what stations observed on the day, where the method learns from it.
    """

    period: Period
    coarse: tuple[LayerRecord, ...]
    covariates: tuple[tuple[LayerRecord, ...], ...]
    around: tuple[DayInputs, ...] | None = None
    observed: str = ""

    @property
    def complete(self) -> bool:
        """Whether every covariate has a layer, and a method that learns around the day something to learn from."""
        if not all(self.covariates):
            return False
        return self.around is None or any(day.coarse for day in self.window)

    @property
    def window(self) -> tuple[DayInputs, ...]:
        """The days that the method learns from as the map is made, in the order of time."""
        if self.around is None:
            return ()
        return tuple(sorted((self, *self.around), key=lambda day: day.period.start))

    @property
    def layers(self) -> frozenset[int]:
        """Keys of all layers, those of the days around among them."""
        own = {layer.id for part in (self.coarse, *self.covariates) for layer in part}
        return frozenset(own.union(*(day.layers for day in self.around or ())))

    def checksums(self, *, coarse: bool = True) -> list[list[str]]:
        """Return the checksums of all layers, in the order in which they are used.

        Parameters
        ----------
        coarse : bool
            Whether the coarse product's layers of the day are among them; those of a window always are.
        """
        held = coarse or self.around is not None
        parts = (self.coarse, *self.covariates) if held else self.covariates
        found = [[layer.sha256 for layer in part] for part in parts]
        for day in self.around or ():
            found += [[str(day.period)], *day.checksums()]
        return found


class LayerSeries:
    """Layers of a covariate by time.

    Parameters
    ----------
    layers : sequence of LayerRecord
        Live ones, in the order of time.
    """

    def __init__(self, layers: Sequence[LayerRecord]) -> None:
        self.static = tuple(layer for layer in layers if layer.period is None)
        self.by_day: dict[date, list[LayerRecord]] = {}
        composites: dict[Period, list[LayerRecord]] = {}
        for layer in layers:
            if layer.period is not None:
                self.by_day.setdefault(layer.period.day, []).append(layer)
                composites.setdefault(layer.period, []).append(layer)
        self._starts = sorted(composites)
        self._by_end = sorted(composites, key=lambda p: (p.end, p.start))
        self._ends = [period.end for period in self._by_end]
        self._longest = max((p.end - p.start for p in composites), default=timedelta(0))
        self._composites = composites

    def holding(self, day: date, max_age_days: int) -> tuple[LayerRecord, ...]:
        """Return the composite that holds a day, else the newest that ended not too long before it.

        Of several that hold the day it is the one that began last.
        """
        begins = utc_midnight(day)
        last = bisect_right(self._starts, begins, key=lambda period: period.start)
        first = bisect_left(self._starts, begins - self._longest, key=lambda period: period.start)
        for period in reversed(self._starts[first:last]):
            if period.end > begins:
                return tuple(self._composites[period])
        before = bisect_right(self._ends, begins)
        # one that ends as the day begins is one day old
        if before and begins - self._ends[before - 1] < max_age_days * DAY:
            return tuple(self._composites[self._by_end[before - 1]])
        return ()

    def select(self, covariate: Covariate, period: Period) -> tuple[LayerRecord, ...]:
        """Return the layers that the covariate's rule chooses for a map's period."""
        match covariate.time:
            case TimeRule.STATIC:
                return self.static
            case TimeRule.DAY:
                return self._of_days([period.day])
            case TimeRule.HOLDING:
                return self.holding(period.day, covariate.max_age_days)
            case TimeRule.PERIOD_MEAN:
                return self._of_days(period.days())
            case TimeRule.WINDOW_SUM | TimeRule.ANTECEDENT:
                return self._summed(covariate, period.day)
            case TimeRule.CENTRED_MEAN | TimeRule.INTERPOLATED | TimeRule.SMOOTHED:
                return self._around(covariate, period.day)

    def _summed(self, covariate: Covariate, day: date) -> tuple[LayerRecord, ...]:
        """Return the layers of the days of a sum; none where too few of them are known."""
        weights = covariate.day_weights
        days = [day - age * DAY for age in range(len(weights))]
        known = sum(w for w, one in zip(weights, days, strict=True) if one in self.by_day)
        if days[0] not in self.by_day or known < LEAST_KNOWN * covariate.whole_weight:
            return ()
        return self._of_days(reversed(days))

    def _around(self, covariate: Covariate, day: date) -> tuple[LayerRecord, ...]:
        """Return the layers of the days around; none where no pixel could have a value."""
        within, reach = covariate.within_days, covariate.ahead_days
        days = [day + n * DAY for n in range(-reach, reach + 1)]
        near = [n for n in range(-within, within + 1) if day + n * DAY in self.by_day]
        # between a value before and one after; one of the day itself is both
        between = covariate.time is not TimeRule.CENTRED_MEAN
        if not near or (between and not near[0] <= 0 <= near[-1]):
            return ()
        return self._of_days(days)

    def _of_days(self, days: Iterable[date]) -> tuple[LayerRecord, ...]:
        return tuple(layer for day in days for layer in self.by_day.get(day, ()))


class LayerIndex:
    """The live layers that reach a product's region, by time.

    Parameters
    ----------
    connection : Connection
        Asked here and no more.
    definition : Definition
        The product.
    first, last : date
        Days whose maps are looked at, both included: of other times only those layers are known that
        these maps read.
    teaching : bool
        Whether what stations observed on these days is asked for too, where the method learns from it.
    """

    def __init__(
        self,
        connection: Connection,
        definition: Definition,
        first: date,
        last: date,
        *,
        teaching: bool = False,
    ) -> None:
        self._definition = definition
        self._observed = observed_by_day(connection, definition, first, last) if teaching else {}
        self._output = definition.output_grid()
        self._coarse: dict[Period, list[LayerRecord]] = {}
        key = (definition.coarse.source, definition.coarse.variable)
        back, ahead = definition.window or (0, 0)
        # hours of a day may lie in its neighbours
        around = Period.of_days(first - (2 + back) * DAY, last + (2 + ahead) * DAY)
        for layer in self._near(layers_of(connection, [key], around)[key]):
            covered = None if layer.period is None else self._covered(layer.period)
            if covered is not None:
                self._coarse.setdefault(covered, []).append(layer)
        first, last = self.widened(first, last)
        dated = [period for period in self._coarse if first <= period.day <= last]
        start = min((period.start for period in dated), default=around.start)
        end = max((period.end for period in dated), default=around.end)
        reach, later = definition.reach_days * DAY, definition.ahead_days * DAY
        read = Period(min(start, around.start) - reach, max(end, around.end) + later)
        wanted = dict.fromkeys((c.source, c.variable) for c in definition.covariates)
        found = {k: self._near(v) for k, v in layers_of(connection, wanted, read).items()}
        self._series = [LayerSeries(found[c.source, c.variable]) for c in definition.covariates]
        self._last = last_end(connection, *key) if self._endless else None

    @property
    def _endless(self) -> bool:
        """Whether the covariates alone do not say which days there are."""
        return all(c.time is TimeRule.STATIC for c in self._definition.covariates)

    def _near(self, layers: Iterable[LayerRecord]) -> list[LayerRecord]:
        return [layer for layer in layers if _reaches(layer.grid, self._output)]

    def _covered(self, period: Period) -> Period | None:
        """Return the period of the map that a layer of the coarse product belongs to, if to any."""
        if self._definition.step is not Step.DAY:
            return period
        day = self._definition.coarse.day_of(period)
        return None if day is None else Period.of_day(day)

    def inputs(self, period: Period) -> DayInputs:
        """Return the layers of a map that covers a period; some covariates may have none."""
        own = self._own(period)
        if self._definition.window is None:
            return own
        back, ahead = self._definition.window
        days = (period.day + step * DAY for step in range(-back, ahead + 1) if step)
        around = tuple(self._own(self._period_of(day)) for day in days)
        return replace(own, around=around, observed=self._observed.get(period.day, ""))

    def _period_of(self, day: date) -> Period:
        """Return the period of the map dated by a day."""
        if self._definition.step is Step.DAY:
            return Period.of_day(day)
        return next((p for p in self._coarse if p.day == day), Period.of_day(day))

    def _own(self, period: Period) -> DayInputs:
        pairs = zip(self._definition.covariates, self._series, strict=True)
        return DayInputs(
            period,
            tuple(self._coarse.get(period, ())),
            tuple(series.select(covariate, period) for covariate, series in pairs),
        )

    def missing(self, day: DayInputs) -> list[Covariate]:
        """Return the covariates that have no layer."""
        pairs = zip(self._definition.covariates, day.covariates, strict=True)
        return [covariate for covariate, layers in pairs if not layers]

    def widened(self, first: date, last: date) -> tuple[date, date]:
        """Return the days of all maps whose periods share a day with those from one to another."""
        if self._definition.step is Step.DAY:
            return first, last
        span = Period.of_days(first, last)
        touched = [p.day for p in self._coarse if p.start < span.end and span.start < p.end]
        return min([first, *touched]), max([last, *touched])

    def days(self, first: date, last: date) -> list[DayInputs]:
        """Return the inputs of the maps dated from ``first`` to ``last``, both included.

        With a map for each period of the coarse product these are all its periods, with incomplete
        inputs too; with a map for each day they are the days whose inputs are complete.
        """
        if self._definition.step is Step.COARSE:
            periods: Iterable[Period] = sorted(self._coarse)
            dated = (p for p in periods if first <= p.day <= last)
            return [self.inputs(p) for p in dated if self._definition.in_season(p.day)]
        days = filter(self._definition.in_season, self._complete(first, last))
        found = (self.inputs(Period.of_day(day)) for day in days)
        return [day for day in found if day.complete]

    def _complete(self, first: date, last: date) -> list[date]:
        """Return the days that may have all covariates."""
        pairs = list(zip(self._definition.covariates, self._series, strict=True))
        daily = [set(series.by_day) for c, series in pairs if c.time not in UNDATED]
        if daily:
            return sorted(d for d in set.intersection(*daily) if first <= d <= last)
        if self._endless:
            # nothing says when: from the first day on, as long as the coarse product goes on
            first = max(first, self._definition.first_day)
            last = (
                min(last, (self._last - timedelta(microseconds=1)).date())
                if self._last
                else first - DAY
            )
        return [first + i * DAY for i in range((last - first).days + 1)]


@lru_cache(maxsize=1 << 16)
def _reaches(name: str, output: Grid) -> bool:
    """Say whether a layer meets the maps: what lies elsewhere makes no day possible or stale."""
    where = grid(name)
    if where.base == output.base:
        return overlap(where, output) is not None
    west, south, east, north = _bbox(where)
    inner = _bbox(output)
    return west < inner[2] and inner[0] < east and south < inner[3] and inner[1] < north


@lru_cache(maxsize=1 << 12)
def _bbox(where: Grid) -> BBox:
    return where.bbox()
