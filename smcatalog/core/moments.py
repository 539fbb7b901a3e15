"""Moments of pairs of numbers, which merge without the pairs.

Moments of two sets of pairs merge into the moments of their union by the formulas of Chan, Golub and
LeVeque (1983), *Algorithms for Computing the Sample Variance*, The American Statistician 37(3),
eq. 2.1. Differences of means enter, never differences of raw sums of squares, so nothing cancels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError

__all__ = ["Moments"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of a set of pairs (estimate, reference).

    Parameters
    ----------
    n : int
        Number of pairs.
    mean_estimate, mean_reference : float
        Means; 0 for no pairs.
    m2_estimate, m2_reference : float
        Sums of squared deviations from the mean.
    co_moment : float
        Sum of products of both deviations.
    sum_absolute_error : float
        Sum of absolute differences.
    """

    n: int = 0
    mean_estimate: float = 0.0
    mean_reference: float = 0.0
    m2_estimate: float = 0.0
    m2_reference: float = 0.0
    co_moment: float = 0.0
    sum_absolute_error: float = 0.0

    @classmethod
    def of(cls, estimate: NDArray[Any], reference: NDArray[Any]) -> Moments:
        """Return the moments of pairs; a pair with a NaN is left out.

        Parameters
        ----------
        estimate, reference : array of float, shape (n,)
            In the same unit.

        Raises
        ------
        UsageError
            When the shapes differ.
        """
        e, r = np.asarray(estimate, np.float64), np.asarray(reference, np.float64)
        if e.shape != r.shape:
            raise UsageError(f"estimates and references differ in shape: {e.shape} and {r.shape}")
        whole = ~(np.isnan(e) | np.isnan(r))
        e, r = e[whole], r[whole]
        if e.size == 0:
            return cls()
        mean_e, mean_r = float(e.mean()), float(r.mean())
        de, dr = e - mean_e, r - mean_r
        return cls(
            n=int(e.size),
            mean_estimate=mean_e,
            mean_reference=mean_r,
            m2_estimate=float(de @ de),
            m2_reference=float(dr @ dr),
            co_moment=float(de @ dr),
            sum_absolute_error=float(np.abs(e - r).sum()),
        )

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of pairs together (Chan et al. 1983, eq. 2.1)."""
        if self.n == 0 or other.n == 0:
            return self if other.n == 0 else other
        n = self.n + other.n
        de = other.mean_estimate - self.mean_estimate
        dr = other.mean_reference - self.mean_reference
        weight = self.n * other.n / n
        return Moments(
            n=n,
            mean_estimate=self.mean_estimate + de * other.n / n,
            mean_reference=self.mean_reference + dr * other.n / n,
            m2_estimate=self.m2_estimate + other.m2_estimate + de * de * weight,
            m2_reference=self.m2_reference + other.m2_reference + dr * dr * weight,
            co_moment=self.co_moment + other.co_moment + de * dr * weight,
            sum_absolute_error=self.sum_absolute_error + other.sum_absolute_error,
        )

    def __add__(self, other: Moments) -> Moments:
        return self.merge(other)

    @classmethod
    def total(cls, parts: Iterable[Moments]) -> Moments:
        """Return the moments of all parts together."""
        return reduce(Moments.merge, parts, cls())
