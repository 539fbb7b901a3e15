"""Spectral indices of reflectances, pixel by pixel.

Pure arithmetic on arrays of one shape. Reflectances are plain numbers, NaN where there is none; an index is
NaN wherever one of its bands is, or is negative: over dark water the correction of the atmosphere may take
off more than there was, and a ratio of such numbers says nothing. Bands by their MODIS numbers: b1 red
(620-670 nm), b2 near infrared (841-876 nm), b3 blue (459-479 nm), b4 green (545-565 nm), b6 and b7
shortwave infrared (1628-1652 and 2105-2155 nm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["evi", "lswi", "ndvi", "ndwi", "nmdi", "nsdsi"]

_Array = NDArray[np.float32]


def ndvi(red: _Array, nir: _Array) -> _Array:
    """Return the normalized difference vegetation index, (b2 - b1) / (b2 + b1).

    Source: Tucker (1979).
    """
    return _normalized(nir, red)


def evi(red: _Array, nir: _Array, blue: _Array) -> _Array:
    """Return the enhanced vegetation index, 2.5 (b2 - b1) / (b2 + 6 b1 - 7.5 b3 + 1).

    Source: Huete et al. (2002). NaN outside -1 to 1, which snow and
    haze bring about, where blue is brighter than red.
    """
    physical = (red >= 0) & (nir >= 0) & (blue >= 0)
    return _quotient(2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1, physical)


def ndwi(green: _Array, nir: _Array) -> _Array:
    """Return the normalized difference water index of open water, (b4 - b2) / (b4 + b2).

    Source: McFeeters (1996). Not the index of this name by Gao, which is
    here `lswi` but for its band.
    """
    return _normalized(green, nir)


def lswi(nir: _Array, swir_1640: _Array) -> _Array:
    """Return the land surface water index, (b2 - b6) / (b2 + b6).

    Source: Xiao et al. (2002).
    """
    return _normalized(nir, swir_1640)


def nsdsi(swir_1640: _Array, swir_2130: _Array) -> _Array:
    """Return the normalized shortwave-infrared difference soil-moisture index, (b6 - b7) / b6.

    Source: Yue et al. (2019). NaN where b7 is more than twice b6:
    no surface is so, only the noise of one that is nearly black.
    """
    return _quotient(swir_1640 - swir_2130, swir_1640, (swir_1640 > 0) & (swir_2130 >= 0))


def nmdi(nir: _Array, swir_1640: _Array, swir_2130: _Array) -> _Array:
    """Return the normalized multi-band drought index, (b2 - (b6 - b7)) / (b2 + (b6 - b7)).

    Source: Wang and Qu (2007). NaN outside -1 to 1, where b7 is brighter
    than b6.
    """
    slope = swir_1640 - swir_2130
    physical = (nir >= 0) & (swir_1640 >= 0) & (swir_2130 >= 0)
    return _quotient(nir - slope, nir + slope, physical)


def _normalized(one: _Array, other: _Array) -> _Array:
    return _quotient(one - other, one + other, (one >= 0) & (other >= 0))


def _quotient(above: _Array, below: _Array, physical: NDArray[np.bool_]) -> _Array:
    """Divide where the bands are physical; what then leaves -1 to 1 is none."""
    result = np.full(above.shape, np.nan, np.float32)
    np.divide(above, below, out=result, where=physical & (below > 0))
    result[np.abs(result) > 1] = np.nan
    return result
