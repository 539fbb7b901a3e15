"""CatBoost (Prokhorenkova et al. 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from catboost import CatBoostError, CatBoostRegressor

from smcatalog.methods.boosters import Booster
from smcatalog.methods.values import Matrix

__all__ = ["CatBoost"]


class CatBoost(Booster):
    """CatBoost regression of squared error: symmetric trees.

    Importances are ``PredictionValuesChange``: how much the prediction changes on average with the feature.

    Parameters
    ----------
    iterations : int
        Number of trees.
    depth : int
        Splits from the root to a leaf.
    learning_rate : float
        Share of each tree that counts.
    l2_leaf_reg : float
        Penalty of the squares of leaves' values.
    subsample : float
        Share of the samples that a tree sees (Bernoulli).
    folds : int
        Folds of the residuals that make the uncertainty; 0 for none, see `ResidualMethod`.
    random_state : int
        Seed.
    """

    name: ClassVar[str] = "catboost"
    part_suffix: ClassVar[str] = ".cbm"

    def __init__(
        self,
        iterations: int = 500,
        depth: int = 6,
        learning_rate: float = 0.1,
        l2_leaf_reg: float = 3.0,
        subsample: float = 0.8,
        folds: int = 3,
        random_state: int = 0,
    ) -> None:
        self.iterations = iterations
        self.depth = depth
        self.learning_rate = learning_rate
        self.l2_leaf_reg = l2_leaf_reg
        self.subsample = subsample
        self.folds = folds
        self.random_state = random_state

    def _learn_depth(self, features: Matrix, target: Matrix) -> Any:
        model = CatBoostRegressor(
            iterations=self.iterations,
            depth=self.depth,
            learning_rate=self.learning_rate,
            l2_leaf_reg=self.l2_leaf_reg,
            bootstrap_type="Bernoulli",
            subsample=self.subsample,
            random_seed=self.random_state,
            thread_count=1,
            allow_writing_files=False,
            logging_level="Silent",
        )
        model.fit(features, target)
        # the time of day, a number by lot and paths: the same model would have other bytes each time
        metadata = model.get_metadata()
        for key in list(metadata.keys()):
            del metadata[key]
        return model

    def _estimate_depth(self, model: Any, features: Matrix) -> Matrix:
        return np.asarray(model.predict(features, thread_count=1), np.float64)

    def _gains(self, model: Any) -> Matrix:
        found = model.get_feature_importance(type="PredictionValuesChange", thread_count=1)
        return np.asarray(found, np.float64)

    def _write(self, model: Any, path: Path) -> None:
        model.save_model(str(path), format="cbm")

    @classmethod
    def _read(cls, path: Path) -> Any:
        try:
            return CatBoostRegressor().load_model(str(path), format="cbm")
        except CatBoostError as error:
            raise ValueError(error) from error
