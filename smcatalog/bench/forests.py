"""Predicting with a random forest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.bench.core import Contest, figure
from smcatalog.core.errors import SmcatalogError
from smcatalog.core.threads import thread_count
from smcatalog.methods import Samples, create

__all__ = ["fitted_on", "scenery"]

_SHAPE: Final = (150, 1000)
_SAMPLES: Final = 10_000
_FEATURES: Final = 14
_TREES: Final = 200
_SAME: Final = 1e-6


@figure("forest", "a random forest's means beside scikit-learn's predict, with as many threads")
def forest(folder: Path) -> Contest:
    """Predict rows as they follow each other in a map; 200 trees with leaves of 5 samples and more.

    Ours makes the uncertainty as well.

    Raises
    ------
    SmcatalogError
        When the means differ.
    """
    del folder
    values = scenery(_FEATURES, _SHAPE)
    rows = np.ascontiguousarray(values.reshape(_FEATURES, -1).T)
    threads = thread_count()
    method: Any = fitted_on(values, {"n_estimators": _TREES})
    twin = method.forest_.set_params(n_jobs=threads)
    ours, reference = method.predict_samples(rows[:, :])[:, 0], twin.predict(rows)
    difference = float(np.abs(ours - reference).max())
    if difference > _SAME:
        raise SmcatalogError(f"the forest's means differ from scikit-learn's by {difference:g}")
    size = f"{len(rows) / 1e6:.2f} M rows, {_FEATURES} features, {_TREES} trees, {threads} threads"
    return Contest(
        lambda: method.predict_samples(rows),
        lambda: twin.predict(rows),
        size,
        lambda: f"means differ by {difference:.1g}",
    )


def scenery(count: int, shape: tuple[int, int], seed: int = 2) -> NDArray[np.float32]:
    """Return fields that vary as those of a map do: smooth from pixel to pixel, with a little noise.

    Their spectra fall with the wave number to the power of -2.4 to -3.4, as those of terrain, vegetation and
    temperature; the noise has 2 % of their standard deviation.

    Returns
    -------
    ndarray of float32, shape (count, rows, columns)
        Of mean 0 and standard deviation 1.
    """
    rng = np.random.default_rng(seed)
    waves = np.hypot(np.fft.fftfreq(shape[0])[:, np.newaxis], np.fft.rfftfreq(shape[1]))
    waves[0, 0] = np.inf
    fields = np.empty((count, *shape), np.float32)
    for field, power in zip(fields, np.linspace(2.4, 3.4, count), strict=True):
        phases = rng.normal(size=(2, *waves.shape))
        smooth = np.fft.irfft2(waves ** (-power / 2) * (phases[0] + 1j * phases[1]), shape)
        field[...] = smooth / smooth.std() + rng.normal(0, 0.02, shape)
    return fields


def fitted_on(
    values: NDArray[np.float32],
    parameters: dict[str, Any],
    names: tuple[str, ...] = (),
    method: str = "random_forest",
) -> Any:
    """Return a method fitted on samples from fields of shape (p, ...), with noise as soil moisture has."""
    rng = np.random.default_rng(3)
    flat = values.reshape(len(values), -1)
    features = flat[:, rng.choice(flat.shape[1], _SAMPLES)].T.astype(np.float64)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    target = 0.2 + 0.04 * np.tanh(scaled[:, 0] + scaled[:, 1]) + 0.03 * np.sin(scaled[:, 2])
    noisy = (target + 0.02 * scaled[:, 3] + rng.normal(0, 0.03, _SAMPLES))[:, np.newaxis]
    samples = Samples(
        names or tuple(f"x{number}" for number in range(len(values))),
        features,
        noisy,
        np.arange(_SAMPLES),
        np.full(_SAMPLES, np.datetime64("2020-06-01", "D")),
    )
    return create(method, parameters).fit(samples)
