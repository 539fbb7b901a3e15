"""One combination of learners for each zone, and one for everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, ClassVar, Final

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.methods.combiners import Combiner, LearnerChoice
from smcatalog.methods.values import Matrix, Samples

__all__ = ["Zoned", "zone_key"]

_ALL: Final = "all"
_LONGEST: Final = 20
"""Digits of a zone's number at most."""
_LEAST_PER_FEATURE: Final = 4
"""Samples of a zone for each feature: with fewer, two learners' parts of a split could not be fitted."""


def zone_key(number: float) -> str:
    """Return the name of a zone in options and reports."""
    return str(int(number))


class Zoned(Combiner):
    """A combiner of each zone's own, fitted to its samples alone (Xu et al. 2024, section 3.3).

    One more is fitted to the samples of all zones. It serves zones whose samples are too few and places
    that are in no known zone, and it is what zones are compared with (`Combiner.fit_across`). The number of
    the zone is no feature of the learners.

    Parameters
    ----------
    make : callable
        Makes an unfitted combiner for a zone, by its name.
    feature : str
        Name of the feature that holds the zone's number, from 1 on. 0 stands for no zone at all, any other number
        that no sample has for an unknown one.
    min_samples : int
        Samples that a zone needs for a combination of its own; at least four a feature are asked for.
    own : mapping of str to mapping of str to LearnerChoice, optional
        Learners of single zones (``"all"`` for the one of all) in place of those that `fit` is given.
    late : bool
        Whether the one of all is fitted when it is first needed, which may be never: for fits that are scored and
        thrown away. The samples are kept until then.
    """

    name: ClassVar[str] = "zoned"

    def __init__(
        self,
        make: Callable[[str], Combiner],
        feature: str,
        min_samples: int,
        own: Mapping[str, Mapping[str, LearnerChoice]] | None = None,
        *,
        late: bool = False,
    ) -> None:
        self._make = make
        self._feature = feature
        self._min_samples = min_samples
        self._own = dict(own or {})
        self._late = late
        self._fit_all: Callable[[], Combiner] | None = None
        self._one_at_a_time = Lock()  # threads that predict may need it first
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
        self._parts, self._counts = {}, {}
        names = np.full(len(samples), "", np.dtypes.StrDType(_LONGEST))
        for number in np.unique(zones).tolist():
            key, members = zone_key(number), np.flatnonzero(zones == number)
            self._counts[key] = len(members)
            if number > 0 and len(members) >= least:
                combiner = self._make(key)
                part = _without(samples, self._column, members)
                combiner.fit(part, self._own.get(key, learners), seed)
                self._parts[key], names[members] = combiner, key

        def fit_all() -> Combiner:
            combiner = self._make(_ALL)
            combiner.fit_across(rest, self._own.get(_ALL, learners), seed, names)
            return combiner

        self._fit_all = fit_all
        if not (self._late and self._parts):
            self._of_all()
        self._gather()

    def _of_all(self) -> Combiner:
        """Return the combination of all samples, fitted by now."""
        with self._one_at_a_time:
            if self._fit_all is not None:
                self._parts = {_ALL: self._fit_all(), **self._parts}
                self._fit_all = None
                self._gather()
            return self._parts[_ALL]

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
            mean[left], uncertainty[left] = self._of_all().predict(rest[left])
        return mean, uncertainty

    def part(self, zone: float) -> Combiner:
        """Return the combination that serves a zone."""
        return self._parts.get(zone_key(zone)) or self._of_all()

    @property
    def chosen(self) -> dict[str, dict[str, Any]]:
        """Parameters of the learners that were fitted to all zones."""
        return self._of_all().chosen

    @property
    def chosen_by_zone(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Parameters by zone and learner, ``"all"`` among the zones."""
        self._of_all()
        return {key: part.chosen for key, part in self._parts.items()}

    @property
    def when_scored(self) -> dict[str, Any]:
        """What the combination of all says."""
        return self._of_all().when_scored

    @property
    def when_scored_by_zone(self) -> dict[str, dict[str, Any]]:
        """What the zones' own combinations say, by zone."""
        return {key: part.when_scored for key, part in self._parts.items() if key != _ALL}

    @property
    def importances(self) -> dict[str, float]:
        """Mean of the zones' importances by their samples; the zone itself has none of its own."""
        self._of_all()
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
        self._of_all()
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
        self._of_all()
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
        self._parts, self._fit_all = {}, None
        for key, saved in state["parts"].items():
            self._parts[key] = self._make(key)
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
