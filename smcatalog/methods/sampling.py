"""From a day's covariates at the fine scale to samples at coarse cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.methods.values import Covariates, Samples
from smcatalog.resample import cell_index

__all__ = [
    "CellMeans",
    "cell_means",
    "join_blocks",
    "join_samples",
    "samples_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class CellMeans:
    """Covariates averaged over coarse cells.

    Parameters
    ----------
    names : tuple of str
        Names, in the order of the first axis.
    values : ndarray of float64, shape (p, rows, columns) of the coarse grid
        NaN where no pixel has all covariates.
    coverage : ndarray of float64, shape (rows, columns)
        Share of the cell that such pixels cover, 0…1.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    coverage: NDArray[np.float64]


def cell_means(covariates: Covariates, fine: Grid, coarse: Grid) -> CellMeans:
    """Average covariates of a block over the coarse cells that it touches.

    Only pixels with all covariates count.
    """
    index = cell_index(fine, coarse)
    complete = np.isfinite(covariates.values).all(axis=0)
    means = [index.mean(np.where(complete, layer, np.nan)) for layer in covariates.values]
    return CellMeans(covariates.names, np.stack([m.mean for m in means]), means[0].coverage)


def join_blocks(parts: Sequence[CellMeans]) -> CellMeans:
    """Put the means of blocks that do not overlap together.

    Raises
    ------
    UsageError
        When there are none or their covariates differ.
    """
    if not parts or len({part.names for part in parts}) != 1:
        raise UsageError("blocks can only be joined when there are some, of the same covariates")
    if len(parts) == 1:
        return parts[0]
    total = np.zeros(parts[0].values.shape)
    coverage = np.zeros(parts[0].coverage.shape)
    for part in parts:
        total += np.where(part.coverage > 0, part.values, 0.0) * part.coverage
        coverage += part.coverage
    values = np.full(total.shape, np.nan)
    np.divide(total, coverage, out=values, where=coverage > 0)
    return CellMeans(parts[0].names, values, coverage)


def samples_of(
    means: CellMeans,
    target: NDArray[np.floating],
    coarse: Grid,
    day: date,
    *,
    min_coverage: float,
) -> Samples:
    """Pair covariates averaged over coarse cells with the coarse product.

    Parameters
    ----------
    means : CellMeans
        On the coarse grid.
    target : ndarray of float, shape of ``coarse``
        Coarse soil moisture [m³ m⁻³]; NaN where there is none.
    coarse : Grid
        Its grid.
    day : date
        Day of the samples.
    min_coverage : float
        Share of a cell that pixels with all covariates must cover.

    Returns
    -------
    Samples
        One for each cell with a target and enough covariates; may be none.
    """
    enough = means.coverage >= min_coverage
    used = np.flatnonzero((enough & np.isfinite(target)).ravel())
    features = np.stack([mean.ravel()[used] for mean in means.values], axis=1)
    rows, columns = np.divmod(used, coarse.shape[1])
    groups = (coarse.row + rows) * 100_000 + coarse.column + columns  # unique on the whole grid
    return Samples(
        names=means.names,
        features=features,
        target=target.astype(np.float64).ravel()[used][:, np.newaxis],
        groups=groups.astype(np.int64),
        days=np.full(len(used), np.datetime64(day, "D")),
    )


def join_samples(parts: Sequence[Samples]) -> Samples:
    """Put samples of several days together.

    Raises
    ------
    UsageError
        When there are none or their features differ.
    """
    if not parts or len({part.names for part in parts}) != 1:
        raise UsageError("samples can only be joined when there are some, of the same features")
    return Samples(
        names=parts[0].names,
        features=np.concatenate([p.features for p in parts]),
        target=np.concatenate([p.target for p in parts]),
        groups=np.concatenate([p.groups for p in parts]),
        days=np.concatenate([p.days for p in parts]),
    )
