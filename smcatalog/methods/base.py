"""The interface of every method, and the frame around it.

A method writes `_fit` and `_predict` on plain matrices. Flattening, masks, the training range, bounds
and quality bits are done here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from smcatalog.core.encoding import Quality
from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Covariates, Matrix, Prediction, Samples

__all__ = ["Method"]

_ROWS_AT_ONCE: Final = 65_536
"""Pixels predicted at once: bounds memory whatever the map's size."""


class Method(BaseEstimator, ABC):  # type: ignore[misc]
    """A downscaling method in scikit-learn's sense.

    Parameters are only assigned in ``__init__``; what is learned ends in ``_``. Subclasses write `_fit`, `_predict`,
    `_save` and `_load`.

    Attributes
    ----------
    feature_names_ : tuple of str
        Names of the features it was fitted on.
    lower_, upper_ : ndarray of float64, shape (p,)
        Range of each feature in the samples.
    """

    name: ClassVar[str]
    """Name in the registry."""
    suffix: ClassVar[str]
    """Suffix of a saved model's file."""

    lower_bound: ClassVar[float] = 0.0
    upper_bound: ClassVar[float] = 0.6
    """Physical range that predictions are clipped to [m³ m⁻³]: from dry to the porosity of clay."""

    feature_names_: tuple[str, ...]
    lower_: Matrix
    upper_: Matrix

    def fit(self, samples: Samples) -> Self:
        """Learn from samples.

        Raises
        ------
        UsageError
            When there are fewer than two samples for each feature.
        """
        n, p = samples.features.shape
        if n < 2 * p:
            raise UsageError(f"{n} samples are too few for {p} features: at least {2 * p}")
        self.feature_names_ = samples.names
        self.lower_ = samples.features.min(axis=0)
        self.upper_ = samples.features.max(axis=0)
        self._fit(samples)
        return self

    def predict(self, covariates: Covariates) -> Prediction:
        """Predict soil moisture for a block of a map.

        Pixels without all covariates stay empty. Values are clipped to the physical range; pixels with a
        covariate outside the range of the samples are flagged `Quality.OUTSIDE_TRAINING`.

        Raises
        ------
        UsageError
            When the method was not fitted or on other features.
        """
        if not hasattr(self, "feature_names_"):
            raise UsageError(f"{type(self).__name__} must be fitted before it predicts")
        if covariates.names != self.feature_names_:
            raise UsageError(
                f"the model was fitted on {', '.join(self.feature_names_)}, "
                f"the covariates are {', '.join(covariates.names)}"
            )
        p, rows, columns = covariates.values.shape
        flat = covariates.values.reshape(p, -1)
        valid = np.flatnonzero(np.isfinite(flat).all(axis=0))
        parts = [
            self._predict_rows(flat[:, valid[i : i + _ROWS_AT_ONCE]].T.astype(np.float64))
            for i in range(0, len(valid), _ROWS_AT_ONCE)
        ]
        depths = parts[0][0].shape[1] if parts else self.n_depths
        mean = np.full((depths, rows * columns), np.nan, np.float32)
        uncertainty = np.full_like(mean, np.nan)
        quality = np.broadcast_to(covariates.quality.ravel(), mean.shape).copy()
        if parts:
            mean[:, valid] = np.concatenate([part[0] for part in parts]).T
            uncertainty[:, valid] = np.concatenate([part[1] for part in parts]).T
            outside = np.concatenate([part[2] for part in parts])
            quality[:, valid[outside]] |= np.uint16(Quality.OUTSIDE_TRAINING)
        shape = (depths, rows, columns)
        return Prediction(mean.reshape(shape), uncertainty.reshape(shape), quality.reshape(shape))

    def predict_samples(self, features: Matrix) -> Matrix:
        """Return the means [m³ m⁻³], shape (n, d), for a matrix of features, shape (n, p)."""
        return self._predict_rows(features)[0]

    def _predict_rows(self, features: Matrix) -> tuple[Matrix, Matrix, NDArray[np.bool_]]:
        mean, uncertainty = self._predict(features)
        outside: NDArray[np.bool_] = np.any(
            (features < self.lower_) | (features > self.upper_), axis=1
        )
        return np.clip(mean, self.lower_bound, self.upper_bound), uncertainty, outside

    @property
    @abstractmethod
    def n_depths(self) -> int:
        """Number of depths that the fitted method predicts."""

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature in what was learned, where the method has such a measure."""
        return {}

    @property
    def report(self) -> dict[str, Any]:
        """What was seen while it learned, as plain values: kept beside the model for people and figures."""
        return {}

    def tuned(self) -> Method:
        """Return an unfitted method that has what this one chose as it learned, and chooses no more.

        That is what is fitted again to score with samples left out; choosing anew each time would take as
        long again for every part left out. Where nothing is chosen it is the same method.
        """
        fresh: Method = clone(self)
        return fresh

    @abstractmethod
    def _fit(self, samples: Samples) -> None:
        """Learn from samples; their names and range are kept already."""

    @abstractmethod
    def _predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean and standard uncertainty, both of shape (n, d)."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted method to a file; the same model gives the same bytes."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method from a file whose checksum the caller has verified."""
