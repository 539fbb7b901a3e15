"""What is measured: products, the worlds they are made in, and what their papers report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from smcatalog.core.errors import NotFoundError

__all__ = ["ENTRIES", "Entry", "Paper", "Span", "Variant", "entry"]

Span = tuple[float, float]
"""Least and greatest of some figures; twice the same for a single one."""


@dataclass(frozen=True, slots=True)
class Paper:
    """What a paper reports. Its data are not here: figures to compare with, none to reach.

    Parameters
    ----------
    source : str
        Authors, year and table.
    learners : mapping of str to mapping of str to Span
        By learner (``combined`` for what was made of all) the scores ``train r``, ``test r``, ``test rmse``.
    others : tuple of str
        Sentences on what else it reports.
    """

    source: str
    learners: Mapping[str, Mapping[str, Span]]
    others: tuple[str, ...]


def _unchanged(_values: dict[str, Any]) -> None:
    """Leave a definition as it is."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A product as it is declared, or with a change.

    Parameters
    ----------
    name : str
        Of the product in the catalogue.
    what : str
        What makes it different, for a person.
    change : callable
        Changes the values of the definition.
    """

    name: str
    what: str
    change: Callable[[dict[str, Any]], None] = _unchanged


@dataclass(frozen=True, slots=True)
class Entry:
    """A product that comes with the package, and the simulated world that it is measured in.

    Parameters
    ----------
    name : str
        Of the product's definition; the first variant is called so, too.
    preset : str
        Region of the simulated world.
    size_km : float
        Length of the region's edges [km].
    first, last : date
        Days of maps.
    before, after : int
        Days that the world begins earlier and ends later, so that windows in time are whole.
    variants : tuple of Variant
        What is made.
    paper : Paper
        Beside it.
    taught_until : date or None
        Last day that teaches, where what learns is tested on later days; by default all days of maps teach.
    notes : tuple of str
        What a reader has to know about this experiment.
    """

    name: str
    preset: str
    size_km: float
    first: date
    last: date
    variants: tuple[Variant, ...]
    paper: Paper
    before: int = 0
    after: int = 0
    taught_until: date | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def world_first(self) -> date:
        """First day of the world."""
        return self.first - timedelta(days=self.before)

    @property
    def world_last(self) -> date:
        """Last day of the world."""
        return self.last + timedelta(days=self.after)


def _retrieved(values: dict[str, Any]) -> None:
    values["coarse"]["accept"] = "retrieved"


def _without_zones(values: dict[str, Any]) -> None:
    named = values["method"]["parameters"].pop("zones")
    del values["method"]["parameters"]["zone_min_samples"]
    values["covariates"] = [one for one in values["covariates"] if one["variable"] != named]


def _one(value: float) -> Span:
    return value, value


_RAO: Final = Paper(
    "Rao et al. (2022), table 4, means over 128 periods",
    {
        learner: {"train r": _one(a), "test r": _one(b), "test rmse": _one(c)}
        for learner, a, b, c in (
            ("linear_regression", 0.688, 0.675, 0.043),
            ("svr", 0.943, 0.824, 0.033),
            ("ann", 0.864, 0.660, 0.047),
            ("random_forest", 0.978, 0.857, 0.030),
            ("xgboost", 0.991, 0.861, 0.029),
            ("combined", 0.992, 0.861, 0.028),
        )
    },
    (
        "of 128 periods XGBoost won 114 and the random forest 14; 5 of 133 had too few samples.",
        "against stations: ubRMSE 0.057 m³ m⁻³ on average at 19 sites of Maqu, 0.081 at 29 of Babao.",
    ),
)

_XU: Final = Paper(
    "Xu et al. (2024), table 3, least and greatest of five zones",
    {
        "xgboost": {"train r": (0.964, 0.991), "test r": (0.950, 0.987), "test rmse": (0.012, 0.020)},
        "lightgbm": {"train r": (0.919, 0.974), "test r": (0.917, 0.973), "test rmse": (0.018, 0.026)},
        "catboost": {"train r": (0.955, 0.987), "test r": (0.948, 0.986), "test rmse": (0.013, 0.020)},
        "combined": {"train r": (0.967, 0.991), "test r": (0.954, 0.989), "test rmse": (0.011, 0.018)},
    },
    (
        ("against 87 stations: mean R 0.613 with zones, 0.551 without, 0.605 of the coarse product (SMAP L4); mean "
        "ubRMSE 0.040 m³ m⁻³ with zones."),
    ),
)  # fmt: skip

_LIU: Final = Paper(
    "Liu et al. (2024), table 4",
    {},
    (
        ("against stations, R of random forest, line, support vectors, boosting and their average: NZW 0.323, 0.338, 0.321, "
        "0.325, 0.342; CERN 0.567, 0.617, 0.629, 0.573, 0.642; QXZ 0.477, 0.480, 0.478, 0.468, 0.514."),
        "clusters bring about 5 % and windows 7 % less bias.",
    ),
)  # fmt: skip

_ENTRIES: Final = (
    Entry(
        "rao2022", "rao2022", 300.0, date(2018, 1, 1), date(2018, 12, 31),
        (
            Variant("rao2022", "only retrievals of recommended quality train"),
            Variant("rao2022-retrieved", "all retrievals train", _retrieved),
        ),
        _RAO,
        notes=(
            ("Frozen cells never train. A period with fewer than 100 samples uses the model of the one before; where the "
            "year begins in winter there is none yet, and so no map."),
        ),
    ),
    Entry(
        "stacking", "stacking", 300.0, date(2019, 4, 1), date(2019, 11, 1),
        (
            Variant("stacking", "a stack for each zone of terrain"),
            Variant("stacking-unzoned", "one stack for all zones", _without_zones),
        ),
        _XU,
        before=31,
        after=29,
        notes=(
            "The year is the paper's season, 1 April to 1 November.",
        ),
    ),
    Entry(
        "bma", "bma", 300.0, date(2019, 1, 1), date(2019, 12, 31),
        (Variant("bma", "weights by expectation and maximisation"),),
        _LIU,
        before=365,
        taught_until=date(2018, 12, 31),
        notes=(
            ("Zones, hyperparameters and weights are learned from 2018; the maps are of 2019. Around each day and coarse pixel "
            "learners are fitted to the coarse product of that day and its neighbours, so a map is no forecast."),
            ("Here `days` left out are single ones, estimated from the days before and after; cells are left out of all windows. Both "
            "are of 24 days spread over 2018."),
            "Land surface temperature is seen on clear days alone, and the soil is frozen in winter: 2019 has no map then.",
        ),
    ),
)  # fmt: skip

ENTRIES: Final[Mapping[str, Entry]] = {one.name: one for one in _ENTRIES}
"""All entries, in the order of the page."""


def entry(name: str) -> Entry:
    """Return the entry of a name.

    Raises
    ------
    NotFoundError
        When there is none; the message lists those that are.
    """
    try:
        return ENTRIES[name]
    except KeyError:
        raise NotFoundError(f"no results of '{name}'; there are {', '.join(ENTRIES)}") from None
