"""Experiments on uncertainty (Liu et al. 2024, sections 3.5 and 4.6): predictors and observations left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.moments import Moments
from smcatalog.methods.averaging.cube import SampleCube
from smcatalog.methods.averaging.days import DayLearners, station_members
from smcatalog.methods.averaging.settings import LEARNERS
from smcatalog.methods.averaging.zonal import ZonalMixture, fit_zones
from smcatalog.methods.scores import plain
from smcatalog.methods.values import InSitu, Matrix

__all__ = [
    "Table",
    "check_roles",
    "leave_predictor_out",
    "remove_observations",
    "scores",
    "station_scores",
]

Table = list[dict[str, Any]]
"""Rows of plain values."""
Fit = Callable[[Matrix, Matrix, NDArray[np.integer]], ZonalMixture]
"""Learns mixtures from observations (n,), members (n, k) and zones (n,)."""


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


def leave_predictor_out(
    cube: SampleCube,
    stations: InSitu,
    trains: NDArray[np.bool_],
    learners: DayLearners,
    *,
    fit: Fit = fit_zones,
) -> Table:
    """Score the whole procedure without each predictor in turn (Liu et al. 2024, figure 12a).

    Local fits and weights are made anew; hyperparameters stay what they are.

    Parameters
    ----------
    cube : SampleCube
        Samples of the observations' days and of those around them.
    stations : InSitu
        Observations.
    trains : ndarray of bool, shape (n,)
        Observations that weights are learned from; the others test.
    learners : DayLearners
        Of the whole procedure.

    Returns
    -------
    list of dict
        The first row leaves none out (``left_out`` ""); R and errors are of the test observations, ``change_r`` and
        ``change_rmse`` what leaving it out changes. Rows hold the same observations: those that every run has an
        estimate for.

    Raises
    ------
    UsageError
        When there is one predictor only, or observations do not both train and test.
    """
    if len(cube.names) < 2:  # noqa: PLR2004
        raise UsageError("leaving a predictor out takes at least two")
    check_roles(trains)
    zones = learners.zones.of(stations.groups)
    runs = []
    for left in (None, *range(len(cube.names))):
        keep = [i for i in range(len(cube.names)) if i != left]
        members = station_members(cube, stations, learners, keep=keep)
        runs.append(_estimate(stations.observed, members, zones, trains, fit))
    shared = ~trains & np.isfinite(np.array(runs)).all(axis=0)
    table: Table = []
    for name, run in zip(("", *cube.names), runs, strict=True):
        found = scores(run[shared], stations.observed[shared])
        whole = table[0] if table else found
        changes = {f"change_{key}": found[key] - whole[key] for key in ("r", "rmse")}
        table.append({"left_out": name, **found, **changes})
    return table


def check_roles(trains: NDArray[np.bool_]) -> None:
    """Raise a UsageError unless some observations train and some test."""
    if trains.all() or not trains.any():
        raise UsageError("some observations must train the weights and some test them")


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


def station_scores(
    observed: Matrix, members: Matrix, mixed: Matrix, groups: NDArray[np.str_]
) -> dict[str, dict[str, Any]]:
    """Score each member and the mixture beside observations, by group (Liu et al. 2024, table 4).

    Rows hold the same observations: those that every member has an estimate for.

    Parameters
    ----------
    observed, mixed : ndarray of float64, shape (n,)
    members : ndarray of float64, shape (n, 4)
    groups : ndarray of str, shape (n,)
        Networks.

    Returns
    -------
    dict
        By group and learner (``mixture`` for what the mixture makes): n, bias, rmse, ubrmse, mae [m³ m⁻³] and r.
    """
    shared = np.isfinite(members).all(axis=1) & np.isfinite(mixed) & np.isfinite(observed)
    found: dict[str, dict[str, Any]] = {}
    for group in np.unique(groups[shared]).tolist():
        own = shared & (groups == group)
        columns = dict(zip(LEARNERS, members[own].T, strict=True)) | {"mixture": mixed[own]}
        found[group] = {
            name: {
                key: value if key == "n" else plain(value)
                for key, value in scores(one, observed[own]).items()
            }
            for name, one in columns.items()
        }
    return found
