"""What expectation-maximisation and Markov chains must agree on.

One finds the mode of a posterior, the other its mean. Of n observations these differ by a term of order 1/n, which
a long chain sees: comparing them as they are would only test how short the chain is. So the mean is worked out from
the mode to second order (Lindley 1980; Tierney and Kadane 1986, eq. 2.5), in the coordinates log(w_i / w_k) and log s², and two
estimates agree when they differ by at most four Monte Carlo standard errors plus a small share of
the posterior's standard deviation, for the terms of order 1/n² that are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.methods.averaging.chains import Posterior
from smcatalog.methods.averaging.weights import MixtureWeights, Prior, training_rows
from smcatalog.methods.values import Matrix

__all__ = ["Agreement", "Expectation", "compare", "second_order"]

_STEP: Final = 0.02
"""Step of differences, in standard deviations of the posterior."""


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """Mean and standard deviation of a posterior, worked out from its mode.

    Parameters
    ----------
    mean, deviation : ndarray of float64, shape (2, k)
        Of weights and variances.
    """

    mean: Matrix
    deviation: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Two estimates side by side.

    Parameters
    ----------
    difference : ndarray of float64, shape (2, k)
        Mean of the chains less the mean worked out from the mode; weights and variances.
    error : ndarray of float64, shape (2, k)
        Monte Carlo standard error.
    allowed : ndarray of float64, shape (2, k)
        Largest difference with which they agree.
    """

    difference: Matrix
    error: Matrix
    allowed: Matrix

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Which agree, shape (2, k)."""
        found: NDArray[np.bool_] = np.abs(self.difference) <= self.allowed
        return found


class _Surface:
    """The gradient of the log posterior density in log coordinates."""

    def __init__(self, observed: Matrix, members: Matrix, prior: Prior, common: bool) -> None:
        y, f = training_rows(observed, members)
        self._squares = (y[:, None] - f) ** 2
        self._there = np.isfinite(self._squares)
        self._known = np.where(self._there, self._squares, 0.0)
        self._prior = prior
        self._common = common
        self._k = f.shape[1]

    def point(self, fit: MixtureWeights) -> Matrix:
        """Return the coordinates of an estimate."""
        log = np.log(np.maximum(fit.weights, 1e-300))
        spread = np.log(fit.variances[:1] if self._common else fit.variances)
        return np.concatenate([log[:-1] - log[-1], spread])

    def values(self, at: Matrix) -> Matrix:
        """Return weights and variances, shape (2, k)."""
        ratio = np.append(at[: self._k - 1], 0.0)
        part = np.exp(ratio - ratio.max())
        spread = np.exp(np.broadcast_to(at[self._k - 1 :], (self._k,)))
        return np.stack([part / part.sum(), spread])

    def gradient(self, at: Matrix) -> Matrix:
        """Return the derivatives by all coordinates."""
        k, prior = self._k, self._prior
        weights, variances = self.values(at)
        joint = np.where(
            self._there,
            np.log(weights) - 0.5 * np.log(variances) - self._known / (2 * variances),
            -np.inf,
        )
        part = np.exp(joint - joint.max(axis=1, keepdims=True))
        part /= part.sum(axis=1, keepdims=True)
        share = self._there * weights / (self._there @ weights)[:, None]
        ratio = (part - share).sum(axis=0) + prior.concentration * (1 - k * weights)
        spread = (part * (0.5 * self._known / variances - 0.5)).sum(axis=0)
        if self._common:
            own = np.array([spread.sum() - prior.shape + prior.scale / variances[0]])
        else:
            own = spread - prior.shape + prior.scale / variances
        return np.concatenate([ratio[:-1], own])


def _bend(function: Callable[[Matrix], Matrix], at: Matrix, along: Matrix) -> Matrix:
    """Return the second derivative of a function along a direction."""
    step = _STEP * along
    found: Matrix = (function(at + step) + function(at - step) - 2 * function(at)) / _STEP**2
    return found


def second_order(
    observed: Matrix, members: Matrix, fit: MixtureWeights, prior: Prior, *, common: bool = False
) -> Expectation:
    """Work out the posterior's mean from its mode.

    Parameters
    ----------
    observed, members, prior, common
        Those of the fit.
    fit : MixtureWeights
        What `smcatalog.methods.averaging.weights.fit_weights` found with that prior.
    """
    surface = _Surface(observed, members, prior, common)
    at = surface.point(fit)
    # curvature by differences of the exact gradient; rough steps first, to learn what a step is
    size = np.full(len(at), 1e-4)
    columns = [
        (surface.gradient(at + step) - surface.gradient(at - step)) / (2 * 1e-4)
        for step in np.diag(size)
    ]
    curvature = -0.5 * (np.array(columns) + np.array(columns).T)
    covariance = np.linalg.inv(curvature)
    values, vectors = np.linalg.eigh(covariance)
    directions = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    shift = 0.5 * covariance @ sum(_bend(surface.gradient, at, along) for along in directions)
    here = surface.values(at)
    slopes = np.array(
        [
            (surface.values(at + _STEP * d) - surface.values(at - _STEP * d)) / (2 * _STEP)
            for d in directions
        ]
    )
    # the shift in steps of the directions
    steps = np.linalg.solve(directions.T, shift)
    mean = here + np.tensordot(steps, slopes, 1)
    mean = mean + 0.5 * sum(_bend(surface.values, at, along) for along in directions)
    return Expectation(mean, np.sqrt((slopes**2).sum(axis=0)))


def compare(
    expected: Expectation, posterior: Posterior, *, errors: float = 4.0, rest: float = 0.05
) -> Agreement:
    """Say whether chains agree with the mean worked out from the mode.

    Parameters
    ----------
    errors : float
        Monte Carlo standard errors that are allowed.
    rest : float
        Share of the posterior's standard deviation that is allowed besides.
    """
    difference = posterior.mean - expected.mean
    error = posterior.error
    return Agreement(difference, error, errors * error + rest * posterior.deviation)
