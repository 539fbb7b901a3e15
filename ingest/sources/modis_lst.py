"""MOD11A1 and MYD11A1: land surface temperature of a day and its night at 1 km, HDF4-EOS tiles.

Quality after the product's user guide (collections 6 and 6.1): bits 0-1 of the QC byte say whether there
is a value. Everything that identifies a granule is taken from inside, not from its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from ingest.hdf4 import Hdf4, hdf4
from ingest.hdfeos_tile import DailyTileReader, TileGranule, tile_granule
from ingest.modis import check_shapes, flags
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ModisLst"]

_OVERPASSES: Final = (
    ("lst_day", "LST_Day_1km", "QC_Day"),
    ("lst_night", "LST_Night_1km", "QC_Night"),
)
_STEP: Final = 0.02
"""Kelvin of a stored step."""
_MANDATORY: Final = 0b11
_OTHER_QUALITY: Final = 0b01
"""Mandatory bits: 00 good, 01 other quality, 10 and 11 not produced."""


class ModisLst(DailyTileReader):
    """Reader of the daily temperature of one of the two satellites."""

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``lst_day`` and ``lst_night``; one that clouds hide altogether is left out."""
        granule = tile_granule(path)
        empty = True
        with hdf4(path) as file:
            for overpass in _OVERPASSES:
                raster = _overpass(file, granule, *overpass)
                if np.isfinite(raster.values).any():
                    empty = False
                    yield raster
        if empty:
            raise RefusedInput("holds no value at all, neither of the day nor of the night")


def _overpass(file: Hdf4, granule: TileGranule, name: str, stored: str, quality: str) -> Raster:
    kind = variable(name)
    scale = file.attribute(stored, "scale_factor") if stored in file.names else _STEP
    if not isinstance(scale, float) or not np.isclose(scale, _STEP):
        raise RefusedInput(f"{stored} has steps of {scale}, expected {_STEP:g} K")
    values, bytes_ = file.values(stored, _STEP), flags(file, quality)
    check_shapes(granule.grid.shape, **{stored: values, quality: bytes_})
    mandatory = bytes_ & _MANDATORY
    values[mandatory > _OTHER_QUALITY] = np.nan
    doubtful = (mandatory == _OTHER_QUALITY) & np.isfinite(values)
    bits = doubtful.astype(np.uint16) * np.uint16(InputQuality.NOT_RECOMMENDED)
    return Raster(kind, granule.grid, values, bits, granule.period)


READERS: Final = (
    ModisLst("MOD11A1", "Land surface temperature of Terra MODIS, daily, 1 km"),
    ModisLst("MYD11A1", "Land surface temperature of Aqua MODIS, daily, 1 km"),
)
