"""Local learners: a window of its own for every coarse pixel."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.bench.core import Contest, Seconds, figure
from smcatalog.methods.averaging.settings import LearnerSettings

_SHAPE: Final = (80, 100)
"""Coarse pixels: 8,000, as many as 0.25 degrees make of the Three Norths."""
_CELLS: Final = _SHAPE[0] * _SHAPE[1]
_FINE: Final = 625
"""Pixels of 1 km in one of 0.25 degrees."""
_PREDICTORS: Final = 5
_DAYS: Final = 3
_GAPS: Final = 0.2
_SAMPLE: Final = 24
"""Pixels that the reference fits; its time is scaled to all."""
_LIMIT: Final = 300
"""Seconds that the day may take."""


@figure("windows", "local learners of a coarse day beside a loop of library fits", repeats=1)
def windows(folder: Path) -> Contest:  # noqa: ARG001 - nothing is written
    """Find windows, fit four learners in each and predict a day at 1 km.

    The reference fits scikit-learn's forest, line and support vectors and XGBoost to some of the same windows, with the same
    hyperparameters, pixel after pixel on one core; its time is that of the sample times how many more there are. Ours is
    compiled beforehand.
    """
    from smcatalog.methods.averaging.local import LocalLearners
    from smcatalog.methods.averaging.windows import adaptive_windows

    features, target, rows, cells = _day()
    settings = LearnerSettings()
    day = _DAYS // 2
    found = adaptive_windows(features, target, day)
    local = LocalLearners(found, features, target, settings)
    local.predict(rows[:_FINE], cells[:_FINE])  # compiles
    taken: list[float] = []
    apart: list[NDArray[np.float64]] = []
    sample = np.linspace(0, _CELLS - 1, _SAMPLE).astype(int)

    def ours() -> None:
        start = time.perf_counter()
        whole = LocalLearners(
            adaptive_windows(features, target, day), features, target, settings
        ).predict(rows, cells)
        taken.append(time.perf_counter() - start)
        apart.append(whole.reshape(-1, _FINE, 4)[sample])

    def reference() -> Seconds:
        flat = features.reshape(_PREDICTORS, -1).T, target.ravel()
        start = time.perf_counter()
        estimates = []
        for cell in sample:
            own = found.members[cell]
            own = own[own >= 0]
            x, y = flat[0][own], flat[1][own]
            estimates.append(_library(x, y, rows[cell * _FINE : (cell + 1) * _FINE], settings))
        seconds = time.perf_counter() - start
        apart.append(np.clip(np.array(estimates), 0, 0.6))
        return Seconds(seconds * _CELLS / _SAMPLE)

    def notes() -> str:
        names = ("forest", "linear", "support", "boosting")
        differences = np.abs(apart[0] - apart[1]).mean(axis=(0, 1))
        said = ", ".join(f"{name} {d:.1e}" for name, d in zip(names, differences, strict=True))
        return (
            f"the day took {max(taken):.0f} s of {_LIMIT}; mean difference to the libraries: {said}"
        )

    size = f"{_CELLS} coarse pixels, {len(rows)} fine ones, four learners"
    return Contest(ours, reference, size, notes)


def _day() -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.int64]
]:
    """Return coarse cubes with gaps, and fine rows with their coarse pixels."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    shape = (_PREDICTORS, _DAYS, *_SHAPE)
    features = gaussian_filter(rng.normal(size=shape), (0, 0.7, 2, 2))
    features /= features.std(axis=(1, 2, 3), keepdims=True)
    target = 0.2 + 0.05 * features[0] - 0.03 * features[1] * features[2]
    target += rng.normal(0, 0.01, target.shape)
    target[rng.random(target.shape) < _GAPS] = np.nan
    cells = np.repeat(np.arange(_CELLS), _FINE)
    coarse = features[:, _DAYS // 2].reshape(_PREDICTORS, -1).T.astype(np.float32)
    rows = coarse[cells]
    rows += rng.normal(0, 0.3, rows.shape).astype(np.float32)
    return features, target, rows, cells


def _library(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    rows: NDArray[np.float32],
    settings: LearnerSettings,
) -> NDArray[np.float64]:
    """Fit the four learners of libraries to a window; return estimates, shape (n, 4)."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.svm import SVR
    from xgboost import XGBRegressor

    forest, support, boosting = settings.forest, settings.support, settings.boosting
    centre, scale, middle, unit = x.mean(axis=0), x.std(axis=0), y.mean(), y.std()
    trees = RandomForestRegressor(
        forest.trees,
        max_features=forest.tries,
        min_samples_leaf=forest.least,
        random_state=0,
        n_jobs=1,
    ).fit(x, y)
    vectors = SVR(C=support.cost, epsilon=support.tube, gamma=support.width, tol=support.tolerance)
    vectors.fit((x - centre) / scale, (y - middle) / unit)
    boosted = XGBRegressor(
        n_estimators=boosting.rounds,
        max_depth=boosting.depth,
        learning_rate=boosting.rate,
        reg_lambda=boosting.shrink,
        tree_method="exact",
        n_jobs=1,
    ).fit(x, y)
    return np.stack(
        [
            trees.predict(rows),
            LinearRegression().fit(x, y).predict(rows),
            vectors.predict((rows - centre) / scale) * unit + middle,
            boosted.predict(rows),
        ],
        axis=1,
    ).astype(np.float64)
