"""What Bayesian model averaging learns: hyperparameters by zone and season, a mixture for each zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.agreement import compare, expectation
from smcatalog.methods.averaging.chains import Posterior, sample_weights
from smcatalog.methods.averaging.cube import SampleCube
from smcatalog.methods.averaging.days import season_of
from smcatalog.methods.averaging.model_space import explore_models
from smcatalog.methods.averaging.settings import LEARNERS, LearnerSettings
from smcatalog.methods.averaging.tuning import tune
from smcatalog.methods.averaging.weights import MixtureWeights, Prior
from smcatalog.methods.averaging.windows import Growth, Windows, adaptive_windows
from smcatalog.methods.averaging.zonal import ALL, ZonalMixture, fit_zones
from smcatalog.methods.averaging.zonemap import ZoneMap
from smcatalog.methods.scores import plain
from smcatalog.methods.values import Matrix

__all__ = ["Chains", "learn_mixture", "tune_zones"]

_TUNED_DAYS: Final = 3
"""Days of a season whose windows are looked at."""

_MET: Final = 1.05
"""Potential scale reduction below which chains have met (Gelman et al. 2013 ask for 1.1)."""


@dataclass(frozen=True, slots=True)
class Chains:
    """How the posterior of the weights is drawn from.

    Parameters
    ----------
    chains, draws, warm_up : int
        As for `smcatalog.methods.averaging.chains.sample_weights`.
    """

    chains: int = 4
    draws: int = 2000
    warm_up: int = 500


def tune_zones(
    cube: SampleCube,
    zones: ZoneMap,
    growth: Growth,
    *,
    seasons: int,
    grids: Mapping[str, Mapping[str, Sequence[Any]]],
    start: LearnerSettings,
    most: int,
    folds: int,
    seed: int,
) -> tuple[dict[tuple[int, int], LearnerSettings], list[dict[str, Any]]]:
    """Choose the learners' hyperparameters once for each zone and season.

    The paper tunes by tenfold cross-validation on RMSE (section 3.2.5) and does not say how often; a choice for each of
    thousands of windows, out of tens of samples, would be a choice of noise. Here windows of a few days, spread
    evenly over the season, are cross-validated together.

    Parameters
    ----------
    most : int
        Windows of a zone and season that are looked at, drawn by lot.
    folds : int
        Of the cross-validation.

    Returns
    -------
    settings : dict of (int, int) to LearnerSettings
        By zone and season; ``start`` where nothing can be chosen.
    report : list of dict
        Zone, season, windows, chosen settings, and each learner's RMSE with them [m³ m⁻³].
    """
    places = [(zone, season) for zone in range(zones.count) for season in range(seasons)]
    settings = dict.fromkeys(places, start)
    if not any(grids.values()):
        return settings, []
    zone_of = zones.of(cube.numbers.ravel())
    days = cube.first + np.arange(len(cube.target))
    own = np.array([season_of(day, seasons) for day in days])
    full = np.isfinite(cube.target).any(axis=(1, 2))
    report = []
    for season in range(seasons):
        held = np.flatnonzero((own == season) & full)
        if not len(held):
            continue
        spread = np.linspace(0, len(held) - 1, min(_TUNED_DAYS, len(held)))
        chosen = held[np.unique(spread.round().astype(int))]
        windows = _joined(cube, chosen, growth)
        zone_there = np.tile(zone_of, len(chosen))
        for zone in range(zones.count):
            cells = np.flatnonzero(windows.exists & (zone_there == zone))
            if not len(cells):
                continue
            rng = np.random.default_rng([seed, zone, season])
            cells = np.sort(rng.permutation(cells)[:most])
            found, errors = tune(
                windows,
                cube.features,
                cube.target,
                cells=cells,
                grids=grids,
                start=start,
                folds=folds,
                seed=seed,
            )
            settings[zone, season] = found
            report.append(
                {
                    "zone": zone,
                    "season": season,
                    "windows": len(cells),
                    "settings": asdict(found),
                    "rmse": {name: plain(error) for name, error in errors.items()},
                }
            )
    return settings, report


def _joined(cube: SampleCube, days: NDArray[np.intp], growth: Growth) -> Windows:
    """Return the windows of several days one after another; their samples are places in the whole cube."""
    parts = [adaptive_windows(cube.features, cube.target, day, growth) for day in days.tolist()]
    widest = max(part.members.shape[1] for part in parts)
    members = [
        np.pad(one.members, ((0, 0), (0, widest - one.members.shape[1])), constant_values=-1)
        for one in parts
    ]
    return Windows(
        np.concatenate([one.side for one in parts]),
        np.concatenate([one.days for one in parts]),
        np.concatenate([one.count for one in parts]),
        np.concatenate(members),
    )


def learn_mixture(
    observed: Matrix,
    members: Matrix,
    zones: NDArray[np.integer],
    *,
    estimator: str,
    least: int,
    common: bool,
    bias: bool,
    prior: Prior,
    chains: Chains,
    seed: int,
) -> tuple[ZonalMixture, dict[str, Any]]:
    """Learn the mixture of each zone by both estimators, and the model space beside them.

    Parameters
    ----------
    observed : ndarray of float64, shape (n,)
        Of stations [m³ m⁻³].
    members : ndarray of float64, shape (n, 4)
        Estimates of the learners there.
    zones : ndarray of int, shape (n,)
    estimator : {"em", "mcmc"}
        Which of the two the maps use.
    least : int
        Observations that a zone needs for a mixture of its own.
    common, bias, prior
        As for `smcatalog.methods.averaging.zonal.fit_zones`.

    Returns
    -------
    mixture : ZonalMixture
    report : dict
        By zone (``all`` for that of all observations): observations, weights and standard deviations of the members by
        both estimators, whether they agree within Monte Carlo error, and the model space.

    Raises
    ------
    UsageError
        When there are too few observations in all.
    """
    by_em = fit_zones(observed, members, zones, least=least, common=common, bias=bias, prior=prior)
    drawn: dict[int, MixtureWeights] = {}
    report: dict[str, Any] = {}
    usable = np.isfinite(observed) & np.isfinite(members).any(axis=1)
    for zone, fit in by_em.mixtures.items():
        own = usable & ((zones == zone) | (zone == ALL))
        y, f = observed[own], members[own]
        if zone in by_em.biases:
            f = by_em.biases[zone].apply(f)
        posterior = sample_weights(
            y,
            f,
            prior,
            common=common,
            chains=chains.chains,
            draws=chains.draws,
            warm_up=chains.warm_up,
            seed=seed,
        )
        weights, variances = posterior.mean
        drawn[zone] = MixtureWeights(
            weights / weights.sum(), variances, np.empty(0), fit.rows, converged=True
        )
        expected = expectation(y, f, fit, prior, common=common, seed=seed)
        agreed = compare(expected, posterior)
        report["all" if zone == ALL else str(zone)] = {
            "observations": int(own.sum()),
            "em": _estimate(fit.weights, fit.variances)
            | {"mean": _by_learner(expected.mean[0]), "effective": expected.effective},
            "mcmc": _estimate(weights, variances) | _chain_report(posterior),
            "difference": _by_learner(agreed.difference[0]),
            "monte_carlo_error": _by_learner(agreed.error[0]),
            # of chains that have not met, the error is not known
            "converged": bool((posterior.r_hat < _MET).all()),
            "agree": bool(agreed.agrees.all()),
            "model_space": _model_space(y, f, seed),
        }
    if estimator == "mcmc":
        return ZonalMixture(drawn, by_em.biases), report
    return by_em, report


def _by_learner(values: Matrix) -> dict[str, float | None]:
    return {name: plain(value) for name, value in zip(LEARNERS, values.tolist(), strict=True)}


def _estimate(weights: Matrix, variances: Matrix) -> dict[str, Any]:
    return {"weights": _by_learner(weights), "deviations": _by_learner(np.sqrt(variances))}


def _chain_report(posterior: Posterior) -> dict[str, Any]:
    return {
        "weights_sd": _by_learner(posterior.deviation[0]),
        "r_hat": _by_learner(posterior.r_hat[0]),
        "effective": _by_learner(posterior.effective[0]),
    }


def _model_space(observed: Matrix, members: Matrix, seed: int) -> dict[str, Any] | None:
    try:
        found = explore_models(observed, members, seed=seed)
    except UsageError:  # too few rows with all members
        return None
    return {
        "inclusion": _by_learner(found.inclusion),
        "exact": _by_learner(found.exact),
        "single": _by_learner(found.single),
        "rows": found.rows,
    }
