"""Numbers as text, tables in Markdown, and where one estimate loses against another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final, TypeGuard

__all__ = [
    "SCORES",
    "TITLES",
    "count",
    "mean_of",
    "moisture",
    "ratio",
    "scores_row",
    "table",
    "worse",
]

SCORES: Final = ("bias", "rmse", "ubrmse", "r")
"""Scores of tables, by their names in answers."""
TITLES: Final[Mapping[str, str]] = {"bias": "bias", "rmse": "RMSE", "ubrmse": "ubRMSE", "r": "R"}
_NONE: Final = "–"


def _known(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def moisture(value: Any) -> str:
    """Return a number in m³ m⁻³ as text."""
    return f"{value:.4f}" if _known(value) else _NONE


def ratio(value: Any) -> str:
    """Return a correlation as text."""
    return f"{value:.3f}" if _known(value) else _NONE


def count(value: Any) -> str:
    """Return a whole number as text, its thousands apart."""
    return f"{value:,}" if _known(value) else _NONE


def scores_row(scores: Mapping[str, Any]) -> list[str]:
    """Return `SCORES` as text."""
    return [(ratio if name == "r" else moisture)(scores.get(name)) for name in SCORES]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def worse(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the titles of the scores in which one estimate is worse than another at the same pairs.

    Worse is a larger RMSE or ubRMSE, a bias further from 0, a smaller R, by however little; a score that one of
    them lacks is not compared.
    """
    found = []
    for name in SCORES:
        mine, other = ours.get(name), theirs.get(name)
        if not (_known(mine) and _known(other)):
            continue
        if (mine < other) if name == "r" else (abs(mine) > abs(other)):
            found.append(TITLES[name])
    return found


def mean_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means of `SCORES` over rows, each over those that have it, and the sum of ``n``."""
    means: dict[str, Any] = {"n": sum(row["n"] for row in rows)}
    for name in SCORES:
        values = [row[name] for row in rows if _known(row.get(name))]
        means[name] = fmean(values) if values else None
    return means
