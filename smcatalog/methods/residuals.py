"""What learners without an uncertainty of their own share: that of their residuals."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.methods.base import Method
from smcatalog.methods.splits import FoldsBy, fold_numbers, part
from smcatalog.methods.values import Matrix, Samples

__all__ = ["ResidualMethod", "ShuffledMethod", "Standard", "permutation_importances", "shares"]


class Standard:
    """Mean and standard deviation of columns, to bring values to 0 ± 1 and back.

    Parameters
    ----------
    values : ndarray of float64, shape (n, p)
        What is learned from. A constant column has scale 1.
    """

    def __init__(self, values: Matrix) -> None:
        self.centre: Matrix = np.asarray(values.mean(axis=0), np.float64)
        self.scale: Matrix = np.asarray(values.std(axis=0), np.float64)
        # a column that differs by rounding alone must not be blown up
        flat = self.scale <= 1e-12 * np.maximum(np.abs(self.centre), 1.0)
        self.scale[flat] = 1.0

    @classmethod
    def of(cls, centre: Matrix, scale: Matrix) -> Standard:
        """Return the one that was kept."""
        found = cls.__new__(cls)
        found.centre, found.scale = centre, scale
        return found

    def to(self, values: Matrix) -> Matrix:
        """Return standardised values."""
        result: Matrix = (values - self.centre) / self.scale
        return result

    def back(self, values: Matrix) -> Matrix:
        """Return values in their units."""
        result: Matrix = values * self.scale + self.centre
        return result


class ResidualMethod(Method):
    """A learner whose standard uncertainty is that of its residuals: one number a depth.

    It is the root of the mean squared residual of samples that were predicted by models fitted without
    them, in ``folds`` folds by lot. Neighbouring samples are alike, so that it is too small for places and
    days far from the samples. With 0 folds the residuals are those of the samples it was fitted on,
    which are too small everywhere; that is for fits of which only the mean is used.

    Subclasses have the parameters ``folds`` and ``random_state`` and write `_learn` and `_estimate`.

    Attributes
    ----------
    model_ : object
        What `_learn` returned.
    residual_ : ndarray of float64, shape (d,)
        Standard uncertainty [m³ m⁻³].
    """

    folds: int
    random_state: int
    model_: Any
    residual_: Matrix

    @property
    def n_depths(self) -> int:
        """Number of depths that the fitted method predicts."""
        return len(self.residual_)

    def bare(self) -> Self:
        """Return an unfitted one that learns the same mean and measures neither residuals nor importances."""
        fresh = self.tuned()
        extras = {"folds": 0, "importance_rows": 0}
        fresh.set_params(**{k: v for k, v in extras.items() if k in fresh.get_params()})
        return fresh

    def judge_by(self, samples: Samples) -> None:
        """Take the residuals of samples that the method has not seen for its uncertainty."""
        error = self._estimate(self.model_, samples.features) - samples.target
        self.residual_ = np.sqrt((error**2).mean(axis=0))

    def _fit(self, samples: Samples) -> None:
        self.model_ = self._learn(samples)
        self.residual_ = np.sqrt((self._residuals(samples) ** 2).mean(axis=0))
        self._measure(samples)

    def _residuals(self, samples: Samples) -> Matrix:
        if self.folds < 2 or len(samples) < 2:  # noqa: PLR2004 - no one to leave out
            return samples.target - self._estimate(self.model_, samples.features)
        error = np.empty_like(samples.target)
        number = fold_numbers(samples, self.folds, FoldsBy.RANDOM, self.random_state)
        for fold in np.unique(number):
            out = number == fold
            model = self._learn(part(samples, ~out))
            error[out] = samples.target[out] - self._estimate(model, samples.features[out])
        return error

    def _measure(self, samples: Samples) -> None:
        """Measure what else is kept, as importances."""

    def _predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        mean = self._estimate(self.model_, features)
        return mean, np.broadcast_to(self.residual_, mean.shape).copy()

    @abstractmethod
    def _learn(self, samples: Samples) -> Any:
        """Return a model of samples; nothing is kept in the method."""

    @abstractmethod
    def _estimate(self, model: Any, features: Matrix) -> Matrix:
        """Return means, shape (n, d)."""

    def _basics(self) -> dict[str, Any]:
        return {**super()._basics(), "residual": self.residual_.tolist()}

    @classmethod
    def _begun(cls, content: Mapping[str, Any]) -> Self:
        method = super()._begun(content)
        method.residual_ = np.array(content["residual"], np.float64)
        return method


class ShuffledMethod(ResidualMethod):
    """A residual method that has no measure of importance of its own: features are shuffled instead.

    Subclasses have the parameter ``importance_rows`` too: samples that they are measured on; 0 for none.

    Attributes
    ----------
    importances_ : ndarray of float64, shape (p,), or None
        See `permutation_importances`.
    """

    importance_rows: int
    importances_: Matrix | None

    @property
    def importances(self) -> dict[str, float]:
        """Share of each feature in the error that shuffling them brings."""
        if self.importances_ is None:
            return {}
        return dict(zip(self.feature_names_, self.importances_.tolist(), strict=True))

    def _measure(self, samples: Samples) -> None:
        rows, seed = self.importance_rows, self.random_state
        self.importances_ = permutation_importances(self, samples, rows, seed) if rows else None


def permutation_importances(method: Method, samples: Samples, rows: int, seed: int) -> Matrix:
    """Return how much the squared error grows when a feature is shuffled, as shares of all growth.

    Parameters
    ----------
    method : Method
        Fitted.
    samples : Samples
        What it was fitted on.
    rows : int
        How many of them, by lot, are used.
    seed : int
        Of the lots; each feature is shuffled once.

    Returns
    -------
    ndarray of float64, shape (p,)
        They sum up to 1; equal shares where no feature makes a difference.

    Raises
    ------
    UsageError
        When there are no rows.
    """
    rng = np.random.default_rng(seed)
    if rows < 1:
        raise UsageError("importances by permutation need rows to shuffle")
    used = np.sort(rng.permutation(len(samples))[:rows])
    features, target = samples.features[used], samples.target[used]
    before = ((method.predict_samples(features) - target) ** 2).mean()
    growth = np.empty(features.shape[1])
    for column in range(features.shape[1]):
        shuffled = features.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        growth[column] = ((method.predict_samples(shuffled) - target) ** 2).mean() - before
    return shares(np.maximum(growth, 0.0))


def shares(sizes: Matrix) -> Matrix:
    """Return sizes as shares of their sum; equal ones when all are nought."""
    total = float(sizes.sum())
    return sizes / total if total > 0 else np.full(len(sizes), 1 / len(sizes))
