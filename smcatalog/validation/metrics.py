"""Scores of estimates against references, from moments that can be merged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from smcatalog.core.moments import Moments

__all__ = ["Scores"]

_NAN: Final = math.nan
_CONSTANT: Final = 1e-12
"""Spread relative to the mean under which values count as constant: rounding makes that much."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How well estimates agree with references. NaN where a score is not defined.

    Parameters
    ----------
    n : int
        Number of pairs. Without a pair everything is NaN.
    bias : float
        Mean of estimate − reference.
    rmse : float
        Root of the mean squared difference.
    ubrmse : float
        The same after the bias is taken out: ``sqrt(rmse² − bias²)``. NaN for n < 2.
    mae : float
        Mean absolute difference.
    r : float
        Pearson's correlation. NaN for n < 2 or when either side is constant.
    slope : float
        Of the linear regression of the estimate on the reference. NaN for n < 2 or a constant
        reference.
    """

    n: int
    bias: float
    rmse: float
    ubrmse: float
    mae: float
    r: float
    slope: float

    @classmethod
    def of(cls, moments: Moments) -> Scores:
        """Return the scores that follow from moments."""
        m = moments
        if m.n == 0:
            return cls(0, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN)
        bias = m.mean_estimate - m.mean_reference
        # Spread of the differences. Rounding can leave it a hair below zero.
        variance = max(m.m2_estimate + m.m2_reference - 2 * m.co_moment, 0.0) / m.n
        varies_e = _varies(m.n, m.mean_estimate, m.m2_estimate)
        varies_r = _varies(m.n, m.mean_reference, m.m2_reference)
        r = _NAN
        if varies_e and varies_r:
            r = m.co_moment / (math.sqrt(m.m2_estimate) * math.sqrt(m.m2_reference))
            r = min(max(r, -1.0), 1.0)
        return cls(
            n=m.n,
            bias=bias,
            rmse=math.sqrt(variance + bias * bias),
            ubrmse=math.sqrt(variance) if m.n > 1 else _NAN,
            mae=m.sum_absolute_error / m.n,
            r=r,
            slope=m.co_moment / m.m2_reference if varies_r else _NAN,
        )


def _varies(n: int, mean: float, m2: float) -> bool:
    return n > 1 and m2 > n * (_CONSTANT * mean) ** 2
