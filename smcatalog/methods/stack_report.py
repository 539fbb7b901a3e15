"""What a stack saw as it learned: scores of its learners and its own, and where its estimates lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcatalog.methods.density import density
from smcatalog.methods.scores import scores_of
from smcatalog.methods.values import Matrix

__all__ = ["scores_of_each", "seen"]

Estimates = Mapping[str, Matrix]
"""Estimates [m³ m⁻³], shape (n, d), by learner."""


def scores_of_each(estimates: Estimates, target: Matrix) -> dict[str, Any]:
    """Return the scores of each learner, over all depths."""
    return {name: scores_of(one, target) for name, one in estimates.items()}


def seen(
    halves: Mapping[str, tuple[Estimates, Matrix]],
    zones: Mapping[str, NDArray[np.str_]] | None,
) -> dict[str, Any]:
    """Return what a stack has to tell of its samples, as plain values.

    Parameters
    ----------
    halves : mapping of str to (estimates, target)
        Training part and, where one is kept, test part.
    zones : mapping of str to ndarray of str, shape (n,), optional
        Zone of each sample, by part; empty for those of no zone.

    Returns
    -------
    dict
        ``scores`` by part and learner; with a test part ``density`` by learner (Xu et al. 2024, figure 4); with zones
        ``by_zone``, scores of their samples by zone, part and learner.
    """
    report: dict[str, Any] = {
        "scores": {half: scores_of_each(*pair) for half, pair in halves.items()}
    }
    if "test" in halves:
        estimates, target = halves["test"]
        report["density"] = {name: density(one, target) for name, one in estimates.items()}
    if zones is not None:
        report["by_zone"] = {
            zone: {
                half: scores_of_each(
                    {name: one[rows] for name, one in estimates.items()}, target[rows]
                )
                for half, (estimates, target) in halves.items()
                if (rows := zones[half] == zone).any()
            }
            for zone in np.unique(zones["train"]).tolist()
            if zone
        }
    return report
