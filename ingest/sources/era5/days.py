"""From hours to days: arithmetic on arrays, apart from any file.

An hour's stamp means two things. A state (soil water, temperature) holds at that instant: the states of 00 to
23 UTC are the day's. What is added up (rain, evaporation, radiation) is what came until that instant: the
hours that end at 01 to 24 UTC are the day's, and what is stamped midnight belongs to the day before. ERA5
gives each hour's own amount; ERA5-Land gives the total since 00 UTC, so that the total of midnight is the
whole day's.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.sources.era5.fields import Rule

__all__ = [
    "HOURS",
    "LEAST_HOURS",
    "LEAST_SUMMED",
    "Sum",
    "Totals",
    "day_of",
    "ends_a_day",
]

HOURS: Final = 24
LEAST_HOURS: Final = 12
"""Hours that a daily mean needs. Soil water moves little in half a day, but a file cut at the edge of a
request holds an hour or two of its last day: no mean of it."""
LEAST_SUMMED: Final = 23
"""Hours that a daily sum needs. A file of one day's stamps 00 to 23 lacks the last hour, which midnight
of the next file holds; rain and sunshine of more than that are not to be guessed."""

_HOUR: Final = np.timedelta64(1, "h")

Times = NDArray[np.datetime64]
Array = NDArray[np.float64]


def day_of(times: Times, rule: Rule) -> Times:
    """Return the day to which each hour belongs, datetime64[D] of the same shape."""
    moved = times - _HOUR if rule is Rule.SUM else times
    days: Times = moved.astype("datetime64[D]")
    return days


def ends_a_day(times: Times) -> NDArray[np.bool_]:
    """Mark the stamps at midnight, where totals since midnight are those of the whole day before."""
    found: NDArray[np.bool_] = times == times.astype("datetime64[D]")
    return found


class Sum:
    """Adds up hours of a day, cell by cell, as they come.

    Parameters
    ----------
    shape : (int, int)
        Of a field.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._total = np.zeros(shape)
        self.count = np.zeros(shape, np.intp)

    def add(self, block: Array) -> None:
        """Take some hours, shape (hours, rows, columns); NaN does not count."""
        known = np.isfinite(block)
        self.count += known.sum(axis=0)
        self._total += np.where(known, block, 0.0).sum(axis=0)

    def mean(self, least: int) -> Array:
        """Return the mean of the hours; NaN where there are fewer than ``least``."""
        mean = np.full(self.count.shape, np.nan)
        np.divide(self._total, self.count, out=mean, where=self.count >= max(least, 1))
        return mean


class Totals:
    """Watches over hours of a day whether they can be what they are taken for.

    Attributes
    ----------
    fell : float
        By how much a value was at most below that of the hour before, anywhere.
    rose : int
        Number of hours that were higher somewhere than the hour before.
    steps : int
        Number of pairs of neighbouring hours seen.
    """

    def __init__(self) -> None:
        self.fell = 0.0
        self.rose = 0
        self.steps = 0
        self._last: tuple[np.datetime64, Array] | None = None

    def add(self, block: Array, times: Times) -> None:
        """Take some hours, rising in time; shape (hours, rows, columns)."""
        for field, time in zip(block, times, strict=True):
            if self._last is not None and time - self._last[0] == _HOUR:
                both = np.isfinite(field) & np.isfinite(self._last[1])
                known = field[both] - self._last[1][both]
                if known.size:
                    self.steps += 1
                    self.fell = max(self.fell, -float(known.min()))
                    self.rose += bool((known > 0).any())
            self._last = time, field
