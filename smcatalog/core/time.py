"""Days and periods, in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from smcatalog.core.errors import UsageError

__all__ = ["DAY", "Period", "julian", "parse_day", "parse_instant", "utc_midnight"]

DAY = timedelta(days=1)

_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?(?P<zone>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


def utc_midnight(day: date) -> datetime:
    """Return the first instant of a day in UTC."""
    return datetime.combine(day, time.min, tzinfo=UTC)


def julian(day: date) -> str:
    """Return a day as year and day of year, ``YYYYDDD``, as file names carry it."""
    return f"{day:%Y%j}"


def parse_day(text: str) -> date:
    """Read a day written as ``YYYY-MM-DD``, ``YYYYMMDD`` or ``YYYYDDD``.

    Raises
    ------
    UsageError
        When the text is none of these.
    """
    for form in ("%Y-%m-%d", "%Y%m%d", "%Y%j"):
        try:
            parsed = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if parsed.strftime(form) == text:
            return parsed.date()
    raise UsageError(f"'{text}' is not a day: write it as YYYY-MM-DD, YYYYMMDD or YYYYDDD")


def parse_instant(text: str, *, begins: bool = False) -> datetime:
    """Read an instant, to the microsecond: RFC 3339 with its zone, or a day, which means its end in UTC.

    What was so "on" a day was so when it ended; its last microsecond still belongs to it.

    Parameters
    ----------
    text : str
        ``2024-05-06T07:08:09Z``, ``2024-05-06T09:08:09.5+02:00``, or a day as for `parse_day`.
    begins : bool
        Whether a day means its beginning instead, as in "since".

    Returns
    -------
    datetime
        In UTC.

    Raises
    ------
    UsageError
        When the text is none of these. A time without a zone is refused: it may mean any of 26 hours.
    """
    if (match := _INSTANT.fullmatch(text)) is None:
        try:
            start = utc_midnight(parse_day(text))
            return start if begins else start + DAY - timedelta(microseconds=1)
        except (UsageError, OverflowError) as error:
            raise UsageError(
                f"'{text}' is not an instant: write it as YYYY-MM-DDTHH:MM:SSZ (RFC 3339), or as a day "
                "in UTC"
            ) from error
    if match["zone"] is None:
        raise UsageError(
            f"'{text}' has no time zone: write {text.replace(' ', 'T')}Z for UTC, or add an offset such as +02:00"
        )
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"'{text}' is not an instant: there is no such time") from error


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open span of time, ``start <= t < end``, in UTC.

    Parameters
    ----------
    start, end : datetime
        Timezone-aware; converted to UTC.

    Raises
    ------
    UsageError
        When a bound has no time zone or the end is not after the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value: datetime = getattr(self, name)
            if value.tzinfo is None:
                raise UsageError(f"the {name} of a period needs a time zone, got {value!r}")
            object.__setattr__(self, name, value.astimezone(UTC))
        if self.end <= self.start:
            raise UsageError(f"a period must end after it starts, got {self.start} to {self.end}")

    @classmethod
    def of_day(cls, day: date) -> Period:
        """Return the 24 hours of a day."""
        return cls.of_days(day, day)

    @classmethod
    def of_days(cls, first: date, last: date) -> Period:
        """Return the span of whole days from ``first`` to ``last``, both included."""
        return cls(utc_midnight(first), utc_midnight(last) + DAY)

    @property
    def day(self) -> date:
        """The day in which the middle of the period falls: the day it is dated by."""
        return (self.start + (self.end - self.start) / 2).date()

    @property
    def last_second(self) -> datetime:
        """The last whole second inside the period, as STAC's inclusive ``end_datetime``."""
        return self.end - timedelta(seconds=1)

    def days(self) -> Iterator[date]:
        """Iterate over the days that the period touches."""
        day = self.start.date()
        while utc_midnight(day) < self.end:
            yield day
            day += DAY

    def __str__(self) -> str:
        """Write the period as its first and last day."""
        return f"{self.start:%Y-%m-%d}…{self.last_second:%Y-%m-%d}"
