"""The methods there are, by name.

A method's module is imported when it is used: planning a night needs names and versions only, and
scikit-learn takes longer to import than a night with nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smcatalog.core.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["DEFAULT_LEARNERS", "create", "learner_names", "load", "method_names", "recipe"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a method is and which version of it.

    Parameters
    ----------
    module, factory : str
        Module under ``smcatalog.methods`` and class in it.
    version : int
        Raised whenever the same samples and declared parameters would give another model or map.
    learners : tuple of str
        Those of a method that has others' as parameter ``learners``, where none are declared.
    """

    module: str
    factory: str
    version: int
    learners: tuple[str, ...] = ()

    def resolve(self) -> type[Method]:
        found: type[Method] = getattr(
            import_module(f"smcatalog.methods.{self.module}"), self.factory
        )
        return found


DEFAULT_LEARNERS: Final = ("linear_regression", "random_forest")
"""Learners of an ensemble that declares none."""

_METHODS: Final[dict[str, _Entry]] = {
    "linear_regression": _Entry("linear", "LinearRegression", 1),
    "random_forest": _Entry("forest", "RandomForest", 1),
    "svr": _Entry("svr", "SupportVector", 1),
    "ann": _Entry("network", "NeuralNetwork", 3),
    "xgboost": _Entry("xgb", "XGBoost", 1),
    "lightgbm": _Entry("lgbm", "LightGBM", 1),
    "catboost": _Entry("cat", "CatBoost", 1),
    "ensemble": _Entry("ensemble", "Ensemble", 2, DEFAULT_LEARNERS),
    "bayesian_model_averaging": _Entry("averaging.method", "BayesianModelAveraging", 1),
}

_COMPOSED: Final = frozenset({"ensemble", "bayesian_model_averaging"})
"""Methods that have learners of their own."""


def method_names() -> list[str]:
    """Return the names of all registered methods."""
    return sorted(_METHODS)


def learner_names() -> list[str]:
    """Return the names of the methods that are single learners."""
    return [name for name in method_names() if name not in _COMPOSED]


def _entry(name: str) -> _Entry:
    try:
        return _METHODS[name]
    except KeyError:
        raise NotFoundError(
            f"no method is called '{name}'; there are {', '.join(method_names())}"
        ) from None


def recipe(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return name, version and declared parameters: what else than the samples decides a model.

    Of a method that has others' as learners, their versions too.

    Raises
    ------
    NotFoundError
        When no method is called so.
    """
    entry = _entry(name)
    found = {"method": name, "version": entry.version, "parameters": dict(parameters)}
    if entry.learners:
        learners = sorted(parameters.get("learners", entry.learners))
        found["learners"] = {learner: _entry(learner).version for learner in learners}
    return found


def create(name: str, parameters: Mapping[str, Any]) -> Method:
    """Return an unfitted method.

    Raises
    ------
    NotFoundError
        When no method is called so.
    UsageError
        When it has no such parameter.
    """
    method = _entry(name).resolve()()
    known = method.get_params()
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise UsageError(
            f"method '{name}' has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )
    method.set_params(**parameters)
    return method


def load(name: str, path: Path) -> Method:
    """Return a fitted method from a file whose checksum the caller has verified."""
    return _entry(name).resolve().load(path)
