"""Which zone a coarse cell lies in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from smcatalog.methods.averaging.cube import SampleCube
from smcatalog.methods.averaging.zones import assign_zones, zone_centres
from smcatalog.methods.cells import rows_and_columns
from smcatalog.methods.values import Matrix

__all__ = ["ZoneMap"]


@dataclass(frozen=True, slots=True, eq=False)
class ZoneMap:
    """Zones of like mean soil moisture (Liu et al. 2024, section 3.4).

    Parameters
    ----------
    centres : ndarray of float64, shape (zones,)
        Of the clusters, ascending [m³ m⁻³].
    numbers : ndarray of int64, shape (n,)
        Cells that have a mean, ascending.
    means : ndarray of float64, shape (n,)
        [m³ m⁻³].
    """

    centres: Matrix
    numbers: NDArray[np.int64]
    means: Matrix

    @classmethod
    def learned(cls, cube: SampleCube, zones: int, seed: int) -> Self:
        """Cluster the mean over all days of the samples.

        The paper's is of all the years' retrievals; here it is of those that teach, with all their covariates.
        """
        there = np.isfinite(cube.target)
        count = there.sum(axis=0).ravel()
        known = np.flatnonzero(count)
        total = np.where(there, cube.target, 0.0).sum(axis=0).ravel()
        mean = total[known] / count[known]
        return cls(zone_centres(mean, zones, seed=seed), cube.numbers.ravel()[known], mean)

    @property
    def count(self) -> int:
        """Number of zones."""
        return len(self.centres)

    def of(self, numbers: NDArray[np.integer]) -> NDArray[np.int16]:
        """Return the zone of each cell, from dry to wet; a cell without a mean is in that of the nearest with one."""
        place = np.searchsorted(self.numbers, numbers).clip(max=len(self.numbers) - 1)
        unknown = np.flatnonzero(self.numbers[place] != numbers)
        if len(unknown):
            tree = KDTree(np.column_stack(rows_and_columns(self.numbers)))
            place[unknown] = tree.query(np.column_stack(rows_and_columns(numbers[unknown])))[1]
        return assign_zones(self.means[place], self.centres)
