"""LightGBM (Ke et al. 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import lightgbm
import numpy as np

from smcatalog.methods.boosters import Booster
from smcatalog.methods.values import Matrix

__all__ = ["LightGBM"]


class LightGBM(Booster):
    """LightGBM regression of squared error: trees that grow leaf by leaf.

    Importances are each feature's share of the loss that its splits took off altogether (``gain``).

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    num_leaves : int
        Leaves of a tree at most.
    learning_rate : float
        Share of each tree that counts.
    min_child_samples : int
        Samples that a leaf holds at least.
    subsample, colsample_bytree : float
        Shares of the samples and features that a tree sees.
    reg_lambda : float
        Penalty of the squares of leaves' values.
    folds : int
        Folds of the residuals that make the uncertainty; 0 for none, see `ResidualMethod`.
    random_state : int
        Seed.
    """

    name: ClassVar[str] = "lightgbm"
    part_suffix: ClassVar[str] = ".txt"

    def __init__(
        self,
        n_estimators: int = 300,
        num_leaves: int = 31,
        learning_rate: float = 0.1,
        min_child_samples: int = 10,
        subsample: float = 0.8,
        colsample_bytree: float = 0.8,
        reg_lambda: float = 0.0,
        folds: int = 3,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.num_leaves = num_leaves
        self.learning_rate = learning_rate
        self.min_child_samples = min_child_samples
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.folds = folds
        self.random_state = random_state

    def _learn_depth(self, features: Matrix, target: Matrix) -> Any:
        options = {
            "objective": "regression",
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_child_samples,
            "bagging_fraction": self.subsample,
            "bagging_freq": 1 if self.subsample < 1 else 0,
            "feature_fraction": self.colsample_bytree,
            "lambda_l2": self.reg_lambda,
            "seed": self.random_state,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(features, label=target, params=options)
        return lightgbm.train(options, data, num_boost_round=self.n_estimators)

    def _estimate_depth(self, model: Any, features: Matrix) -> Matrix:
        return np.asarray(model.predict(features, num_threads=1), np.float64)

    def _gains(self, model: Any) -> Matrix:
        return np.asarray(model.feature_importance("gain"), np.float64)

    def _write(self, model: Any, path: Path) -> None:
        path.write_text(model.model_to_string(), encoding="utf-8")

    @classmethod
    def _read(cls, path: Path) -> Any:
        try:
            return lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(error) from error
