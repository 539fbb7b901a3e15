"""A mixture for each zone, learned from stations (Liu et al. 2024, sections 3.3 and 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.mixture import mixture_moments, mixture_quantiles
from smcatalog.methods.averaging.weights import (
    BiasCorrection,
    MixtureWeights,
    Prior,
    fit_bias,
    fit_weights,
)
from smcatalog.methods.values import Matrix

__all__ = ["ZonalMixture", "fit_zones"]

ALL: int = -1
"""The mixture of all observations together."""


@dataclass(frozen=True, slots=True, eq=False)
class ZonalMixture:
    """Mixtures by zone.

    Parameters
    ----------
    mixtures : dict of int to MixtureWeights
        By zone; `ALL` is that of all observations, for zones with too few of their own and pixels of none.
    biases : dict of int to BiasCorrection
        The same; empty without correction.
    """

    mixtures: dict[int, MixtureWeights]
    biases: dict[int, BiasCorrection]

    def _rows(self, members: Matrix, zones: NDArray[np.integer]) -> tuple[Matrix, Matrix, Matrix]:
        """Return corrected members, weights and variances of each row, all (n, k)."""
        known = np.array(sorted(self.mixtures))
        place = np.searchsorted(known, zones).clip(max=len(known) - 1)
        place = np.where(known[place] == zones, place, 0)  # ALL comes first
        weights = np.array([self.mixtures[zone].weights for zone in known.tolist()])[place]
        variances = np.array([self.mixtures[zone].variances for zone in known.tolist()])[place]
        if self.biases:
            intercept = np.array([self.biases[zone].intercept for zone in known.tolist()])
            slope = np.array([self.biases[zone].slope for zone in known.tolist()])
            members = intercept[place] + slope[place] * members
        return members, weights, variances

    def moments(self, members: Matrix, zones: NDArray[np.integer]) -> tuple[Matrix, Matrix]:
        """Return mean [m³ m⁻³] and variance, shape (n,), of rows of members (n, k) in zones (n,)."""
        return mixture_moments(*self._rows(members, zones))

    def quantiles(
        self, members: Matrix, zones: NDArray[np.integer], levels: Sequence[float]
    ) -> Matrix:
        """Return quantiles [m³ m⁻³], shape (levels, n)."""
        return mixture_quantiles(*self._rows(members, zones), levels)


def fit_zones(
    observed: Matrix,
    members: Matrix,
    zones: NDArray[np.integer],
    *,
    least: int = 50,
    common: bool = False,
    bias: bool = False,
    prior: Prior | None = None,
) -> ZonalMixture:
    """Estimate the mixture of each zone by expectation and maximisation.

    The paper does not say what a zone without stations gets (its western desert has none): the mixture of all
    observations together.

    Parameters
    ----------
    observed : ndarray of float, shape (n,)
        Observations of the years that weights are learned from [m³ m⁻³].
    members : ndarray of float, shape (n, k)
    zones : ndarray of int, shape (n,)
    least : int
        Observations that a zone needs for a mixture of its own.
    common, prior
        As for `smcatalog.methods.averaging.weights.fit_weights`.
    bias : bool
        Correct each member's bias first.

    Raises
    ------
    UsageError
        When shapes do not belong together or there are too few observations in all.
    """
    if zones.shape != observed.shape:
        raise UsageError(f"{zones.shape} zones do not belong to {observed.shape} observations")
    usable = np.isfinite(observed) & np.isfinite(members).any(axis=1)
    mixtures: dict[int, MixtureWeights] = {}
    biases: dict[int, BiasCorrection] = {}
    for zone in (ALL, *np.unique(zones[zones >= 0]).tolist()):
        own = usable & ((zones == zone) | (zone == ALL))
        lacks = not np.isfinite(members[own]).any(axis=0).all()
        if zone != ALL and (own.sum() < least or lacks):
            continue
        y, f = observed[own], members[own]
        if bias:
            biases[zone] = fit_bias(y, f)
            f = biases[zone].apply(f)
        mixtures[zone] = fit_weights(y, f, common=common, prior=prior)
    return ZonalMixture(mixtures, biases)
