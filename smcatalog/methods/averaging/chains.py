"""The same mixture's weights drawn from their posterior by Markov chains.

Gibbs sampling with the rows' memberships as unseen data (Diebolt and Robert 1994): given memberships the weights follow a
Dirichlet distribution and the variances inverse gamma distributions. Draws that fell on absent members, see
`weights`, are drawn too. Members' estimates are given, so labels cannot switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.posterior import Density, Near
from smcatalog.methods.averaging.weights import Prior, training_rows
from smcatalog.methods.values import Matrix

__all__ = ["Posterior", "effective_size", "sample_weights", "split_r_hat"]

_TINY: Final = 1e-300
"""Least weight: its logarithm is taken."""


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
    density = Density(y, f, prior, common=common)
    streams = np.random.default_rng(seed).spawn(chains)
    sweeps = [_Sweep((y[:, None] - f) ** 2, prior, common, stream) for stream in streams]
    near = None
    for steps in (warm_up // 3, warm_up - warm_up // 3):
        near = _near(
            density,
            [
                _chain(density, sweep, near, steps, stream)
                for sweep, stream in zip(sweeps, streams, strict=True)
            ],
        )
    found = np.stack(
        [
            _chain(density, sweep, near, draws, stream)
            for sweep, stream in zip(sweeps, streams, strict=True)
        ]
    )
    return Posterior(found[:, :, 0], found[:, :, 1])


def _near(density: Density, before: list[Matrix]) -> Near | None:
    """Return a distribution like that of the later half of the warm-up of all chains, (steps, 2, k) each."""
    points = [density.point(*np.moveaxis(part[len(part) // 2 :], 1, 0)) for part in before]
    known = np.concatenate(points) if points else np.empty((0, density.dimensions))
    if len(known) <= 2 * density.dimensions:
        return None
    # what few steps have seen of it is too narrow
    return Near.of(np.median(known, axis=0), np.cov(known.T), wider=2.0)


def _chain(
    density: Density, sweep: _Sweep, near: Near | None, draws: int, rng: np.random.Generator
) -> Matrix:
    """Return weights and variances, shape (draws, 2, k).

    Where members are alike, memberships hold the weights back and a sweep moves little. So after each
    one a point drawn from all over the posterior is proposed (Metropolis and Hastings, independence chain; Tierney 1994).
    """
    kept = np.empty((draws, *sweep.state.shape))
    if near is None:
        for step in range(draws):
            kept[step] = next(sweep)
        return kept
    proposed = near.draw(rng, draws)
    worth = density.log(proposed) - near.log(proposed)
    lots = np.log(1 - rng.random(draws))
    for step in range(draws):
        here = density.point(*next(sweep))[np.newaxis]
        if lots[step] < worth[step] - float((density.log(here) - near.log(here))[0]):
            weights, variances = density.values(proposed[step])
            sweep.state = np.stack([np.maximum(weights, _TINY), variances])
        kept[step] = sweep.state
    return kept


class _Sweep:
    """Gibbs steps of one chain: memberships, then weights and variances.

    Attributes
    ----------
    state : ndarray of float64, shape (2, k)
        Weights and variances; what follows begins there.
    """

    def __init__(
        self, squares: Matrix, prior: Prior, common: bool, rng: np.random.Generator
    ) -> None:
        k = squares.shape[1]
        there = np.isfinite(squares)
        self._known = np.where(there, squares, np.inf)  # a density of 0
        self._patterns, group = np.unique(there, axis=0, return_inverse=True)
        self._frequency = np.bincount(group.ravel(), minlength=len(self._patterns))
        self._prior = prior
        self._common = common
        self._rng = rng
        weights = rng.dirichlet(np.ones(k))
        variances = np.where(there, squares, 0).sum(axis=0) / there.sum(axis=0)
        variances = np.maximum(variances, 1e-12) * np.exp(rng.normal(size=1 if common else k))
        self.state: Matrix = np.stack([np.maximum(weights, _TINY), variances])

    def __next__(self) -> Matrix:
        rng, prior, known = self._rng, self._prior, self._known
        weights, variances = self.state
        n, k = known.shape
        joint = np.log(weights) - 0.5 * np.log(variances) - known / (2 * variances)
        density = np.exp(joint - joint.max(axis=1, keepdims=True))
        edges = density.cumsum(axis=1)
        lot = (1 - rng.random(n)) * edges[:, -1]  # above 0: never on a member without density
        belongs = (lot[:, None] > edges[:, :-1]).sum(axis=1)
        held = np.bincount(belongs, minlength=k)
        total = np.bincount(belongs, weights=known[np.arange(n), belongs], minlength=k)
        counts = held + _unseen(self._patterns, self._frequency, weights, rng)
        weights = rng.dirichlet(counts + prior.concentration)
        if self._common:
            total, held = total.sum(keepdims=True), held.sum(keepdims=True)
        precision = rng.gamma(prior.shape + held / 2, 1 / (prior.scale + total / 2))
        # a logarithm of the weights is taken
        self.state = np.stack([np.maximum(weights, _TINY), np.broadcast_to(1 / precision, (k,))])
        return self.state


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
