"""MOD13A2 and MYD13A2: vegetation indices of 16 days at 1 km, HDF4-EOS tiles.

Quality after the product's user guide (collections 6 and 6.1): *pixel reliability* ranks the values,
bits 11-13 of *VI Quality* tell land from water.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.hdf4 import Hdf4, hdf4
from ingest.hdfeos_tile import TileReader, tile_granule
from ingest.modis import flags, open_water
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ModisVi"]

_INDICES: Final = (("ndvi", "1 km 16 days NDVI"), ("evi", "1 km 16 days EVI"))
_RELIABILITY: Final = "1 km 16 days pixel reliability"
_QUALITY: Final = "1 km 16 days VI Quality"
_STEPS: Final = 10_000.0
"""Stored steps of one: these products divide by their ``scale_factor``."""
_LOWEST: Final = -0.2
"""Lower end of the products' valid range."""

_GOOD, _MARGINAL, _SNOW = 0, 1, 2
"""Ranks of the pixel reliability that have a value; 3 is cloudy, -1 not processed."""
_NO_QUALITY: Final = 65535
_SURFACE: Final = 11


class ModisVi(TileReader):
    """Reader of the composites of one of the two satellites."""

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``ndvi`` and, where the file has it, ``evi``, of the composite's 16 days."""
        granule = tile_granule(path)
        empty = True
        with hdf4(path) as file:
            rank, details = file.raw(_RELIABILITY), flags(file, _QUALITY)
            quality = _bits(rank, details)
            for name, stored in _INDICES:
                if name != "ndvi" and stored not in file.names:
                    continue  # a subsetter was told to leave it out
                values = _index(file, name, stored)
                if not values.shape == quality.shape == granule.grid.shape:
                    raise RefusedInput(
                        f"{stored} has the shape {values.shape}, its quality {quality.shape} and "
                        f"the grid {granule.grid.shape}"
                    )
                values[(rank < _GOOD) | (rank > _SNOW)] = np.nan
                if np.isfinite(values).any():
                    empty = False
                    yield Raster(variable(name), granule.grid, values, quality, granule.period)
        if empty:
            raise RefusedInput("holds no value at all: every pixel is cloudy or was not processed")


def _index(file: Hdf4, name: str, stored: str) -> NDArray[np.float32]:
    scale = file.attribute(stored, "scale_factor") if stored in file.names else _STEPS
    if scale != _STEPS:
        raise RefusedInput(f"{stored} has {scale} steps of one, expected {_STEPS:g}")
    values = file.values(stored, 1 / _STEPS)
    return np.asarray(within_range(values, variable(name), low=_LOWEST), np.float32)


def _bits(rank: NDArray[Any], details: NDArray[Any]) -> NDArray[np.uint16]:
    """Translate the provider's quality; both arrays of one shape, the result too."""
    if rank.shape != details.shape:
        raise RefusedInput(f"its quality has the shapes {rank.shape} and {details.shape}")
    bits = np.zeros(rank.shape, np.uint16)
    bits[rank == _MARGINAL] |= np.uint16(InputQuality.NOT_RECOMMENDED)
    bits[rank == _SNOW] |= np.uint16(InputQuality.FROZEN)
    water = open_water(details, _SURFACE) & (details != _NO_QUALITY)
    bits[water] |= np.uint16(InputQuality.WATER)
    return bits


READERS: Final = (
    ModisVi("MOD13A2", "Vegetation indices of Terra MODIS, 16 days, 1 km"),
    ModisVi("MYD13A2", "Vegetation indices of Aqua MODIS, 16 days, 1 km"),
)
