"""Conversions of how the water in a soil is stated."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError

__all__ = ["relative_to_volumetric"]

_WATER: Final = 1000.0
"""Density of water [kg m⁻³]."""
_QUARTZ: Final = 2650.0
"""Density of quartz [kg m⁻³]: of a soil without pores."""
_LIGHTEST: Final = 20.0
"""Bulk density of the lightest peat [kg m⁻³]; of g cm⁻³ every soil's number is below."""
_WETTEST: Final = 250.0
"""Relative humidity [%] above which a value is an error: saturation is about twice the field capacity, more in no mineral soil."""


def relative_to_volumetric(
    relative: NDArray[np.floating],
    field_capacity: NDArray[np.floating] | float,
    bulk_density: NDArray[np.floating] | float | None,
) -> NDArray[np.float64]:
    """Convert soil relative humidity, as China's agrometeorological stations report it, to volumetric soil moisture.

    A sample's gravimetric water content w [kg kg⁻¹] is reported as a share of the field capacity,
    ``R = 100 w / f``, so ``θ = R / 100 · f · ρ_b / ρ_w``: the definition in the observation rules of the China
    Meteorological Administration (weighing method). Liu et al. (2024), section 2.2.5, say only that NZW was
    converted, neither how nor with whose field capacity and bulk density: both are the station's where it
    reports them, else those of a soil map at its place.

    Parameters
    ----------
    relative : ndarray of float, shape (...)
        R [%]; NaN where there is none.
    field_capacity : ndarray of float or float
        f [kg kg⁻¹]; or, with ``bulk_density`` None, already by volume [m³ m⁻³].
    bulk_density : ndarray of float or float or None
        Dry bulk density ρ_b [kg m⁻³].

    Returns
    -------
    ndarray of float64, shape (...)
        [m³ m⁻³]; NaN where something is unknown or R is below 0 or above 250 %.

    Raises
    ------
    UsageError
        When a field capacity or bulk density cannot be right: in other units, most likely.
    """
    capacity = np.asarray(field_capacity, np.float64)
    density = np.asarray(_WATER if bulk_density is None else bulk_density, np.float64)
    if np.any((capacity <= 0) | (capacity >= 1)):
        raise UsageError("field capacity is in kg kg-1 or m3 m-3, above 0 and below 1")
    if np.any((density < _LIGHTEST) | (density >= _QUARTZ)):
        raise UsageError("bulk density is in kg m-3, at least 20 and below 2650")
    values = np.asarray(relative, np.float64)
    usable = (values >= 0) & (values <= _WETTEST)
    return np.where(usable, values, np.nan) / 100 * capacity * density / _WATER
