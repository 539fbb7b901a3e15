"""The methods there are, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.methods.base import Method
from smcatalog.methods.forest import RandomForest
from smcatalog.methods.linear import LinearRegression

__all__ = ["create", "load", "method_names"]

_METHODS: Final[dict[str, type[Method]]] = {
    method.name: method for method in (RandomForest, LinearRegression)
}


def method_names() -> list[str]:
    """Return the names of all registered methods."""
    return sorted(_METHODS)


def _class(name: str) -> type[Method]:
    try:
        return _METHODS[name]
    except KeyError:
        raise NotFoundError(
            f"no method is called '{name}'; there are {', '.join(method_names())}"
        ) from None


def create(name: str, parameters: Mapping[str, Any]) -> Method:
    """Return an unfitted method.

    Raises
    ------
    NotFoundError
        When no method is called so.
    UsageError
        When it has no such parameter.
    """
    method = _class(name)()
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
    return _class(name).load(path)
