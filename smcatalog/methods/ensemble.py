"""Several learners in one method: a partitioner, learners, a combiner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from smcatalog.core.zones import HIGHEST_NUMBER
from smcatalog.methods.archive import model_archive, write_archive
from smcatalog.methods.base import Method
from smcatalog.methods.combiners import Combiner, LearnerChoice, create_combiner
from smcatalog.methods.registry import DEFAULT_LEARNERS, load
from smcatalog.methods.values import Matrix, Samples
from smcatalog.methods.zoned import Zoned

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
    zones : str, optional
        Feature that holds the number of a zone: each zone gets a combination of its own, fitted to its
        samples without that feature. It is no measure: a zone that no sample has is not outside the range.
    zone_min_samples : int
        Samples that a zone needs for that; the others, and places in no known zone, are served by a
        combination that is fitted to all samples.
    zone_learners : mapping of str to mapping of str to mapping, optional
        Parameters by zone (its number, or ``all``) and learner in place of ``learners``, ``parameters`` and
        ``grids``.
    zone_options : mapping of str to mapping, optional
        Options by zone (its number, or ``all``) that take the place of those in ``options``.
    zone_all_late : bool
        Whether the combination of all samples is fitted when it is first needed, see `Zoned`.
    """

    name: ClassVar[str] = "ensemble"
    suffix: ClassVar[str] = ".zip"

    combiner_: Combiner

    def __init__(
        self,
        learners: Sequence[str] = DEFAULT_LEARNERS,
        combine: str = "best",
        options: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        grids: Mapping[str, Mapping[str, list[Any]]] | None = None,
        random_state: int = 0,
        zones: str | None = None,
        zone_min_samples: int = 100,
        zone_learners: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
        zone_options: Mapping[str, Mapping[str, Any]] | None = None,
        zone_all_late: bool = False,
    ) -> None:
        self.learners = learners
        self.combine = combine
        self.options = options
        self.parameters = parameters
        self.grids = grids
        self.random_state = random_state
        self.zones = zones
        self.zone_min_samples = zone_min_samples
        self.zone_learners = zone_learners
        self.zone_options = zone_options
        self.zone_all_late = zone_all_late

    def _choices(self) -> dict[str, LearnerChoice]:
        parameters, grids = self.parameters or {}, self.grids or {}
        return {
            name: LearnerChoice(name, parameters.get(name, {}), grids.get(name, {}))
            for name in self.learners
        }

    def _combiner(self) -> Combiner:
        if self.zones is None:
            return create_combiner(self.combine, self.options or {})
        own = {
            zone: {name: LearnerChoice(name, given, {}) for name, given in learners.items()}
            for zone, learners in (self.zone_learners or {}).items()
        }
        options, by_zone = self.options or {}, self.zone_options or {}

        def make(zone: str) -> Combiner:
            return create_combiner(self.combine, {**options, **by_zone.get(zone, {})})

        return Zoned(make, self.zones, self.zone_min_samples, own, late=self.zone_all_late)

    def _fit(self, samples: Samples) -> None:
        if self.zones in samples.names:
            column = samples.names.index(self.zones)
            self.lower_[column], self.upper_[column] = 0, HIGHEST_NUMBER
        self.combiner_ = self._combiner()
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

    def tuned(self) -> Self:
        """Return the same with the learners that predict alone, their parameters given.

        A stack keeps its second layer, too: what joins the learners is chosen like their parameters, and learning it
        again would fit each learner once more for every fold.
        """
        chosen = self.combiner_.chosen
        fresh = super().tuned()
        options = {**(self.options or {}), **self.combiner_.when_scored}
        fresh.set_params(learners=list(chosen), parameters=chosen, grids=None, options=options)
        if isinstance(self.combiner_, Zoned):
            fresh.set_params(
                zone_learners=self.combiner_.chosen_by_zone,
                zone_options={
                    zone: {**(self.zone_options or {}).get(zone, {}), **scored}
                    for zone, scored in self.combiner_.when_scored_by_zone.items()
                },
                zone_all_late=True,
            )
        return fresh

    def save(self, path: Path) -> None:
        """Write a ZIP file with the learners in formats of their own."""
        state = self.combiner_.state  # first: a combination that comes late is fitted for it
        content = {
            **self._basics(),
            "members": {part: member.name for part, member in self.combiner_.members_.items()},
            "state": state,
        }
        members = self.combiner_.members_
        write_archive(path, content, {part: member.save for part, member in members.items()})

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
            method = cls._begun(content)
            members = {
                part: load(name, archive.part(part)) for part, name in content["members"].items()
            }
            method.combiner_ = method._combiner()  # noqa: SLF001 - its own
            method.combiner_.restore(content["state"], members)
        return method
