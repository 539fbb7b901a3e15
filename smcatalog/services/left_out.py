"""A product's covariates and the coarse product as predictors of what stations observe, stations left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.blocks import whole
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import Grid
from smcatalog.database.engine import transaction
from smcatalog.database.series import StationDays, region_days
from smcatalog.methods import InSitu, Samples, create
from smcatalog.products import Definition
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.inputs import DayInputs, LayerIndex
from smcatalog.services.live import flat_coarse
from smcatalog.services.observed import StationPixels
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
        depth, networks = definition.depths[0], [network] if network else []
        return days, region_days(connection, definition.bbox, depth, begin, end, networks)

    days, stations = transaction(workspace.engine, find)
    same = twins([dict(zip(one.days, one.values, strict=True)) for one in stations])
    pixels = StationPixels(_window(definition, stations), definition.coarse_grid(), stations)
    if together is Together.CELL:
        # those outside are no neighbours of each other
        alone = -1 - np.arange(len(stations))
        same = joined(same, np.where(pixels.cells < 0, alone, pixels.cells).tolist())
    found = _samples(workspace, definition, days, pixels, progress)
    if found is None:
        raise NotFoundError(
            f"no station in the region of {definition.name} observes soil moisture of "
            f"{definition.depths[0]} on a day with all covariates and a coarse value: ingest stations"
        )
    names = (*definition.feature_names, COARSE)
    groups = np.array(same, np.int64)[found.stations]
    target = found.observed[:, np.newaxis]
    samples = Samples(names, found.features, target, groups, found.days)
    coarse = found.features[:, -1]
    coarse_alone = Samples(names[-1:], coarse[:, np.newaxis], target, groups, found.days)
    estimates = {
        COARSE: coarse,
        COARSE_ALONE: leave_groups_out(partial(create, _FOREST, {}), coarse_alone),
    }
    for name, parameters in progress(list(learners.items()), "learners"):
        estimates[name] = leave_groups_out(partial(create, name, parameters), samples)
    left_out_together = [
        tuple(name for name, twin in zip(found.names, same, strict=True) if twin == one)
        for one in sorted(set(same))
    ]
    day = found.days.astype(object)
    return LeftOutReport(
        definition.name,
        min(day),
        max(day),
        tuple(group for group in left_out_together if len(group) > 1),
        tuple(
            LeftOutRow(subject, mean_scores(estimate, found.observed, found.stations))
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
    pixels: StationPixels,
    progress: Progress,
) -> InSitu | None:
    """Return what stations observed beside the covariates and the coarse value, the last feature, at their pixels."""
    reader = CovariateReader(workspace.store, definition)
    window = pixels.grid
    for day in progress(days, "days"):
        if not pixels.observe(day.period):
            continue
        seen = reader.read(day, window)
        flat = flat_coarse(workspace.store, definition, day.coarse, window)
        names = (*seen.names, COARSE)
        values = np.concatenate([seen.values, flat[np.newaxis].astype(np.float32)])
        pixels.take(day.period, whole(window), replace(seen, names=names, values=values))
    return pixels.rows()


def _window(definition: Definition, stations: Sequence[StationDays]) -> Grid:
    """Return the part of the map that holds all stations in it."""
    grid = definition.output_grid()
    rows, columns, inside = grid.locate(
        np.array([one.longitude for one in stations], float),
        np.array([one.latitude for one in stations], float),
    )
    if not np.any(inside):
        return grid
    parts = [
        slice(max(int(at[inside].min()) - _AROUND, 0), int(at[inside].max()) + _AROUND + 1)
        for at in (rows, columns)
    ]
    return grid.window(*parts)
