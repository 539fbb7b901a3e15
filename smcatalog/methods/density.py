"""How many samples lie where in the plane of target and estimate: a scatter plot that stays small."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from smcatalog.methods.values import Matrix

__all__ = ["DENSITY_STEP", "density"]

DENSITY_STEP: Final = 0.01
"""Width of a square [m³ m⁻³]: some forty across the range of a region, some hundred squares with a sample in them."""


def density(estimate: Matrix, target: Matrix) -> dict[str, Any]:
    """Count pairs of target and estimate in squares of `DENSITY_STEP`, over all depths.

    Returns
    -------
    dict
        ``step`` [m³ m⁻³], and of each square that holds a pair, in order: the numbers ``target`` and ``estimate``, of which
        k stands for k·step to (k + 1)·step, and ``count``.
    """
    pairs = np.stack([target.ravel(), estimate.ravel()], axis=1)
    bins = np.floor(pairs / DENSITY_STEP).astype(np.int64)
    squares, count = np.unique(bins, axis=0, return_counts=True)
    return {
        "step": DENSITY_STEP,
        "target": squares[:, 0].tolist(),
        "estimate": squares[:, 1].tolist(),
        "count": count.tolist(),
    }
