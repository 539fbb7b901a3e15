"""What predictors are worth, by zone: SHAP, permutation and correlation (Liu et al. 2024, section 3.1, figure 3).

Of learners fitted to all samples of a zone together: local fits of tens of samples each are thousands, and
the paper shows one. It computes SHAP with a random forest and mentions other models: exact for trees (Lundberg
et al. 2020, path-dependent), closed for lines, over all coalitions of predictors for support vectors (interventional, Lundberg and Lee 2017).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import product
from math import comb
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.settings import LEARNERS, LearnerSettings
from smcatalog.methods.values import Matrix

__all__ = ["explain_predictors", "shap_values"]

_BACKGROUND: Final = 50
"""Samples that stand for a predictor left open, where the learner has no tree or line."""
_MOST: Final = 12
"""Predictors whose coalitions are gone through."""


def _learner(name: str, settings: LearnerSettings, seed: int) -> Any:
    if name == "forest":
        forest = settings.forest
        return RandomForestRegressor(
            forest.trees,
            max_features=forest.tries,
            min_samples_leaf=forest.least,
            random_state=seed,
            n_jobs=1,
        )
    if name == "boosting":
        from xgboost import XGBRegressor  # noqa: PLC0415 - heavy, and one of four

        boosting = settings.boosting
        return XGBRegressor(
            n_estimators=boosting.rounds,
            max_depth=boosting.depth,
            learning_rate=boosting.rate,
            reg_lambda=boosting.shrink,
            gamma=boosting.least_gain,
            min_child_weight=boosting.least_weight,
            n_jobs=1,
            random_state=seed,
        )
    if name == "linear":
        return LinearRegression()
    support = settings.support
    # the tube and cost are in standard deviations of the target, which is standardised before
    svr = SVR(C=support.cost, epsilon=support.tube, gamma=support.width, tol=support.tolerance)
    return make_pipeline(StandardScaler(), svr)


def shap_values(name: str, fitted: Any, features: Matrix, background: Matrix) -> Matrix:
    """Return SHAP values of each row and predictor, in the unit of what was fitted.

    Parameters
    ----------
    name : {"forest", "linear", "support", "boosting"}
    fitted : object
        The fitted learner.
    features, background : ndarray of float64, shape (n, p) and (m, p)
        Rows to explain, and those that stand for predictors left open (but of trees, which know their samples).

    Returns
    -------
    ndarray of float64, shape (n, p)
    """
    if name == "linear":
        return np.asarray(fitted.coef_ * (features - background.mean(axis=0)), np.float64)
    if name == "support":
        return _exact_shapley(fitted.predict, features, background)
    with warnings.catch_warnings():
        # shap sets up colours for its plots by a way that matplotlib will give up
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap  # noqa: PLC0415 - takes seconds
    explainer = shap.TreeExplainer(fitted)
    return np.asarray(explainer.shap_values(features, check_additivity=False), np.float64)


def _exact_shapley(
    predict: Callable[[Matrix], Matrix], features: Matrix, background: Matrix
) -> Matrix:
    """Return Shapley values over all coalitions of predictors, those left open taken from each row of a background."""
    n, p = features.shape
    if p > _MOST:
        raise UsageError(
            f"coalitions of {p} predictors are too many to go through, at most {_MOST}"
        )
    coalitions = np.array(list(product((False, True), repeat=p)))
    worth = np.empty((len(coalitions), n))
    for place, held in enumerate(coalitions):
        mixed = np.where(held, features[:, np.newaxis], background)
        worth[place] = predict(mixed.reshape(-1, p)).reshape(n, -1).mean(axis=1)
    sizes = coalitions.sum(axis=1)
    found = np.empty((n, p))
    for predictor in range(p):
        without = np.flatnonzero(~coalitions[:, predictor])
        with_it = without + 2 ** (p - 1 - predictor)
        share = 1 / (p * np.array([comb(p - 1, size) for size in sizes[without].tolist()]))
        found[:, predictor] = share @ (worth[with_it] - worth[without])
    return found


def explain_predictors(
    names: Sequence[str],
    features: Matrix,
    target: Matrix,
    zones: NDArray[np.integer],
    days: NDArray[np.integer],
    *,
    learner: str = "forest",
    settings: LearnerSettings | None = None,
    rows: int = 500,
    least: int = 100,
    most: int = 20_000,
    repeats: int = 10,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Rate predictors in each zone.

    A third of the samples, drawn by lot, is held out: permutations are scored on it and SHAP explains it.

    Parameters
    ----------
    names : sequence of str, length p
    features : ndarray of float64, shape (n, p)
        Coarse predictors; rows with NaN are left out.
    target : ndarray of float64, shape (n,)
        Coarse soil moisture [m³ m⁻³].
    zones, days : ndarray of int, shape (n,)
        Zone (none below 0) and day of each sample.
    learner : {"forest", "linear", "support", "boosting"}
    rows : int
        Rows that SHAP explains at most in a zone.
    least : int
        Samples without which a zone is left out.
    most : int
        Samples of a zone that are looked at, drawn by lot: of millions more say the same.
    repeats : int
        Permutations of each predictor.
    seed : int

    Returns
    -------
    list of dict
        For each zone and predictor: ``shap`` (mean absolute value [m³ m⁻³]), ``shap_share``; ``permutation`` and
        ``permutation_sd`` (loss of R²); ``correlation`` and ``correlation_sd`` (Pearson's, over days with 10 samples or more).

    Raises
    ------
    UsageError
        When shapes do not belong together or there is no such learner.
    """
    if features.shape != (len(target), len(names)) or learner not in LEARNERS:
        raise UsageError(
            f"learner '{learner}' of {', '.join(LEARNERS)}: {features.shape} features for {len(target)} samples and {len(names)} names"
        )
    rng = np.random.default_rng(seed)
    whole = np.isfinite(features).all(axis=1) & np.isfinite(target)
    table = []
    for zone in np.unique(zones[zones >= 0]).tolist():
        own = rng.permutation(np.flatnonzero(whole & (zones == zone)))[:most]
        if len(own) < least:
            continue
        held, fits = np.split(own, [len(own) // 3])
        middle, unit = target[fits].mean(), target[fits].std() or 1.0
        fitted = _learner(learner, settings or LearnerSettings(), seed)
        fitted.fit(features[fits], (target[fits] - middle) / unit)
        shown = held[:rows]
        values = shap_values(learner, fitted, features[shown], features[fits[:_BACKGROUND]])
        size = np.abs(values).mean(axis=0) * unit
        loss = permutation_importance(
            fitted,
            features[held],
            (target[held] - middle) / unit,
            n_repeats=repeats,
            random_state=seed,
            n_jobs=1,
        )
        mean, spread = _daily_correlation(features[own], target[own], days[own])
        table += [
            {
                "zone": zone,
                "predictor": name,
                "shap": float(size[i]),
                "shap_share": float(size[i] / (size.sum() or 1.0)),
                "permutation": float(loss.importances_mean[i]),
                "permutation_sd": float(loss.importances_std[i]),
                "correlation": float(mean[i]),
                "correlation_sd": float(spread[i]),
            }
            for i, name in enumerate(names)
        ]
    return table


def _daily_correlation(
    features: Matrix, target: Matrix, days: NDArray[np.integer], least: int = 10
) -> tuple[Matrix, Matrix]:
    """Return mean and standard deviation over days of the correlation with each predictor; NaN where it never varies."""
    x = np.column_stack([features, target])
    found = []
    for day in np.unique(days):
        part = x[days == day]
        if len(part) < least:
            continue
        apart = part - part.mean(axis=0)
        sizes = np.sqrt((apart**2).sum(axis=0))
        bottom = sizes[:-1] * sizes[-1]
        ratio = np.full(len(bottom), np.nan)
        np.divide(apart[:, :-1].T @ apart[:, -1], bottom, out=ratio, where=bottom > 0)
        found.append(ratio)
    table = np.array(found) if found else np.empty((0, features.shape[1]))
    known = np.isfinite(table)
    n = known.sum(axis=0)
    safe = np.where(n, n, np.nan)
    mean = np.where(known, table, 0).sum(axis=0) / safe
    spread = np.sqrt(np.where(known, (table - mean) ** 2, 0).sum(axis=0) / safe)
    return mean, spread
