"""From a day's covariates at the fine scale to samples at coarse cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.variables import VARIABLES, Averaging
from smcatalog.methods.cells import cell_numbers
from smcatalog.methods.values import Covariates, Samples
from smcatalog.resample import cell_index
from smcatalog.resample.averaging import components, recombined
from smcatalog.resample.convolution import convolution
from smcatalog.resample.geometry import fractional_coordinates

__all__ = [
    "CellMeans",
    "cell_convolutions",
    "cell_means",
    "cell_values",
    "join_blocks",
    "join_samples",
    "samples_of",
]


_HAIR: Final = 1e-6
"""Of a pixel: rounding must not decide on which side of an edge a cell's centre is."""


@dataclass(frozen=True, slots=True, eq=False)
class CellMeans:
    """Covariates brought to coarse cells.

    Parameters
    ----------
    names : tuple of str
        Names, in the order of `values`.
    parts : ndarray of float64, shape (q, rows, columns) of the coarse grid
        Means of what stands for the covariates: of a direction two components, of all others one (see
        `smcatalog.resample.averaging`); NaN where no pixel has all covariates.
    coverage : ndarray of float64, shape (rows, columns)
        Share of the cell that such pixels cover, 0…1.
    shares : mapping of str to mapping of int to ndarray of float64, shape (rows, columns)
        Of features that are classes the share of the cell in each; their value is the class with the largest,
        of equal ones the lowest number.
    """

    names: tuple[str, ...]
    parts: NDArray[np.float64]
    coverage: NDArray[np.float64]
    shares: Mapping[str, Mapping[int, NDArray[np.float64]]] = field(default_factory=dict)

    @property
    def values(self) -> NDArray[np.float64]:
        """Covariates of the cells, shape (p, rows, columns); NaN where there are none."""
        found, first = [], 0
        for name in self.names:
            count = 2 if _averaging(name) is Averaging.DIRECTION else 1
            parts = list(self.parts[first : first + count])
            if name in self.shares:
                found.append(_largest(self.shares[name], self.coverage))
            else:
                found.append(recombined(parts, _averaging(name)))
            first += count
        return np.stack(found)


def _averaging(name: str) -> Averaging:
    """Return what the mean of a covariate is taken of; sums over days are plain values."""
    known = VARIABLES.get(name)
    return known.averaging if known else Averaging.VALUE


def _parts(covariates: Covariates) -> list[NDArray[np.floating]]:
    """Return what is averaged, NaN wherever a pixel lacks a covariate."""
    complete = np.isfinite(covariates.values).all(axis=0)
    return [
        np.where(complete, part, np.nan)
        for name, layer in zip(covariates.names, covariates.values, strict=True)
        for part in components(layer, _averaging(name))
    ]


def cell_means(
    covariates: Covariates, fine: Grid, coarse: Grid, classes: Collection[str] = ()
) -> CellMeans:
    """Average covariates of a block over the coarse cells that it touches.

    Only pixels with all covariates count. Directions are averaged as unit vectors, decibels as powers.

    Parameters
    ----------
    classes : collection of str
        Names of features that are numbers of classes: a cell has that of most of its pixels.
    """
    index = cell_index(fine, coarse)
    means = [index.mean(part) for part in _parts(covariates)]
    complete = np.isfinite(covariates.values).all(axis=0)
    shares: dict[str, dict[int, NDArray[np.float64]]] = {}
    for name, layer in zip(covariates.names, covariates.values, strict=True):
        if name in classes:
            held = np.unique(layer[complete])
            shares[name] = {
                int(n): index.mean(np.where(complete & (layer == n), 1.0, np.nan)).coverage
                for n in held
            }
    parts = np.stack([m.mean for m in means])
    return CellMeans(covariates.names, parts, means[0].coverage, shares)


def _largest(
    shares: Mapping[int, NDArray[np.float64]], coverage: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the number with the largest share in each cell, NaN where there is none."""
    found = np.full(coverage.shape, np.nan)
    most = np.zeros(coverage.shape)
    for number, share in sorted(shares.items()):
        more = share > most
        found[more], most[more] = number, share[more]
    return found


def cell_values(covariates: Covariates, fine: Grid, coarse: Grid) -> CellMeans:
    """Take the covariates of the pixel nearest to each coarse cell's centre, as Rao et al. (2022, 2.3.2) do.

    A cell counts as covered altogether when that pixel is in the block and has all covariates, otherwise
    not at all. Where a centre lies on an edge between pixels, that to the south and east is taken.
    """
    rows, columns = fractional_coordinates(coarse, fine)
    row, column = (np.floor(each + _HAIR) for each in np.broadcast_arrays(rows, columns))
    inside = (row >= 0) & (row < fine.shape[0]) & (column >= 0) & (column < fine.shape[1])
    at = np.where(inside, row, 0).astype(np.intp), np.where(inside, column, 0).astype(np.intp)
    values = np.stack([part[at] for part in _parts(covariates)]).astype(np.float64)
    values[:, ~inside] = np.nan
    return CellMeans(covariates.names, values, np.isfinite(values[0]).astype(np.float64))


def cell_convolutions(covariates: Covariates, fine: Grid, coarse: Grid) -> CellMeans:
    """Bring the covariates of a block to coarse cells by cubic convolution, as Liu et al. (2024) do.

    Only pixels with all covariates count; coverage is their weight, of a block perhaps below 0.
    """
    weights = convolution(fine, coarse)
    means = [weights.mean(part) for part in _parts(covariates)]
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
    total = np.zeros(parts[0].parts.shape)
    coverage = np.zeros(parts[0].coverage.shape)
    for part in parts:
        total += np.where(part.coverage != 0, part.parts, 0.0) * part.coverage
        coverage += part.coverage
    values = np.full(total.shape, np.nan)
    np.divide(total, coverage, out=values, where=coverage > 0)
    shares: dict[str, dict[int, NDArray[np.float64]]] = {}
    for part in parts:
        for name, held in part.shares.items():
            sums = shares.setdefault(name, {})
            for number, share in held.items():
                sums[number] = sums.get(number, 0.0) + share
    return CellMeans(parts[0].names, values, coverage, shares)


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
    values = means.values
    # directions that cancel each other out have no mean
    enough = (means.coverage >= min_coverage) & np.isfinite(values).all(axis=0)
    used = np.flatnonzero((enough & np.isfinite(target)).ravel())
    features = np.stack([value.ravel()[used] for value in values], axis=1)
    return Samples(
        names=means.names,
        features=features,
        target=target.astype(np.float64).ravel()[used][:, np.newaxis],
        groups=cell_numbers(coarse).ravel()[used],
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
