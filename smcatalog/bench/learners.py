"""Choosing the best of five learners for one period of 16 days."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from smcatalog.bench.core import Contest, figure

_SAMPLES: Final = 30_000
_CELLS: Final = 2_500
"""About the cells of 36 km in the desertification areas of Northern China."""
_PLACE: Final = 7
"""Predictors that belong to a place, as soil and relief; as many differ from day to day."""
_LEARNERS: Final = ("linear_regression", "svr", "ann", "random_forest", "xgboost")
_LIMIT: Final = 240.0
"""Seconds that it may take on two cores."""


@figure(
    "learners",
    "tuning, fitting and comparing five learners beside the one support vector fit that cannot be divided",
    repeats=1,
)
def learners(_folder: Path) -> Contest:
    """Find the best of five learners with default grids among 30,000 samples of 14 predictors.

    Ours is all of it: halves, grid searches, fits, scores, importances. The reference is scikit-learn's
    fit of a support vector regression to one half with the parameters that were chosen, one of the fits
    within ours: it runs in one thread and bounds from below what any number of cores could reach. The seconds
    themselves are in the notes.
    """
    from sklearn.svm import SVR

    from smcatalog.methods.best import Best, split_alike
    from smcatalog.methods.combiners import LearnerChoice
    from smcatalog.methods.residuals import Standard
    from smcatalog.methods.splits import part

    samples = _samples()
    choices = {name: LearnerChoice(name, {}, {}) for name in _LEARNERS}
    seen: dict[str, Any] = {}

    def ours() -> None:
        best = Best()
        wall, processor = time.perf_counter(), time.process_time()
        best.fit(samples, choices, seed=0)
        seen["wall"] = time.perf_counter() - wall
        seen["processor"] = time.process_time() - processor
        seen["report"] = best.report

    def reference() -> None:
        half = part(samples, split_alike(samples, 0.05, 100, 0).train)
        x, y = Standard(half.features), Standard(half.target)
        chosen = seen["report"]["learners"]["svr"]["parameters"]
        SVR(
            C=chosen["C"],
            epsilon=chosen["epsilon"],
            gamma=chosen["gamma"] / half.features.shape[1],
            tol=1e-2,
            cache_size=200,
        ).fit(x.to(half.features), y.to(half.target)[:, 0])

    def notes() -> str:
        report = seen["report"]
        scores = ", ".join(
            f"{name} {one['mean_rmse']:.4f}" for name, one in report["learners"].items()
        )
        busy = os.getloadavg()[0]
        return (
            f"{seen['wall']:.0f} s and {seen['processor']:.0f} s of processor time on {os.cpu_count()} cores, "
            f"limit {_LIMIT:.0f} s on 2; load {busy:.1f}; SVR tuned on 3,000 samples, the others on 5,000, forests "
            f"with 50 trees; mean RMSE: {scores}; best: {report['winner']}"
        )

    return Contest(ours, reference, f"{_SAMPLES} samples, {2 * _PLACE} predictors", notes)


def _samples() -> Any:
    """Return samples of a period: places that differ smoothly, days that differ at random, noise of 0.02."""
    from smcatalog.methods import Samples

    rng = np.random.default_rng(22)
    cell = np.arange(_SAMPLES) % _CELLS
    day = np.arange(_SAMPLES) // _CELLS
    place = rng.normal(size=(_CELLS, _PLACE))[cell]
    weather = rng.normal(size=(_SAMPLES, _PLACE)) + rng.normal(size=(day.max() + 1, _PLACE))[day]
    features = np.hstack([place, weather])
    wetness = np.tanh(features[:, 0] + features[:, 7]) + 0.7 * features[:, 1] * np.tanh(
        features[:, 8]
    )
    wetness += np.sin(2 * features[:, 9]) + 0.5 * features[:, 2]
    target = np.clip(0.2 + 0.03 * wetness + rng.normal(0, 0.02, _SAMPLES), 0.02, 0.6)
    return Samples(
        tuple(f"x{number}" for number in range(features.shape[1])),
        features,
        target[:, np.newaxis],
        cell.astype(np.int64),
        np.datetime64("2018-06-10") + day,
    )
