"""Weights of the members of a mixture, by expectation and maximisation (Raftery et al. 2005).

``p(y | f) = sum_i w_i N(y | f_i, s_i²)``; a row that lacks members has the mixture of the others, weights
renormalised: ``sum over those there of w_i N_i / W``, W the sum of their weights. That row's membership is one drawn from
all the weights and drawn again until it falls on a member that is there; the draws in between are unseen data
too, so their expectation completes the counts and the likelihood still never falls.

With a prior, the estimate is the mode of the posterior that `chains` draws from, in coordinates log(w_i / w_k) and log s²: a mode moves with
the coordinates, and in these it is never on the edge and the posterior is nearly Gaussian. The mean that a
chain finds is another point; `smcatalog.methods.averaging.agreement` works it out from the mode, so that the two can be compared
within the error of the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Matrix

__all__ = [
    "BiasCorrection",
    "MixtureWeights",
    "Prior",
    "fit_bias",
    "fit_weights",
    "log_posterior",
    "training_rows",
]

_LEAST_VARIANCE: Final = 1e-8
"""[(m³ m⁻³)²]: half of the step of a map, squared, and the likelihood is bounded when a member meets a value exactly."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Dirichlet prior of the weights and inverse gamma prior of the variances.

    Parameters
    ----------
    concentration : float
        Of the Dirichlet distribution, the same for all; 1 is flat.
    shape, scale : float
        Of the inverse gamma distribution. 2 and the variance that is expected: as good as four observations.
    """

    concentration: float = 1.0
    shape: float = 2.0
    scale: float = 0.05**2

    def __post_init__(self) -> None:
        if min(self.concentration, self.shape, self.scale) <= 0:
            raise UsageError("the parameters of the weights' prior are above 0")


@dataclass(frozen=True, slots=True, eq=False)
class BiasCorrection:
    """``a + b f`` for each member (Raftery et al. 2005, eq. 4).

    Parameters
    ----------
    intercept, slope : ndarray of float64, shape (k,)
    """

    intercept: Matrix
    slope: Matrix

    def apply(self, members: Matrix) -> Matrix:
        """Return corrected estimates, shape (n, k)."""
        return self.intercept + self.slope * members


@dataclass(frozen=True, slots=True, eq=False)
class MixtureWeights:
    """What `fit_weights` found.

    Parameters
    ----------
    weights : ndarray of float64, shape (k,)
    variances : ndarray of float64, shape (k,)
        [(m³ m⁻³)²]; all the same when they are common.
    path : ndarray of float64, shape (steps,)
        Logarithm of the likelihood, or of the posterior density, after each step: it never falls.
    rows : int
        Observations used.
    converged : bool
    """

    weights: Matrix
    variances: Matrix
    path: Matrix
    rows: int
    converged: bool


def training_rows(observed: Matrix, members: Matrix) -> tuple[Matrix, Matrix]:
    """Return the rows with an observation (n,) and at least one member (n, k).

    Raises
    ------
    UsageError
        When shapes do not belong together or fewer rows are left than there are parameters.
    """
    if members.ndim != 2 or len(members) != len(observed):  # noqa: PLR2004
        raise UsageError(
            f"weights need observations (n,) and members (n, k), got {observed.shape} and {members.shape}"
        )
    use = np.isfinite(observed) & np.isfinite(members).any(axis=1)
    least = 2 * members.shape[1]
    if use.sum() < least:
        raise UsageError(
            f"{use.sum()} observations with members are too few for weights: at least {least}"
        )
    if not np.isfinite(members[use]).any(axis=0).all():
        raise UsageError("a member without a single estimate beside an observation has no weight")
    return observed[use].astype(np.float64), members[use].astype(np.float64)


def fit_bias(observed: Matrix, members: Matrix) -> BiasCorrection:
    """Fit each member's correction by least squares, on the rows that have it.

    A member that does not vary gets slope 0. Raftery et al. (2005) fit it before and apart from the weights.
    """
    y, f = training_rows(observed, members)
    there = np.isfinite(f)
    n = there.sum(axis=0)
    known = np.where(there, f, 0.0)
    centre = known.sum(axis=0) / n
    middle = (there * y[:, None]).sum(axis=0) / n
    apart = np.where(there, f - centre, 0.0)
    spread = (apart**2).sum(axis=0)
    product = (apart * (y[:, None] - middle)).sum(axis=0)
    slope = np.divide(product, spread, out=np.zeros_like(spread), where=spread > 1e-12 * n)
    return BiasCorrection(middle - slope * centre, slope)


def _densities(squares: Matrix, variances: Matrix) -> Matrix:
    """Return log N, -inf where a member is absent."""
    found: Matrix = np.where(
        np.isfinite(squares),
        -0.5 * (squares / variances + np.log(2 * np.pi * variances)),
        -np.inf,
    )
    return found


def log_posterior(
    observed: Matrix,
    members: Matrix,
    weights: Matrix,
    variances: Matrix,
    prior: Prior | None,
    *,
    common: bool = False,
) -> float:
    """Return the logarithm of the likelihood, or with a prior of the posterior density in log coordinates, up to a constant."""
    squares = (observed[:, None] - members) ** 2
    there = np.isfinite(squares)
    with np.errstate(divide="ignore"):
        joint = _densities(squares, variances) + np.log(weights)
    top = joint.max(axis=1)
    total = top + np.log(np.exp(joint - top[:, None]).sum(axis=1)) - np.log(there @ weights)
    value = float(total.sum())
    if prior is not None:
        s = variances[:1] if common else variances
        value += prior.concentration * float(np.log(weights).sum())
        value -= float((prior.shape * np.log(s) + prior.scale / s).sum())
    return value


def fit_weights(
    observed: Matrix,
    members: Matrix,
    *,
    common: bool = False,
    prior: Prior | None = None,
    tolerance: float = 1e-10,
    steps: int = 20_000,
) -> MixtureWeights:
    """Estimate weights and variances by expectation and maximisation (Raftery et al. 2005, section 2c).

    Parameters
    ----------
    observed : ndarray of float, shape (n,)
        Station observations [m³ m⁻³]; rows with NaN are left out.
    members : ndarray of float, shape (n, k)
        Estimates of the members [m³ m⁻³], NaN where there is none; corrected for bias if that is wanted.
    common : bool
        One variance for all members, as Raftery et al. have it, or one each.
    prior : Prior, optional
        With it, the mode of the posterior in log coordinates; without, the largest likelihood.
    tolerance : float
        Change of the objective, as a share of the rows, and of every weight (times 1e4) that ends the search.
    steps : int
        Most steps.

    Raises
    ------
    UsageError
        When there are too few observations.
    """
    y, f = training_rows(observed, members)
    n, k = f.shape
    squares = (y[:, None] - f) ** 2
    there = np.isfinite(squares)
    known = np.where(there, squares, 0.0)
    patterns, group = np.unique(there, axis=0, return_inverse=True)
    frequency = np.bincount(group.ravel(), minlength=len(patterns)).astype(np.float64)
    weights = np.full(k, 1.0 / k)
    variances = np.maximum(known.sum(axis=0) / there.sum(axis=0), _LEAST_VARIANCE)
    if common:
        variances = np.full(k, variances.mean())
    path = [log_posterior(y, f, weights, variances, prior, common=common)]
    converged = False
    for _ in range(steps):
        with np.errstate(divide="ignore"):
            joint = _densities(squares, variances) + np.log(weights)
        part = np.exp(joint - joint.max(axis=1, keepdims=True))
        part /= part.sum(axis=1, keepdims=True)
        held = part.sum(axis=0)
        # draws that fell on absent members before one that is there: w_i / W of them are expected
        unseen = (frequency / (patterns @ weights)) @ ~patterns * weights
        new = held + unseen + (prior.concentration if prior else 0.0)
        new /= new.sum()
        above, below = (part * known).sum(axis=0), held
        if common:
            above, below = np.full(k, above.sum()), np.full(k, below.sum())
        if prior:
            above, below = above + 2 * prior.scale, below + 2 * prior.shape
        # a member that holds nothing keeps its variance
        spread = np.divide(above, below, out=variances.copy(), where=below > 1e-12 * n)
        moved = float(np.abs(new - weights).max())
        weights, variances = new, np.maximum(spread, _LEAST_VARIANCE)
        path.append(log_posterior(y, f, weights, variances, prior, common=common))
        if path[-1] - path[-2] < tolerance * n and moved < 1e4 * tolerance:
            converged = True
            break
    return MixtureWeights(weights, variances, np.array(path), n, converged)
