"""Samples that are kept for testing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.splits import part
from smcatalog.methods.values import Samples

__all__ = ["SPLITS", "kept_for_test", "kept_in_zones"]

SPLITS: Final = ("random", "days")


def kept_for_test(samples: Samples, share: float, how: str, seed: int) -> NDArray[np.bool_]:
    """Mark the samples that are kept for testing.

    Parameters
    ----------
    share : float
        Share of them, 0 to below 1; 0 marks none.
    how : str
        ``random``: of all samples. ``days``: of each day the same share but for one sample, and of all of them
        exactly.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    UsageError
        When there is no such way, or the share is out of range.
    """
    if how not in SPLITS:
        raise UsageError(f"samples are split by one of {', '.join(SPLITS)}, got '{how}'")
    if not 0 <= share < 1:
        raise UsageError(f"the share of the test is from 0 to below 1, got {share:g}")
    n = len(samples)
    drawn = np.random.default_rng(seed).permutation(n)
    chosen = np.zeros(n, bool)
    if how == "random":
        chosen[drawn[: round(share * n)]] = True
        return chosen
    # day after day, within a day by lot: whenever the share of those passed makes one more, one is taken
    order = drawn[np.argsort(samples.days[drawn], kind="stable")]
    due = np.rint(share * np.arange(n + 1))
    chosen[order] = np.diff(due) > 0
    return chosen


def kept_in_zones(
    samples: Samples, zones: NDArray[np.str_], share: float, how: str, seed: int
) -> NDArray[np.bool_]:
    """Mark the samples that are kept for testing, in each zone those that `kept_for_test` marks in it alone."""
    held = np.zeros(len(samples), bool)
    for zone in np.unique(zones):
        rows = np.flatnonzero(zones == zone)
        held[rows] = kept_for_test(part(samples, rows), share, how, seed)
    return held
