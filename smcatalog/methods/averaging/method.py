"""Bayesian model averaging of local learners (Liu et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.archive import model_archive, write_archive
from smcatalog.methods.averaging.cube import SampleCube
from smcatalog.methods.averaging.days import DayLearners, station_members
from smcatalog.methods.averaging.experiments import station_scores
from smcatalog.methods.averaging.importance import explain_predictors
from smcatalog.methods.averaging.learning import Chains, learn_mixture, tune_zones
from smcatalog.methods.averaging.local import LocalLearners
from smcatalog.methods.averaging.settings import LearnerSettings, settings_from
from smcatalog.methods.averaging.tuning import GRIDS
from smcatalog.methods.averaging.weights import BiasCorrection, MixtureWeights, Prior
from smcatalog.methods.averaging.windows import Growth
from smcatalog.methods.averaging.zonal import ZonalMixture, fit_zones
from smcatalog.methods.averaging.zonemap import ZoneMap
from smcatalog.methods.base import Method
from smcatalog.methods.values import InSitu, Matrix, Samples

__all__ = ["BayesianModelAveraging"]

_FOLDS: Final = 5
_CELLS: Final = "cells.npy"


class _Weighing(TypedDict):
    least: int
    common: bool
    bias: bool
    prior: Prior


class BayesianModelAveraging(Method):
    """Four learners fitted around each coarse pixel and day, averaged with weights from stations.

    What is kept is small: zones, hyperparameters, and a mixture for each zone. The learners themselves are fitted
    when a day is predicted, to the samples of the days around it (see `around`).

    Parameters
    ----------
    windows : mapping, optional
        How windows grow: fields of `smcatalog.methods.averaging.windows.Growth`.
    settings : mapping of str to mapping, optional
        Hyperparameters by learner (``forest``, ``linear``, ``support``, ``boosting``), fields of the classes in
        `smcatalog.methods.averaging.settings`; where there is a grid, what it begins with.
    grids : mapping of str to mapping of str to list, optional
        Values to choose from, by learner and name; ``{}`` for none, a stated grid of ours by default.
    tuned_windows : int
        Windows of a zone and season that a choice is judged by.
    tune_folds : int
        Folds of that cross-validation; the paper has 10.
    zones : int
        Number of clusters of the mean coarse soil moisture; the paper does not say how many it has.
    seasons : int
        Parts of the year with hyperparameters of their own, a divisor of 12; the first begins with December.
    estimator : {"em", "mcmc"}
        Whose weights make the maps; both are kept.
    zone_least : int
        Observations that a zone needs for a mixture of its own; others take that of all observations.
    bias_correction : bool
        Correct each member's bias first (Raftery et al. 2005, eq. 4).
    common_variance : bool
        One variance for all members.
    prior : mapping, optional
        Fields of `smcatalog.methods.averaging.weights.Prior`.
    chains : mapping, optional
        Fields of `smcatalog.methods.averaging.learning.Chains`.
    scored_days : int
        Days, spread evenly, on which the coarse cells are scored with cells and days left out.
    random_state : int
        Seed of everything that draws lots.
    """

    name: ClassVar[str] = "bayesian_model_averaging"
    suffix: ClassVar[str] = ".zip"
    most_depths: ClassVar[int | None] = 1
    whole_blocks: ClassVar[bool] = True

    zones_: ZoneMap
    settings_: dict[tuple[int, int], LearnerSettings]
    mixture_: ZonalMixture
    report_: dict[str, Any]
    _bound: tuple[SampleCube, LocalLearners] | None = None
    """Samples and learners of the day that it predicts, see `around`."""

    def __init__(
        self,
        windows: Mapping[str, Any] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        grids: Mapping[str, Mapping[str, list[Any]]] | None = None,
        tuned_windows: int = 20,
        tune_folds: int = 10,
        zones: int = 4,
        seasons: int = 4,
        estimator: str = "em",
        zone_least: int = 50,
        bias_correction: bool = False,
        common_variance: bool = False,
        prior: Mapping[str, float] | None = None,
        chains: Mapping[str, int] | None = None,
        scored_days: int = 24,
        random_state: int = 0,
    ) -> None:
        self.windows = windows
        self.settings = settings
        self.grids = grids
        self.tuned_windows = tuned_windows
        self.tune_folds = tune_folds
        self.zones = zones
        self.seasons = seasons
        self.estimator = estimator
        self.zone_least = zone_least
        self.bias_correction = bias_correction
        self.common_variance = common_variance
        self.prior = prior
        self.chains = chains
        self.scored_days = scored_days
        self.random_state = random_state

    @property
    def _growth(self) -> Growth:
        return Growth(**(self.windows or {}))

    @property
    def learners_(self) -> DayLearners:
        """What makes the learners of a day."""
        return DayLearners(
            self._growth,
            self.zones_,
            self.settings_,
            self.seasons,
            self.random_state,
            (self.lower_bound, self.upper_bound),
        )

    @property
    def learn_weights(self) -> Callable[[Matrix, Matrix, NDArray[np.integer]], ZonalMixture]:
        """What learns the mixtures from observations (n,), members (n, 4) and zones (n,), as `fit` does."""

        def learn(observed: Matrix, members: Matrix, zones: NDArray[np.integer]) -> ZonalMixture:
            if self.estimator == "mcmc":
                return self._learned(observed, members, zones)[0]
            # the estimator of the maps alone: experiments learn hundreds of times
            return fit_zones(observed, members, zones, **self._weighing)

        return learn

    @property
    def _weighing(self) -> _Weighing:
        """What every estimator of the weights is given."""
        return {
            "least": self.zone_least,
            "common": self.common_variance,
            "bias": self.bias_correction,
            "prior": Prior(**(self.prior or {})),
        }

    def _learned(
        self, observed: Matrix, members: Matrix, zones: NDArray[np.integer]
    ) -> tuple[ZonalMixture, dict[str, Any]]:
        return learn_mixture(
            observed,
            members,
            zones,
            estimator=self.estimator,
            chains=Chains(**(self.chains or {})),
            seed=self.random_state,
            **self._weighing,
        )

    def _fit(self, samples: Samples) -> None:
        stations = samples.in_situ
        if stations is None or not len(stations):
            raise UsageError(
                "Bayesian model averaging weighs its learners by observations of stations: none has one in "
                "the region and days of [in_situ] on a day with all covariates"
            )
        cube = SampleCube.of(samples)
        self.zones_ = ZoneMap.learned(cube, self.zones, self.random_state)
        self.settings_, tuned = tune_zones(
            cube,
            self.zones_,
            self._growth,
            seasons=self.seasons,
            grids=GRIDS if self.grids is None else self.grids,
            start=settings_from(self.settings or {}),
            most=self.tuned_windows,
            folds=self.tune_folds,
            seed=self.random_state,
        )
        members = station_members(cube, stations, self.learners_)
        zones = self.zones_.of(stations.groups)
        self.mixture_, weights = self._learned(stations.observed, members, zones)
        mixed = self.mixture_.moments(members, zones)[0]
        day = (samples.days - cube.first).astype(np.int64)
        self.report_ = {
            "clusters": [
                {"zone": n, "mean": float(centre), "cells": int(count)}
                for n, (centre, count) in enumerate(
                    zip(
                        self.zones_.centres,
                        np.bincount(
                            self.zones_.of(self.zones_.numbers), minlength=self.zones_.count
                        ),
                        strict=True,
                    )
                )
            ],
            "tuned": tuned,
            "weights": weights,
            "stations": station_scores(stations.observed, members, mixed, stations.networks),
            "predictors": explain_predictors(
                samples.names,
                samples.features,
                samples.target[:, 0],
                self.zones_.of(samples.groups),
                day,
                settings=settings_from(self.settings or {}),
                seed=self.random_state,
            ),
        }

    def around(self, near: Samples | None, day: np.datetime64) -> Self:
        """Return the method with the learners of a day, fitted in the windows of its pixels."""
        bound = copy(self)
        if near is None or not len(near):
            bound._bound = None  # noqa: SLF001 - its own
            return bound
        cube = SampleCube.of(near, margin=self._growth.last_side)
        bound._bound = cube, self.learners_.of(cube, day)  # noqa: SLF001 - its own
        return bound

    @property
    def n_depths(self) -> int:
        """Number of depths: one."""
        return 1

    def _predict(self, features: Matrix) -> tuple[Matrix, Matrix]:  # noqa: ARG002 - it refuses
        raise UsageError(
            "Bayesian model averaging predicts at coarse cells whose numbers are given: there is no relation "
            "that holds everywhere"
        )

    def _predict_at(
        self, features: Matrix, cells: NDArray[np.int64] | None
    ) -> tuple[Matrix, Matrix]:
        if cells is None:
            return self._predict(features)
        if self._bound is None:  # no sample in reach
            empty = np.full((len(features), 1), np.nan)
            return empty, empty
        cube, learners = self._bound
        members = learners.predict(features, cube.place(cells))
        mean, variance = self.mixture_.moments(members, self.zones_.of(cells))
        return mean[:, np.newaxis], np.sqrt(variance)[:, np.newaxis]

    def left_out(self, samples: Samples) -> dict[str, Matrix]:
        """Estimate coarse cells on some days with all samples, with cells and with days left out.

        Windows grow anew over what is left. ``days_left_out`` is a cell's value from the days before and after:
        what the product makes where the coarse one has a gap.
        """
        cube = SampleCube.of(samples)
        days = np.unique(samples.days)
        spread = np.linspace(0, len(days) - 1, min(self.scored_days, len(days)))
        chosen = days[np.unique(spread.round().astype(int))]
        fold = np.unique(samples.groups, return_inverse=True)[1] % _FOLDS
        cells = cube.place(samples.groups)
        cell_fold = np.full(int(np.prod(cube.shape)), -1)
        cell_fold[cells] = fold
        shape = cube.target.shape
        found = {
            name: np.full((len(samples), 1), np.nan)
            for name in ("train", "cells_left_out", "days_left_out")
        }

        def estimate(name: str, rows: NDArray[np.intp], rest: SampleCube) -> None:
            wanted = np.zeros(int(np.prod(cube.shape)), bool)
            wanted[cells[rows]] = True
            day = samples.days[rows[0]]
            learners = self.learners_.of(rest, day, wanted.reshape(cube.shape))
            members = learners.predict(samples.features[rows], cells[rows])
            mixed = self.mixture_.moments(members, self.zones_.of(samples.groups[rows]))[0]
            found[name][rows, 0] = np.clip(mixed, self.lower_bound, self.upper_bound)

        back, ahead = self.learners_.reach
        for day in chosen:
            near = cube.around(day, back, ahead)
            rows = np.flatnonzero(samples.days == day)
            estimate("train", rows, near)
            out = np.zeros(near.target.shape, bool)
            out[back] = True
            estimate("days_left_out", rows, near.without(out))
            for number in np.unique(fold[rows]).tolist():
                gone = np.broadcast_to((cell_fold == number).reshape(shape[1:]), near.target.shape)
                own = rows[fold[rows] == number]
                estimate("cells_left_out", own, near.without(gone))
        return found

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature in the mean size of SHAP values, zones alike."""
        table = self.report_["predictors"]
        zones = len({row["zone"] for row in table}) or 1
        shares: dict[str, float] = {}
        for row in table:
            shares[row["predictor"]] = shares.get(row["predictor"], 0.0) + row["shap_share"] / zones
        return shares

    @property
    def report(self) -> dict[str, Any]:
        """What was seen while it learned."""
        return self.report_

    def station_estimates(self, cube: SampleCube, stations: InSitu) -> tuple[Matrix, Matrix]:
        """Return members (n, 4) and the mixture's mean (n,) at stations [m³ m⁻³]."""
        members = station_members(cube, stations, self.learners_)
        return members, self.mixture_.moments(members, self.zones_.of(stations.groups))[0]

    def save(self, path: Path) -> None:
        """Write a ZIP file with a JSON document and the zones' cells as an array."""
        mixture = {
            str(zone): {
                "weights": one.weights.tolist(),
                "variances": one.variances.tolist(),
                "rows": one.rows,
                "converged": one.converged,
            }
            for zone, one in self.mixture_.mixtures.items()
        }
        content = {
            **self._basics(),
            "centres": self.zones_.centres.tolist(),
            "settings": [
                [zone, season, asdict(one)] for (zone, season), one in self.settings_.items()
            ],
            "mixtures": mixture,
            "biases": {
                str(zone): [one.intercept.tolist(), one.slope.tolist()]
                for zone, one in self.mixture_.biases.items()
            },
            "report": self.report_,
        }
        cells = np.empty(len(self.zones_.numbers), [("number", "<i8"), ("mean", "<f8")])
        cells["number"], cells["mean"] = self.zones_.numbers, self.zones_.means

        def write(part: Path) -> None:
            with part.open("wb") as file:
                np.save(file, cells, allow_pickle=False)

        write_archive(path, content, {_CELLS: write})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method that `save` wrote. The caller has verified the file's checksum.

        Raises
        ------
        StoreError
            When the file is damaged or holds something else.
        """
        with model_archive(path, cls.name) as archive:
            content = archive.content
            cells = np.load(archive.part(_CELLS), allow_pickle=False)
            method = cls._begun(content)
            method.zones_ = ZoneMap(np.array(content["centres"]), cells["number"], cells["mean"])
            method.settings_ = {
                (zone, season): settings_from(one) for zone, season, one in content["settings"]
            }
            mixtures = {
                int(zone): MixtureWeights(
                    np.array(one["weights"]),
                    np.array(one["variances"]),
                    np.empty(0),
                    one["rows"],
                    one["converged"],
                )
                for zone, one in content["mixtures"].items()
            }
            biases = {
                int(zone): BiasCorrection(np.array(intercept), np.array(slope))
                for zone, (intercept, slope) in content["biases"].items()
            }
            method.mixture_ = ZonalMixture(mixtures, biases)
            method.report_ = content["report"]
        return method
