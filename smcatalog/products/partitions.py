"""How a product divides time among models."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from smcatalog.core.time import Period, julian

__all__ = ["Partitioning", "partition_name", "partition_span"]

_DAYS: Final = 16


class Partitioning(StrEnum):
    """A scheme of partitions: which days share a model."""

    ALL = "all"
    """All days: one model."""
    SIXTEEN_DAYS = "16-day"
    """Periods of 16 days that begin at days 1, 17, 33 … 353 of each year; the last is shorter."""


def partition_name(scheme: Partitioning, day: date) -> str:
    """Return the name of the partition that a day belongs to.

    Names of one scheme sort in the order of time.

    Examples
    --------
    >>> partition_name(Partitioning.SIXTEEN_DAYS, date(2018, 6, 25))
    '2018161'
    """
    if scheme is Partitioning.ALL:
        return scheme.value
    return julian(_first_day(day))


def partition_span(scheme: Partitioning, day: date) -> Period | None:
    """Return what the partition of a day spans; None when it has no end of its own.

    Examples
    --------
    >>> str(partition_span(Partitioning.SIXTEEN_DAYS, date(2018, 12, 25)))
    '2018-12-19…2018-12-31'
    """
    if scheme is Partitioning.ALL:
        return None
    first = _first_day(day)
    last = min(first + timedelta(days=_DAYS - 1), date(first.year, 12, 31))
    return Period.of_days(first, last)


def _first_day(day: date) -> date:
    return day - timedelta(days=(day.timetuple().tm_yday - 1) % _DAYS)
