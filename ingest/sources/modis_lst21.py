"""MOD21A1N and MYD21A1N: land surface temperature of a night at 1 km, HDF4-EOS tiles.

By temperature and emissivity separation, which knows what MOD11 takes from land cover. Quality after the product's
user guide (collection 6.1): bits 0-1 of the QC word say whether there is a value. The file has one temperature a
pixel, of the night's pass; its hour, in ``View_Time``, differs from pixel to pixel and is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from ingest.hdf4 import hdf4
from ingest.hdfeos_tile import DailyTileReader, tile_granule
from ingest.modis import check_shapes, flags, scaled, set_bits
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ModisNightLst"]

_STORED: Final = "LST_1KM"
_QUALITY: Final = "QC"
_STEP: Final = 0.02
"""Kelvin of a stored step."""
_MANDATORY: Final = 0b11
_UNRELIABLE: Final = 0b01
"""Mandatory bits: 00 good, 01 produced but unreliable, 10 and 11 not produced."""


class ModisNightLst(DailyTileReader):
    """Reader of the nightly temperature of one of the two satellites."""

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``lst_night``."""
        granule = tile_granule(path)
        with hdf4(path) as file:
            values, words = scaled(file, _STORED, _STEP), flags(file, _QUALITY)
        check_shapes(granule.grid.shape, **{_STORED: values, _QUALITY: words})
        mandatory = words & _MANDATORY
        values[mandatory > _UNRELIABLE] = np.nan
        if not np.isfinite(values).any():
            raise RefusedInput("holds no value at all: clouds hid every pixel, or nothing but sea")
        bits = np.zeros(values.shape, np.uint16)
        doubtful = (mandatory == _UNRELIABLE) & np.isfinite(values)
        set_bits(bits, doubtful, InputQuality.NOT_RECOMMENDED)
        yield Raster(variable("lst_night"), granule.grid, values, bits, granule.period)


READERS: Final = (
    ModisNightLst("MOD21A1N", "Land surface temperature of Terra MODIS at night, daily, 1 km"),
    ModisNightLst("MYD21A1N", "Land surface temperature of Aqua MODIS at night, daily, 1 km"),
)
