"""MOD15A2H and MYD15A2H: leaf area and absorbed light of 8 days at 500 m, HDF4-EOS tiles.

Quality after the product's user guide (collections 6 and 6.1). Stored values from 249 on are no values but
kinds of surface without a retrieval: built-up, wetland, snow, barren, water. *FparLai_QC* says in
bits 5-7 which algorithm was used; *FparExtra_QC* has land and water in bits 0-1 and snow in bit 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.hdf4 import Hdf4, hdf4
from ingest.hdfeos_tile import TileReader, tile_granule
from ingest.modis import check_shapes, flags, scaled, set_bits
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ModisLai"]

_FIELDS: Final = (("lai", "Lai_500m", 0.1), ("fapar", "Fpar_500m", 0.01))
"""Variable, data set and what a stored step is worth."""
_HIGHEST: Final = 100
"""Highest stored value; above 248 are kinds of surface, between them nothing is defined."""
_QUALITY: Final = "FparLai_QC"
_EXTRA: Final = "FparExtra_QC"
_NO_QUALITY: Final = 255

_OTHER: Final = 0b1
"""Bit 0 of the quality: the backup algorithm, or fill."""
_ALGORITHM: Final = 5
_BACKUP, _NOT_RETRIEVED = 2, 4
"""Bits 5-7: 0 and 1 are the main algorithm, 2 and 3 the backup, 4 none."""
_LAND_SEA: Final = 0b11
_FRESH_WATER: Final = 2
"""Bits 0-1 of the extra quality: 0 land, 1 shore, 2 fresh water, 3 ocean."""
_SNOW: Final = 1 << 2


class ModisLai(TileReader):
    """Reader of the composites of one of the two satellites."""

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``lai`` and ``fapar`` of the composite's days, as far as the file has them."""
        granule = tile_granule(path)
        empty = True
        with hdf4(path) as file:
            main, extra = flags(file, _QUALITY), flags(file, _EXTRA)
            check_shapes(granule.grid.shape, **{_QUALITY: main, _EXTRA: extra})
            quality = _bits(main, extra)
            retrieved = (main >> _ALGORITHM) < _NOT_RETRIEVED
            for name, stored, step in _present(file):
                values = scaled(file, stored, step)
                check_shapes(granule.grid.shape, **{stored: values})
                # between the steps, so that rounding decides nothing
                values[~retrieved | (values > (_HIGHEST + 0.5) * step)] = np.nan
                if np.isfinite(values).any():
                    empty = False
                    yield Raster(variable(name), granule.grid, values, quality, granule.period)
        if empty:
            raise RefusedInput("holds no value at all: nothing but clouds, water and bare ground")


def _present(file: Hdf4) -> list[tuple[str, str, float]]:
    found = [field for field in _FIELDS if field[1] in file.names]
    if not found:
        raise RefusedInput("has neither Lai_500m nor Fpar_500m: cut by a subsetter")
    return found


def _bits(main: NDArray[Any], extra: NDArray[Any]) -> NDArray[np.uint16]:
    """Translate the provider's quality; all of one shape."""
    bits = np.zeros(main.shape, np.uint16)
    algorithm = main >> _ALGORITHM
    backup = (algorithm >= _BACKUP) & (algorithm < _NOT_RETRIEVED)
    other = ((main & _OTHER) != 0) & (algorithm < _NOT_RETRIEVED)
    set_bits(bits, backup | other, InputQuality.NOT_RECOMMENDED)
    known = extra != _NO_QUALITY
    set_bits(bits, ((extra & _SNOW) != 0) & known, InputQuality.FROZEN)
    set_bits(bits, ((extra & _LAND_SEA) >= _FRESH_WATER) & known, InputQuality.WATER)
    return bits


READERS: Final = (
    ModisLai("MOD15A2H", "Leaf area index and absorbed light of Terra MODIS, 8 days, 500 m"),
    ModisLai("MYD15A2H", "Leaf area index and absorbed light of Aqua MODIS, 8 days, 500 m"),
)
