"""Multiple linear regression."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from smcatalog.core.errors import StoreError
from smcatalog.methods.archive import readable
from smcatalog.methods.base import Method
from smcatalog.methods.values import Matrix, Samples

__all__ = ["LinearRegression"]


class LinearRegression(Method):
    """Ordinary least squares on standardised features.

    The standard uncertainty is that of a new observation: s² (1 + xᵀ (XᵀX)⁻¹ x), with s² the residual
    variance (Draper and Smith 1998, eq. 5.2.8).

    Attributes
    ----------
    centre_, scale_ : ndarray, shape (p,)
        Mean and standard deviation of the features; a constant feature has scale 1.
    coefficients_ : ndarray, shape (p + 1, d)
        Intercept first; of the standardised features.
    inverse_ : ndarray, shape (p + 1, p + 1)
        (XᵀX)⁻¹ of the standardised design matrix, pseudo-inverse where features are collinear.
    residual_variance_ : ndarray, shape (d,)
    """

    name: ClassVar[str] = "linear_regression"
    suffix: ClassVar[str] = ".json"

    centre_: Matrix
    scale_: Matrix
    coefficients_: Matrix
    inverse_: Matrix
    residual_variance_: Matrix

    _learned: ClassVar[tuple[str, ...]] = (
        "lower_",
        "upper_",
        "centre_",
        "scale_",
        "coefficients_",
        "inverse_",
        "residual_variance_",
    )

    @property
    def n_depths(self) -> int:
        """Number of depths that the fitted method predicts."""
        return int(self.coefficients_.shape[1])

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature in the sum of absolute standardised coefficients."""
        size = np.abs(self.coefficients_[1:]).sum(axis=1)
        total = size.sum() or 1.0
        return dict(zip(self.feature_names_, (size / total).tolist(), strict=True))

    def _design(self, features: Matrix) -> Matrix:
        standard = (features - self.centre_) / self.scale_
        return np.column_stack([np.ones(len(features)), standard])

    def _fit(self, samples: Samples) -> None:
        features, target = samples.features, samples.target
        self.centre_ = np.asarray(features.mean(axis=0), np.float64)
        self.scale_ = np.asarray(features.std(axis=0), np.float64)
        self.scale_[self.scale_ == 0] = 1.0
        design = self._design(features)
        inverse = np.linalg.pinv(design.T @ design, hermitian=True)
        self.inverse_ = np.asarray(inverse, np.float64)
        self.coefficients_ = self.inverse_ @ design.T @ target
        residuals = target - design @ self.coefficients_
        freedom = max(len(features) - design.shape[1], 1)
        self.residual_variance_ = (residuals**2).sum(axis=0) / freedom

    def _predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        design = self._design(features)
        leverage = np.einsum("ij,jk,ik->i", design, self.inverse_, design)
        variance = self.residual_variance_ * (1.0 + leverage[:, np.newaxis])
        return design @ self.coefficients_, np.sqrt(variance)

    def save(self, path: Path) -> None:
        """Write the fitted method as JSON; numbers round-trip exactly."""
        content = {"features": list(self.feature_names_), "parameters": self.get_params()}
        content |= {name: getattr(self, name).tolist() for name in self._learned}
        path.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method from JSON.

        Raises
        ------
        StoreError
            When the file is damaged or holds something else.
        """
        with readable(path, cls.name):
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.keys() != {"features", "parameters", *cls._learned}:
                raise StoreError("it holds something else")
            method = cls(**content["parameters"])
            method.feature_names_ = tuple(content["features"])
            for name in cls._learned:
                setattr(method, name, np.array(content[name], np.float64))
        return method
