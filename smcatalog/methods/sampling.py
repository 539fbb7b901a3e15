"""From a day's covariates at the fine scale to samples at coarse cells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.methods.values import Covariates, Samples
from smcatalog.resample import cell_index

__all__ = ["coarse_samples", "join_samples"]


def coarse_samples(
    covariates: Covariates,
    fine: Grid,
    target: NDArray[np.floating],
    coarse: Grid,
    day: date,
    *,
    min_coverage: float,
) -> Samples:
    """Average covariates over coarse cells and pair them with the coarse product.

    Parameters
    ----------
    covariates : Covariates
        On the fine grid.
    fine, coarse : Grid
        The two grids.
    target : ndarray of float, shape of ``coarse``
        Coarse soil moisture [m³ m⁻³]; NaN where there is none.
    day : date
        Day of the samples.
    min_coverage : float
        Share of a cell that pixels with all covariates must cover.

    Returns
    -------
    Samples
        One for each cell with a target and enough covariates; may be none.
    """
    index = cell_index(fine, coarse)
    complete = np.isfinite(covariates.values).all(axis=0)
    means = [index.mean(np.where(complete, layer, np.nan)) for layer in covariates.values]
    enough = means[0].coverage >= min_coverage
    used = np.flatnonzero((enough & np.isfinite(target)).ravel())
    features = np.stack([m.mean.ravel()[used] for m in means], axis=1)
    rows, columns = np.divmod(used, coarse.shape[1])
    groups = (coarse.row + rows) * 100_000 + coarse.column + columns  # unique on the whole grid
    return Samples(
        names=covariates.names,
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
