"""VNP13A2: vegetation indices of 16 days at 1 km by VIIRS, HDF5-EOS tiles.

Quality after the legends in the product itself (version 2), brought to the meaning that it has for MODIS:
*pixel reliability* ranks the values in more steps than there, bits 11-13 of *VI Quality* tell land from water.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.hdfeos_tile import TileReader, tile_granule
from ingest.modis import check_shapes, open_water, set_bits
from ingest.netcdf import NetCdf, netcdf
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ViirsVi"]

_GROUP: Final = "HDFEOS/GRIDS/VIIRS_Grid_16Day_VI_1km/Data Fields"
_INDICES: Final = (("ndvi", "1 km 16 days NDVI"), ("evi", "1 km 16 days EVI"))
_RELIABILITY: Final = "1 km 16 days pixel reliability"
_QUALITY: Final = "1 km 16 days VI Quality"
_STEP: Final = 0.0001
_NO_QUALITY: Final = 65535
_SURFACE: Final = 11

_NONE: Final = 12
"""Stands for a reliability without a rank: water and what was not processed."""
_MARGINAL, _SHADOW, _SNOW, _CLOUD, _ESTIMATED, _AVERAGE = 3, 7, 8, 9, 10, 11
"""Ranks: 0 to 2 are good, 3 to 6 marginal to poor, then a cloud's shadow, snow, a cloud, a value that was
estimated, and one from the average of many years."""


class ViirsVi(TileReader):
    """Reader of the composites of a satellite."""

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the product by the short name inside, in HDF5 alone."""
        return super().identify(path, name) if sniff(head(path)) is Format.HDF5 else None

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``ndvi`` and, where the file has it, ``evi``, of the composite's 16 days."""
        granule = tile_granule(path)
        empty = True
        with netcdf(path, _GROUP) as file:
            rank, flags = _flags(file, _RELIABILITY, _NONE), _flags(file, _QUALITY, _NO_QUALITY)
            check_shapes(granule.grid.shape, **{_RELIABILITY: rank, _QUALITY: flags})
            quality = _bits(rank, flags)
            for name, stored in _INDICES:
                if name != "ndvi" and stored not in file.names:
                    continue  # a subsetter was told to leave it out
                values = _index(file, name, stored)
                check_shapes(granule.grid.shape, **{stored: values})
                values[(rank == _CLOUD) | (rank >= _NONE)] = np.nan
                if np.isfinite(values).any():
                    empty = False
                    yield Raster(variable(name), granule.grid, values, quality, granule.period)
        if empty:
            raise RefusedInput("holds no value at all: every pixel is cloudy or was not processed")


def _check(file: NetCdf, stored: str) -> None:
    if stored not in file.names:
        raise RefusedInput(f"has no data set '{stored}': cut by a subsetter, or another version")


def _flags(file: NetCdf, stored: str, fill: int) -> NDArray[np.uint16]:
    """Read ranks or bits; ``fill`` stands for none."""
    _check(file, stored)
    values = file.values(stored)
    known = (values >= 0) & (values < _NO_QUALITY)
    return np.where(known, values, fill).astype(np.uint16)


def _index(file: NetCdf, name: str, stored: str) -> NDArray[np.float32]:
    _check(file, stored)
    scale = file.attribute(stored, "scale_factor")
    if not isinstance(scale, float) or not np.isclose(scale, _STEP, rtol=1e-5):
        raise RefusedInput(f"{stored} has steps of {scale}, expected {_STEP:g}")
    values = file.values(stored).astype(np.float32)
    return np.asarray(within_range(values, variable(name)), np.float32)


def _bits(rank: NDArray[Any], flags: NDArray[Any]) -> NDArray[np.uint16]:
    """Translate the provider's quality; both arrays of one shape, the result too."""
    bits = np.zeros(rank.shape, np.uint16)
    set_bits(bits, (rank >= _MARGINAL) & (rank <= _SHADOW), InputQuality.NOT_RECOMMENDED)
    set_bits(bits, rank == _SNOW, InputQuality.FROZEN)
    set_bits(bits, (rank == _ESTIMATED) | (rank == _AVERAGE), InputQuality.FILLED)
    water = open_water(flags, _SURFACE) & (flags != _NO_QUALITY)
    set_bits(bits, water, InputQuality.WATER)
    return bits


READERS: Final = (ViirsVi("VNP13A2", "Vegetation indices of VIIRS on Suomi NPP, 16 days, 1 km"),)
