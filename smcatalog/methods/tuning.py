"""Choosing a learner's parameters by cross-validation over a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import ParameterGrid

from smcatalog.core.errors import UsageError
from smcatalog.core.threads import spread
from smcatalog.methods.base import Method
from smcatalog.methods.combiners import LearnerChoice
from smcatalog.methods.registry import create
from smcatalog.methods.residuals import ResidualMethod
from smcatalog.methods.splits import FoldsBy, fold_numbers, part, stratified_subset
from smcatalog.methods.values import Samples

__all__ = ["DEFAULT_GRIDS", "MOST_SAMPLES", "Tuned", "grid_of", "learner", "tune"]

DEFAULT_GRIDS: Final[dict[str, dict[str, list[Any]]]] = {
    "linear_regression": {},
    "svr": {"C": [1.0, 10.0], "gamma": [0.5, 1.0, 2.0], "epsilon": [0.1, 0.2]},
    "ann": {"hidden": [[32], [64, 32]], "alpha": [1e-4, 1e-2]},
    "random_forest": {"max_features": [0.33, 0.66], "min_samples_leaf": [1, 3, 8]},
    "xgboost": {
        "max_depth": [4, 6, 9],
        "learning_rate": [0.05, 0.1],
        "min_child_weight": [1.0, 5.0],
    },
    "lightgbm": {"num_leaves": [15, 31, 63], "learning_rate": [0.05, 0.1]},
    "catboost": {"depth": [4, 6, 8], "learning_rate": [0.05, 0.1]},
}
"""Values to choose from when a product names none: ours, for the papers' are in supplements that we lack."""

MOST_SAMPLES: Final[dict[str, int]] = {"svr": 3000}
"""Samples that a learner is tuned on at most, where that differs from the option: an SVR's time grows with
their square or faster."""

_WHILE_TUNING: Final[dict[str, dict[str, Any]]] = {"random_forest": {"n_estimators": 50}}
"""What is fitted smaller while it is tuned, unless it is in the grid: the order of settings does not depend
on how many trees are averaged once there are some tens."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen, and from what.

    Parameters
    ----------
    parameters : dict
        Given and chosen together.
    names : tuple of str
        Parameters that were tried.
    tried : tuple of tuple
        For each setting its values, in the order of ``names``, and its score: the root of the mean over
        folds of the mean squared error [m³ m⁻³], or None where it failed. Empty when there was no choice.
    n : int
        Samples that they were tried on.
    folds : int
        Folds that they were divided into.
    folds_by : str
        What stayed together in them.
    """

    parameters: dict[str, Any]
    names: tuple[str, ...] = ()
    tried: tuple[tuple[Any, ...], ...] = ()
    n: int = 0
    folds: int = 0
    folds_by: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "parameters": self.parameters,
            "grid": {
                "parameters": list(self.names),
                "rmse": [list(one) for one in self.tried],
                "n": self.n,
                "folds": self.folds,
                "folds_by": self.folds_by,
            },
        }


def grid_of(choice: LearnerChoice) -> dict[str, list[Any]]:
    """Return what there is to choose from: the learner's grid, or the default one for what is not given."""
    if choice.grid:
        return choice.grid
    default = DEFAULT_GRIDS.get(choice.name, {})
    return {key: values for key, values in default.items() if key not in choice.parameters}


def learner(name: str, parameters: Mapping[str, Any], seed: int) -> Method:
    """Return an unfitted method with a seed, unless one is given or it draws no lots."""
    method = create(name, parameters)
    if "random_state" in method.get_params() and "random_state" not in parameters:
        method.set_params(random_state=seed)
    return method


def tune(
    choice: LearnerChoice,
    samples: Samples,
    *,
    folds: int,
    folds_by: FoldsBy | str,
    most_samples: int,
    seed: int,
) -> Tuned:
    """Choose parameters by k-fold cross-validation over all combinations of a grid, on RMSE.

    Parameters
    ----------
    choice : LearnerChoice
        Learner, given parameters and grid.
    samples : Samples
        Nothing else is looked at.
    folds : int
        How many.
    folds_by : FoldsBy
        What stays together in a fold. Where whole cells or days left out would leave too few samples to learn
        from, folds are by lot, and `Tuned` says so.
    most_samples : int
        With more samples a subset is used that keeps the shares of days and of tenths of the target's
        range; an SVR at most 3000 of them (`MOST_SAMPLES`).
    seed : int
        Of subset, folds and learners.

    Returns
    -------
    Tuned
        The setting with the smallest error; of equal ones that which comes first.

    Raises
    ------
    UsageError
        When a grid is empty or unknown to the learner, or when the samples are too few for the folds.
    """
    grid = grid_of(choice)
    if not grid:
        return Tuned(dict(choice.parameters))
    for key, values in grid.items():
        if not isinstance(values, list | tuple) or not values:
            raise UsageError(f"grid of '{choice.name}': '{key}' needs a list of values")
    most = min(most_samples, MOST_SAMPLES.get(choice.name, most_samples))
    used = part(samples, stratified_subset(samples, most, seed))
    number, by = _folds(used, folds, FoldsBy(folds_by), seed)
    settings = list(ParameterGrid({key: list(values) for key, values in grid.items()}))
    given = dict(choice.parameters)
    given |= {k: min(v, given.get(k, v)) for k, v in _WHILE_TUNING.get(choice.name, {}).items()}

    def error(setting: Mapping[str, Any], fold: int) -> float:
        method = learner(choice.name, {**given, **setting}, seed)
        if isinstance(method, ResidualMethod):
            method = method.bare()
        out = number == fold
        method.fit(part(used, ~out))
        wrong = method.predict_samples(used.features[out]) - used.target[out]
        return float((wrong**2).mean())

    count = int(number.max()) + 1
    found = spread(error, [(setting, fold) for setting in settings for fold in range(count)])
    squares = np.reshape(found, (len(settings), count)).mean(axis=1)
    scores = [math.sqrt(one) if math.isfinite(one) else None for one in squares]
    if not np.isfinite(squares).any():
        raise UsageError(f"no setting of '{choice.name}' gives finite values")
    best = int(np.nanargmin(np.where(np.isfinite(squares), squares, np.nan)))
    names = tuple(grid)
    tried = tuple(
        (*(setting[name] for name in names), score)
        for setting, score in zip(settings, scores, strict=True)
    )
    return Tuned({**choice.parameters, **settings[best]}, names, tried, len(used), count, by)


def _folds(
    samples: Samples, folds: int, by: FoldsBy, seed: int
) -> tuple[NDArray[np.intp], FoldsBy]:
    """Return folds that leave enough samples to learn from, and what stays together in them."""
    needed = 2 * samples.features.shape[1]
    for kind in dict.fromkeys((by, FoldsBy.RANDOM)):
        try:
            number = fold_numbers(samples, folds, kind, seed)
        except UsageError:  # all of one cell or day
            continue
        if len(samples) - np.bincount(number).max() >= needed:
            return number, kind
    raise UsageError(
        f"{len(samples)} samples are too few to choose parameters in {folds} folds: "
        f"each must leave {needed} for {needed // 2} features"
    )
