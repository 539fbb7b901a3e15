"""The same mixture's weights drawn from their posterior by Markov chains.

Gibbs sampling with the rows' memberships as unseen data (Diebolt and Robert 1994): given memberships the weights follow a
Dirichlet distribution and the variances inverse gamma distributions. Draws that fell on absent members, see
`weights`, are drawn too. Members' estimates are given, so labels cannot switch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.weights import Prior, training_rows
from smcatalog.methods.values import Matrix

__all__ = ["Posterior", "effective_size", "sample_weights", "split_r_hat"]


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Draws of weights and variances.

    Parameters
    ----------
    weights : ndarray of float64, shape (chains, draws, k)
    variances : ndarray of float64, shape (chains, draws, k)
        [(m³ m⁻³)²]; all the same in a draw when they are common.
    """

    weights: Matrix
    variances: Matrix

    @property
    def mean(self) -> Matrix:
        """Posterior means of weights and variances, shape (2, k)."""
        return np.stack([part.mean(axis=(0, 1)) for part in (self.weights, self.variances)])

    @property
    def deviation(self) -> Matrix:
        """Posterior standard deviations, shape (2, k)."""
        return np.stack([part.std(axis=(0, 1)) for part in (self.weights, self.variances)])

    @property
    def r_hat(self) -> Matrix:
        """Potential scale reduction, shape (2, k); near 1 when chains agree."""
        return np.stack([split_r_hat(part) for part in (self.weights, self.variances)])

    @property
    def effective(self) -> Matrix:
        """Independent draws that the chains are as good as, shape (2, k)."""
        return np.stack([effective_size(part) for part in (self.weights, self.variances)])

    @property
    def error(self) -> Matrix:
        """Monte Carlo standard errors of the means, shape (2, k)."""
        return self.deviation / np.sqrt(self.effective)


def split_r_hat(draws: Matrix) -> Matrix:
    """Return the potential scale reduction of split chains (Gelman et al. 2013, eq. 11.3 and 11.4).

    Parameters
    ----------
    draws : ndarray of float, shape (chains, draws, ...)
    """
    half = draws.shape[1] // 2
    parts = np.concatenate([draws[:, :half], draws[:, -half:]])
    within = parts.var(axis=1, ddof=1).mean(axis=0)
    between = parts.mean(axis=1).var(axis=0, ddof=1)
    ratio = np.divide(between, within, out=np.zeros_like(within), where=within > 0)
    found: Matrix = np.sqrt((half - 1) / half + ratio)
    return found


def effective_size(draws: Matrix) -> Matrix:
    """Return the effective number of draws, by Geyer's sequence (Gelman et al. 2013, section 11.5).

    Autocorrelations of all chains are summed in pairs until a pair is below 0.

    Parameters
    ----------
    draws : ndarray of float, shape (chains, draws, ...)
    """
    chains, n = draws.shape[:2]
    apart = draws - draws.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(apart, 2 * n, axis=1)
    shared = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n].mean(axis=0) / n
    within = shared[0] * n / (n - 1)
    between = draws.mean(axis=1).var(axis=0, ddof=1) if chains > 1 else np.zeros_like(within)
    total = within * (n - 1) / n + between
    safe = np.where(total > 0, total, 1.0)
    correlation = 1 - (within - shared) / safe
    correlation[0] = 1.0
    even = n // 2 * 2
    pairs = correlation[0:even:2] + correlation[1:even:2]
    pairs = np.minimum.accumulate(
        pairs, axis=0
    )  # falls for a reversible chain; noise must not raise it
    kept = np.cumprod(pairs > 0, axis=0)
    time = np.maximum(2 * (pairs * kept).sum(axis=0) - 1, 1.0 / np.log10(chains * n))
    return np.where(total > 0, chains * n / time, float(chains * n))


def sample_weights(
    observed: Matrix,
    members: Matrix,
    prior: Prior,
    *,
    common: bool = False,
    chains: int = 4,
    draws: int = 2000,
    warm_up: int = 500,
    seed: int = 0,
) -> Posterior:
    """Draw weights and variances from their posterior.

    Parameters
    ----------
    observed, members, common
        As for `smcatalog.methods.averaging.weights.fit_weights`.
    prior : Prior
        The same as there, so that both are about one posterior. It must be proper: a variance whose member holds no row is drawn from it.
    chains, draws, warm_up : int
        Chains that start far apart, draws kept of each, draws before them.
    seed : int

    Raises
    ------
    UsageError
        When there are too few observations or draws.
    """
    if chains < 1 or draws < 4 or warm_up < 0:  # noqa: PLR2004 - halves of two
        raise UsageError("chains are 1 or more, of 4 draws or more")
    y, f = training_rows(observed, members)
    squares = (y[:, None] - f) ** 2
    streams = np.random.default_rng(seed).spawn(chains)
    found = [_chain(squares, prior, common, draws, warm_up, stream) for stream in streams]
    return Posterior(np.stack([w for w, _ in found]), np.stack([s for _, s in found]))


def _chain(
    squares: Matrix, prior: Prior, common: bool, draws: int, warm_up: int, rng: np.random.Generator
) -> tuple[Matrix, Matrix]:
    n, k = squares.shape
    there = np.isfinite(squares)
    known = np.where(there, squares, np.inf)  # a density of 0
    patterns, group = np.unique(there, axis=0, return_inverse=True)
    frequency = np.bincount(group.ravel(), minlength=len(patterns))
    weights = rng.dirichlet(np.ones(k))
    variances = np.where(there, squares, 0).sum(axis=0) / there.sum(axis=0)
    variances = np.maximum(variances, 1e-12) * np.exp(rng.normal(size=1 if common else k))
    kept_weights, kept_variances = np.empty((draws, k)), np.empty((draws, k))
    rows = np.arange(n)
    for step in range(warm_up + draws):
        joint = np.log(weights) - 0.5 * np.log(variances) - known / (2 * variances)
        density = np.exp(joint - joint.max(axis=1, keepdims=True))
        edges = density.cumsum(axis=1)
        lot = (1 - rng.random(n)) * edges[:, -1]  # above 0: never on a member without density
        belongs = (lot[:, None] > edges[:, :-1]).sum(axis=1)
        held = np.bincount(belongs, minlength=k)
        total = np.bincount(belongs, weights=known[rows, belongs], minlength=k)
        counts = held + _unseen(patterns, frequency, weights, rng)
        weights = rng.dirichlet(counts + prior.concentration)
        weights = np.maximum(weights, 1e-300)  # its logarithm is taken
        if common:
            total, held = total.sum(keepdims=True), held.sum(keepdims=True)
        precision = rng.gamma(prior.shape + held / 2, 1 / (prior.scale + total / 2))
        variances = np.broadcast_to(1 / precision, (k,))
        if step >= warm_up:
            kept_weights[step - warm_up], kept_variances[step - warm_up] = weights, variances
    return kept_weights, kept_variances


def _unseen(
    patterns: NDArray[np.bool_],
    frequency: NDArray[np.intp],
    weights: Matrix,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw how often memberships fell on absent members before one that is there."""
    counts = np.zeros(len(weights), np.int64)
    for there, times in zip(patterns, frequency, strict=True):
        if there.all():
            continue
        chance = min(max(float(weights[there].sum()), 1e-6), 1.0)
        missed = int(rng.negative_binomial(times, chance))
        away = np.where(there, 0.0, weights)
        if missed and away.sum() > 0:
            counts += rng.multinomial(missed, away / away.sum())
    return counts
