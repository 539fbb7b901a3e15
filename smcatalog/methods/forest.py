"""Random forest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from smcatalog.methods.archive import model_archive, write_archive
from smcatalog.methods.base import Method
from smcatalog.methods.trees import Trees
from smcatalog.methods.values import Matrix, Samples

__all__ = ["RandomForest"]


class RandomForest(Method):
    """Random forest with the uncertainty of its leaves.

    The variance of a prediction is that of the mixture of the trees' leaves: mean of the leaves' variances plus
    variance of the leaves' means (Hutter et al. 2014, section 4.3.2). Of several depths the leaves' variance is
    its average over depths, as scikit-learn keeps it. scikit-learn fits; `Trees` predict, the same
    means faster.

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    min_samples_leaf : int
        Samples that a leaf holds at least.
    max_features : float
        Share of the features tried at a split.
    random_state : int
        Seed.

    Attributes
    ----------
    trees_ : Trees
        The fitted trees.
    shares_ : ndarray of float64, shape (p,)
        Impurity decrease that each feature brought, as a share.
    forest_ : sklearn.ensemble.RandomForestRegressor
        What was fitted; a forest that was loaded has none.
    """

    name: ClassVar[str] = "random_forest"
    suffix: ClassVar[str] = ".zip"
    precision: ClassVar[type[np.floating]] = np.float32

    trees_: Trees
    shares_: Matrix
    forest_: Any

    def __init__(
        self,
        n_estimators: int = 200,
        min_samples_leaf: int = 5,
        max_features: float = 0.5,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.random_state = random_state

    @property
    def n_depths(self) -> int:
        """Number of depths that the fitted method predicts."""
        return self.trees_.n_depths

    @property
    def importances(self) -> dict[str, float]:
        """Impurity decrease that each feature brought."""
        return dict(zip(self.feature_names_, self.shares_.tolist(), strict=True))

    def _fit(self, samples: Samples) -> None:
        from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - slow to import

        features, target = samples.features, samples.target
        forest = RandomForestRegressor(
            n_estimators=self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=self.random_state,
            n_jobs=1,
        )
        self.forest_ = forest.fit(features, target if target.shape[1] > 1 else target[:, 0])
        self.trees_ = Trees.of(self.forest_.estimators_, features.shape[1])
        self.shares_ = np.asarray(self.forest_.feature_importances_, np.float64)

    def _predict(self, features: NDArray[np.floating]) -> tuple[Matrix, Matrix]:
        sums = self.trees_.sums(features)
        sums /= self.trees_.n_trees
        mean, squares = sums[:, 0], sums[:, 1]
        return mean, np.sqrt(np.maximum(squares - mean**2, 0.0))

    def save(self, path: Path) -> None:
        """Write a ZIP file of the trees' arrays; the same forest gives the same bytes."""
        content = {**self._basics(), "importances": self.shares_.tolist()}
        parts = {name: partial(_write, array) for name, array in self.trees_.arrays.items()}
        write_archive(path, content, parts)

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
            method.shares_ = np.array(content["importances"], np.float64)
            arrays = {name: _read(archive.part(name)) for name in Trees.KEPT}
            method.trees_ = Trees.restored(arrays, len(method.feature_names_))
        return method


def _write(array: NDArray[Any], path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _read(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
