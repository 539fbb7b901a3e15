"""Experiments on uncertainty (Liu et al. 2024, sections 3.5 and 4.6): predictors and observations left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.moments import Moments
from smcatalog.methods.averaging.local import LocalLearners
from smcatalog.methods.averaging.settings import LEARNERS, LearnerSettings
from smcatalog.methods.averaging.windows import Growth, adaptive_windows
from smcatalog.methods.averaging.zonal import ZonalMixture, fit_zones
from smcatalog.methods.values import Matrix

__all__ = [
    "StationRows",
    "Table",
    "leave_predictor_out",
    "remove_observations",
    "scores",
    "station_members",
]

Table = list[dict[str, Any]]
"""Rows of plain values."""
Fit = Callable[[Matrix, Matrix, NDArray[np.integer]], ZonalMixture]
"""Learns mixtures from observations (n,), members (n, k) and zones (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class StationRows:
    """Observations of stations with what is known at their pixels.

    Parameters
    ----------
    observed : ndarray of float64, shape (n,)
        [m³ m⁻³]
    rows : ndarray of float64, shape (n, p)
        Predictors at the fine scale.
    cells : ndarray of int64, shape (n,)
        Coarse pixel, a place in the flattened grid.
    days : ndarray of int64, shape (n,)
        Place in the cubes' time axis.
    zones : ndarray of int64, shape (n,)
    trains : ndarray of bool, shape (n,)
        Observations that weights are learned from; the others test.
    """

    observed: Matrix
    rows: Matrix
    cells: NDArray[np.int64]
    days: NDArray[np.int64]
    zones: NDArray[np.int64]
    trains: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.observed)
        if {len(x) for x in (self.rows, self.cells, self.days, self.zones, self.trains)} != {n}:
            raise UsageError(
                f"stations need a row, cell, day, zone and role for each of {n} observations"
            )
        if self.trains.all() or not self.trains.any():
            raise UsageError("some observations must train the weights and some test them")


def scores(estimate: Matrix, observed: Matrix) -> dict[str, float]:
    """Return n, bias, RMSE, ubRMSE, MAE [m³ m⁻³] and R; pairs with NaN are left out."""
    m = Moments.of(estimate, observed)
    if m.n == 0:
        return {"n": 0, **dict.fromkeys(("bias", "rmse", "ubrmse", "mae", "r"), float("nan"))}
    bias = m.mean_estimate - m.mean_reference
    square = max((m.m2_estimate + m.m2_reference - 2 * m.co_moment) / m.n, 0.0)
    bottom = float(np.sqrt(m.m2_estimate * m.m2_reference))
    return {
        "n": m.n,
        "bias": bias,
        "rmse": float(np.sqrt(square + bias**2)),
        "ubrmse": float(np.sqrt(square)),
        "mae": m.sum_absolute_error / m.n,
        "r": m.co_moment / bottom if bottom > 0 else float("nan"),
    }


def station_members(
    features: Matrix,
    target: Matrix,
    stations: StationRows,
    settings: LearnerSettings | None = None,
    growth: Growth | None = None,
    *,
    keep: Sequence[int] | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Matrix:
    """Fit the windows around stations, day by day, and predict at their pixels.

    Parameters
    ----------
    features : ndarray of float, shape (p, t, rows, columns)
    target : ndarray of float, shape (t, rows, columns)
    keep : sequence of int, optional
        Places of the predictors that are used; all when absent. Windows grow to what that many need.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        In the order of `LEARNERS`.
    """
    kept = list(range(len(features)) if keep is None else keep)
    cube = features[kept]
    members = np.full((len(stations.observed), len(LEARNERS)), np.nan)
    for day in np.unique(stations.days).tolist():
        own = np.flatnonzero((stations.days == day) & (stations.cells >= 0))
        wanted = np.zeros(target[0].size, bool)
        wanted[stations.cells[own]] = True
        windows = adaptive_windows(
            cube, target, day, growth, wanted=wanted.reshape(target[0].shape)
        )
        local = LocalLearners(windows, cube, target, settings, seed=seed + day)
        members[own] = local.predict(
            stations.rows[own][:, kept], stations.cells[own], threads=threads
        )
    return members


def leave_predictor_out(
    names: Sequence[str],
    features: Matrix,
    target: Matrix,
    stations: StationRows,
    settings: LearnerSettings | None = None,
    growth: Growth | None = None,
    *,
    fit: Fit = fit_zones,
    seed: int = 0,
    threads: int = 1,
) -> Table:
    """Score the whole procedure without each predictor in turn.

    Local fits and weights are made anew; hyperparameters stay what they are.

    Parameters
    ----------
    names : sequence of str
        Names of the predictors.

    Returns
    -------
    list of dict
        The first row leaves none out (``left_out`` ""); R and errors are of the test observations, ``change_r`` and
        ``change_rmse`` what leaving it out changes. Rows hold the same observations: those that every run has an
        estimate for.

    Raises
    ------
    UsageError
        When names do not belong to the features, or there is one only.
    """
    if len(names) != len(features) or len(names) < 2:  # noqa: PLR2004
        raise UsageError(f"{len(names)} names for {len(features)} predictors, at least two")
    test = ~stations.trains
    runs = []
    for left in (None, *range(len(names))):
        keep = [i for i in range(len(names)) if i != left]
        members = station_members(
            features, target, stations, settings, growth, keep=keep, seed=seed, threads=threads
        )
        runs.append(_estimate(stations.observed, members, stations.zones, stations.trains, fit))
    shared = test & np.isfinite(np.array(runs)).all(axis=0)
    table: Table = []
    for name, run in zip(("", *names), runs, strict=True):
        found = scores(run[shared], stations.observed[shared])
        whole = table[0] if table else found
        changes = {f"change_{key}": found[key] - whole[key] for key in ("r", "rmse")}
        table.append({"left_out": name, **found, **changes})
    return table


def _estimate(
    observed: Matrix,
    members: Matrix,
    zones: NDArray[np.integer],
    trains: NDArray[np.bool_],
    fit: Fit,
) -> Matrix:
    mixture = fit(observed[trains], members[trains], zones[trains])
    return mixture.moments(members, zones)[0]


def remove_observations(
    observed: Matrix,
    members: Matrix,
    zones: NDArray[np.integer],
    trains: NDArray[np.bool_],
    *,
    shares: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    repeats: int = 20,
    groups: NDArray[np.integer] | None = None,
    fit: Fit = fit_zones,
    seed: int = 0,
) -> Table:
    """Score with a growing part of the observations that train the weights taken away.

    The paper takes samples away "iteratively"; it says neither how often nor whether by station. A repeat
    here takes away more of the same order drawn by lot, so that its steps are nested.

    Parameters
    ----------
    observed : ndarray of float, shape (n,)
        [m³ m⁻³]
    members : ndarray of float, shape (n, k)
    zones : ndarray of int, shape (n,)
    trains : ndarray of bool, shape (n,)
        Observations that train; the others test and stay.
    shares : sequence of float
        Parts that are taken away, 0 or more and below 1.
    repeats : int
        Orders drawn.
    groups : ndarray of int, shape (n,), optional
        Stations: whole ones are taken away. Single observations when absent.

    Returns
    -------
    list of dict
        For each share: observations left (mean), and mean and standard deviation over repeats of every score (``r``, ``r_sd``)
        and of the weights over all zones (``w0``, ``w0_sd``).

    Raises
    ------
    UsageError
        When a share is not one.
    """
    if any(not 0 <= share < 1 for share in shares):
        raise UsageError(f"shares taken away are 0 or more and below 1, got {list(shares)}")
    rng = np.random.default_rng(seed)
    places = np.flatnonzero(trains)
    units = np.arange(len(observed)) if groups is None else groups
    different = np.unique(units[places])
    runs: dict[float, list[dict[str, float]]] = {share: [] for share in shares}
    for _ in range(repeats):
        order = rng.permutation(different)
        for share in shares:
            gone = order[: round(share * len(order))]
            own = places[~np.isin(units[places], gone)]
            mixture = fit(observed[own], members[own], zones[own])
            estimate = mixture.moments(members[~trains], zones[~trains])[0]
            found = scores(estimate, observed[~trains]) | {"left": float(len(own))}
            overall = mixture.mixtures[min(mixture.mixtures)].weights.tolist()
            runs[share].append(found | {f"w{i}": w for i, w in enumerate(overall)})
    return [{"removed": share, **_summary(found)} for share, found in runs.items()]


def _summary(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    row: dict[str, float] = {}
    for key in runs[0]:
        values = np.array([run[key] for run in runs])
        row[key], row[f"{key}_sd"] = float(values.mean()), float(values.std())
    return row
