"""Of what means are taken: values themselves, powers behind decibels, unit vectors behind directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.variables import Averaging

__all__ = ["components", "recombined"]

_SHORTEST: Final = 1e-6
"""Below this length a mean of unit vectors points nowhere."""


def components(values: NDArray[Any], averaging: Averaging) -> tuple[NDArray[Any], ...]:
    """Return what may be averaged in place of values.

    Parameters
    ----------
    values : ndarray of float
        Any shape; NaN where there is none.

    Returns
    -------
    tuple of ndarray of float, same shape
        One array, two for directions (north and east); NaN where the values are.
    """
    match averaging:
        case Averaging.POWER:
            return (np.power(10.0, values / 10.0),)
        case Averaging.DIRECTION:
            angles = np.radians(values)
            return np.cos(angles), np.sin(angles)
        case Averaging.VALUE:
            return (values,)


def recombined(means: Sequence[NDArray[Any]], averaging: Averaging) -> NDArray[Any]:
    """Return the values that means of `components` stand for.

    Directions come as 0…360 degrees; opposite ones that cancel each other out as NaN.
    """
    match averaging:
        case Averaging.POWER:
            with np.errstate(divide="ignore", invalid="ignore"):
                decibels: NDArray[Any] = 10.0 * np.log10(means[0])
            return np.where(np.isfinite(decibels), decibels, np.nan)
        case Averaging.DIRECTION:
            north, east = means
            angles = np.degrees(np.arctan2(east, north)) % 360.0
            return np.where(np.hypot(north, east) < _SHORTEST, np.nan, angles)
        case Averaging.VALUE:
            return means[0]
