"""Scores station by station, and stations that are the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.moments import Moments
from smcatalog.validation.metrics import Scores

__all__ = ["MeanScores", "joined", "mean_scores", "twins"]

Values = NDArray[np.float64]

_EQUAL: Final = 0.99
"""Share of common days with the same value from which two series are one, delivered twice."""
_COMMON: Final = 30
"""Common days that this takes at least."""


@dataclass(frozen=True, slots=True)
class MeanScores:
    """Scores of single stations, averaged.

    Parameters
    ----------
    stations : int
        Number of stations, those with at least two pairs.
    n : int
        Number of pairs of all of them.
    bias, rmse, ubrmse, r : float
        Means over the stations; bias is estimate minus reference [m³ m⁻³]. A correlation that is not
        defined is left out of its mean.
    """

    stations: int
    n: int
    bias: float
    rmse: float
    ubrmse: float
    r: float


def mean_scores(estimates: Values, reference: Values, stations: NDArray[np.int64]) -> MeanScores:
    """Score each station for itself and average.

    Parameters
    ----------
    estimates, reference : ndarray of float64, shape (n,)
        [m³ m⁻³].
    stations : ndarray of int64, shape (n,)
        Which station each pair belongs to.
    """
    scores = [
        Scores.of(Moments.of(estimates[here], reference[here]))
        for here in (stations == station for station in np.unique(stations))
        if here.sum() > 1
    ]
    if not scores:
        nan = float("nan")
        return MeanScores(0, 0, nan, nan, nan, nan)
    correlations = [s.r for s in scores if np.isfinite(s.r)]
    return MeanScores(
        stations=len(scores),
        n=sum(s.n for s in scores),
        bias=float(np.mean([s.bias for s in scores])),
        rmse=float(np.mean([s.rmse for s in scores])),
        ubrmse=float(np.mean([s.ubrmse for s in scores])),
        r=float(np.mean(correlations)) if correlations else float("nan"),
    )


def twins(series: Sequence[dict[date, float]]) -> list[int]:
    """Return for each series the number of the first one that it is a copy of, itself perhaps.

    Archives hold the same sensor under several names: one left out and the other learned from would
    say nothing about new places.
    """
    first = list(range(len(series)))
    for i, one in enumerate(series):
        for j in range(i):
            common = one.keys() & series[j].keys()
            same = sum(one[day] == series[j][day] for day in common)
            if len(common) >= _COMMON and same >= _EQUAL * len(common):
                first[i] = first[j]
                break
    return first


def joined(*labels: Sequence[int]) -> list[int]:
    """Return for each item the number of the first one that it hangs together with, itself perhaps.

    Items hang together when they share a label of any kind, or both do with a third.

    Parameters
    ----------
    *labels : sequence of int
        Of each kind one for each item.
    """
    first = list(range(len(labels[0])))
    for kind in labels:
        seen: dict[int, int] = {}
        for item, label in enumerate(kind):
            one, other = sorted((first[item], first[seen.setdefault(label, item)]))
            first = [one if number == other else number for number in first]
    return first
