"""A product's recipe as a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import BBox, Grid, grid
from smcatalog.core.stations import Depth
from smcatalog.core.time import Period, utc_midnight
from smcatalog.products.partitions import Partitioning, partition_span

__all__ = [
    "Accept",
    "Aggregate",
    "Coarse",
    "Covariate",
    "Definition",
    "MethodChoice",
    "Reprocess",
    "Step",
    "TimeRule",
    "Update",
]

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


class Step(StrEnum):
    """What a map covers."""

    COARSE = "coarse"
    """A period of the coarse product: one map for each of them."""
    DAY = "day"
    """A day of UTC that has all covariates, whether or not the coarse product has values then."""


class Accept(StrEnum):
    """Which values of an input are used."""

    RECOMMENDED = "recommended"
    """Those that their provider recommends."""
    RETRIEVED = "retrieved"
    """All that there are."""


class Aggregate(StrEnum):
    """What a coarse cell's covariates are."""

    MEAN = "mean"
    """Means of the cell's pixels."""
    NEAREST = "nearest"
    """Those of the pixel nearest to the cell's centre, as Rao et al. (2022) resample."""


class Reprocess(StrEnum):
    """Whether a final map is made again when a granule changed what it or its model read."""

    ALWAYS = "always"
    """In the next night."""
    LISTED = "listed"
    """When an operator lists its day; until then it is stale by policy."""
    NEVER = "never"
    """Not at all; it stays stale by policy."""


class Update(StrEnum):
    """When a provisional map is made again."""

    CLOSING = "closing"
    """Once, when its look-ahead has closed and its period is complete."""
    ALWAYS = "always"
    """In each night that something changed what it or its model read."""


@dataclass(frozen=True, slots=True)
class Coarse:
    """The product that is downscaled.

    Parameters
    ----------
    source, variable, grid : str
        Where its layers come from and which grid they are on.
    min_coverage : float
        Share of a coarse cell that valid covariates must cover for it to become a sample.
    accept : Accept
        Which retrievals train. Cells marked as frozen or as water never do.
    hours : (float, float) or None
        Which hours make a day, counted from its midnight in UTC, the first ones perhaps before it:
        layers that lie wholly in them, at most 24. None: the layers whose middle lies in the day.
    aggregate : Aggregate
        How covariates become those of a coarse cell. With ``nearest`` a cell is covered if that pixel is.
    """

    source: str
    variable: str
    grid: str
    min_coverage: float = 0.5
    accept: Accept = Accept.RECOMMENDED
    hours: tuple[float, float] | None = None
    aggregate: Aggregate = Aggregate.MEAN

    def day_of(self, period: Period) -> date | None:
        """Return the day that a layer of a period belongs to; None when its hours are in none."""
        if self.hours is None:
            return period.day
        first, last = (timedelta(hours=hour) for hour in self.hours)
        day = (period.start - first).date()
        return day if period.end <= utc_midnight(day) + last else None


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
    """

    variable: str
    source: str
    time: TimeRule
    accept: Accept = Accept.RETRIEVED
    max_age_days: int = 0
    days: float | None = None

    @property
    def name(self) -> str:
        """What the predictor is called: one variable may serve with several lengths of days."""
        return self.variable if self.days is None else f"{self.variable}_{self.time}_{self.days:g}d"

    @property
    def reach_days(self) -> int:
        """How many days after its end a layer is still read."""
        return self.max_age_days or max(len(self.day_weights) - 1, 0)

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


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """A registered method and its parameters."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Definition:
    """A product: region, coarse source, covariates, method, partitions, depths, grid.

    Parameters
    ----------
    name : str
        Short name: lower-case letters, digits, hyphens. Also of the STAC collection.
    title, description, license, citation : str
        For people.
    bbox : (west, south, east, north)
        Region of the maps, in degrees.
    grid : str
        Name of the output grid.
    depths : tuple of Depth
        What the maps' bands stand for.
    first_day : date
        First day that maps are made for.
    last_day : date or None
        Last day, or None for a product that goes on.
    training_until : date
        Training horizon: models learn nothing from later days.
    look_ahead_days : int
        How many days after its period a map still reads; it is provisional until then.
    step : Step
        What a map covers: a period of the coarse product or a day.
    partitions : Partitioning
        How time is divided among models.
    min_samples : int
        Samples that a partition needs for a model of its own; with fewer the model of the
        partition before is used.
    coarse : Coarse
        What is downscaled.
    covariates : tuple of Covariate
        In the order in which the method gets them.
    method : MethodChoice
        What learns.
    reprocess : Reprocess
        Whether late granules make final maps anew.
    update : Update
        When provisional maps are made again.
    """

    name: str
    title: str
    description: str
    license: str
    citation: str
    bbox: BBox
    grid: str
    depths: tuple[Depth, ...]
    first_day: date
    training_until: date
    coarse: Coarse
    covariates: tuple[Covariate, ...]
    method: MethodChoice
    step: Step = Step.COARSE
    partitions: Partitioning = Partitioning.ALL
    min_samples: int = 1
    look_ahead_days: int = 0
    last_day: date | None = None
    reprocess: Reprocess = Reprocess.ALWAYS
    update: Update = Update.CLOSING

    def output_grid(self) -> Grid:
        """Return the window of the output grid that covers the region."""
        return grid(self.grid).crop(self.bbox)

    def coarse_grid(self) -> Grid:
        """Return the window of the coarse grid that covers the region."""
        return grid(self.coarse.grid).crop(self.bbox)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, as it is stored and fingerprinted."""
        plain = asdict(self)
        for name in ("first_day", "last_day", "training_until"):
            day: date | None = plain[name]
            plain[name] = day and day.isoformat()
        plain["bbox"] = list(self.bbox)
        if self.coarse.hours is None:  # recipes from before there was a choice stay what they are
            del plain["coarse"]["hours"]
        if self.coarse.aggregate is Aggregate.MEAN:  # likewise
            del plain["coarse"]["aggregate"]
        for covariate in plain["covariates"]:
            if covariate["days"] is None:  # likewise
                del covariate["days"]
        for policy, default in (("reprocess", Reprocess.ALWAYS), ("update", Update.CLOSING)):
            if plain[policy] is default:
                del plain[policy]
        plain["method"]["parameters"] = dict(self.method.parameters)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Definition:
        """Return the recipe that `as_dict` wrote, as the database keeps it."""
        coarse = dict(plain["coarse"])
        hours = coarse.get("hours")
        coarse |= {"accept": Accept(coarse["accept"]), "hours": tuple(hours) if hours else None}
        coarse["aggregate"] = Aggregate(coarse.get("aggregate", Aggregate.MEAN))
        covariates = tuple(
            Covariate(**{**c, "time": TimeRule(c["time"]), "accept": Accept(c["accept"])})
            for c in plain["covariates"]
        )
        last = plain["last_day"]
        known: dict[str, Any] = {
            **plain,
            "bbox": tuple(plain["bbox"]),
            "depths": tuple(Depth(**depth) for depth in plain["depths"]),
            "first_day": date.fromisoformat(plain["first_day"]),
            "last_day": date.fromisoformat(last) if last else None,
            "training_until": date.fromisoformat(plain["training_until"]),
            "coarse": Coarse(**coarse),
            "covariates": covariates,
            "method": MethodChoice(**plain["method"]),
            "step": Step(plain["step"]),
            "partitions": Partitioning(plain["partitions"]),
            "reprocess": Reprocess(plain.get("reprocess", Reprocess.ALWAYS)),
            "update": Update(plain.get("update", Update.CLOSING)),
        }
        return cls(**known)

    def closes(self, period: Period) -> datetime:
        """Return when the map of a period becomes final.

        That is when its look-ahead has closed and, where its own partition still learns, the partition is
        complete: nothing that is yet to come can change it then, late granules apart.
        """
        ends = period.end
        learned = partition_span(self.partitions, period.day)
        horizon = utc_midnight(self.training_until) + timedelta(days=1)
        if learned is None:
            ends = max(ends, horizon)
        elif learned.start < horizon:
            ends = max(ends, min(learned.end, horizon))
        return ends + timedelta(days=self.look_ahead_days)

    @property
    def recipe_fingerprint(self) -> str:
        """Fingerprint of everything that can change a map: words, the span of days and policies left out."""
        harmless = {
            "title", "description", "license", "citation", "first_day", "last_day", "reprocess", "update",
        }  # fmt: skip
        return fingerprint({k: v for k, v in self.as_dict().items() if k not in harmless})
