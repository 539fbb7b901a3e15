"""Extreme gradient boosting (Chen and Guestrin 2016)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xgboost

from smcatalog.methods.boosters import Booster
from smcatalog.methods.values import Matrix

__all__ = ["XGBoost"]


class XGBoost(Booster):
    """XGBoost regression of squared error, by histograms.

    Importances are each feature's share of the loss that its splits took off altogether (``total_gain``;
    the mean gain of a split would make a feature that is used once as large as one used always).

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    max_depth : int
        Splits from a root to a leaf at most.
    learning_rate : float
        Share of each tree that counts.
    subsample, colsample_bytree : float
        Shares of the samples and features that a tree sees.
    min_child_weight : float
        Samples that a leaf holds at least.
    reg_lambda : float
        Penalty of the squares of leaves' values: the λ of Ω in equation 5 of Rao et al. (2022).
    gamma : float
        Penalty of each leaf, [m⁶ m⁻⁶] of the squared error.
    folds : int
        Folds of the residuals that make the uncertainty; 0 for none, see `ResidualMethod`.
    random_state : int
        Seed.
    """

    name: ClassVar[str] = "xgboost"
    part_suffix: ClassVar[str] = ".ubj"
    precision: ClassVar[type[np.floating]] = np.float32

    def __init__(
        self,
        n_estimators: int = 300,
        max_depth: int = 6,
        learning_rate: float = 0.1,
        subsample: float = 0.8,
        colsample_bytree: float = 0.8,
        min_child_weight: float = 1.0,
        reg_lambda: float = 1.0,
        gamma: float = 0.0,
        folds: int = 3,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.min_child_weight = min_child_weight
        self.reg_lambda = reg_lambda
        self.gamma = gamma
        self.folds = folds
        self.random_state = random_state

    def _learn_depth(self, features: Matrix, target: Matrix) -> Any:
        options = {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "min_child_weight": self.min_child_weight,
            "reg_lambda": self.reg_lambda,
            "gamma": self.gamma,
            "seed": self.random_state,
            "nthread": 1,
            "verbosity": 0,
        }
        data = xgboost.DMatrix(features, label=target, nthread=1)
        return xgboost.train(options, data, num_boost_round=self.n_estimators)

    def _estimate_depth(self, model: Any, features: Matrix) -> Matrix:
        found: Matrix = model.inplace_predict(np.ascontiguousarray(features, np.float32))
        return found

    def _gains(self, model: Any) -> Matrix:
        gains = model.get_score(importance_type="total_gain")
        count = len(self.feature_names_)
        return np.array([gains.get(f"f{number}", 0.0) for number in range(count)])

    def _write(self, model: Any, path: Path) -> None:
        path.write_bytes(model.save_raw("ubj"))

    @classmethod
    def _read(cls, path: Path) -> Any:
        model = xgboost.Booster()
        model.load_model(bytearray(path.read_bytes()))
        model.set_param({"nthread": 1})  # the file does not say it
        return model
