"""MCD12Q1: land cover of a year at 500 m, HDF4-EOS tiles.

Classes after the product's user guide (collections 6 and 6.1): ``LC_Type1`` of the IGBP, ``LC_Type5`` plant
functional types. Shares of the functional types are made here, pixel by pixel: a mean of them over a
larger cell is the share of its area, which a mean of class numbers never is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.hdf4 import Hdf4, hdf4
from ingest.hdfeos_tile import TileGranule, TileReader, tile_granule
from ingest.modis import check_shapes, set_bits
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ModisLandCover"]

_TYPES: Final = (("land_cover_pft", "LC_Type5"), ("land_cover_igbp", "LC_Type1"))
_FRACTIONS: Final = {
    "fraction_forest": (1, 2, 3, 4),
    "fraction_shrub": (5,),
    "fraction_grass": (6,),
    "fraction_crop": (7, 8),
    "fraction_urban": (9,),
    "fraction_barren": (11,),
    "fraction_water": (0,),
}
"""Functional types of each share; the rest, 10, is snow and ice all year."""
_WATER: Final = 0
_ICE: Final = 10
_FILL: Final = 255
_CORRECTED: Final = (5, 6, 7)
"""Quality: the class was at odds with the masks of water or snow and was changed."""
_BACKFILLED: Final = 8
"""Quality: the class is that of another year."""
_SHORTEST: Final = 365
_LONGEST: Final = 366


class ModisLandCover(TileReader):
    """Reader of land cover."""

    def granule(self, path: Path, name: str = "") -> TileGranule:
        """Return which tile and year a file covers, checked."""
        granule = super().granule(path, name)
        if not _SHORTEST <= (granule.period.end - granule.period.start).days <= _LONGEST:
            raise RefusedInput(f"covers {granule.period}, expected a year")
        return granule

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield the classes, and of the functional types the shares."""
        granule = tile_granule(path)
        with hdf4(path) as file:
            flags = file.raw("QC")
            check_shapes(granule.grid.shape, QC=flags)
            types = _classes(file, "LC_Type5", granule.grid.shape)
            quality = _bits(types, flags)
            for name, stored in _TYPES:
                if stored not in file.names:
                    continue  # a subsetter was told to leave it out
                values = types if stored == "LC_Type5" else _classes(file, stored, types.shape)
                yield Raster(variable(name), granule.grid, values, quality, granule.period)
        for name, numbers in _FRACTIONS.items():
            share = np.isin(types, numbers).astype(np.float32)
            share[np.isnan(types)] = np.nan
            yield Raster(variable(name), granule.grid, share, quality, granule.period)


def _classes(file: Hdf4, stored: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return class numbers, NaN where none was found."""
    numbers = file.raw(stored)
    check_shapes((shape[0], shape[1]), **{stored: numbers})
    values = numbers.astype(np.float32)
    values[numbers == _FILL] = np.nan
    if np.isnan(values).all():
        raise RefusedInput(f"{stored} holds no class at all: nothing but fill")
    return values


def _bits(types: NDArray[np.float32], flags: NDArray[Any]) -> NDArray[np.uint16]:
    bits = np.zeros(types.shape, np.uint16)
    set_bits(bits, np.isin(flags, _CORRECTED), InputQuality.NOT_RECOMMENDED)
    set_bits(bits, flags == _BACKFILLED, InputQuality.FILLED)
    set_bits(bits, types == _WATER, InputQuality.WATER)
    set_bits(bits, types == _ICE, InputQuality.FROZEN)
    return bits


READERS: Final = (ModisLandCover("MCD12Q1", "Land cover of MODIS, yearly, 500 m"),)
