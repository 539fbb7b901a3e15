"""From values of several days to values of each day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError

__all__ = ["between"]


def between(
    knots: NDArray[np.datetime64],
    values: NDArray[np.floating],
    days: NDArray[np.datetime64],
    *,
    reach: int | None = None,
) -> NDArray[np.float64]:
    """Interpolate linearly in time, place by place.

    Parameters
    ----------
    knots : ndarray of datetime64[D], shape (k,)
        Days of the values, rising; of a composite the day in its middle.
    values : ndarray, shape (k, ...)
        NaN where there is none: there the neighbours in time are joined instead.
    days : ndarray of datetime64[D], shape (n,)
        Which days are wanted.
    reach : int, optional
        Days by which the nearest value may be away on either side; default: any number.

    Returns
    -------
    ndarray of float64, shape (n, ...)
        In the unit of ``values``. On a knot with a value that value; NaN before the first, after the last,
        and where one of the two neighbours is out of reach.

    Raises
    ------
    UsageError
        When the knots do not rise or are not as many as the values.
    """
    at = knots.astype("datetime64[D]").astype(np.int64)
    if len(at) != len(values) or (np.diff(at) <= 0).any():
        raise UsageError("knots must rise strictly and be as many as the values")
    wanted = days.astype("datetime64[D]").astype(np.int64)
    count, shape = len(at), values.shape[1:]
    flat = np.asarray(values, np.float64).reshape(count, -1)
    known = np.isfinite(flat)
    number = np.arange(count)[:, None]
    # of each place the last knot with a value up to each knot, and the first one from it on
    before = np.maximum.accumulate(np.where(known, number, -1), axis=0)
    after = np.minimum.accumulate(np.where(known, number, count)[::-1], axis=0)[::-1]
    result = np.full((len(wanted), flat.shape[1]), np.nan)
    places = np.arange(flat.shape[1])
    for n, day in enumerate(wanted):
        left = int(np.searchsorted(at, day, "right")) - 1
        right = int(np.searchsorted(at, day, "left"))
        if left < 0 or right >= count:
            continue
        i, j = before[left], after[right]
        usable = (i >= 0) & (j < count)
        i, j, where = i[usable], j[usable], places[usable]
        span, passed = at[j] - at[i], day - at[i]
        if reach is not None:
            near = (passed <= reach) & (at[j] - day <= reach)
            i, j, where, span, passed = i[near], j[near], where[near], span[near], passed[near]
        share = np.where(span > 0, passed / np.maximum(span, 1), 0.0)
        first, second = flat[i, where], flat[j, where]
        # so that equal values stay what they are
        result[n, where] = first + share * (second - first)
    return result.reshape(len(wanted), *shape)
