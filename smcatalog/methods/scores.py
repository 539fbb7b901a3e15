"""Scores of learners as they learn, as plain values that are kept with the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from smcatalog.core.moments import Moments
from smcatalog.methods.values import Matrix

__all__ = ["moments_of", "plain", "scores_of"]


def scores_of(estimate: Matrix, reference: Matrix) -> dict[str, float | int | None]:
    """Return R, RMSE, bias (estimate − reference) and ubRMSE over all depths; None where one is not defined.

    With them go the means and standard deviations of both sides, so that scores of parts can be joined to those
    of the whole (`moments_of`).
    """
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
        "mean_estimate": moments.mean_estimate,
        "mean_reference": moments.mean_reference,
        "sd_estimate": math.sqrt(moments.m2_estimate / max(moments.n, 1)),
        "sd_reference": math.sqrt(moments.m2_reference / max(moments.n, 1)),
    }


def moments_of(scores: Mapping[str, Any]) -> Moments:
    """Return the moments that scores came from; the mean absolute error is none of them and is NaN."""
    n, e, r = scores["n"], scores["sd_estimate"], scores["sd_reference"]
    return Moments(
        n,
        scores["mean_estimate"],
        scores["mean_reference"],
        n * e**2,
        n * r**2,
        n * e * r * (scores["r"] or 0.0),
        math.nan,
    )


def plain(value: float) -> float | None:
    """Return a number that JSON can hold, None for one that is not finite."""
    return float(value) if math.isfinite(value) else None
