"""Hyperparameters of the local learners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from smcatalog.core.errors import UsageError

__all__ = [
    "LEARNERS",
    "BoostingSettings",
    "ForestSettings",
    "LearnerSettings",
    "LinearSettings",
    "SupportSettings",
    "settings_from",
]

LEARNERS: Final = ("forest", "linear", "support", "boosting")
"""The paper's RF, MLR, SVR and XG, in the order of its table 4."""


@dataclass(frozen=True, slots=True)
class ForestSettings:
    """Random forest.

    Parameters
    ----------
    trees : int
        Number of trees.
    tries : int
        Predictors tried at a split; all when there are fewer.
    least : int
        Distinct samples that a leaf holds at least.
    """

    trees: int = 50
    tries: int = 3
    least: int = 2


@dataclass(frozen=True, slots=True)
class LinearSettings:
    """Least squares.

    Parameters
    ----------
    ridge : float
        Where the correlation matrix of a window's predictors has an eigenvalue below it, it is added to the
        diagonal; elsewhere the fit is that of ordinary least squares.
    """

    ridge: float = 1e-3


@dataclass(frozen=True, slots=True)
class SupportSettings:
    """Epsilon-SVR with a Gaussian kernel on standardised predictors and target.

    Parameters
    ----------
    cost, tube : float
        C and epsilon in standard deviations of the window's target.
    width : float
        The kernel is exp(-width |x - z|²).
    tolerance : float
        Violation of the optimum's conditions that ends the search.
    steps : int
        Most steps of the search.
    """

    cost: float = 1.0
    tube: float = 0.1
    width: float = 0.2
    tolerance: float = 1e-3
    steps: int = 100_000


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """Boosted trees with squared error.

    Parameters
    ----------
    rounds, depth : int
        Number of trees and their depth.
    rate, shrink, least_gain, least_weight : float
        XGBoost's eta, lambda, gamma and min_child_weight.
    """

    rounds: int = 50
    depth: int = 3
    rate: float = 0.1
    shrink: float = 1.0
    least_gain: float = 0.0
    least_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """Hyperparameters of all four, chosen once for a zone and season.

    The paper's are in a supplement that we lack: the defaults and grids are ours.
    """

    forest: ForestSettings = field(default_factory=ForestSettings)
    linear: LinearSettings = field(default_factory=LinearSettings)
    support: SupportSettings = field(default_factory=SupportSettings)
    boosting: BoostingSettings = field(default_factory=BoostingSettings)

    def __post_init__(self) -> None:
        counts = {
            "trees": self.forest.trees,
            "tries": self.forest.tries,
            "least": self.forest.least,
            "rounds": self.boosting.rounds,
            "depth": self.boosting.depth,
            "steps": self.support.steps,
        }
        amounts = {
            "ridge": self.linear.ridge,
            "cost": self.support.cost,
            "width": self.support.width,
            "tolerance": self.support.tolerance,
            "rate": self.boosting.rate,
        }
        rest = {
            "tube": self.support.tube,
            "shrink": self.boosting.shrink,
            "least_gain": self.boosting.least_gain,
            "least_weight": self.boosting.least_weight,
        }
        for name, number in counts.items():
            if number < 1:
                raise UsageError(f"{name} of the local learners is 1 or more, got {number}")
        for name, amount in amounts.items():
            if not amount > 0:
                raise UsageError(f"{name} of the local learners is above 0, got {amount:g}")
        for name, amount in rest.items():
            if not amount >= 0:
                raise UsageError(f"{name} of the local learners is 0 or more, got {amount:g}")

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Return plain values by learner."""
        return asdict(self)


def settings_from(given: Mapping[str, Mapping[str, Any]]) -> LearnerSettings:
    """Return hyperparameters from plain values by learner and name; defaults where nothing is given.

    Raises
    ------
    UsageError
        When a learner or name is unknown, or a value cannot be.
    """
    found = LearnerSettings()
    for name, values in given.items():
        if name not in LEARNERS:
            raise UsageError(
                f"no local learner is called '{name}'; there are {', '.join(LEARNERS)}"
            )
        try:
            found = replace(found, **{name: replace(getattr(found, name), **values)})
        except TypeError as error:
            raise UsageError(f"settings of '{name}': {error}") from error
    return found
