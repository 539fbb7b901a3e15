"""From covariates to features: groups of classes, the calendar, values between days."""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable, Sequence
from datetime import date
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.raster import InputQuality
from smcatalog.database.inputs import LayerRecord
from smcatalog.methods.smoothing import GapFiller, smoothed_centre
from smcatalog.products import Covariate, DayOfYear, TimeRule

__all__ = ["BETWEEN", "Field", "between_days", "calendar_of", "features_of"]

Field = tuple[NDArray[np.float32], NDArray[np.uint16]]
"""Values and their quality bits."""

BETWEEN: Final = frozenset({TimeRule.INTERPOLATED, TimeRule.SMOOTHED})

_ELSEWHERE: Final = {"zone": np.float32(0)}
"""Values that stand for none: a place in no zone has a map all the same, made by what is fitted to all."""


def features_of(covariate: Covariate, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the features that a covariate makes of its values.

    Groups of classes become one layer each, 1 inside and 0 outside; pixels of a class that is in no group have
    no value in any of them. The mean of such layers over a coarse cell is each group's share.
    """
    if not covariate.classes:
        if covariate.variable in _ELSEWHERE:
            return [np.where(np.isnan(values), _ELSEWHERE[covariate.variable], values)]
        return [values]
    inside = [np.isin(values, held) for _, held in covariate.classes]
    known = np.logical_or.reduce(inside)
    return [np.where(known, one.astype(np.float32), np.float32(np.nan)) for one in inside]


def calendar_of(how: DayOfYear | None, day: date) -> tuple[float, ...]:
    """Return a day of the year as features: its number, or the sine and cosine of the year's angle."""
    number = day.timetuple().tm_yday
    match how:
        case None:
            return ()
        case DayOfYear.NUMBER:
            return (float(number),)
        case DayOfYear.CIRCLE:
            angle = 2 * math.pi * (number - 1) / (365 + calendar.isleap(day.year))
            return math.sin(angle), math.cos(angle)


def between_days(
    covariate: Covariate,
    layers: Sequence[LayerRecord],
    day: date,
    shape: tuple[int, ...],
    field: Callable[[Sequence[LayerRecord]], Field],
) -> Field:
    """Return the values of a day out of those around it, one day's layers in memory at a time.

    Parameters
    ----------
    covariate : Covariate
        Interpolated or smoothed: its gaps are filled linearly first, from values within so many days on either
        side, and then a polynomial is laid through the days of the window (Xu et al. 2024, section 3.1).
    layers : sequence of LayerRecord
        In the order of time.
    day : date
        The map's.
    shape : tuple of int
        Of the block.
    field : callable
        Gives the values and quality bits of the layers of one day.

    Returns
    -------
    values : ndarray of float32
        NaN where a value before or after is missing.
    quality : ndarray of uint16
        Bits of the last layers up to the day; `InputQuality.FILLED` where the day has no value of its own.
    """
    centre = day.toordinal()
    half = covariate.half_width
    days = np.arange(centre - half, centre + half + 1)
    filler = GapFiller(shape, days, covariate.within_days)
    quality = np.zeros(shape, np.uint16)
    own = np.zeros(shape, bool)
    by_day = groupby(layers, key=lambda layer: layer.period and layer.period.day)
    for when, same in by_day:
        if when is None:
            continue
        values, bits = field(list(same))
        filler.add(when.toordinal(), values)
        if when <= day:
            quality = bits
        if when == day:
            own = np.isfinite(values)
    quality = np.where(own, quality, quality | np.uint16(InputQuality.FILLED))
    if covariate.time is TimeRule.INTERPOLATED:
        return filler.values[half], quality
    return smoothed_centre(filler.values, covariate.order), quality
