"""Splits of samples: parts of them, folds by lot, by cell or by day, halves stratified by date."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Samples

__all__ = ["FoldsBy", "fold_numbers", "halves", "part", "stratified_subset"]

_BANDS: Final = 10
"""Parts of the target's range, with as many samples each, that a stratified subset keeps the shares of."""


class FoldsBy(StrEnum):
    """What stays together when samples are divided into folds."""

    RANDOM = "random"
    """Nothing: each sample by lot. Neighbours leak, as in the papers."""
    CELLS = "cells"
    """All samples of a coarse cell."""
    DAYS = "days"
    """All samples of a day."""


def part(samples: Samples, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Samples:
    """Return some of the samples, by their numbers or a mask of shape (n,)."""
    return Samples(
        samples.names,
        samples.features[rows],
        samples.target[rows],
        samples.groups[rows],
        samples.days[rows],
    )


def fold_numbers(samples: Samples, folds: int, by: FoldsBy | str, seed: int) -> NDArray[np.intp]:
    """Return which fold each sample is left out with, shape (n,), 0…folds−1.

    Parameters
    ----------
    folds : int
        How many, at least 2. With fewer samples (or cells, or days) there are as many as those.
    by : FoldsBy
        What stays together.
    seed : int
        Of the lots by which samples, cells or days get their numbers; shares differ by one at most.

    Raises
    ------
    UsageError
        When there is nothing to divide.
    """
    match FoldsBy(by):
        case FoldsBy.RANDOM:
            unit = np.arange(len(samples))
        case FoldsBy.CELLS:
            unit = np.unique(samples.groups, return_inverse=True)[1]
        case FoldsBy.DAYS:
            unit = np.unique(samples.days, return_inverse=True)[1]
    units = int(unit.max()) + 1 if len(unit) else 0
    if min(folds, units) < 2:  # noqa: PLR2004 - one is left out, one is learned from
        raise UsageError(f"{units} {FoldsBy(by)} cannot be divided into {folds} folds")
    number = np.random.default_rng(seed).permutation(units) % min(folds, units)
    return number[unit]


def halves(days: NDArray[np.datetime64], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Divide samples by lot into two halves, of every day half of its samples (Rao et al. 2022, 2.3.2).

    Returns
    -------
    tuple of ndarray of int
        Numbers of the samples of the training and the test half, in order. Of a day with an odd number of
        samples one half gets one more, in turn, so that the halves differ by one sample at most.
    """
    rng = np.random.default_rng(seed)
    by_day = np.lexsort((rng.random(len(days)), days))  # by lot within a day
    first = int(rng.integers(2))
    return np.sort(by_day[first::2]), np.sort(by_day[1 - first :: 2])


def stratified_subset(samples: Samples, most: int, seed: int) -> NDArray[np.intp]:
    """Choose samples by lot so that days and parts of the target's range keep their shares.

    Parameters
    ----------
    most : int
        How many at most; with fewer samples all of them.

    Returns
    -------
    ndarray of int
        Their numbers, in order. They lie evenly along the samples sorted by day and, within a day, by the
        tenth of the target (of the first depth) that they fall into.
    """
    n = len(samples)
    if n <= most:
        return np.arange(n)
    rng = np.random.default_rng(seed)
    target = samples.target[:, 0]
    edges = np.quantile(target, np.linspace(0, 1, _BANDS + 1)[1:-1])
    band = np.searchsorted(edges, target, side="right")
    order = np.lexsort((rng.random(n), band, samples.days))
    places = np.floor((np.arange(most) + rng.random()) * n / most).astype(np.intp)
    return np.sort(order[np.minimum(places, n - 1)])
