"""Hyperparameters of the local learners, chosen once for a zone and season (Liu et al. 2024, section 3.2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.local import LocalLearners
from smcatalog.methods.averaging.settings import LEARNERS, LearnerSettings
from smcatalog.methods.averaging.windows import Windows
from smcatalog.methods.values import Matrix

__all__ = ["GRIDS", "cross_validated", "tune"]

GRIDS: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    "forest": {"tries": (2, 3, 5), "least": (1, 2, 5)},
    "support": {"cost": (0.3, 1.0, 3.0), "tube": (0.05, 0.2), "width": (0.05, 0.2)},
    "boosting": {"rounds": (30, 100), "depth": (2, 3), "rate": (0.05, 0.15)},
    "linear": {"ridge": (1e-3, 1e-2, 1e-1)},
}
"""Values that are tried: ours, the paper's are in a supplement that we lack."""


def cross_validated(
    windows: Windows,
    features: Matrix,
    target: Matrix,
    settings: LearnerSettings,
    *,
    cells: NDArray[np.integer],
    folds: int = 10,
    seed: int = 0,
) -> Matrix:
    """Return each learner's RMSE [m³ m⁻³] at samples of windows that were left out of the fit, shape (4,).

    Each window's samples are dealt to folds by lot; a fold is predicted by a fit to the others. All fits are made at
    once, as windows of their own.

    Parameters
    ----------
    windows, features, target
        As for `smcatalog.methods.averaging.local.LocalLearners`.
    settings : LearnerSettings
    cells : ndarray of int, shape (m,)
        Pixels whose windows are used, places in the flattened grid; those without a window are passed over.
    folds : int
    seed : int
        The same seed deals the same folds whatever the settings.
    """
    chosen = np.asarray(cells)[windows.exists[cells]]
    members = windows.members[chosen]
    if len(chosen) == 0 or folds < 2:  # noqa: PLR2004
        raise UsageError("cross-validation needs a window and two folds at least")
    rng = np.random.default_rng(seed)
    there = members >= 0
    rank = np.where(there, rng.random(members.shape), 2.0).argsort(axis=1).argsort(axis=1)
    fold = np.where(there, rank % folds, -1)
    fits, rows, owners = [], [], []
    for number in range(folds):
        held = fold == number
        rest = np.where(held, np.iinfo(np.int32).max, members.astype(np.int64))
        rest = np.where(there, rest, np.iinfo(np.int32).max)
        rest.sort(axis=1)
        fits.append(np.where(rest == np.iinfo(np.int32).max, -1, rest).astype(np.int32))
        owner, _ = np.nonzero(held)
        owners.append(owner + number * len(chosen))
        rows.append(members[held])
    held_out = np.concatenate(rows)
    many = np.concatenate(fits)
    # the folds' fits as pixels of a grid of their own, beside the samples as they are
    p = len(features)
    flat = features.reshape(p, 1, 1, -1), target.reshape(1, 1, -1)
    local = LocalLearners.of_members(many, flat[0], flat[1], settings, seed=seed)
    x = flat[0][:, 0, 0].T[held_out]
    found = local.predict(x, np.concatenate(owners))
    errors: Matrix = np.sqrt(((found - flat[1][0, 0][held_out][:, None]) ** 2).mean(axis=0))
    return errors


def tune(
    windows: Windows,
    features: Matrix,
    target: Matrix,
    *,
    cells: NDArray[np.integer],
    grids: Mapping[str, Mapping[str, Sequence[Any]]] = GRIDS,
    start: LearnerSettings | None = None,
    folds: int = 10,
    seed: int = 0,
) -> tuple[LearnerSettings, dict[str, float]]:
    """Choose the settings with the smallest cross-validated RMSE, for each learner by itself.

    The paper draws nine tenths of the samples; hyperparameters of a fit in a window are judged here by fits in windows of
    the sample of pixels that is given (some tens of a zone and season).

    Parameters
    ----------
    grids : mapping of str to mapping of str to sequence
        Values to try by learner and name.

    Returns
    -------
    settings : LearnerSettings
    rmse : dict of str to float
        Of each learner, with what was chosen [m³ m⁻³].

    Raises
    ------
    UsageError
        When a grid is of an unknown learner or name.
    """
    best = start or LearnerSettings()
    lists = {}
    for name, grid in grids.items():
        if name not in LEARNERS:
            raise UsageError(
                f"no local learner is called '{name}'; there are {', '.join(LEARNERS)}"
            )
        own = getattr(best, name)
        try:
            lists[name] = [
                replace(own, **dict(zip(grid, values, strict=True)))
                for values in product(*grid.values())
            ]
        except TypeError as error:
            raise UsageError(f"grid of '{name}': {error}") from error
    errors = dict.fromkeys(LEARNERS, np.inf)
    # one candidate of every learner at a time: they are fitted together anyway
    for turn in range(max((len(options) for options in lists.values()), default=0)):
        trial = {name: options[min(turn, len(options) - 1)] for name, options in lists.items()}
        found = cross_validated(
            windows,
            features,
            target,
            replace(start or LearnerSettings(), **trial),
            cells=cells,
            folds=folds,
            seed=seed,
        )
        for name, value in zip(LEARNERS, found.tolist(), strict=True):
            if name in trial and value < errors[name]:
                errors[name] = value
                best = replace(best, **{name: trial[name]})
    return best, {name: value for name, value in errors.items() if np.isfinite(value)}
