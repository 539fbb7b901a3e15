"""Zones of like soil moisture (Liu et al. 2024, section 3.4)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Matrix

__all__ = ["NO_ZONE", "assign_zones", "zone_centres"]

NO_ZONE: Final = -1
_DIGITS: Final = 6


def zone_centres(mean: Matrix, count: int = 4, *, seed: int = 0) -> Matrix:
    """Cluster the coarse soil moisture's mean of many years by k-means.

    The paper says neither how many zones there are nor whether anything but the mean is clustered: their
    number is a parameter, the mean is all. Centres are rounded, so that the order in which threads add up
    does not show.

    Parameters
    ----------
    mean : ndarray of float, any shape
        [m³ m⁻³]; NaN where there is none.
    count : int
        Number of zones.
    seed : int
        Seed of the first centres.

    Returns
    -------
    ndarray of float64, shape (count,)
        Ascending [m³ m⁻³].

    Raises
    ------
    UsageError
        When there are fewer different values than zones.
    """
    values = mean[np.isfinite(mean)].astype(np.float64)
    different = len(np.unique(values))
    if count < 1 or different < count:
        raise UsageError(f"{different} different means cannot make {count} zones")
    found = KMeans(count, n_init=10, random_state=seed, tol=1e-8).fit(values[:, np.newaxis])
    centres: Matrix = np.sort(np.round(found.cluster_centers_[:, 0], _DIGITS))
    return centres


def assign_zones(mean: Matrix, centres: Matrix) -> NDArray[np.int16]:
    """Return the zone of each pixel, numbered from dry to wet; `NO_ZONE` where there is no mean.

    Parameters
    ----------
    mean : ndarray of float, any shape
        [m³ m⁻³].
    centres : ndarray of float64, shape (zones,)
        Ascending.
    """
    zones = np.searchsorted((centres[1:] + centres[:-1]) / 2, mean, side="right")
    return np.where(np.isfinite(mean), zones, NO_ZONE).astype(np.int16)
