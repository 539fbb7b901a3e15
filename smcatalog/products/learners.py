"""What a product's definition may say about its method, checked as it is read.

Names and kinds only: the methods themselves take longer to import than a definition to read. A test holds
them against the methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from smcatalog.products.definition import MethodChoice
from smcatalog.products.tables import Table
from smcatalog.products.windows import AVERAGING

__all__ = [
    "COMBINERS",
    "ENSEMBLE",
    "LOCAL",
    "METHODS",
    "WEIGHTS",
    "WINDOWS",
    "fits",
    "least_samples",
    "read_method",
]

ENSEMBLE: Final = "ensemble"
"""The method that has learners of its own."""

_FOLDS: Final = 3
"""Folds in which the best of several learners are tuned when the definition does not say."""
_STACK_FOLDS: Final = 5
_TEST_SHARE: Final = 0.3
"""Likewise of stacking, and the share of the samples that it keeps for the test."""
_SHARED: Final = {"folds": int, "random_state": int}

METHODS: Final[dict[str, dict[str, type]]] = {
    "linear_regression": {},
    "random_forest": {
        "n_estimators": int, "min_samples_leaf": int, "max_features": float, "random_state": int,
    },
    "svr": {
        "C": float, "epsilon": float, "gamma": float, "tolerance": float, "importance_rows": int, **_SHARED,
    },
    "ann": {
        "hidden": list, "alpha": float, "learning_rate": float, "batch_size": int, "max_epochs": int,
        "patience": int, "held_out": float, "networks": int, "importance_rows": int, **_SHARED,
    },
    "xgboost": {
        "n_estimators": int, "max_depth": int, "learning_rate": float, "subsample": float,
        "colsample_bytree": float, "min_child_weight": float, "reg_lambda": float, "gamma": float, **_SHARED,
    },
    "lightgbm": {
        "n_estimators": int, "num_leaves": int, "learning_rate": float, "min_child_samples": int,
        "subsample": float, "colsample_bytree": float, "reg_lambda": float, **_SHARED,
    },
    "catboost": {
        "iterations": int, "depth": int, "learning_rate": float, "l2_leaf_reg": float, "subsample": float,
        **_SHARED,
    },
    ENSEMBLE: {
        "learners": list, "combine": str, "options": dict, "parameters": dict, "grids": dict,
        "random_state": int, "zones": str, "zone_min_samples": int, "zone_learners": dict,
        "zone_options": dict, "zone_all_late": bool,
    },
    AVERAGING: {
        "windows": dict, "settings": dict, "grids": dict, "tuned_windows": int, "tune_folds": int, "zones": int,
        "seasons": int, "estimator": str, "zone_least": int, "bias_correction": bool, "common_variance": bool,
        "prior": dict, "chains": dict, "scored_days": int, "random_state": int,
    },
}  # fmt: skip
"""Parameters of each method, and of what kind they are."""

COMBINERS: Final[dict[str, dict[str, type]]] = {
    "best": {
        "fitted_on": str, "alpha": float, "most_draws": int, "tune": bool, "folds": int, "folds_by": str,
        "most_samples": int,
    },
    "stacking": {
        "test_share": float, "split": str, "folds": int, "folds_by": str, "second": str, "intercept": bool,
        "ridge_strength": float, "refit": bool, "explained": int, "tune_folds": int, "tune_samples": int,
        "shown": int, "second_layer": dict,
    },
}  # fmt: skip
"""Options of each combiner."""

WINDOWS: Final[dict[str, type]] = {
    "first_side": int, "last_side": int, "side_step": int, "first_days": int, "last_days": int,
    "per_predictor": int, "fewest": int, "order": str, "past_only": bool,
}  # fmt: skip
"""How windows in space and time grow."""

LOCAL: Final[dict[str, dict[str, type]]] = {
    "forest": {"trees": int, "tries": int, "least": int},
    "linear": {"ridge": float},
    "support": {"cost": float, "tube": float, "width": float, "tolerance": float, "steps": int},
    "boosting": {
        "rounds": int, "depth": int, "rate": float, "shrink": float, "least_gain": float, "least_weight": float,
    },
}  # fmt: skip
"""Hyperparameters of the learners in such windows."""

WEIGHTS: Final[dict[str, dict[str, type]]] = {
    "prior": {"concentration": float, "shape": float, "scale": float},
    "chains": {"chains": int, "draws": int, "warm_up": int},
}
"""How their weights are learned."""

_KINDS: Final[Mapping[type, str]] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def fits(value: Any, kind: type) -> bool:
    """Return whether a value is of a kind: a whole number is a number too, true and false are none."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def least_samples(method: MethodChoice, covariates: int) -> int:
    """Return how many samples a method needs: two a covariate, in every part that something is fitted to."""
    least = 2 * covariates
    if method.name != ENSEMBLE:
        return least
    options = method.parameters.get("options", {})
    if method.parameters.get("combine", "best") == "stacking":
        share: float = 1 - options.get("test_share", _TEST_SHARE)
        parts: int = options.get("folds", _STACK_FOLDS)
        return math.ceil((math.ceil(least * parts / (parts - 1)) + 1) / share)
    if not options.get("tune", True):
        return 2 * least
    folds: int = options.get("folds", _FOLDS)
    # half of them, and of that what is left without one fold
    return 2 * (math.ceil(least * folds / (folds - 1)) + 1)


def read_method(table: Table) -> MethodChoice:
    """Read the table ``[method]``.

    Raises
    ------
    DefinitionError
        When a method, a parameter, a learner or a key of a grid is unknown or of another kind.
    """
    table.check_keys(("name", "parameters"))
    expected = f"one of {', '.join(METHODS)}"
    name = table.get("name", str, expected)
    if name not in METHODS:
        raise table.error("name", expected)
    parameters = table.get("parameters", dict, "a table", {})
    inside = Table(parameters, "method.parameters", table.text, table.file)
    _check_kinds(inside, METHODS[name])
    if name == ENSEMBLE:
        _check_ensemble(inside)
    if name == AVERAGING:
        _check_averaging(inside)
    return MethodChoice(name, parameters)


def _check_kinds(table: Table, known: Mapping[str, type]) -> None:
    if not known and table.values:
        raise table.error(next(iter(table.values)), "left out: the method has no parameters")
    table.check_keys(known)
    for key, value in table.values.items():
        if not fits(value, known[key]):
            raise table.error(key, _KINDS[known[key]])


def _check_ensemble(table: Table) -> None:
    """Check learners, what combines them, and each learner's parameters and grid."""
    alone = [name for name in METHODS if name not in {ENSEMBLE, AVERAGING}]
    one_of = ", ".join(alone)
    learners = table.get("learners", list, f"a list of learners: {one_of}")
    if not learners or any(n not in alone for n in learners):
        raise table.error("learners", f"a list of one or more of {one_of}")
    if len(set(learners)) != len(learners):
        raise table.error("learners", "a list that names each learner once")
    combine = table.get("combine", str, f"one of {', '.join(COMBINERS)}", "best")
    if combine not in COMBINERS:
        raise table.error("combine", f"one of {', '.join(COMBINERS)}")
    if "options" in table.values:
        _check_options(table.table("options"), COMBINERS[combine])
    for key in ("parameters", "grids"):
        if key not in table.values:
            continue
        by_learner = table.table(key)
        by_learner.check_keys(learners)
        for name in by_learner.values:
            given = by_learner.table(name)
            if key == "parameters":
                _check_kinds(given, METHODS[name])
            else:
                _check_grid(given, METHODS[name])


def _check_averaging(table: Table) -> None:
    """Check windows, hyperparameters of the local learners, and how their weights are learned."""
    if "windows" in table.values:
        _check_windows(table.table("windows"))
    for key, check in (("settings", _check_kinds), ("grids", _check_grid)):
        if key in table.values:
            by_learner = table.table(key)
            by_learner.check_keys(LOCAL)
            for name in by_learner.values:
                check(by_learner.table(name), LOCAL[name])
    for key, known in WEIGHTS.items():
        if key in table.values:
            _check_kinds(table.table(key), known)
    if table.values.get("estimator", "em") not in {"em", "mcmc"}:
        raise table.error("estimator", "one of em, mcmc")
    seasons = table.values.get("seasons", 4)
    if seasons < 1 or 12 % seasons:
        raise table.error("seasons", "1, 2, 3, 4, 6 or 12")
    least_of = {"zones": 1, "tuned_windows": 1, "tune_folds": 2, "zone_least": 1, "scored_days": 1}
    _check_least(table, least_of)


def _check_least(table: Table, least_of: Mapping[str, int]) -> None:
    for key, least in least_of.items():
        if table.values.get(key, least) < least:
            raise table.error(key, f"a whole number, {least} or more")


def _check_windows(table: Table) -> None:
    _check_kinds(table, WINDOWS)
    orders = ("alternate", "space", "time", "volume")
    if table.values.get("order", orders[0]) not in orders:
        raise table.error("order", f"one of {', '.join(orders)}")
    for part, (shortest, longest) in {"side": (3, 5), "days": (1, 3)}.items():
        first = table.values.get(f"first_{part}", shortest)
        if not 1 <= first <= table.values.get(f"last_{part}", longest):
            raise table.error(f"last_{part}", f"a whole number, not below first_{part} ({first})")


def _check_options(table: Table, known: Mapping[str, type]) -> None:
    _check_kinds(table, known)
    choices = {
        "fitted_on": ("train", "all"),
        "folds_by": ("random", "cells", "days"),
        "split": ("random", "days"),
        "second": ("nnls", "ridge"),
    }
    for key, names in choices.items():
        if table.values.get(key, names[0]) not in names:
            raise table.error(key, f"one of {', '.join(names)}")
    least_of = {
        "folds": 2, "most_draws": 1, "most_samples": 1, "explained": 0, "shown": 0, "tune_folds": 2, "tune_samples": 1,
    }  # fmt: skip
    if not 0 < table.values.get("test_share", 0.3) < 1:
        raise table.error("test_share", "a share between 0 and 1")
    _check_least(table, least_of)


def _check_grid(table: Table, known: Mapping[str, type]) -> None:
    if not known and table.values:
        raise table.error(next(iter(table.values)), "left out: the learner has no parameters")
    table.check_keys(known)
    for key, values in table.values.items():
        expected = f"a list of values to choose from, each {_KINDS[known[key]]}"
        if not isinstance(values, list) or not values:
            raise table.error(key, expected)
        if not all(fits(value, known[key]) for value in values):
            raise table.error(key, expected)
