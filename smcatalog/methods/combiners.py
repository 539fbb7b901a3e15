"""How the estimates of several learners become one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.methods.values import Matrix, Samples

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["Combiner", "LearnerChoice", "combiner_class", "create_combiner"]


class LearnerChoice:
    """A learner to be fitted: its method, parameters that are given, and those to choose from.

    Parameters
    ----------
    name : str
        Registered name of the method.
    parameters : mapping
        Parameters that are given.
    grid : mapping of str to list
        Values to choose from by cross-validation, by the parameter's name; empty when nothing is chosen.
    """

    def __init__(
        self, name: str, parameters: Mapping[str, Any], grid: Mapping[str, list[Any]]
    ) -> None:
        self.name = name
        self.parameters = dict(parameters)
        self.grid = dict(grid)


class Combiner(ABC):
    """Fits learners to the samples of a partition (a period, perhaps a zone) and combines them.

    Subclasses keep their parameters under the names of their constructor's arguments.

    Attributes
    ----------
    members_ : dict of str to Method
        The fitted learners that predicting needs, by the name of the part they are saved as.
    """

    name: ClassVar[str]
    members_: dict[str, Method]

    @abstractmethod
    def fit(self, samples: Samples, learners: Mapping[str, LearnerChoice], seed: int) -> None:
        """Fit the learners to samples, and whatever combines them."""

    def fit_across(
        self,
        samples: Samples,
        learners: Mapping[str, LearnerChoice],
        seed: int,
        zones: NDArray[np.str_],  # noqa: ARG002 - those that tell zones apart look at it
    ) -> None:
        """Fit to samples of several zones, beside combinations that are fitted to each zone alone.

        Parameters
        ----------
        zones : ndarray of str, shape (n,)
            Zone of each sample; empty for those in no zone with a combination of its own. A combiner that keeps samples
            for testing may keep those that the zones' own keep, and report scores by zone. By default
            zones make no difference.
        """
        self.fit(samples, learners, seed)

    @abstractmethod
    def predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean and standard uncertainty, both of shape (n, d), of features of shape (n, p)."""

    @property
    @abstractmethod
    def chosen(self) -> dict[str, dict[str, Any]]:
        """Parameters by learner that were given or chosen, of the learners that predicting needs."""

    @property
    def when_scored(self) -> dict[str, Any]:
        """Options that differ when it is fitted only to be scored with samples left out: what saves time."""
        return {}

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature in what was learned, where there is such a measure."""
        return {}

    @property
    def report(self) -> dict[str, Any]:
        """What was seen while it learned, as plain values."""
        return {}

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What combines the members, as plain values that JSON can hold; with `restore` the same again."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any], members: Mapping[str, Method]) -> None:
        """Become what was saved as ``state``, with the members that belong to it."""


_COMBINERS: Final = {
    "best": ("best", "Best"),
    "stacking": ("stacking", "Stacked"),
}


def combiner_class(name: str) -> Callable[..., Combiner]:
    """Return the class of a combiner.

    Raises
    ------
    NotFoundError
        When none is called so.
    """
    if name not in _COMBINERS:
        raise NotFoundError(f"no combiner is called '{name}'; there are {', '.join(_COMBINERS)}")
    module, factory = _COMBINERS[name]
    found: Callable[..., Combiner] = getattr(import_module(f"smcatalog.methods.{module}"), factory)
    return found


def create_combiner(name: str, options: Mapping[str, Any]) -> Combiner:
    """Return an unfitted combiner.

    Raises
    ------
    NotFoundError
        When none is called so.
    UsageError
        When it has no such option.
    """
    try:
        return combiner_class(name)(**options)
    except TypeError as error:
        raise UsageError(f"combiner '{name}': {error}") from error
