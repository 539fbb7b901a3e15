"""A product's recipe as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import BBox, Grid, grid
from smcatalog.core.stations import Depth
from smcatalog.core.time import Period, utc_midnight
from smcatalog.core.variables import Kind, variable
from smcatalog.products.covariates import Accept, Covariate, TimeRule
from smcatalog.products.partitions import Partitioning, partition_span
from smcatalog.products.windows import window_days

__all__ = [
    "Accept",
    "Aggregate",
    "Coarse",
    "Covariate",
    "DayOfYear",
    "Definition",
    "InSituChoice",
    "MethodChoice",
    "Reprocess",
    "Step",
    "TimeRule",
    "Update",
]

_LATER_COVARIATE: Final[dict[str, Any]] = {
    "days": None, "within_days": 0, "half_width": 0, "order": 0, "classes": (),
}  # fmt: skip
"""What covariates did not have from the beginning: left out of a recipe where it says nothing."""


class DayOfYear(StrEnum):
    """How the day of the year is a feature."""

    NUMBER = "number"
    """1 to 366: the turn of the year is a step."""
    CIRCLE = "circle"
    """Sine and cosine: 31 December is next to 1 January."""


class Step(StrEnum):
    """What a map covers."""

    COARSE = "coarse"
    """A period of the coarse product: one map for each of them."""
    DAY = "day"
    """A day of UTC that has all covariates, whether or not the coarse product has values then."""


class Aggregate(StrEnum):
    """What a coarse cell's covariates are."""

    MEAN = "mean"
    """Means of the cell's pixels."""
    NEAREST = "nearest"
    """Those of the pixel nearest to the cell's centre, as Rao et al. (2022) resample."""
    CUBIC = "cubic"
    """Cubic convolution of the pixels around, as Liu et al. (2024) resample."""


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
class InSituChoice:
    """Observations of stations that a method learns from, besides the coarse product.

    Parameters
    ----------
    first_day, last_day : date
        Of the observations, both included; not after the training horizon.
    networks : tuple of str
        Only these; all where it is empty.
    """

    first_day: date
    last_day: date
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """A registered method and its parameters."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


_LATER_COARSE: Final[dict[str, Any]] = {"hours": None, "aggregate": Aggregate.MEAN}
_LATER: Final[dict[str, Any]] = {
    "season": None, "day_of_year": None, "reprocess": Reprocess.ALWAYS, "update": Update.CLOSING,
    "in_situ": None,
}  # fmt: skip
"""Likewise of the coarse product and of the whole."""


def _in_situ(plain: Mapping[str, Any]) -> InSituChoice:
    first, last = (date.fromisoformat(plain[name]) for name in ("first_day", "last_day"))
    return InSituChoice(first, last, tuple(plain["networks"]))


def _leave_out(plain: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    for key, default in defaults.items():
        if plain[key] == default:
            del plain[key]


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
    season : ((int, int), (int, int)) or None
        Month and day of the first and the last day of the year that have maps, both included; the first may
        be the later one. None: all the year.
    day_of_year : DayOfYear or None
        Whether and how the day of the year is a feature, after those of the covariates.
    in_situ : InSituChoice or None
        Observations that the method learns from besides the coarse product.
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
    season: tuple[tuple[int, int], tuple[int, int]] | None = None
    day_of_year: DayOfYear | None = None
    in_situ: InSituChoice | None = None

    @property
    def window(self) -> tuple[int, int] | None:
        """How many days before and after its own a map's method learns from; None where it learns nothing then."""
        return window_days(self.method.name, self.method.parameters)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features that the method gets, in order."""
        calendar = {
            None: (),
            DayOfYear.NUMBER: ("day_of_year",),
            DayOfYear.CIRCLE: ("day_of_year_sine", "day_of_year_cosine"),
        }[self.day_of_year]
        return (*(name for c in self.covariates for name in c.features), *calendar)

    @property
    def class_features(self) -> frozenset[str]:
        """Names of the features that are numbers of classes: they are counted, not averaged."""
        return frozenset(
            covariate.name
            for covariate in self.covariates
            if variable(covariate.variable).kind is Kind.CLASSES and not covariate.classes
        )

    @property
    def ahead_days(self) -> int:
        """How many days after its own a map reads layers of."""
        ahead = max((covariate.ahead_days for covariate in self.covariates), default=0)
        return ahead + (self.window or (0, 0))[1]

    @property
    def reach_days(self) -> int:
        """How many days before its own a map reads layers of."""
        back = max((covariate.reach_days for covariate in self.covariates), default=0)
        return back + (self.window or (0, 0))[0]

    def in_season(self, day: date) -> bool:
        """Say whether a day of the year has maps."""
        if self.season is None:
            return True
        first, last = self.season
        asked = (day.month, day.day)
        return first <= asked <= last if first <= last else asked >= first or asked <= last

    def teaches(self, day: date) -> bool:
        """Say whether models learn from a day: nothing that it reads is of a day after the training horizon."""
        return day + timedelta(days=self.ahead_days) <= self.training_until

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
        if self.in_situ is not None:
            for name in ("first_day", "last_day"):
                plain["in_situ"][name] = plain["in_situ"][name].isoformat()
            plain["in_situ"]["networks"] = list(self.in_situ.networks)
        plain["bbox"] = list(self.bbox)
        # recipes from before there was a choice stay what they are
        _leave_out(plain, _LATER)
        _leave_out(plain["coarse"], _LATER_COARSE)
        for covariate in plain["covariates"]:
            _leave_out(covariate, _LATER_COVARIATE)
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
            Covariate(
                **{
                    **c,
                    "time": TimeRule(c["time"]),
                    "accept": Accept(c["accept"]),
                    "classes": tuple((name, tuple(held)) for name, held in c.get("classes", ())),
                }
            )
            for c in plain["covariates"]
        )
        last, season, calendar = (plain.get(k) for k in ("last_day", "season", "day_of_year"))
        stations = plain.get("in_situ")
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
            "season": tuple(map(tuple, season)) if season else None,
            "day_of_year": DayOfYear(calendar) if calendar else None,
            "in_situ": _in_situ(stations) if stations else None,
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
