"""The interface of every method, and the frame around it.

A method writes `_fit` and `_predict` on plain matrices. Flattening, masks, the training range, bounds
and quality bits are done here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.encoding import Quality
from smcatalog.core.errors import UsageError
from smcatalog.core.threads import spread
from smcatalog.methods.values import Covariates, Matrix, Prediction, Samples

__all__ = ["Method"]

_ROWS_AT_ONCE: Final = 16_384
"""Rows predicted at once by a thread: bounds memory whatever the map's size, and leaves each thread enough
parts of a block that all end together. Results could differ in the last digit with another number: it does not
depend on the threads."""


class Method(ABC):
    """A downscaling method in scikit-learn's sense.

    It has the parts of an estimator that are used here: importing scikit-learn for its base class would take
    longer than loading a model. Parameters are only assigned in ``__init__``; what is learned ends in ``_``.
    Subclasses write `_fit`, `_predict`, `save` and `load`.

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
    precision: ClassVar[type[np.floating]] = np.float64
    """Type in which `_predict` is given the features of a map; a method that brings them to single
    itself says so and they stay what they are."""

    most_depths: ClassVar[int | None] = None
    """How many depths it learns at most; None for any number."""

    whole_blocks: ClassVar[bool] = False
    """Whether `_predict_at` is given all pixels of a block at once: a method with work of its own for each
    coarse cell would do it again for every part of the cell."""

    lower_bound: ClassVar[float] = 0.0
    upper_bound: ClassVar[float] = 0.6
    """Physical range that predictions are clipped to [m³ m⁻³]: from dry to the porosity of clay."""

    feature_names_: tuple[str, ...]
    lower_: Matrix
    upper_: Matrix

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's `clone` gives it
        """Return the parameters of ``__init__`` by name."""
        names = sorted(set(signature(type(self).__init__).parameters) - {"self"})
        # without a constructor of its own a class takes any and none
        return {name: getattr(self, name) for name in names if name not in {"args", "kwargs"}}

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters.

        Raises
        ------
        UsageError
            When there is none of the name.
        """
        unknown = sorted(parameters.keys() - self.get_params().keys())
        if unknown:
            raise UsageError(f"method '{self.name}' has no parameter {', '.join(unknown)}")
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"

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
        if self.most_depths is not None and samples.target.shape[1] > self.most_depths:
            one = "one depth" if self.most_depths == 1 else f"{self.most_depths} depths"
            raise UsageError(f"method '{self.name}' learns {one}, got {samples.target.shape[1]}")
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
        missing, outside = self._seen(flat)
        valid = np.flatnonzero(~missing)
        # means and uncertainties are made in place: a map is large and its blocks follow each other
        mean = np.full((self.n_depths, rows * columns), np.nan, np.float32)
        uncertainty = np.full_like(mean, np.nan)
        cells = None if covariates.cells is None else covariates.cells.ravel()

        def work(first: int, last: int) -> None:
            chosen: Any = valid[first:last]
            if chosen[-1] - chosen[0] == len(chosen) - 1:
                chosen = slice(chosen[0], chosen[-1] + 1)  # without gaps nothing is gathered
            features: Any = np.ascontiguousarray(flat[:, chosen].T, self.precision)
            found, deviation = self._predict_at(features, None if cells is None else cells[chosen])
            mean[:, chosen] = np.clip(found, self.lower_bound, self.upper_bound).T
            uncertainty[:, chosen] = deviation.T

        spread(work, _parts(len(valid), len(valid) if self.whole_blocks else _ROWS_AT_ONCE))
        quality = covariates.quality.ravel() | np.where(
            outside & ~missing, np.uint16(Quality.OUTSIDE_TRAINING), np.uint16(0)
        )
        shape = (self.n_depths, rows, columns)
        return Prediction(
            mean.reshape(shape),
            uncertainty.reshape(shape),
            np.broadcast_to(quality, mean.shape).reshape(shape).copy(),
        )

    def predict_samples(self, features: Matrix) -> Matrix:
        """Return the means [m³ m⁻³], shape (n, d), for a matrix of features, shape (n, p)."""

        def work(first: int, last: int) -> Matrix:
            return self._predict(features[first:last])[0]

        means = spread(work, _parts(len(features), _ROWS_AT_ONCE)) or [self._predict(features)[0]]
        clipped: Matrix = np.clip(np.concatenate(means), self.lower_bound, self.upper_bound)
        return clipped

    def around(self, near: Samples | None, day: np.datetime64) -> Method:  # noqa: ARG002 - for those that need it
        """Return the method as it predicts on a day.

        Most learn a relation that holds everywhere and are what they are. A method whose relation is that of the
        surroundings of a place and day gets the samples of the days around it; the fitted method stays as it is.

        Parameters
        ----------
        near : Samples or None
            Of the days that the method's window reaches (`smcatalog.products.windows`); None where there is none.
        day : datetime64[D]
            The map's.
        """
        return self

    def left_out(self, samples: Samples) -> dict[str, Matrix] | None:  # noqa: ARG002 - for those that need it
        """Return estimates at samples by what was left out, where the method knows itself how to leave out.

        None for most: who scores them fits them again to the rest.

        Parameters
        ----------
        samples : Samples
            Those it was fitted to.

        Returns
        -------
        dict of ndarray of float64, shape (n, d), or None
            By name of the split, ``train`` for none; NaN where a sample is not scored.
        """
        return None

    def estimate(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean and standard uncertainty [m³ m⁻³], both (n, d), of features (n, p), clipped to no range.

        It is what other learners build on: a clipped estimate is no sum of its features' contributions.
        """
        return self._predict(features)

    def _seen(self, flat: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where a covariate is missing, and where one is outside the range of the samples.

        Covariates are single and compared as such: with the smallest single that is not below the lower end
        of the range, and the largest that is not above the upper.
        """
        missing = np.zeros(flat.shape[1], np.bool_)
        outside = np.zeros_like(missing)
        for values, lower, upper in zip(flat, self.lower_, self.upper_, strict=True):
            low, high = np.float32(lower), np.float32(upper)
            low = np.nextafter(low, np.float32(np.inf)) if low < lower else low
            high = np.nextafter(high, np.float32(-np.inf)) if high > upper else high
            missing |= ~np.isfinite(values)
            outside |= (values < low) | (values > high)
        return missing, outside

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

    def tuned(self) -> Self:
        """Return an unfitted method that has what this one chose as it learned, and chooses no more.

        That is what is fitted again to score with samples left out; choosing anew each time would take as
        long again for every part left out. Where nothing is chosen it is the same method.
        """
        return type(self)(**deepcopy(self.get_params()))

    @abstractmethod
    def _fit(self, samples: Samples) -> None:
        """Learn from samples; their names and range are kept already."""

    @abstractmethod
    def _predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean and standard uncertainty, both of shape (n, d).

        Several threads call it at once, each for rows of its own.
        """

    def _predict_at(
        self,
        features: Matrix,
        cells: NDArray[np.int64] | None,  # noqa: ARG002 - for those that need it
    ) -> tuple[Matrix, Matrix]:
        """Return the same at pixels in coarse cells whose numbers are given, shape (n,)."""
        return self._predict(features)

    def _basics(self) -> dict[str, Any]:
        """Return what files of all methods begin with, as plain values: numbers round-trip exactly."""
        return {
            "method": self.name,
            "parameters": self.get_params(),
            "features": list(self.feature_names_),
            "lower": self.lower_.tolist(),
            "upper": self.upper_.tolist(),
        }

    @classmethod
    def _begun(cls, content: Mapping[str, Any]) -> Self:
        """Return a method with what `_basics` returned; the subclass reads the rest of its file."""
        given = content["parameters"].items()  # JSON knows lists only
        method = cls(**{key: tuple(one) if isinstance(one, list) else one for key, one in given})
        method.feature_names_ = tuple(content["features"])
        method.lower_, method.upper_ = (
            np.array(content[name], np.float64) for name in ("lower", "upper")
        )
        return method

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted method to a file; the same model gives the same bytes."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method from a file whose checksum the caller has verified."""


def _parts(n: int, at_once: int) -> list[tuple[int, int]]:
    """Return where each part of n rows begins and ends."""
    return [(first, min(first + at_once, n)) for first in range(0, n, max(at_once, 1))]
