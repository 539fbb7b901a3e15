"""What the surface of the simulated world does to sunlight: reflectances, leaf area, absorbed light.

A small model, made so that the indices of its bands say what they say of real surfaces: NDVI and EVI of
snow-free land are those of the state to the last digit; wet soil and wet canopies are darker in the shortwave
infrared, the more so at the longer wavelengths, where water absorbs more; open water is dark, snow bright
but in the shortwave infrared.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Array
from ingest.world.state import DayState

__all__ = ["BANDS", "absorbed", "leaf_area", "reflectances"]

BANDS: Final = ("red", "nir", "blue", "green", "swir_1240", "swir_1640", "swir_2130")
"""As MODIS numbers them from 1 on; those of VIIRS lie nearby."""

_BARE: Final = 0.10
_FULL: Final = 0.88
"""NDVI of bare soil, and where vegetation hides it."""
_SNOWY: Final = 5.0
"""Water in the pack that hides the ground [mm]."""
_BLUE: Final = 0.45
"""Blue relative to red over land."""
_SNOW: Final = dict(zip(BANDS, (0.620, 0.645, 0.66, 0.64, 0.40, 0.10, 0.08), strict=True))
_WATER: Final = dict(zip(BANDS, (0.0497, 0.045, 0.05, 0.06, 0.03, 0.02, 0.015), strict=True))


@lru_cache(maxsize=2)  # several sources see a day from the same orbit
def reflectances(state: DayState, solar_hour: float) -> dict[str, Array]:
    """Return the surface's reflectance in each of `BANDS`, on the state's grid.

    Parameters
    ----------
    solar_hour : float
        Local solar time of the overpass [h].

    Returns
    -------
    dict of str to ndarray of float32
        Without atmosphere and clouds [1].
    """
    land = state.land
    ndvi = np.maximum(state.ndvi, np.float32(0.05))
    wet = np.clip(state.surface(land.utc_hour(solar_hour)) / land.porosity, 0.0, 1.0)
    full = 1.0 - np.exp(-state.vegetation_water / 0.8)
    cover = _cover(ndvi)

    def mixed(soil: Array, canopy: Array) -> Array:
        result: Array = (1 - cover) * soil + cover * canopy
        return result

    # red = k nir gives the NDVI; the NIR that gives the EVI too, with blue = 0.45 red, solves
    # evi (nir + 6 red - 7.5 blue + 1) = 2.5 (nir - red)
    k = (1 - ndvi) / (1 + ndvi)
    nir = state.evi / (2.5 * (1 - k) - state.evi * (1 + (6 - 7.5 * _BLUE) * k))
    nir = np.clip(nir, 0.05, 0.6)
    red = k * nir
    swir = nir * mixed(1.30 - 0.60 * wet, 0.80 - 0.42 * full)
    bands = {
        "red": red,
        "nir": nir,
        "blue": _BLUE * red,
        "green": mixed((0.72 + 0.10 * wet) * red, (0.72 + 0.10 * wet) * red + 0.045),
        "swir_1240": nir * mixed(1.15 - 0.25 * wet, 1.0 - 0.12 * full),
        "swir_1640": swir,
        "swir_2130": swir * mixed(0.90 - 0.30 * wet, 0.55 - 0.15 * full),
    }
    snowy = state.snow > _SNOWY
    return {
        name: np.where(land.water, _WATER[name], np.where(snowy, _SNOW[name], band)).astype("f4")
        for name, band in bands.items()
    }


def leaf_area(ndvi: Array) -> Array:
    """Return the leaf area index of an NDVI [m2 m-2]: leaves that let through what the cover leaves.

    Beer's law with an extinction of 0.5; 6 at full cover.
    """
    result: Array = (-2.0 * np.log(1.0 - 0.95 * _cover(ndvi))).astype(np.float32)
    return result


def absorbed(ndvi: Array) -> Array:
    """Return the fraction of photosynthetically active radiation that green leaves absorb [1].

    Linear in NDVI, as by Myneni and Williams (1994).
    """
    result: Array = np.clip(1.164 * ndvi - 0.143, 0.0, 1.0).astype(np.float32)
    return result


def _cover(ndvi: NDArray[np.floating]) -> Array:
    """Return the share of the ground that vegetation covers, after Carlson and Ripley (1997)."""
    fraction = np.clip((ndvi - _BARE) / (_FULL - _BARE), 0.0, 1.0) ** 1.5
    return np.asarray(fraction, np.float32)
