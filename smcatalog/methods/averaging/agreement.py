"""What expectation-maximisation and Markov chains must agree on.

One finds the mode of a posterior, the other its mean: of n observations these differ by more than a chain's error,
and far more where members are alike and many weights explain the observations. So the posterior's mean is worked out from the mode
too, by importance sampling from a t distribution with the curvature there (Geweke 1989), without a chain. A mode moves with the coordinates: from the
one that was found, a few steps lead to that of the coordinates in which the posterior is nearly normal (`posterior`). Two estimates agree when they differ by at most four of their
Monte Carlo standard errors together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from smcatalog.methods.averaging.chains import Posterior
from smcatalog.methods.averaging.posterior import Density, Near
from smcatalog.methods.averaging.weights import MixtureWeights, Prior
from smcatalog.methods.values import Matrix

__all__ = ["Agreement", "Expectation", "compare", "expectation"]

_ROUNDS: Final = 5
"""Distributions that are drawn from, one learned from the draws of those before."""


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """Mean and standard deviation of a posterior, worked out from its mode.

    Parameters
    ----------
    mean, deviation, error : ndarray of float64, shape (2, k)
        Of weights and variances; the error is the mean's Monte Carlo standard error.
    effective : float
        Independent draws from the posterior that the draws are as good as.
    """

    mean: Matrix
    deviation: Matrix
    error: Matrix
    effective: float


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Two estimates side by side.

    Parameters
    ----------
    difference : ndarray of float64, shape (2, k)
        Mean of the chains less the mean worked out from the mode; weights and variances.
    error : ndarray of float64, shape (2, k)
        Monte Carlo standard error of the difference.
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


def expectation(
    observed: Matrix,
    members: Matrix,
    fit: MixtureWeights,
    prior: Prior,
    *,
    common: bool = False,
    draws: int = 20_000,
    seed: int = 0,
) -> Expectation:
    """Work out the posterior's mean from its mode.

    The first draws come from the t distribution at the mode; the weighted mean and covariance of all so far make the next
    one, a few times. All are weighed by the density of what they were drawn from together.

    Parameters
    ----------
    observed, members, prior, common
        Those of the fit.
    fit : MixtureWeights
        What `smcatalog.methods.averaging.weights.fit_weights` found with that prior.
    draws : int
        Points drawn.
    seed : int
    """
    density = Density(observed, members, prior, common=common)
    start = density.point(fit.weights, fit.variances)
    found = minimize(lambda at: -float(density.log(at[np.newaxis])[0]), start, method="BFGS")
    first = Near.of(found.x, density.covariance(found.x))
    rng = np.random.default_rng(seed)
    near = [first]
    points = first.draw(rng, draws // _ROUNDS)
    heights = density.log(points)
    while True:
        # of the mixture of all that was drawn from so far
        drawn_from = logsumexp([one.log(points) for one in near], axis=0) - np.log(len(near))
        share = _normalised(heights - drawn_from)
        if len(near) == _ROUNDS:
            break
        centre = share @ points
        apart = points - centre
        near.append(Near.of(centre, (share[:, None] * apart).T @ apart))
        more = near[-1].draw(rng, draws // _ROUNDS)
        points = np.concatenate([points, more])
        heights = np.concatenate([heights, density.log(more)])
    values = density.values(points)  # (2, m, k)
    mean = np.einsum("m,amk->ak", share, values)
    squares = (values - mean[:, None]) ** 2
    return Expectation(
        mean,
        np.sqrt(np.einsum("m,amk->ak", share, squares)),
        np.sqrt(np.einsum("m,amk->ak", share**2, squares)),
        float(1 / (share**2).sum()),
    )


def _normalised(logarithms: Matrix) -> Matrix:
    part = np.exp(logarithms - logarithms.max())
    found: Matrix = part / part.sum()
    return found


def compare(expected: Expectation, posterior: Posterior, *, errors: float = 4.0) -> Agreement:
    """Say whether chains agree with the mean worked out from the mode.

    Parameters
    ----------
    errors : float
        Monte Carlo standard errors, of both together, that are allowed.
    """
    error = np.hypot(posterior.error, expected.error)
    return Agreement(posterior.mean - expected.mean, error, errors * error)
