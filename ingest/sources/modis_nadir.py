"""MCD43A4: reflectance of Terra and Aqua MODIS as if seen from straight above, daily, 500 m, HDF4-EOS tiles.

Made anew each day from the views of 16 days, which weigh the more the nearer they are to the day that the
granule's name says. Quality after the product's user guide (collections 6 and 6.1), for each band by itself: a
full inversion of the reflectance model is good; one that only scales an archived model (a magnitude inversion)
is not recommended. The indices are computed here, pixel by pixel, before anything is averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ingest import indices
from ingest.checks import within_range
from ingest.hdf4 import Hdf4, hdf4
from ingest.hdfeos_tile import TileGranule, TileReader
from ingest.modis import check_shapes, flags, scaled, set_bits
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ModisNadir"]

_BANDS: Final = {
    "red": 1, "nir": 2, "blue": 3, "green": 4, "swir_1240": 5, "swir_1640": 6, "swir_2130": 7,
}  # fmt: skip
"""Numbers of the bands."""
_STORED: Final = "Nadir_Reflectance_Band"
_QUALITY: Final = "BRDF_Albedo_Band_Mandatory_Quality_Band"
_STEP: Final = 0.0001
_FULL, _MAGNITUDE = 0, 1

_Array = NDArray[np.float32]
_INDICES: Final[dict[str, tuple[Callable[..., _Array], tuple[str, ...]]]] = {
    "ndvi": (indices.ndvi, ("red", "nir")),
    "nmdi": (indices.nmdi, ("nir", "swir_1640", "swir_2130")),
}
"""What is computed of which bands."""


class ModisNadir(TileReader):
    """Reader of the tiles."""

    named_day: ClassVar[bool] = True

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``ndvi``, ``nmdi`` and the seven bands, as far as the file has their bands."""
        granule = self.granule(path)
        empty = True
        with hdf4(path) as file:
            names = [name for name, n in _BANDS.items() if f"{_STORED}{n}" in file.names]
            if not names:
                raise RefusedInput("has no band of reflectance: cut by a subsetter")
            bands = {name: _band(file, granule, name) for name in names}
        for name, values, doubtful in _fields(bands):
            if np.isfinite(values).any():
                empty = False
                bits = np.zeros(values.shape, np.uint16)
                set_bits(bits, doubtful & np.isfinite(values), InputQuality.NOT_RECOMMENDED)
                yield Raster(variable(name), granule.grid, values, bits, granule.period)
        if empty:
            raise RefusedInput(
                "holds no value at all: no day of its 16 was clear, or nothing but sea"
            )


_Band = tuple[_Array, NDArray[np.bool_]]
"""Reflectance, and where it is not recommended."""


def _band(file: Hdf4, granule: TileGranule, name: str) -> _Band:
    stored, quality = (f"{prefix}{_BANDS[name]}" for prefix in (_STORED, _QUALITY))
    values, ranks = scaled(file, stored, _STEP), flags(file, quality)
    check_shapes(granule.grid.shape, **{stored: values, quality: ranks})
    values[ranks > _MAGNITUDE] = np.nan
    return np.asarray(within_range(values, variable(name)), np.float32), ranks == _MAGNITUDE


def _fields(bands: dict[str, _Band]) -> Iterator[tuple[str, _Array, NDArray[np.bool_]]]:
    for name, (formula, needed) in _INDICES.items():
        if bands.keys() >= set(needed):
            values, doubts = zip(*(bands[band] for band in needed), strict=True)
            yield name, formula(*values), np.logical_or.reduce(doubts)
    for name, (reflectance, doubtful) in bands.items():
        yield name, reflectance, doubtful


READERS: Final = (
    ModisNadir("MCD43A4", "Reflectance of Terra and Aqua MODIS seen from above, daily, 500 m"),
)
