"""The checks that all sources share: future, past, physical range, nothing but fill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.polygons import checked_zone
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.stations import StationSeries
from smcatalog.core.time import DAY, Period
from smcatalog.core.variables import VARIABLES, Variable
from smcatalog.core.zones import ZoneSet

__all__ = ["TOLERATED", "checked", "checked_identity", "within_range"]

TOLERATED: Final = 0.01
"""Share of the valid values that may lie outside the physical range; they become missing."""

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


def within_range(
    values: NDArray[np.floating],
    variable: Variable,
    *,
    low: float | None = None,
    high: float | None = None,
) -> NDArray[np.floating]:
    """Mask the few values out of the physical range; refuse when they are not few.

    Parameters
    ----------
    values : ndarray of float, any shape
        In the variable's unit; NaN where there is none.
    variable : Variable
        Gives the range.
    low, high : float, optional
        A source's own, narrower bounds, in the variable's unit.

    Returns
    -------
    ndarray of float, same shape
        The input itself when nothing was masked.

    Raises
    ------
    RefusedInput
        When more than `TOLERATED` of the values are out of range.
    """
    low = variable.valid_min if low is None else max(low, variable.valid_min)
    high = variable.valid_max if high is None else min(high, variable.valid_max)
    outside = (values < low) | (values > high)
    bad = int(outside.sum())
    if not bad:
        return values
    valid = int((~np.isnan(values)).sum())
    if bad > TOLERATED * valid:
        worst = values[outside]
        raise RefusedInput(
            f"{bad} of {valid} values of {variable.name} are outside "
            f"{low:g} to {high:g} {variable.unit} (they go from {worst.min():g} to "
            f"{worst.max():g}): wrong unit, wrong fill value or a damaged file"
        )
    masked = values.copy()
    masked[outside] = np.nan
    return masked


def _check_period(period: Period, what: str, now: datetime) -> None:
    if period.end > now + DAY:
        raise RefusedInput(f"{what} covers {period}, which is in the future")
    if period.start < _EARLIEST - DAY:  # a local day may begin before midnight in UTC
        raise RefusedInput(f"{what} covers {period}, which is before 1970: a damaged date")


def checked_identity(identity: Identity, now: datetime) -> Identity:
    """Return the identity when its period can be true.

    Raises
    ------
    RefusedInput
        When it lies in the future or before 1970.
    """
    if identity.period is not None:
        _check_period(identity.period, "the granule", now)
    return identity


def _raster(raster: Raster, now: datetime) -> Raster:
    variable = raster.variable
    if VARIABLES.get(variable.name) != variable:
        raise RefusedInput(f"variable {variable.name} is not stored")
    if raster.period is not None:
        _check_period(raster.period, variable.name, now)
    when = f" of {raster.period}" if raster.period else ""
    if np.isnan(raster.values).all():
        raise RefusedInput(f"{variable.name}{when} holds no value at all: nothing but fill")
    values = within_range(raster.values, variable)
    return raster if values is raster.values else replace(raster, values=values)


def _plain(instant: datetime) -> np.datetime64:
    return np.datetime64(instant.astimezone(UTC).replace(tzinfo=None), "s")


def _minute(instant: np.datetime64) -> str:
    return str(instant.astype("datetime64[m]")).replace("T", " ")


def _series(series: StationSeries, now: datetime) -> StationSeries:
    where = f"station {series.site.network}/{series.site.station}"
    if series.variable not in VARIABLES:
        raise RefusedInput(f"variable {series.variable} is not stored")
    if not len(series.times):
        raise RefusedInput(f"{where} holds no value at all: nothing but fill")
    times = series.times.astype("datetime64[s]")
    if np.isnat(times).any() or (np.diff(times) <= np.timedelta64(0, "s")).any():
        raise RefusedInput(f"the times of {where} do not rise strictly")
    # compared as numpy has them: the year 0 of a damaged line is no day of Python's
    first, last = times[0], times[-1]
    if last > _plain(now + DAY):
        raise RefusedInput(f"{where} has a value of {_minute(last)}, which is in the future")
    if first < _plain(_EARLIEST - DAY):
        raise RefusedInput(f"{where} has a value of {_minute(first)}, before 1970")
    if not np.isfinite(series.values).all():
        raise RefusedInput(f"{where} has values that are not finite numbers")
    # what the provider itself flags as impossible is kept as the provider's statement
    used = np.where(series.good, series.values, np.nan)
    trusted = within_range(used, VARIABLES[series.variable])
    return series if trusted is used else replace(series, good=~np.isnan(trusted))


def _zones(zones: ZoneSet) -> ZoneSet:
    sound = tuple(checked_zone(zone) for zone in zones.zones)
    return zones if sound == zones.zones else replace(zones, zones=sound)


def checked(yields: Iterable[Yield], now: datetime) -> Iterator[Yield]:
    """Pass a reader's values on, each one checked.

    Parameters
    ----------
    yields : iterable of Raster, StationSeries, Site or ZoneSet
        What a reader delivers.
    now : datetime
        Timezone-aware; a day beyond it is the future.

    Raises
    ------
    RefusedInput
        For a time in the future or before 1970, nothing but fill, or more than `TOLERATED` of the
        values out of the physical range (fewer are masked, or no longer good in a series); for zones
        that are not on Earth or whose polygons cannot be made valid.
        Also when a reader delivers nothing.
    """
    empty = True
    for value in yields:
        empty = False
        match value:
            case Raster():
                yield _raster(value, now)
            case StationSeries():
                yield _series(value, now)
            case ZoneSet():
                yield _zones(value)
            case _:
                yield value
    if empty:
        raise RefusedInput("holds no value at all")
