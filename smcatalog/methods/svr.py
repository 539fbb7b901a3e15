"""Support vector regression."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from sklearn.svm import SVR

from smcatalog.methods.archive import checked, readable
from smcatalog.methods.residuals import ShuffledMethod, Standard
from smcatalog.methods.values import Matrix, Samples

__all__ = ["SupportVector"]

_CACHE_MB: Final = 200
_KERNEL_VALUES: Final = 1 << 22
"""Kernel values held at once (32 MiB), whatever the number of pixels and support vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class _Machine:
    """One depth: f(x) = Σ αᵢ exp(−γ |x − vᵢ|²) + b, in standardised units.

    Parameters
    ----------
    vectors : ndarray, shape (m, p)
    weights : ndarray, shape (m,)
    intercept, gamma : float
    """

    vectors: Matrix
    weights: Matrix
    intercept: float
    gamma: float

    def __call__(self, features: Matrix) -> Matrix:
        result = np.full(len(features), self.intercept)
        if not len(self.weights):
            return result
        step = max(1, _KERNEL_VALUES // len(self.weights))
        own = (self.vectors**2).sum(axis=1)
        for first in range(0, len(features), step):
            rows = features[first : first + step]
            # |x − v|² from a matrix product; rounding can leave it a hair below zero
            kernel = rows @ (2.0 * self.vectors.T)
            kernel -= own
            kernel -= (rows**2).sum(axis=1)[:, np.newaxis]
            np.minimum(kernel, 0.0, out=kernel)
            kernel *= self.gamma
            np.exp(kernel, out=kernel)
            result[first : first + step] += kernel @ self.weights
        return result


@dataclass(frozen=True, slots=True, eq=False)
class _Machines:
    features: Standard
    target: Standard
    depths: list[_Machine]


class SupportVector(ShuffledMethod):
    """ε-support vector regression with a Gaussian kernel, features and target standardised.

    The kernel's width is ``gamma`` / p for p standardised features: 1 is what scikit-learn calls ``scale``.
    Importances are by permutation.

    Parameters
    ----------
    C : float
        Weight of errors against flatness.
    epsilon : float
        Errors up to this many standard deviations of the target cost nothing.
    gamma : float
        Width of the kernel: exp(−gamma |x − v|² / p).
    tolerance : float
        Of the solver's stopping criterion, in standard deviations of the target.
    importance_rows : int
        Samples that the importances are measured on; 0 for none.
    folds : int
        Folds of the residuals that make the uncertainty; 0 for none, see `ResidualMethod`.
    random_state : int
        Seed of folds and permutations; the fit itself draws no lots.
    """

    name: ClassVar[str] = "svr"
    suffix: ClassVar[str] = ".npz"

    model_: _Machines

    def __init__(
        self,
        C: float = 10.0,  # noqa: N803 - its name everywhere
        epsilon: float = 0.1,
        gamma: float = 1.0,
        tolerance: float = 1e-2,
        importance_rows: int = 500,
        folds: int = 3,
        random_state: int = 0,
    ) -> None:
        self.C = C
        self.epsilon = epsilon
        self.gamma = gamma
        self.tolerance = tolerance
        self.importance_rows = importance_rows
        self.folds = folds
        self.random_state = random_state

    def _learn(self, samples: Samples) -> _Machines:
        features, target = Standard(samples.features), Standard(samples.target)
        x, y = features.to(samples.features), target.to(samples.target)
        gamma = self.gamma / x.shape[1]
        depths = []
        for column in y.T:
            fitted = SVR(
                C=self.C,
                epsilon=self.epsilon,
                gamma=gamma,
                tol=self.tolerance,
                cache_size=_CACHE_MB,
            ).fit(x, column)
            vectors, weights = x[fitted.support_], fitted.dual_coef_[0]
            depths.append(_Machine(vectors, weights, float(fitted.intercept_[0]), gamma))
        return _Machines(features, target, depths)

    def _estimate(self, model: _Machines, features: Matrix) -> Matrix:
        standard = model.features.to(features)
        return model.target.back(np.stack([one(standard) for one in model.depths], axis=1))

    def save(self, path: Path) -> None:
        """Write the support vectors as arrays in NumPy's format; numbers round-trip exactly."""
        model = self.model_
        arrays: dict[str, Any] = {
            "feature_centre": model.features.centre,
            "feature_scale": model.features.scale,
            "target_centre": model.target.centre,
            "target_scale": model.target.scale,
        }
        for number, one in enumerate(model.depths):
            arrays[f"vectors{number}"] = one.vectors
            arrays[f"weights{number}"] = one.weights
            arrays[f"constants{number}"] = np.array([one.intercept, one.gamma])
        importances = self.importances_
        if importances is not None:
            arrays["importances"] = importances
        about = json.dumps(self._basics(), sort_keys=True).encode()
        with path.open("wb") as file:  # a name without .npz would get one
            np.savez(file, about=np.frombuffer(about, np.uint8), **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method that `save` wrote. The caller has verified the file's checksum.

        Raises
        ------
        StoreError
            When the file is damaged or holds something else.
        """
        with readable(path, cls.name):
            # opened here: what is no file of arrays NumPy would leave open
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays: dict[str, Any] = dict(file.items())
            content = checked(json.loads(arrays["about"].tobytes()), cls.name)
            method = cls._begun(content)
            method.importances_ = arrays.get("importances")
            method.model_ = _Machines(
                Standard.of(arrays["feature_centre"], arrays["feature_scale"]),
                Standard.of(arrays["target_centre"], arrays["target_scale"]),
                [
                    _Machine(
                        arrays[f"vectors{number}"],
                        arrays[f"weights{number}"],
                        *map(float, arrays[f"constants{number}"]),
                    )
                    for number in range(len(content["residual"]))
                ],
            )
        return method
