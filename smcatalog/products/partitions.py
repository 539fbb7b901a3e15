"""How a product divides time among models."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from smcatalog.core.time import julian

__all__ = ["Partitioning", "partition_name"]

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
    return julian(day - timedelta(days=(day.timetuple().tm_yday - 1) % _DAYS))
