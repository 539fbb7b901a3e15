"""Markov chain Monte Carlo model composition over subsets of members (MC³).

The paper's estimator of "posterior model probabilities" (Liu et al. 2024, section 3.3), as the common packages of Bayesian
model averaging do it: a model is a linear regression of the observations on a subset of members (Madigan
and York 1995; Zellner's g-prior as in Fernández et al. 2001). It stands beside the mixture's weights and is not
expected to agree: among models of one member each, probabilities go to 0 or 1 as observations grow, while a
mixture's weights are the shares of the time that each is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Matrix

__all__ = ["ModelSpace", "explore_models"]

_ENUMERATED: Final = 12
"""Members up to which all models are gone through beside the chain."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelSpace:
    """What the chain found.

    Parameters
    ----------
    inclusion : ndarray of float64, shape (k,)
        Share of the chain's visits to models that hold each member.
    exact : ndarray of float64, shape (k,)
        The same from all models; NaN with too many members to go through them all.
    coefficients : ndarray of float64, shape (k + 1,)
        Intercept and slopes, averaged over models by their visits; absent members count as 0.
    single : ndarray of float64, shape (k,)
        Posterior probability of each model of one member among these: the paper's w_i.
    models : dict of tuple of int to float
        Share of visits by model (the places of its members).
    accepted : float
        Share of the proposed moves that were made.
    rows : int
        Observations with all members.
    """

    inclusion: Matrix
    exact: Matrix
    coefficients: Matrix
    single: Matrix
    models: dict[tuple[int, ...], float]
    accepted: float
    rows: int


class _Evidence:
    """Marginal likelihoods, worked out when a model is first met."""

    def __init__(self, y: Matrix, f: Matrix, g: float, prior: str) -> None:
        self._n = len(y)
        self._centre = np.append(y.mean(), f.mean(axis=0))
        apart = f - self._centre[1:]
        self._gram = apart.T @ apart
        self._product = apart.T @ (y - self._centre[0])
        self._total = float(((y - self._centre[0]) ** 2).sum())
        self._g = g
        self._prior = prior
        self._known: dict[tuple[int, ...], tuple[float, Matrix]] = {}

    def __call__(self, model: tuple[int, ...]) -> tuple[float, Matrix]:
        """Return the logarithm of the evidence, up to a constant, and coefficients, shape (k + 1,)."""
        if model not in self._known:
            self._known[model] = self._work_out(model)
        return self._known[model]

    def _work_out(self, model: tuple[int, ...]) -> tuple[float, Matrix]:
        n, q, own = self._n, len(model), list(model)
        gram, moments = self._gram[np.ix_(own, own)], self._product[own]
        slopes = np.linalg.pinv(gram, hermitian=True) @ moments
        left = max(1.0 - float(slopes @ moments) / self._total, 1e-15)
        if self._prior == "bic":
            evidence = -0.5 * n * np.log(left) - 0.5 * q * np.log(n)
        else:  # Liang et al. 2008, eq. 6
            evidence = 0.5 * (n - 1 - q) * np.log1p(self._g)
            evidence -= 0.5 * (n - 1) * np.log1p(self._g * left)
            slopes = slopes * self._g / (1 + self._g)
        coefficients = np.zeros(len(self._centre))
        coefficients[1 + np.array(own, int)] = slopes
        coefficients[0] = self._centre[0] - coefficients[1:] @ self._centre[1:]
        return float(evidence), coefficients


def explore_models(
    observed: Matrix,
    members: Matrix,
    *,
    prior: Literal["g", "bic"] = "g",
    g: float | None = None,
    steps: int = 20_000,
    warm_up: int = 1_000,
    seed: int = 0,
) -> ModelSpace:
    """Walk over the models; each step adds or drops a member drawn at random.

    All models are as likely beforehand, the one without members among them. Only rows with all members count: models of
    different rows cannot be compared.

    Parameters
    ----------
    observed : ndarray of float, shape (n,)
        [m³ m⁻³]
    members : ndarray of float, shape (n, k)
        [m³ m⁻³]
    prior : {"g", "bic"}
        Zellner's prior, or the approximation exp(-BIC / 2) of the evidence.
    g : float, optional
        Of Zellner's prior; the number of rows when absent (the information of one observation).
    steps, warm_up : int
        Steps that count and those before.
    seed : int

    Raises
    ------
    UsageError
        When there are too few rows, or observations do not vary.
    """
    if prior not in {"g", "bic"}:
        raise UsageError(f"models' evidence is by 'g' or 'bic', not '{prior}'")
    use = np.isfinite(observed) & np.isfinite(members).all(axis=1)
    y, f = observed[use].astype(np.float64), members[use].astype(np.float64)
    n, k = f.shape
    if n < k + 3 or np.ptp(y) == 0:
        raise UsageError(f"{n} rows with all members that vary are needed, at least {k + 3}")
    evidence = _Evidence(y, f, float(n) if g is None else g, prior)
    rng = np.random.default_rng(seed)
    places = rng.integers(k, size=warm_up + steps)
    lots = np.log(1 - rng.random(warm_up + steps))
    model: tuple[int, ...] = ()
    visits: dict[tuple[int, ...], int] = {}
    accepted = 0
    for step, (place, lot) in enumerate(zip(places.tolist(), lots.tolist(), strict=True)):
        other = tuple(sorted(set(model) ^ {place}))
        if lot < evidence(other)[0] - evidence(model)[0]:
            model = other
            accepted += 1
        if step >= warm_up:
            visits[model] = visits.get(model, 0) + 1
    models = {one: count / steps for one, count in sorted(visits.items())}
    inclusion = np.zeros(k)
    coefficients = np.zeros(k + 1)
    for one, share in models.items():
        inclusion[list(one)] += share
        coefficients += share * evidence(one)[1]
    alone = _normalised(np.array([evidence((i,))[0] for i in range(k)]))
    rate = accepted / (warm_up + steps)
    return ModelSpace(inclusion, _exact(evidence, k), coefficients, alone, models, rate, n)


def _normalised(logarithms: Matrix) -> Matrix:
    part: Matrix = np.exp(logarithms - logarithms.max())
    found: Matrix = part / part.sum()
    return found


def _exact(evidence: _Evidence, k: int) -> Matrix:
    if k > _ENUMERATED:
        return np.full(k, np.nan)
    held = np.array(list(product((False, True), repeat=k)))
    logs = [evidence(tuple(np.flatnonzero(one).tolist()))[0] for one in held]
    shares: Matrix = _normalised(np.array(logs)) @ held
    return shares
