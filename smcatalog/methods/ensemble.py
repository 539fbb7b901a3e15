"""Several learners in one method: a partitioner, learners, a combiner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from smcatalog.methods.archive import open_archive, write_archive
from smcatalog.methods.base import Method
from smcatalog.methods.combiners import Combiner, LearnerChoice, create_combiner
from smcatalog.methods.registry import load
from smcatalog.methods.values import Matrix, Samples

__all__ = ["Ensemble"]


class Ensemble(Method):
    """Learners that are fitted to the same samples and combined.

    Parameters
    ----------
    learners : sequence of str
        Registered names of the methods that learn.
    combine : str
        How they become one: ``best`` (Rao et al. 2022).
    options : mapping
        Options of the combiner.
    parameters : mapping of str to mapping
        Parameters that are given, by learner.
    grids : mapping of str to mapping of str to list
        Values to choose from by cross-validation, by learner and parameter.
    random_state : int
        Seed of everything that draws lots.
    """

    name: ClassVar[str] = "ensemble"
    suffix: ClassVar[str] = ".zip"

    combiner_: Combiner

    def __init__(
        self,
        learners: Sequence[str] = ("linear_regression", "random_forest"),
        combine: str = "best",
        options: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        grids: Mapping[str, Mapping[str, list[Any]]] | None = None,
        random_state: int = 0,
    ) -> None:
        self.learners = learners
        self.combine = combine
        self.options = options
        self.parameters = parameters
        self.grids = grids
        self.random_state = random_state

    def _choices(self) -> dict[str, LearnerChoice]:
        parameters, grids = self.parameters or {}, self.grids or {}
        return {
            name: LearnerChoice(name, parameters.get(name, {}), grids.get(name, {}))
            for name in self.learners
        }

    def _fit(self, samples: Samples) -> None:
        self.combiner_ = create_combiner(self.combine, self.options or {})
        self.combiner_.fit(samples, self._choices(), self.random_state)

    def _predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        return self.combiner_.predict(features)

    @property
    def n_depths(self) -> int:
        """Number of depths that the fitted method predicts."""
        return next(iter(self.combiner_.members_.values())).n_depths

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature in what was learned."""
        return self.combiner_.importances

    @property
    def report(self) -> dict[str, Any]:
        """What was seen while it learned."""
        return self.combiner_.report

    def tuned(self) -> Method:
        """Return the same with the learners that predict alone, their parameters given."""
        chosen = self.combiner_.chosen
        fresh = super().tuned()
        fresh.set_params(learners=list(chosen), parameters=chosen, grids=None)
        return fresh

    def save(self, path: Path) -> None:
        """Write a ZIP file with the learners in formats of their own."""
        content = {
            "parameters": self.get_params(),
            "features": list(self.feature_names_),
            "lower": self.lower_.tolist(),
            "upper": self.upper_.tolist(),
            "members": {part: member.name for part, member in self.combiner_.members_.items()},
            "state": self.combiner_.state,
        }
        members = self.combiner_.members_
        write_archive(path, content, {part: member.save for part, member in members.items()})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method that `save` wrote. The caller has verified the file's checksum.

        Raises
        ------
        StoreError
            When the file holds something else.
        """
        with open_archive(path) as archive:
            content = archive.content
            parameters = content["parameters"]  # JSON knows lists only
            method = cls(**{**parameters, "learners": tuple(parameters["learners"])})
            method.restore(
                content,
                {part: load(name, archive.part(part)) for part, name in content["members"].items()},
            )
        return method

    def restore(self, content: Mapping[str, Any], members: Mapping[str, Method]) -> None:
        """Become what was saved."""
        self.feature_names_ = tuple(content["features"])
        self.lower_, self.upper_ = (np.array(content[name]) for name in ("lower", "upper"))
        self.combiner_ = create_combiner(self.combine, self.options or {})
        self.combiner_.restore(content["state"], members)
