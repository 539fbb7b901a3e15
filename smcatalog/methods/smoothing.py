"""Series of days at each place: gaps filled linearly, and polynomials through a window around a day."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError

__all__ = ["GapFiller", "smooth_weights", "smoothed_centre"]

Fields = NDArray[np.float32]


class GapFiller:
    """Values of wanted days, linear in time between the nearest values that each place has.

    As `smcatalog.methods.daily.between` with a reach, for fields that come one by one: no more than the wanted
    days and one field are in memory.

    Parameters
    ----------
    shape : tuple of int
        Of the fields.
    days : sequence of int
        Wanted days as numbers, rising.
    within : int
        Days by which the nearest value may be away on either side.
    """

    def __init__(self, shape: tuple[int, ...], days: NDArray[np.int64], within: int) -> None:
        self._days = days
        self._within = within
        self._last = np.zeros(shape, np.float32)
        self._when = np.full(shape, -(10**6), np.int32)
        self._latest: int | None = None
        self.values: Fields = np.full((len(days), *shape), np.nan, np.float32)
        """Shape (days, ...); NaN where one of the two neighbours is missing."""

    def add(self, day: int, field: NDArray[np.floating]) -> None:
        """Take the field of a day, NaN where there is no value.

        Raises
        ------
        UsageError
            When it is not later than the one before.
        """
        if self._latest is not None and day <= self._latest:
            raise UsageError(f"days come in the order of time: {day} after {self._latest}")
        self._latest = day
        known = np.isfinite(field)
        first, last = np.searchsorted(self._days, (day - self._within, day + 1))
        for place in range(int(first), int(last)):
            wanted = int(self._days[place])
            if wanted == day:
                np.copyto(self.values[place], field, where=known, casting="same_kind")
                continue
            # a value of the day itself stays what it is
            use = known & (self._when < wanted) & (wanted - self._when <= self._within)
            before, since = self._last[use], self._when[use]
            share = (wanted - since) / (day - since)
            self.values[place][use] = before + share * (field[use] - before)
        np.copyto(self._last, field, where=known, casting="same_kind")
        self._when[known] = day


@lru_cache(maxsize=4096)
def smooth_weights(known: tuple[bool, ...], order: int) -> tuple[float, ...]:
    """Return the weights of the days of a window in a polynomial's value on its middle day.

    Parameters
    ----------
    known : tuple of bool
        Which days of the window have a value; of odd length.
    order : int
        Of the polynomial.

    Returns
    -------
    tuple of float
        Of all days they are those of Savitzky and Golay (1964). Where some are missing, those of the least
        squares through the days that there are; where these are no more than the polynomial has
        coefficients, it would go through each of them: the middle day's own value stays.

    Raises
    ------
    UsageError
        When the window has no middle, or the middle day has no value.
    """
    half, odd = divmod(len(known), 2)
    if not odd or not known[half]:
        raise UsageError("a window to smooth in has a middle day, and that has a value")
    days = np.flatnonzero(known)
    weights = np.zeros(len(known))
    if len(days) <= order + 1:
        weights[half] = 1.0
        return tuple(weights.tolist())
    # scaled to the window, so that powers stay of one size
    powers = np.vander((days - half) / max(half, 1), order + 1, increasing=True)
    weights[days] = np.linalg.pinv(powers)[0]
    return tuple(weights.tolist())


def smoothed_centre(values: Fields, order: int) -> Fields:
    """Return the smoothed value of the middle day of a window, place by place.

    Parameters
    ----------
    values : ndarray of float32, shape (2 m + 1, ...)
        A day each, NaN where there is none.
    order : int
        Of the polynomial.

    Returns
    -------
    ndarray of float32, shape (...)
        Where all days are known what ``scipy.signal.savgol_filter`` gives, see `smooth_weights` elsewhere; NaN
        where the middle day has no value.
    """
    half = len(values) // 2
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    code = np.zeros(flat.shape[1], np.int64)
    for bit, one in enumerate(known):
        code |= one.astype(np.int64) << bit
    code[~known[half]] = 0
    patterns, which = np.unique(code, return_inverse=True)
    table = np.zeros((len(patterns), len(values)))
    for row, pattern in enumerate(patterns.tolist()):
        if pattern:
            mask = tuple(bool(pattern >> bit & 1) for bit in range(len(values)))
            table[row] = smooth_weights(mask, order)
    total = np.zeros(flat.shape[1])
    for day, one in enumerate(flat):
        total += table[which, day] * np.where(known[day], one, 0.0)
    total[~known[half]] = np.nan
    result: Fields = total.astype(np.float32).reshape(values.shape[1:])
    return result
