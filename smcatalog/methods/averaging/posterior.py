"""The posterior of weights and variances in coordinates in which it is nearly normal, and t distributions that lie near it.

A weight that is free between 0 and 1 has a long tail in log(w_i / w_k). So the weights are broken off a stick piece by piece; the share of the rest that a
piece takes has a beta distribution by the prior, and its normal score is the coordinate: a priori all of them are
standard normal and independent, and what observations leave open stays so. Variances stand as log s².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy.special import betainc, betaincinv, gammaln, ndtr, ndtri

from smcatalog.methods.averaging.weights import Prior, training_rows
from smcatalog.methods.values import Matrix

__all__ = ["Density", "Near"]

_AT_ONCE: Final = 4_000_000
"""Numbers held at once while many points are looked at."""
_TINY: Final = 1e-300
_STEP: Final = 0.02
"""Step of differences, in coordinates."""
_CORNERS: Final = ((1, 1), (1, -1), (-1, 1), (-1, -1))


class Density:
    """The posterior density (see `smcatalog.methods.averaging.weights`), up to a constant.

    Parameters
    ----------
    observed : ndarray of float64, shape (n,)
    members : ndarray of float64, shape (n, k)
        NaN where there is none.
    prior : Prior
    common : bool
        One variance for all members.
    """

    def __init__(self, observed: Matrix, members: Matrix, prior: Prior, *, common: bool) -> None:
        y, f = training_rows(observed, members)
        squares = (y[:, None] - f) ** 2
        self._there = np.isfinite(squares)
        self._known = np.where(self._there, squares, 0.0)
        self._patterns, group = np.unique(self._there, axis=0, return_inverse=True)
        self._frequency = np.bincount(group.ravel(), minlength=len(self._patterns))
        self._prior = prior
        self._common = common
        self._k = int(f.shape[1])

    @property
    def dimensions(self) -> int:
        """Number of coordinates."""
        return self._k if self._common else 2 * self._k - 1

    @property
    def _shapes(self) -> tuple[float, Matrix]:
        """Parameters of the beta distributions of the pieces."""
        alpha = self._prior.concentration
        return alpha, alpha * np.arange(self._k - 1, 0, -1, dtype=np.float64)

    def point(self, weights: Matrix, variances: Matrix) -> Matrix:
        """Return the coordinates, shape (..., dimensions), of weights and variances (..., k)."""
        # what is left of the stick, summed from the end so that small rests stay exact
        left = np.cumsum(weights[..., ::-1], axis=-1)[..., ::-1]
        piece = weights[..., :-1] / np.maximum(left[..., :-1], _TINY)
        score = ndtri(np.clip(betainc(*self._shapes, piece), _TINY, 1 - 1e-16))
        spread = np.log(variances[..., :1] if self._common else variances)
        found: Matrix = np.concatenate([score, spread], axis=-1)
        return found

    def values(self, at: Matrix) -> Matrix:
        """Return weights and variances, shape (2, ..., k), of coordinates (..., dimensions)."""
        piece = betaincinv(*self._shapes, ndtr(at[..., : self._k - 1]))
        ones = np.ones((*at.shape[:-1], 1))
        left = np.concatenate([ones, np.cumprod(1 - piece, axis=-1)], axis=-1)
        share = left * np.concatenate([piece, ones], axis=-1)
        spread = np.exp(np.clip(at[..., self._k - 1 :], -690, 690))
        return np.stack([share, np.broadcast_to(spread, share.shape)])

    def log(self, at: Matrix) -> Matrix:
        """Return the logarithm of the density at points (m, dimensions), shape (m,)."""
        step = max(_AT_ONCE // self._known.size, 1)
        parts = [self._log(at[i : i + step]) for i in range(0, len(at), step)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _log(self, at: Matrix) -> Matrix:
        weights, variances = self.values(at)
        log_weights = np.log(np.maximum(weights, _TINY))
        joint = (log_weights - 0.5 * np.log(2 * np.pi * variances))[:, None] - self._known * (
            0.5 / variances
        )[:, None]
        joint = np.where(self._there, joint, -np.inf)
        top = joint.max(axis=2)
        total = (top + np.log(np.exp(joint - top[..., None]).sum(axis=2))).sum(axis=1)
        total -= np.log(np.maximum(weights @ self._patterns.T, _TINY)) @ self._frequency
        s = variances[:, :1] if self._common else variances
        total -= 0.5 * (at[:, : self._k - 1] ** 2).sum(axis=1)
        total -= (self._prior.shape * np.log(s) + self._prior.scale / s).sum(axis=1)
        return np.asarray(total, np.float64)

    def covariance(self, at: Matrix) -> Matrix:
        """Return what the covariance would be if the density were normal with its curvature at a point."""
        d = self.dimensions
        steps = _STEP * np.eye(d)
        pairs = [(i, j) for i in range(d) for j in range(d)]
        corners = [at + a * steps[i] + b * steps[j] for i, j in pairs for a, b in _CORNERS]
        heights = self.log(np.array(corners)).reshape(d, d, len(_CORNERS))
        bent = (heights @ np.array([a * b for a, b in _CORNERS])) / (4 * _STEP**2)
        found: Matrix = np.linalg.pinv(-bent, hermitian=True)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """A multivariate t distribution.

    Parameters
    ----------
    centre : ndarray of float64, shape (d,)
    root : ndarray of float64, shape (d, d)
        Lower root of its scale.
    freedom : float
        Degrees of freedom: few, so that its tails are wider than those of what it stands for.
    """

    centre: Matrix
    root: Matrix
    freedom: float = 5.0

    @classmethod
    def of(cls, centre: Matrix, covariance: Matrix, wider: float = 1.2) -> Self:
        """Return one with a covariance, made somewhat wider, that need not be definite."""
        values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
        floor = max(1e-8, 1e-6 * float(np.abs(values).max(initial=0.0)))
        root = vectors * np.sqrt(np.maximum(values, floor) * wider)
        # any root will do where only distances and the determinant count
        return cls(centre, np.linalg.qr(root.T)[1].T)

    def draw(self, rng: np.random.Generator, number: int) -> Matrix:
        """Return points, shape (number, d)."""
        normal = rng.standard_normal((number, len(self.centre))) @ self.root.T
        stretch = np.sqrt(self.freedom / rng.chisquare(self.freedom, number))
        found: Matrix = self.centre + normal * stretch[:, None]
        return found

    def log(self, at: Matrix) -> Matrix:
        """Return the logarithm of its density at points (m, d), shape (m,)."""
        d, v = len(self.centre), self.freedom
        away = np.linalg.solve(self.root, (at - self.centre).T)
        square = (away**2).sum(axis=0)
        scale = np.log(np.abs(np.diag(self.root))).sum()
        constant = gammaln(0.5 * (v + d)) - gammaln(0.5 * v) - 0.5 * d * np.log(v * np.pi)
        return np.asarray(constant - scale - 0.5 * (v + d) * np.log1p(square / v), np.float64)
