"""Scores of learners as they learn, as plain values that are kept with the model."""

from __future__ import annotations

import math

import numpy as np

from smcatalog.core.moments import Moments
from smcatalog.methods.values import Matrix

__all__ = ["plain", "scores_of"]


def scores_of(estimate: Matrix, reference: Matrix) -> dict[str, float | int | None]:
    """Return R, RMSE, bias (estimate − reference) and ubRMSE over all depths; None where one is not defined."""
    moments = Moments.of(estimate.ravel(), reference.ravel())
    error = (estimate - reference).ravel()
    bias, rmse = float(error.mean()), float(np.sqrt((error**2).mean()))
    spread = math.sqrt(moments.m2_estimate * moments.m2_reference)
    # a mean over hundreds of equal values is off by rounding: such spread is none
    constant = 1e-12 * moments.n * max(abs(moments.mean_estimate * moments.mean_reference), 1e-12)
    r = moments.co_moment / spread if spread > constant else math.nan
    return {
        "n": int(moments.n),
        "r": plain(min(max(r, -1.0), 1.0) if math.isfinite(r) else r),
        "rmse": plain(rmse),
        "bias": plain(bias),
        "ubrmse": plain(float(np.std(error))),
    }


def plain(value: float) -> float | None:
    """Return a number that JSON can hold, None for one that is not finite."""
    return float(value) if math.isfinite(value) else None
