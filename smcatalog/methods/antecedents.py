"""Rain of the days before: sums over windows, and sums whose weights fall off exponentially.

Both take daily arrays whose first axis is time, a day a step and none left out: a day without a value is NaN. Sums that miss
some days are scaled up to all of them, by the weight that the days that are known have; where that is too little, there is
no sum. Days before the first one are not known either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError

__all__ = ["LEAST_KNOWN", "WeightedSum", "antecedents", "window_sums"]

Array = NDArray[np.float64]

LEAST_KNOWN: Final = 0.75
"""Share of all weights that must rest on known days."""


class WeightedSum:
    """The sum of one day's past, whatever its weights, from fields that come one by one.

    Parameters
    ----------
    shape : tuple of int
        Of the fields.
    whole : float
        The weights of all the past together.
    least : float
        Share of them that must rest on known days, above 0.
    """

    def __init__(self, shape: tuple[int, ...], whole: float, least: float = LEAST_KNOWN) -> None:
        _check_least(least)
        self._whole = whole
        self._least = least
        self._total = np.zeros(shape)
        self._known = np.zeros(shape)

    def add(self, field: NDArray[np.floating], weight: float) -> None:
        """Take a day's field [mm], NaN where it is not known."""
        known = np.isfinite(field)
        self._total += np.where(known, field, 0.0) * weight
        self._known += known * weight

    def value(self) -> Array:
        """Return the sum [mm], scaled up from the days that are known to all; NaN where these are too few."""
        share = self._known / self._whole
        result = np.full(share.shape, np.nan)
        enough = (share >= self._least - 1e-9) & (share > 0)
        np.divide(self._total, share, out=result, where=enough)
        return result


def window_sums(
    daily: NDArray[np.floating], windows: Sequence[int], *, least: float = 0.9
) -> Array:
    """Return the sums over the last days, the day itself included.

    Parameters
    ----------
    daily : ndarray of float, shape (days, ...)
        For example rain [mm d-1]; NaN where it is not known.
    windows : sequence of int
        Lengths [days].
    least : float
        Share of a window's days that must be known, above 0; the sum is then the mean over these times the length.

    Returns
    -------
    ndarray of float64, shape (windows, days, ...)
        [mm]; NaN where too few days are known.

    Raises
    ------
    UsageError
        When a window is shorter than a day, or the share not in (0, 1].
    """
    _check_least(least)
    if any(window < 1 for window in windows):
        raise UsageError(f"windows are of one day or more, got {list(windows)}")
    known = np.isfinite(daily)
    zero = np.zeros((1, *daily.shape[1:]))
    total = np.concatenate([zero, np.cumsum(np.where(known, daily, 0.0), axis=0, dtype=float)])
    count = np.concatenate([zero, np.cumsum(known, axis=0, dtype=float)])
    days = len(daily)
    result = np.full((len(windows), *daily.shape), np.nan)
    for place, window in enumerate(windows):
        first = np.maximum(np.arange(1, days + 1) - window, 0)
        rain, held = total[1:] - total[first], count[1:] - count[first]
        enough = held >= least * window - 1e-9  # a share such as 0.9 has no exact binary form
        np.divide(rain * window, held, out=result[place], where=enough & (held > 0))
    return result


def antecedents(
    daily: NDArray[np.floating], days: Sequence[float], *, least: float = 0.75
) -> Array:
    """Return sums of the past whose weights fall to 1/e in so many days, the day itself with weight one.

    ``A(t) = sum over k >= 0 of exp(-k / days) P(t - k)``, by ``A(t) = P(t) + exp(-1 / days) A(t - 1)``: the state of a soil that
    dries by the same share each day.

    Parameters
    ----------
    daily : ndarray of float, shape (days, ...)
        For example rain [mm d-1]; NaN where it is not known.
    days : sequence of float
        Times in which weights fall to 1/e [days], above 0.
    least : float
        Share of the weights of all the past, to its infinite beginning, that must rest on known days, above 0. With 0.75 the
        first sum comes after 1.4 times ``days``.

    Returns
    -------
    ndarray of float64, shape (len(days), days, ...)
        [mm]; NaN where too little is known. A rain that is always the same, P, gives ``P / (1 - exp(-1 / days))``
        whatever is missing.

    Raises
    ------
    UsageError
        When a time is not above 0, or the share not in (0, 1).
    """
    _check_least(least)
    if any(time <= 0 for time in days) or (least == 1 and len(days)):
        raise UsageError(
            f"weights fall in more than 0 days and are never all known (least below 1), got {list(days)} and {least:g}"
        )
    decay = np.exp(-1.0 / np.asarray(days, float)).reshape(-1, *(1,) * (daily.ndim - 1))
    rain = np.zeros((len(days), *daily.shape[1:]))
    weight = np.zeros_like(rain)
    result = np.full((len(days), *daily.shape), np.nan)
    for step, today in enumerate(daily):
        known = np.isfinite(today)
        rain = decay * rain + np.where(known, today, 0.0)
        weight = decay * weight + known
        share = weight * (1 - decay)  # of the weights of an endless past
        np.divide(rain, share, out=result[:, step], where=(share >= least) & (share > 0))
    return result


def _check_least(least: float) -> None:
    if not 0 < least <= 1:
        raise UsageError(f"the share of known days is above 0 and at most 1, got {least:g}")
