"""How maps are stored: scaled integers, quality bits and file names.

``soil_moisture`` and ``uncertainty`` are int16 = round(m³ m⁻³ × 10000) with nodata −9999 and the GeoTIFF
scale 0.0001 set; ``quality`` is uint16 bit flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntFlag
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.time import julian

__all__ = [
    "NODATA",
    "QUALITY_NODATA",
    "SCALE",
    "AssetKind",
    "Quality",
    "asset_kinds",
    "decode",
    "encode",
    "file_stem",
]

SCALE: Final = 0.0001
"""m³ m⁻³ of one stored step."""
NODATA: Final = -9999
"""Stored value of a pixel without soil moisture."""
QUALITY_NODATA: Final = 65535
"""Stored quality of a pixel outside the map's region."""


class Quality(IntFlag):
    """Bits of a map's quality band; 0 is the best there is."""

    LST_OBSERVED = 1 << 0
    """Land surface temperature of the pixel was observed."""
    LST_FILLED = 1 << 1
    """Land surface temperature of the pixel was gap-filled."""
    COARSE_SEAM_FILLED = 1 << 2
    """The coarse cell lay in a seam between swaths and was filled."""
    EARLIER_MODEL = 1 << 3
    """The model is of an earlier period."""
    OUTSIDE_TRAINING = 1 << 4
    """Covariates lie outside the range that the model was trained on."""
    FROZEN_OR_SNOW = 1 << 5
    """Frozen ground or snow."""
    WATER = 1 << 6
    """Open water."""
    PROVISIONAL = 1 << 7
    """Made before the day's look-ahead had closed."""
    INCOMPLETE_PERIOD = 1 << 8
    """A covariate covers only a part of the map's period."""

    @property
    def description(self) -> str:
        """One sentence for the catalogue."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS: Final[dict[Quality, str]] = {
    Quality.LST_OBSERVED: "Land surface temperature was observed",
    Quality.LST_FILLED: "Land surface temperature was gap-filled",
    Quality.COARSE_SEAM_FILLED: "The coarse cell lay in a seam between swaths and was filled",
    Quality.EARLIER_MODEL: "The model is of an earlier period",
    Quality.OUTSIDE_TRAINING: "Covariates lie outside the range the model was trained on",
    Quality.FROZEN_OR_SNOW: "Frozen ground or snow",
    Quality.WATER: "Open water",
    Quality.PROVISIONAL: "Made before the day's look-ahead had closed",
    Quality.INCOMPLETE_PERIOD: "A covariate covers only a part of the map's period",
}


@dataclass(frozen=True, slots=True)
class AssetKind:
    """One of the files that a map consists of.

    Parameters
    ----------
    name : str
        Asset key in the item.
    title : str
        For people.
    dtype : str
        Stored type.
    nodata : int
        Stored value that means *no value*.
    scale : float
        Unit of one stored step; 1 for bit flags.
    unit : str
        Unit after scaling.
    resampling : str
        How overviews are made (GDAL's name).
    """

    name: str
    title: str
    dtype: str
    nodata: int
    scale: float
    unit: str
    resampling: str


_KINDS: Final = (
    AssetKind(
        "soil_moisture", "Volumetric soil moisture", "int16", NODATA, SCALE, "m3 m-3", "average"
    ),
    AssetKind(
        "uncertainty",
        "Standard uncertainty of the soil moisture",
        "int16",
        NODATA,
        SCALE,
        "m3 m-3",
        "average",
    ),
    AssetKind("quality", "Quality flags", "uint16", QUALITY_NODATA, 1.0, "1", "mode"),
)


def asset_kinds() -> tuple[AssetKind, ...]:
    """Return the files that every map consists of, in the order they are listed."""
    return _KINDS


def encode(values: NDArray[np.floating]) -> NDArray[np.int16]:
    """Turn soil moisture [m³ m⁻³] into stored integers; NaN becomes `NODATA`.

    Parameters
    ----------
    values : ndarray of float, any shape
        Values beyond int16's range after scaling are clipped to it.
    """
    missing = np.isnan(values)
    steps = np.rint(np.where(missing, 0.0, values).astype(np.float64) / SCALE)
    stored = np.clip(steps, -9998, 32767).astype(np.int16)
    stored[missing] = NODATA
    return stored


def decode(stored: NDArray[np.int16]) -> NDArray[np.float64]:
    """Turn stored integers into soil moisture [m³ m⁻³]; `NODATA` becomes NaN."""
    values = stored.astype(np.float64) * SCALE
    values[stored == NODATA] = np.nan
    return values


def file_stem(product: str, day: date, asset: str) -> str:
    """Return the first part of a map file's name, with the day in Julian form.

    Examples
    --------
    >>> file_stem("yanco", date(2018, 8, 2), "soil_moisture")
    'yanco_2018214_soil_moisture'
    """
    return f"{product}_{julian(day)}_{asset}"
