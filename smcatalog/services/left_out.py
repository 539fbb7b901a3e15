"""A product's covariates and the coarse product as predictors of what stations observe, stations left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.time import Period
from smcatalog.database.engine import transaction
from smcatalog.database.series import StationDays, network_stations, station_days
from smcatalog.methods import Samples, create
from smcatalog.products import Definition
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.inputs import DayInputs, LayerIndex
from smcatalog.services.live import flat_coarse
from smcatalog.services.progress import Progress, silent
from smcatalog.services.workspace import Workspace
from smcatalog.validation.left_out import MeanScores, joined, mean_scores, twins

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = [
    "COARSE",
    "COARSE_ALONE",
    "LeftOutReport",
    "LeftOutRow",
    "Together",
    "leave_groups_out",
    "stations_left_out",
]

COARSE: Final = "coarse"
"""The coarse product as it is."""
COARSE_ALONE: Final = "random_forest on coarse alone"
"""A random forest that sees nothing but the coarse product."""

_FOREST: Final = "random_forest"
_AROUND: Final = 2
"""Pixels read around the stations: a window of one pixel has no extent."""


class Together(StrEnum):
    """What is left out together."""

    STATION = "station"
    """Each station by itself, with its copies. Its neighbours in the same coarse cell stay: their coarse value of a day
    is the same, so that learners may know the station's days by it."""
    CELL = "cell"
    """All stations in a coarse cell, and copies of them elsewhere."""


@dataclass(frozen=True, slots=True)
class LeftOutRow:
    """How well one estimate agrees with stations that it never saw.

    Parameters
    ----------
    subject : str
        `COARSE`, `COARSE_ALONE`, or the learner's name.
    scores : MeanScores
        At the same pairs for all subjects.
    """

    subject: str
    scores: MeanScores


@dataclass(frozen=True, slots=True)
class LeftOutReport:
    """Learners at stations that they never saw, beside two baselines.

    Parameters
    ----------
    product : str
        Whose covariates they saw.
    first, last : date
        Days of the pairs.
    left_out_together : tuple of tuple of str
        Stations whose series are copies of each other, or that are in one cell.
    rows : tuple of LeftOutRow
        Baselines first.
    """

    product: str
    first: date
    last: date
    left_out_together: tuple[tuple[str, ...], ...]
    rows: tuple[LeftOutRow, ...]


def stations_left_out(
    workspace: Workspace,
    definition: Definition,
    learners: Mapping[str, Mapping[str, Any]],
    first: date | None = None,
    last: date | None = None,
    network: str | None = None,
    progress: Progress = silent,
    together: Together = Together.STATION,
) -> LeftOutReport:
    """Fit learners to stations and score each station by those that were fitted without it.

    Learners see the covariates of the station's pixel and the coarse product's value there. The target is
    the station's mean over the map's period, in the depth of the product's first band.

    Parameters
    ----------
    learners : mapping of str to mapping
        Parameters of methods by registered name.
    first, last : date, optional
        Periods dated from ``first`` to ``last``, both included; the product's span by default.
    network : str, optional
        Only stations of this network.
    together : Together
        What is left out together.

    Raises
    ------
    NotFoundError
        When no station in the region has a pair.
    UsageError
        When all pairs are of one station or cell, or are too few for a learner.
    """
    begin = first or definition.first_day
    end = last or definition.last_day or definition.training_until

    def find(connection: Connection) -> tuple[list[DayInputs], list[StationDays]]:
        index = LayerIndex(connection, definition, begin, end)
        days = [day for day in index.days(begin, end) if day.complete and day.coarse]
        stations = [
            station_days(connection, *name, definition.depths[0], begin, end)
            for name in network_stations(connection, definition.bbox, network)
        ]
        return days, [one for one in stations if one.days]

    days, stations = transaction(workspace.engine, find)
    series = [dict(zip(one.days, one.values, strict=True)) for one in stations]
    same = twins(series)
    if together is Together.CELL:
        same = joined(same, _cells(definition, stations))
    samples, who = _samples(workspace, definition, days, (stations, series, same), progress)
    if not len(who):
        raise NotFoundError(
            f"no station in the region of {definition.name} observes soil moisture of "
            f"{definition.depths[0]} on a day with all covariates and a coarse value: ingest stations"
        )
    coarse = samples.features[:, -1]
    alone = Samples(
        samples.names[-1:], coarse[:, np.newaxis], samples.target, samples.groups, samples.days
    )
    estimates = {
        COARSE: coarse,
        COARSE_ALONE: leave_groups_out(partial(create, _FOREST, {}), alone),
    }
    for name, parameters in progress(list(learners.items()), "learners"):
        estimates[name] = leave_groups_out(partial(create, name, parameters), samples)
    reference = samples.target[:, 0]
    names = [f"{one.network}/{one.station}" for one in stations]
    groups = [
        tuple(name for name, twin in zip(names, same, strict=True) if twin == one)
        for one in sorted(set(same))
    ]
    day = samples.days.astype(object)
    return LeftOutReport(
        definition.name,
        min(day),
        max(day),
        tuple(group for group in groups if len(group) > 1),
        tuple(
            LeftOutRow(subject, mean_scores(estimate, reference, who))
            for subject, estimate in estimates.items()
        ),
    )


def leave_groups_out(create: Callable[[], Method], samples: Samples) -> NDArray[np.float64]:
    """Predict each group of samples by a method that was fitted to all others.

    Parameters
    ----------
    create : callable
        Returns an unfitted method.
    samples : Samples
        Of stations; one depth. ``groups`` says what is left out together.

    Returns
    -------
    ndarray of float64, shape (n,)
        Estimates [m³ m⁻³].

    Raises
    ------
    UsageError
        When there is only one group.
    """
    groups = np.unique(samples.groups)
    if len(groups) < 2:  # noqa: PLR2004 - one to learn from
        raise UsageError("leaving stations or cells out takes at least two different ones")
    estimates = np.full(len(samples), np.nan)
    for group in groups:
        out = samples.groups == group
        rest = Samples(
            samples.names,
            samples.features[~out],
            samples.target[~out],
            samples.groups[~out],
            samples.days[~out],
        )
        estimates[out] = create().fit(rest).predict_samples(samples.features[out])[:, 0]
    return estimates


def _samples(
    workspace: Workspace,
    definition: Definition,
    days: Sequence[DayInputs],
    observed: tuple[Sequence[StationDays], Sequence[dict[date, float]], Sequence[int]],
    progress: Progress,
) -> tuple[Samples, NDArray[np.int64]]:
    """Return samples, grouped by what is left out together, and the station of each."""
    stations, series, same = observed
    window, rows, columns, inside = _window(definition, stations)
    reader = CovariateReader(workspace.store, definition)
    features, target, who, when = [], [], [], []
    for day in progress(days, "days"):
        means = np.array([_mean(one, day.period) for one in series])
        wanted = np.flatnonzero(inside & np.isfinite(means))
        if not len(wanted):
            continue
        at = rows[wanted], columns[wanted]
        seen = reader.read(day, window).values[:, at[0], at[1]]
        flat = flat_coarse(workspace.store, definition, day.coarse, window)[at]
        row = np.column_stack([seen.T, flat]).astype(np.float64)
        whole = np.isfinite(row).all(axis=1)
        features.append(row[whole])
        target.append(means[wanted][whole])
        who.append(wanted[whole])
        when.append(np.full(int(whole.sum()), np.datetime64(day.period.day, "D")))
    names = (*definition.feature_names, COARSE)
    if not features:
        empty = np.empty((0, len(names)))
        none = np.empty(0, np.int64)
        return Samples(names, empty, empty[:, :1], none, none.astype("datetime64[D]")), none
    station = np.concatenate(who).astype(np.int64)
    return (
        Samples(
            names,
            np.concatenate(features),
            np.concatenate(target)[:, np.newaxis],
            np.array(same, np.int64)[station],
            np.concatenate(when),
        ),
        station,
    )


def _window(
    definition: Definition, stations: Sequence[StationDays]
) -> tuple[Grid, NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the part of the map that holds all stations, and row and column of each in it."""
    grid = definition.output_grid()
    rows, columns, inside = grid.locate(
        np.array([one.longitude for one in stations], float),
        np.array([one.latitude for one in stations], float),
    )
    inside = np.asarray(inside, bool)
    if not inside.any():
        return grid, rows, columns, inside
    ends = [
        (max(int(at[inside].min()) - _AROUND, 0), min(int(at[inside].max()) + _AROUND + 1, size))
        for at, size in zip((rows, columns), grid.shape, strict=True)
    ]
    window = grid.window(slice(*ends[0]), slice(*ends[1]))
    return window, rows - ends[0][0], columns - ends[1][0], inside


def _cells(definition: Definition, stations: Sequence[StationDays]) -> list[int]:
    """Return the number of each station's coarse cell; outside of the region none is that of another."""
    rows, columns, inside = definition.coarse_grid().locate(
        np.array([one.longitude for one in stations], float),
        np.array([one.latitude for one in stations], float),
    )
    width = definition.coarse_grid().shape[1]
    alone = -1 - np.arange(len(stations))
    return [int(cell) for cell in np.where(inside, rows * width + columns, alone)]


def _mean(series: Mapping[date, float], period: Period) -> float:
    values = [series[day] for day in period.days() if day in series]
    return float(np.mean(values)) if values else float("nan")
