"""One combination of learners for each zone, and one for everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.methods.combiners import Combiner, LearnerChoice
from smcatalog.methods.values import Matrix, Samples

__all__ = ["Zoned", "zone_key"]

_ALL: Final = "all"
_LEAST_PER_FEATURE: Final = 4
"""Samples of a zone for each feature: with fewer, two learners' parts of a split could not be fitted."""


def zone_key(number: float) -> str:
    """Return the name of a zone in options and reports."""
    return str(int(number))


class Zoned(Combiner):
    """A combiner of each zone's own, fitted to its samples alone (Xu et al. 2024, section 3.3).

    One more is fitted to the samples of all zones. It serves zones whose samples are too few and places
    that are in no known zone. The number of the zone is no feature of the learners.

    Parameters
    ----------
    make : callable
        Makes an unfitted combiner.
    feature : str
        Name of the feature that holds the zone's number, from 1 on. 0 stands for no zone at all, any other number
        that no sample has for an unknown one.
    min_samples : int
        Samples that a zone needs for a combination of its own; at least four a feature are asked for.
    own : mapping of str to mapping of str to LearnerChoice, optional
        Learners of single zones (``"all"`` for the one of all) in place of those that `fit` is given.
    """

    name: ClassVar[str] = "zoned"

    def __init__(
        self,
        make: Callable[[], Combiner],
        feature: str,
        min_samples: int,
        own: Mapping[str, Mapping[str, LearnerChoice]] | None = None,
    ) -> None:
        self._make = make
        self._feature = feature
        self._min_samples = min_samples
        self._own = dict(own or {})
        self._parts: dict[str, Combiner] = {}
        self._column = 0
        self._counts: dict[str, int] = {}

    def fit(self, samples: Samples, learners: Mapping[str, LearnerChoice], seed: int) -> None:
        """Fit a combination to all samples, and one to those of each zone that has enough.

        Raises
        ------
        UsageError
            When there is no such feature.
        """
        if self._feature not in samples.names:
            raise UsageError(
                f"there are no zones by '{self._feature}': the features are {', '.join(samples.names)}"
            )
        self._column = samples.names.index(self._feature)
        zones = samples.features[:, self._column]
        rest = _without(samples, self._column, np.arange(len(samples)))
        least = max(self._min_samples, _LEAST_PER_FEATURE * len(rest.names))
        self._parts, self._counts = {_ALL: self._fitted(_ALL, rest, learners, seed)}, {}
        for number in np.unique(zones).tolist():
            key, members = zone_key(number), np.flatnonzero(zones == number)
            self._counts[key] = len(members)
            if number > 0 and len(members) >= least:
                part = _without(samples, self._column, members)
                self._parts[key] = self._fitted(key, part, learners, seed)
        self._gather()

    def _fitted(
        self, key: str, samples: Samples, learners: Mapping[str, LearnerChoice], seed: int
    ) -> Combiner:
        combiner = self._make()
        combiner.fit(samples, self._own.get(key, learners), seed)
        return combiner

    def _gather(self) -> None:
        self.members_ = {
            f"zone-{key}-{name}": member
            for key, part in self._parts.items()
            for name, member in part.members_.items()
        }

    def predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean and standard uncertainty, both of shape (n, d), each row by its zone's combination."""
        zones = features[:, self._column]
        rest = np.delete(features, self._column, axis=1)
        left = np.ones(len(rest), bool)
        depths = next(iter(self.members_.values())).n_depths
        mean, uncertainty = np.empty((len(rest), depths)), np.empty((len(rest), depths))
        for key, part in self._parts.items():
            if key == _ALL:
                continue
            inside = zones == int(key)
            left &= ~inside
            if inside.any():
                mean[inside], uncertainty[inside] = part.predict(rest[inside])
        if left.any():
            mean[left], uncertainty[left] = self._parts[_ALL].predict(rest[left])
        return mean, uncertainty

    def part(self, zone: float) -> Combiner:
        """Return the combination that serves a zone."""
        return self._parts.get(zone_key(zone), self._parts[_ALL])

    @property
    def chosen(self) -> dict[str, dict[str, Any]]:
        """Parameters of the learners that were fitted to all zones."""
        return self._parts[_ALL].chosen

    @property
    def chosen_by_zone(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Parameters by zone and learner, ``"all"`` among the zones."""
        return {key: part.chosen for key, part in self._parts.items()}

    @property
    def when_scored(self) -> dict[str, Any]:
        """What the combiners of the zones say."""
        return self._parts[_ALL].when_scored

    @property
    def importances(self) -> dict[str, float]:
        """Mean of the zones' importances by their samples; the zone itself has none of its own."""
        weights = {key: self._counts[key] for key in self._parts if key != _ALL}
        weights = weights or {_ALL: 1}
        found = {key: self._parts[key].importances for key in weights}
        total = sum(weights.values())
        names = self._parts[_ALL].importances
        means = {
            name: sum(found[key][name] * weight for key, weight in weights.items()) / total
            for name in names
        }
        return {**means, self._feature: 0.0} if means else {}

    @property
    def report(self) -> dict[str, Any]:
        """Reports by zone, ``all`` for the combination of all, and whose samples that one serves."""
        served = [key for key in self._counts if key not in self._parts]
        return {
            "zones": {key: part.report for key, part in self._parts.items()},
            "samples": self._counts,
            "served_by_all": {
                "zones": served,
                "samples": sum(self._counts[key] for key in served),
            },
        }

    @property
    def state(self) -> dict[str, Any]:
        """The zones' states and which column holds the zone."""
        return {
            "column": self._column,
            "counts": self._counts,
            "parts": {
                key: {"state": part.state, "members": list(part.members_)}
                for key, part in self._parts.items()
            },
        }

    def restore(self, state: Mapping[str, Any], members: Mapping[str, Any]) -> None:
        """Become what was saved as ``state``."""
        self._column, self._counts = state["column"], dict(state["counts"])
        self._parts = {}
        for key, saved in state["parts"].items():
            self._parts[key] = self._make()
            own = {name: members[f"zone-{key}-{name}"] for name in saved["members"]}
            self._parts[key].restore(saved["state"], own)
        self._gather()


def _without(samples: Samples, column: int, rows: np.ndarray[Any, Any]) -> Samples:
    return Samples(
        tuple(name for i, name in enumerate(samples.names) if i != column),
        np.delete(samples.features[rows], column, axis=1),
        samples.target[rows],
        samples.groups[rows],
        samples.days[rows],
    )
