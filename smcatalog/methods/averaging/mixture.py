"""Mean, variance and quantiles of a mixture of Gaussians (Raftery et al. 2005, eq. 2, 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import ndtr

from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Matrix

__all__ = ["mixture_moments", "mixture_quantiles", "shares"]

_STEPS: Final = 100
_NARROW: Final = 1e-7
"""Width of the bracket that ends the search [m³ m⁻³]; maps keep 1e-4."""


def shares(weights: Matrix, members: Matrix) -> Matrix:
    """Return each row's weights over the members that it has, shape (n, k): they add up to 1, or NaN without any.

    Parameters
    ----------
    weights : ndarray of float, shape (k,) or (n, k)
    members : ndarray of float, shape (n, k)
        NaN where a member has no estimate.

    Raises
    ------
    UsageError
        When the numbers of members differ.
    """
    if weights.shape[-1] != members.shape[-1]:
        raise UsageError(
            f"{weights.shape[-1]} weights do not belong to {members.shape[-1]} members"
        )
    there = np.where(np.isfinite(members), weights, 0.0)
    total = there.sum(axis=-1, keepdims=True)
    found = np.full(there.shape, np.nan)
    np.divide(there, total, out=found, where=total > 0)
    return found


def mixture_moments(members: Matrix, weights: Matrix, variances: Matrix) -> tuple[Matrix, Matrix]:
    """Return mean and variance of the mixture.

    The variance is what members differ by (between) plus what each is off by (within): Raftery et al.
    (2005), eq. 7.

    Parameters
    ----------
    members : ndarray of float, shape (n, k)
        Estimates, corrected for bias where that is wanted [m³ m⁻³].
    weights, variances : ndarray of float, shape (k,) or (n, k)

    Returns
    -------
    mean, variance : ndarray of float64, shape (n,)
        [m³ m⁻³] and its square; NaN where there is no member.
    """
    share = shares(weights, members)
    known = np.nan_to_num(members)
    mean = (share * known).sum(axis=-1)
    apart = known - mean[:, None]
    return mean, (share * (apart**2 + variances)).sum(axis=-1)


def mixture_quantiles(
    members: Matrix, weights: Matrix, variances: Matrix, levels: Sequence[float]
) -> Matrix:
    """Return quantiles of the mixture, by Newton steps that never leave a bracket and become ever shorter.

    Parameters
    ----------
    members, weights, variances
        As for `mixture_moments`.
    levels : sequence of float
        Probabilities, above 0 and below 1.

    Returns
    -------
    ndarray of float64, shape (levels, n)
        [m³ m⁻³]

    Raises
    ------
    UsageError
        When a level is not between 0 and 1.
    """
    if any(not 0 < level < 1 for level in levels):
        raise UsageError(f"levels of quantiles are above 0 and below 1, got {list(levels)}")
    share = shares(weights, members)
    result = np.full((len(levels), len(members)), np.nan)
    rows = np.flatnonzero(np.isfinite(share).all(axis=1))
    share, known = share[rows], members[rows]
    # a member that is absent weighs nothing: any number stands for it
    known = np.where(np.isfinite(known), known, 0.0)
    spread = np.sqrt(np.broadcast_to(variances, members.shape)[rows])
    for place, level in enumerate(levels):
        result[place, rows] = _quantile(known, share, spread, level)
    return result


def _quantile(members: Matrix, share: Matrix, spread: Matrix, level: float) -> Matrix:
    counts = share > 0
    # Chebyshev's inequality for each member bounds the mixture's quantile
    reach = spread / np.sqrt(min(level, 1 - level))
    low = np.where(counts, members - reach, np.inf).min(axis=1, initial=np.inf)
    high = np.where(counts, members + reach, -np.inf).max(axis=1, initial=-np.inf)
    at: Matrix = (share * members).sum(axis=1)
    last = before = high - low
    for _ in range(_STEPS):
        z = (at[:, None] - members) / spread
        excess = (share * ndtr(z)).sum(axis=1) - level
        density = (share * np.exp(-0.5 * z**2) / spread).sum(axis=1) / np.sqrt(2 * np.pi)
        high, low = np.where(excess > 0, at, high), np.where(excess > 0, low, at)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = at - excess / density
        # on both sides of a narrow member steps could go to and fro: then the bracket is halved
        shorter = np.abs(newton - at) < 0.5 * before
        inside = (newton > low) & (newton < high) & shorter
        following = np.where(inside, newton, 0.5 * (low + high))
        before, last = last, np.abs(following - at)
        if last.max(initial=0.0) < _NARROW:
            return following
        at = following
    return at
