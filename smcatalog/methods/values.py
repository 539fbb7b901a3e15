"""What goes into a method and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import fingerprint, hash_array

__all__ = ["Covariates", "InSitu", "Matrix", "Prediction", "Samples"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class InSitu:
    """What stations observed, and the features at their pixels.

    Parameters
    ----------
    features : ndarray of float64, shape (n, p)
        At the fine scale, in the order of the samples'; finite.
    observed : ndarray of float64, shape (n,)
        Daily means [m³ m⁻³]; finite.
    groups : ndarray of int64, shape (n,)
        Coarse cell that holds each station, numbered as the samples' are.
    days : ndarray of datetime64[D], shape (n,)
    stations : ndarray of int64, shape (n,)
        Place of each row's station in ``names``.
    names : tuple of str
        Stations, as ``network/station``.
    """

    features: Matrix
    observed: Matrix
    groups: NDArray[np.int64]
    days: NDArray[np.datetime64]
    stations: NDArray[np.int64]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.observed)
        lengths = {len(self.features), len(self.groups), len(self.days), len(self.stations)}
        if self.features.ndim != 2 or lengths != {n}:  # noqa: PLR2004
            raise UsageError(
                "observations need features (n, p) and n values, groups, days, stations"
            )
        if not (np.isfinite(self.features).all() and np.isfinite(self.observed).all()):
            raise UsageError("observations must be finite: leave incomplete ones out")

    def __len__(self) -> int:
        """Return the number of observations."""
        return len(self.observed)

    def part(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> InSitu:
        """Return some of the observations."""
        return InSitu(
            self.features[rows],
            self.observed[rows],
            self.groups[rows],
            self.days[rows],
            self.stations[rows],
            self.names,
        )

    @property
    def networks(self) -> NDArray[np.str_]:
        """Network of each row's station, shape (n,)."""
        names = np.array([name.partition("/")[0] for name in self.names] or [""])
        return names[self.stations]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that they hold."""
        arrays = (
            self.features,
            self.observed,
            self.groups,
            self.days.astype(np.int64),
            self.stations,
        )
        return fingerprint([list(self.names), *(hash_array(array) for array in arrays)])


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What a method learns from.

    Parameters
    ----------
    names : tuple of str
        Names of the features, in order.
    features : ndarray of float64, shape (n, p)
        Finite.
    target : ndarray of float64, shape (n, d)
        Soil moisture [m³ m⁻³] for each depth; finite.
    groups : ndarray of int64, shape (n,)
        Coarse cell of each sample, for splits by place.
    days : ndarray of datetime64[D], shape (n,)
        Day of each sample, for splits by time.
    in_situ : InSitu, optional
        Observations of stations, for methods that learn from them too.
    """

    names: tuple[str, ...]
    features: Matrix
    target: Matrix
    groups: NDArray[np.int64]
    days: NDArray[np.datetime64]
    in_situ: InSitu | None = None

    def __post_init__(self) -> None:
        n = len(self.features)
        lengths = {len(self.target), len(self.groups), len(self.days)}
        if self.features.ndim != 2 or self.target.ndim != 2 or lengths != {n}:  # noqa: PLR2004
            raise UsageError("samples need features (n, p), target (n, d) and n groups and days")
        if self.features.shape[1] != len(self.names):
            raise UsageError(
                f"{len(self.names)} names for {self.features.shape[1]} columns of features"
            )
        if not (np.isfinite(self.features).all() and np.isfinite(self.target).all()):
            raise UsageError("samples must be finite: leave incomplete ones out")

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.features)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that the samples hold."""
        arrays = (self.features, self.target, self.groups, self.days.astype(np.int64))
        content = [list(self.names), *(hash_array(array) for array in arrays)]
        if self.in_situ is not None:
            content.append(self.in_situ.fingerprint)
        return fingerprint(content)


@dataclass(frozen=True, slots=True, eq=False)
class Covariates:
    """Covariates of a block of a map.

    Parameters
    ----------
    names : tuple of str
        Names, in the order of the first axis.
    values : ndarray of float32, shape (p, rows, columns)
        In canonical units; NaN where there is none.
    quality : ndarray of uint16, shape (rows, columns)
        `Quality` bits that the covariates bring along.
    cells : ndarray of int64, shape (rows, columns), optional
        Number of the coarse cell that holds each pixel, for methods whose estimate depends on it.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    quality: NDArray[np.uint16]
    cells: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Soil moisture of a block of a map.

    Parameters
    ----------
    mean : ndarray of float32, shape (depth, rows, columns)
        [m³ m⁻³]; NaN where there is none.
    uncertainty : ndarray of float32, shape (depth, rows, columns)
        Standard uncertainty [m³ m⁻³].
    quality : ndarray of uint16, shape (depth, rows, columns)
        `Quality` bits.
    """

    mean: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    quality: NDArray[np.uint16]
