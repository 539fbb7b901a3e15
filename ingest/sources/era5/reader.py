"""Reader of ERA5 and ERA5-Land as the Climate Data Store delivers NetCDF, hourly or as daily statistics.

Days come from inside, never from the name. Which of the two a file is says the width of its cells; nothing
else in it does. Of daily statistics only the name says which statistic it is (``…_daily-mean.nc``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.netcdf import netcdf, variables_of
from ingest.reader import Identity, Yield
from ingest.sources.era5.days import (
    HOURS,
    LEAST_HOURS,
    LEAST_SUMMED,
    Sum,
    Totals,
    day_of,
    ends_a_day,
)
from ingest.sources.era5.fields import FIELDS, LAND, Field, Rule
from ingest.sources.era5.layout import (
    Hours,
    has_times_and_places,
    hours_of,
    spacing,
    unit_of_time,
)
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period

__all__ = ["Era5"]

_LAND_STEP: Final = 0.15  # between ERA5-Land's 0.1 and ERA5's 0.25 degrees
_STATISTIC = re.compile(r"daily[-_](mean|sum|max(?:imum)?|min(?:imum)?)", re.IGNORECASE)
_OVERSHOOT: Final = 0.01
"""By which packing may leave the land fraction above one."""
_RISING: Final = 12
"""Hours of growth everywhere that make totals since midnight of what should be single hours."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Era5:
    """Reader of one of the two reanalyses.

    Parameters
    ----------
    source : str
        Its name.
    title : str
        What the source is.
    land : bool
        Whether it is the finer one, in which amounts are totals since 00 UTC.
    """

    source: str
    title: str
    land: bool = False

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the files by their variables and the width of their cells.

        The period is the hull of the days that can be made of the times inside.

        Raises
        ------
        RefusedInput
            When it is a file of daily values and does not say which ones.
        """
        names = variables_of(path)
        if not names.intersection(FIELDS) or not has_times_and_places(names):
            return None
        with netcdf(path) as file:
            if (spacing(file) < _LAND_STEP) != self.land:
                return None
            times, own = hours_of(file), name.removesuffix(".nc")
            daily = _statistic(own, unit_of_time(file), times)
        found = [self._days(times, FIELDS[held], daily) for held in names.intersection(FIELDS)]
        days = np.concatenate(
            [*found, *([] if any(map(len, found)) else [day_of(times, Rule.MEAN)])]
        )
        return Identity(self.source, own, Period.of_days(days.min().item(), days.max().item()))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield each variable for each day that can be made of the hours inside, and ``lsm`` once.

        A mean of fewer than 24 hours, or a sum that lacks one, is marked as of partial coverage; cells with
        less have none, and a day without any such cell is left out, with a warning when its hours are too few.
        """
        with netcdf(path) as file:
            hours = Hours(file)
            daily = _statistic(identity.name, unit_of_time(file), hours.times)
            wanted = [field for name, field in FIELDS.items() if name in file.names]
            days = np.unique(np.concatenate([self._days(hours.times, f, daily) for f in wanted]))
            if not len(days):
                raise RefusedInput(_too_few(hours.times, wanted))
            empty = {field.name for field in wanted if len(self._days(hours.times, field, daily))}
            for day in days.tolist():
                for field in wanted:
                    if np.datetime64(day) in self._days(hours.times, field, daily):
                        raster = self._raster(hours, field, day, daily)
                        if np.isfinite(raster.values).any():
                            empty.discard(field.name)
                            yield raster
            if empty:
                raise RefusedInput(f"{min(empty)} holds no value at all: nothing but fill")
            _tell_what_is_left_out(path.name, hours.times, wanted, days)
            if LAND.name in file.names:
                yield _land(hours)

    def _days(
        self, times: NDArray[np.datetime64], field: Field, daily: Rule | None
    ) -> NDArray[np.datetime64]:
        """Return the days of which a field's value can be made."""
        if daily is not None:
            return np.unique(times.astype("datetime64[D]"))
        if self.land and field.rule is Rule.SUM:
            return np.unique(day_of(times[ends_a_day(times)], Rule.SUM))
        days, counts = np.unique(day_of(times, field.rule), return_counts=True)
        enough: NDArray[np.datetime64] = days[counts >= _least(field)]
        return enough

    def _raster(self, hours: Hours, field: Field, day: date, daily: Rule | None) -> Raster:
        if daily is not None:
            values, partial = _of_statistic(hours, field, day, daily, land=self.land)
        elif self.land and field.rule is Rule.SUM:
            values, partial = _at_midnight(hours, field, day)
        else:
            values, partial = _of_hours(hours, field, day)
        place = hours.place
        bits = np.where(partial, np.uint16(InputQuality.PARTIAL_COVERAGE), np.uint16(0))
        return Raster(
            field.variable,
            place.grid,
            place.turn(values * field.factor + field.offset).astype(np.float32),
            place.turn(bits),
            Period.of_day(day),
        )


_Part = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""A day's values in the file's unit, and where they do not rest on all hours."""


def _least(field: Field) -> int:
    return LEAST_SUMMED if field.rule is Rule.SUM else LEAST_HOURS


def _of_hours(hours: Hours, field: Field, day: date) -> _Part:
    """Return the mean of a day's states, or the sum of its hours' amounts."""
    total, watched = Sum(hours.place.grid.shape), Totals()
    for times, block in hours.blocks(field, _hours_of(hours, field, day)):
        total.add(block)
        if field.grows:
            watched.add(block, times)
    if watched.rose >= _RISING and not watched.fell:
        raise RefusedInput(
            f"{field.name} grows through all hours of {day}: totals since midnight, as ERA5-Land has "
            "them, on the cells of ERA5"
        )
    mean = total.mean(_least(field))
    return mean * (HOURS if field.rule is Rule.SUM else 1), total.count < HOURS


def _at_midnight(hours: Hours, field: Field, day: date) -> _Part:
    """Return the total of the midnight that ends a day."""
    values, watched = np.full(hours.place.grid.shape, np.nan), Totals()
    for times, block in hours.blocks(field, _hours_of(hours, field, day)):
        if field.grows:
            watched.add(block, times)
        for at in np.flatnonzero(ends_a_day(times)):
            values = block[at]
    # packed numbers may fall by a step
    if watched.fell > max(field.slack, 0.01 * float(np.nanmax(values, initial=0.0))):
        raise RefusedInput(
            f"{field.name} falls within {day}: no totals since midnight, as ERA5-Land has them, but "
            "amounts of single hours (ERA5 on finer cells?)"
        )
    return values, np.zeros(values.shape, bool)


def _of_statistic(hours: Hours, field: Field, day: date, daily: Rule, *, land: bool) -> _Part:
    """Return a day's value that the provider made."""
    if field.rule is Rule.MEAN and daily is Rule.SUM:
        raise RefusedInput(
            f"holds daily sums of {field.name}, which has no meaning: fetch daily means"
        )
    if field.rule is Rule.SUM and land:
        raise RefusedInput(
            f"holds daily statistics of {field.name}, which in ERA5-Land is a total since midnight: "
            "fetch the hours"
        )
    at = np.flatnonzero(hours.times.astype("datetime64[D]") == np.datetime64(day))
    ((_, block),) = hours.blocks(field, at)
    scale = HOURS if field.rule is Rule.SUM and daily is Rule.MEAN else 1
    return block[0] * scale, np.zeros(block.shape[1:], bool)


def _hours_of(hours: Hours, field: Field, day: date) -> NDArray[np.intp]:
    return np.flatnonzero(day_of(hours.times, field.rule) == np.datetime64(day))


def _statistic(name: str, unit: str, times: NDArray[np.datetime64]) -> Rule | None:
    """Return which daily statistic a file holds; None when it holds hours.

    Raises
    ------
    RefusedInput
        When it holds days and says nothing, or extremes.
    """
    match = _STATISTIC.search(name)
    if not (unit.startswith("day") or match) or not ends_a_day(times).all():
        return None
    if match is None:
        raise RefusedInput(
            "holds daily values and its name does not say which ones: it should be called "
            "…_daily-mean.nc or …_daily-sum.nc, as the Climate Data Store calls it"
        )
    if match[1].lower() not in set(Rule):
        raise RefusedInput(f"holds the daily {match[1]}: only daily means and sums are read")
    return Rule(match[1].lower())


def _too_few(times: NDArray[np.datetime64], wanted: list[Field]) -> str:
    rules = {field.rule for field in wanted}
    if Rule.MEAN in rules:
        return f"holds {len(times)} hours and no day with {LEAST_HOURS} of them: no daily mean"
    return (
        f"holds {len(times)} hours and neither a day with {LEAST_SUMMED} of them (ERA5) nor a midnight "
        "(ERA5-Land): no daily sum"
    )


def _tell_what_is_left_out(
    name: str, times: NDArray[np.datetime64], wanted: list[Field], days: NDArray[np.datetime64]
) -> None:
    rules = {field.rule for field in wanted}
    if Rule.MEAN not in rules:
        return
    if Rule.SUM in rules:  # a midnight ends the day before
        times = times[~ends_a_day(times)]
    for day, count in zip(
        *np.unique(times.astype("datetime64[D]"), return_counts=True), strict=True
    ):
        if count < LEAST_HOURS and day not in days:
            _log.warning("%s holds %d hours of %s: no daily mean", name, count, day)


def _land(hours: Hours) -> Raster:
    """Return the land fraction, averaged over the hours where the file repeats it."""
    values = hours.still(LAND)
    if values is None:
        total = Sum(hours.place.grid.shape)
        for _, block in hours.blocks(LAND, np.arange(len(hours.times))):
            total.add(block)
        values = total.mean(1)
    values = np.where((values > 1) & (values < 1 + _OVERSHOOT), 1.0, values)
    return Raster.good(LAND.variable, hours.place.grid, hours.place.turn(values), None)
