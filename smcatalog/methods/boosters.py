"""What the three boosting learners share: a model for each depth, one file of several parts."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from smcatalog.methods.archive import model_archive, write_archive
from smcatalog.methods.residuals import ResidualMethod, shares
from smcatalog.methods.values import Matrix, Samples

__all__ = ["Booster"]


class Booster(ResidualMethod):
    """Boosted trees, one model for each depth, fitted in one thread.

    Sums over samples depend on how threads divide them, so that a model would depend on the number of
    threads; who has several cores fits several models at once, and predicts several parts of a map.

    Attributes
    ----------
    model_ : list
        The library's model of each depth.
    """

    suffix: ClassVar[str] = ".zip"
    part_suffix: ClassVar[str]
    """Suffix of a depth's model in the file."""

    model_: list[Any]

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature, mean of the depths."""
        found = np.mean([shares(self._gains(model)) for model in self.model_], axis=0)
        return dict(zip(self.feature_names_, found.tolist(), strict=True))

    def _learn(self, samples: Samples) -> list[Any]:
        return [self._learn_depth(samples.features, target) for target in samples.target.T]

    def _estimate(self, model: list[Any], features: Matrix) -> Matrix:
        depths = [self._estimate_depth(one, features) for one in model]
        return np.stack(depths, axis=1).astype(np.float64)

    @abstractmethod
    def _learn_depth(self, features: Matrix, target: Matrix) -> Any:
        """Return a model of features (n, p) and target (n,)."""

    @abstractmethod
    def _estimate_depth(self, model: Any, features: Matrix) -> Matrix:
        """Return what a model makes of features, shape (n,), in one thread."""

    @abstractmethod
    def _gains(self, model: Any) -> Matrix:
        """Return how much each feature gave to a model, shape (p,)."""

    @abstractmethod
    def _write(self, model: Any, path: Path) -> None:
        """Write a model in the library's format; the same model gives the same bytes."""

    @classmethod
    @abstractmethod
    def _read(cls, path: Path) -> Any:
        """Read a model that `_write` wrote; a ``ValueError`` where it is none."""

    def save(self, path: Path) -> None:
        """Write a ZIP file with a model for each depth in the library's own format."""
        parts = {
            f"depth{number}{self.part_suffix}": lambda target, model=model: self._write(
                model, target
            )
            for number, model in enumerate(self.model_)
        }
        write_archive(path, self._basics(), parts)

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
            method.model_ = [
                cls._read(archive.part(f"depth{number}{cls.part_suffix}"))
                for number in range(len(content["residual"]))
            ]
        return method
