"""What a product that weighs its learners by stations is worth, and what it rests on.

Liu et al. (2024): table 4 (learners beside their average, by network), figure 3 (what predictors are worth) and figure 12
(predictors and observations left out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.database.engine import transaction
from smcatalog.database.products import model_by_id, product_version
from smcatalog.database.series import StationDays
from smcatalog.database.training import trained_partitions
from smcatalog.methods import load
from smcatalog.products import Definition
from smcatalog.products.windows import AVERAGING
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.gathering import gather_samples
from smcatalog.services.inputs import DayInputs, LayerIndex
from smcatalog.services.observed import distinct, observed_stations
from smcatalog.services.progress import Progress, silent
from smcatalog.services.workspace import Workspace

__all__ = ["Experiments", "experiments"]


@dataclass(frozen=True, slots=True)
class Experiments:
    """What the experiments found.

    Parameters
    ----------
    product : str
        Its name.
    version : int
        Its version.
    first, last : date
        Days of the observations that test; none of them taught.
    training, testing : int
        Observations that the weights are learned from, and that test.
    networks : mapping of str to mapping of str to mapping
        Scores at the observations that test, by network and learner; ``mixture`` is the average.
    weights : mapping of str to mapping
        By zone: what both estimators of the weights found, and the model space beside them.
    predictors : sequence of mapping
        By zone and predictor: SHAP, permutation, correlation.
    predictor_left_out, observations_removed : sequence of mapping
        Scores at the observations that test.
    """

    product: str
    version: int
    first: date
    last: date
    training: int
    testing: int
    networks: Mapping[str, Mapping[str, Mapping[str, Any]]]
    weights: Mapping[str, Mapping[str, Any]]
    predictors: Sequence[Mapping[str, Any]]
    predictor_left_out: Sequence[Mapping[str, Any]]
    observations_removed: Sequence[Mapping[str, Any]]


def experiments(
    workspace: Workspace,
    definition: Definition,
    last: date | None = None,
    repeats: int = 20,
    progress: Progress = silent,
) -> Experiments:
    """Score the learners and their average at observations later than those that taught, and leave out what it rests on.

    Parameters
    ----------
    last : date, optional
        Last day of the observations that test; that of the product, or of the stations' observations, by default. They begin
        the day after those that the weights are learned from.
    repeats : int
        Orders in which stations are taken away.

    Raises
    ------
    UsageError
        When the product's method has no such weights, or no later observation tests them.
    NotFoundError
        When it has no model yet.
    """
    # the method's parts take seconds to import, and only this command asks for them
    from smcatalog.methods.averaging.cube import SampleCube
    from smcatalog.methods.averaging.experiments import (
        check_roles,
        leave_predictor_out,
        remove_observations,
        station_scores,
    )
    from smcatalog.methods.averaging.method import BayesianModelAveraging

    choice = definition.in_situ
    if choice is None:
        raise UsageError(
            f"product {definition.name} learns from no stations: these experiments are for method '{AVERAGING}'"
        )
    number, key, sha256 = transaction(workspace.engine, lambda c: _model(c, definition))
    with workspace.store.local(key, sha256) as path:
        method = load(AVERAGING, path)
    if not isinstance(method, BayesianModelAveraging):
        raise UsageError(f"the model of {definition.name} is of another method: produce it anew")
    until = last or definition.last_day or date.max - timedelta(days=400)

    def find(connection: Connection) -> tuple[list[DayInputs], list[StationDays]]:
        stations = distinct(observed_stations(connection, definition, choice.first_day, until))
        if not stations:
            return [], []
        begin, end = min(s.days[0] for s in stations), max(s.days[-1] for s in stations)
        index = LayerIndex(connection, definition, begin, end)
        return [day for day in index.days(begin, end) if day.complete], stations

    days, stations = transaction(workspace.engine, find)
    reader = CovariateReader(workspace.store, definition)
    samples = gather_samples(definition, days, reader, progress, "sampling", stations=stations)
    if samples is None or samples.in_situ is None:
        raise UsageError(
            f"no station in the region of {definition.name} has an observation on a day with all covariates"
        )
    # earlier days that taught nothing, since the coarse product has none of them, test nothing either
    taught = [d.period.day for d in days if d.coarse and definition.teaches(d.period.day)]
    day = samples.in_situ.days
    later = day > np.datetime64(choice.last_day, "D")
    observed = samples.in_situ.part(later | np.isin(day, np.array(taught, "datetime64[D]")))
    trains = observed.days <= np.datetime64(choice.last_day, "D")
    check_roles(trains)
    cube = SampleCube.of(samples)
    members, mixed = method.station_estimates(cube, observed)
    zones = method.zones_.of(observed.groups)
    tested = observed.part(~trains)
    return Experiments(
        definition.name,
        number,
        tested.days.min().item(),
        tested.days.max().item(),
        int(trains.sum()),
        len(tested),
        station_scores(tested.observed, members[~trains], mixed[~trains], tested.networks),
        method.report["weights"],
        method.report["predictors"],
        leave_predictor_out(
            cube,
            observed,
            trains,
            method.learners_,
            fit=method.learn_weights,
        ),
        remove_observations(
            observed.observed,
            members,
            zones,
            trains,
            repeats=repeats,
            groups=observed.stations,
            fit=method.learn_weights,
        ),
    )


def _model(connection: Connection, definition: Definition) -> tuple[int, str, str]:
    """Return version, key and checksum of the model in force."""
    version = product_version(connection, definition.name)
    for partition in reversed(trained_partitions(connection, version.id)):
        if partition.model_id is not None:
            record = model_by_id(connection, partition.model_id)
            return version.number, record.key, record.sha256
    raise NotFoundError(f"product {definition.name} has no model yet: produce it first")
