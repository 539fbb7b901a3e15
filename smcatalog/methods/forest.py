"""Random forest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import joblib
import numpy as np
from sklearn.ensemble import RandomForestRegressor

from smcatalog.core.errors import StoreError
from smcatalog.methods.base import Method
from smcatalog.methods.values import Matrix, Samples

__all__ = ["RandomForest"]


class RandomForest(Method):
    """Random forest with the uncertainty of its leaves.

    The variance of a prediction is that of the mixture of the trees' leaves: mean of the leaves' variances plus
    variance of the leaves' means (Hutter et al. 2014, section 4.3.2).

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
    forest_ : sklearn.ensemble.RandomForestRegressor
        The fitted forest.
    """

    name: ClassVar[str] = "random_forest"
    suffix: ClassVar[str] = ".joblib"

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
        return int(self.forest_.n_outputs_)

    @property
    def importances(self) -> dict[str, float]:
        """Impurity decrease that each feature brought."""
        shares = self.forest_.feature_importances_.tolist()
        return dict(zip(self.feature_names_, shares, strict=True))

    def _fit(self, samples: Samples) -> None:
        features, target = samples.features, samples.target
        forest = RandomForestRegressor(
            n_estimators=self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=self.random_state,
            n_jobs=1,
        )
        self.forest_ = forest.fit(features, target if target.shape[1] > 1 else target[:, 0])

    def _predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        single = np.ascontiguousarray(features, np.float32)  # what trees compare with
        depths = self.n_depths
        total = np.zeros((len(features), depths))
        squares = np.zeros_like(total)
        for tree in self.forest_.estimators_:
            leaf = tree.tree_.apply(single)
            mean = tree.tree_.value[leaf, :, 0]
            # impurity is averaged over depths; with one depth it is the leaf's variance
            variance = tree.tree_.impurity[leaf][:, np.newaxis]
            total += mean
            squares += mean**2 + variance
        n = len(self.forest_.estimators_)
        mean = total / n
        return mean, np.sqrt(np.maximum(squares / n - mean**2, 0.0))

    def save(self, path: Path) -> None:
        """Write the fitted method with joblib."""
        joblib.dump(self, path, compress=3)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method that `save` wrote. The caller has verified the file's checksum.

        Raises
        ------
        StoreError
            When the file holds something else.
        """
        loaded = joblib.load(path)
        if not isinstance(loaded, cls):
            raise StoreError(f"{path.name} does not hold a {cls.name} model")
        return loaded
