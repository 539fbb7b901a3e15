"""Covariates of a product as values: whose layers, and which of them make the value of a day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["Accept", "Covariate", "TimeRule"]

_FADED: Final = 4.0
"""Multiples of the time in which weights fall to 1/e after which 2 % are left."""


class TimeRule(StrEnum):
    """Which layers of a covariate make its value for a map."""

    STATIC = "static"
    """The one layer that holds always."""
    PERIOD_MEAN = "period_mean"
    """The mean over the days of the map's period that have a layer; at least one must."""
    DAY = "day"
    """The layers of the map's day; there must be one."""
    HOLDING = "holding"
    """The composite whose period holds the map's day, else the newest one that ended before."""
    WINDOW_SUM = "window_sum"
    """The sum over so many days, the map's day the last of them."""
    ANTECEDENT = "antecedent"
    """The sum over the days up to the map's with weights that fall to 1/e in so many days."""
    CENTRED_MEAN = "centred_mean"
    """The mean of what there is from so many days before the map's day to as many after it."""
    INTERPOLATED = "interpolated"
    """Linear in time between the nearest values before and after; of a composite the day is its middle one."""
    SMOOTHED = "smoothed"
    """That of each day around, and through them a polynomial (Savitzky and Golay 1964)."""


class Accept(StrEnum):
    """Which values of an input are used."""

    RECOMMENDED = "recommended"
    """Those that their provider recommends."""
    RETRIEVED = "retrieved"
    """All that there are."""


@dataclass(frozen=True, slots=True)
class Covariate:
    """What the coarse product is downscaled with.

    Parameters
    ----------
    variable, source : str
        Canonical variable and the source of its layers.
    time : TimeRule
        Which layers make its value for a map.
    accept : Accept
        Which of their values are used; a pixel without one stays empty.
    max_age_days : int
        With ``holding``: how many days may have passed since the end of an earlier composite.
    days : float or None
        With ``window_sum``: how many; with ``antecedent``: in how many weights fall to 1/e.
    within_days : int
        With ``centred_mean``: how many days before and after are averaged; with ``interpolated`` and
        ``smoothed``: how far away the nearest value may be on either side.
    half_width, order : int
        With ``smoothed``: days before and after that the polynomial goes through, and its order.
    classes : tuple of (str, tuple of int)
        Of a variable of classes: names of groups and the classes in each. Every group is a feature, 1 where
        the pixel's class is in it and 0 elsewhere; a pixel of any other class has no value.
    """

    variable: str
    source: str
    time: TimeRule
    accept: Accept = Accept.RETRIEVED
    max_age_days: int = 0
    days: float | None = None
    within_days: int = 0
    half_width: int = 0
    order: int = 0
    classes: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it makes."""
        return tuple(f"{self.variable}_{group}" for group, _ in self.classes) or (self.name,)

    @property
    def name(self) -> str:
        """What the predictor is called: one variable may serve with several lengths of days."""
        return self.variable if self.days is None else f"{self.variable}_{self.time}_{self.days:g}d"

    @property
    def reach_days(self) -> int:
        """How many days after its end a layer is still read."""
        return self.max_age_days or self.ahead_days or max(len(self.day_weights) - 1, 0)

    @property
    def ahead_days(self) -> int:
        """How many days before its begin a layer is read already."""
        return self.within_days + self.half_width

    @property
    def day_weights(self) -> tuple[float, ...]:
        """Weights of the days in a sum, the map's day first; empty where nothing is summed up.

        Notes
        -----
        Weights that fade are cut off where 2 % of all the past's are left.
        """
        if self.days is None:
            return ()
        if self.time is TimeRule.WINDOW_SUM:
            return (1.0,) * int(self.days)
        count = math.ceil(_FADED * self.days)
        return tuple(math.exp(-age / self.days) for age in range(count))

    @property
    def whole_weight(self) -> float:
        """The weights of all the past together, that which is cut off included."""
        if self.days is None:
            return 0.0
        return self.days if self.time is TimeRule.WINDOW_SUM else 1 / (1 - math.exp(-1 / self.days))
