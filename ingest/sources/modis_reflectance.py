"""MOD09A1 and MYD09A1: surface reflectance of 8 days at 500 m, HDF4-EOS tiles, and its indices.

Quality after the product's user guide (collections 6 and 6.1): the state flags tell clouds, shadows, water
and snow of a pixel, the quality flags give each band four bits of its own. The indices are computed
here, pixel by pixel, before anything is averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest import indices
from ingest.checks import within_range
from ingest.hdf4 import Hdf4, hdf4
from ingest.hdfeos_tile import TileGranule, TileReader, tile_granule
from ingest.modis import check_shapes, flags, open_water, scaled, set_bits
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "ModisReflectance"]

_BANDS: Final = {
    "red": 1, "nir": 2, "blue": 3, "green": 4, "swir_1240": 5, "swir_1640": 6, "swir_2130": 7,
}  # fmt: skip
"""Numbers of the bands."""
_STEP: Final = 0.0001
_STATE: Final = "sur_refl_state_500m"
_QUALITY: Final = "sur_refl_qc_500m"
_NO_STATE: Final = 0xFFFF
_NO_QUALITY: Final = 0xFFFFFFFF

_Array = NDArray[np.float32]
_INDICES: Final[dict[str, tuple[Callable[..., _Array], tuple[str, ...]]]] = {
    "ndwi": (indices.ndwi, ("green", "nir")),
    "lswi": (indices.lswi, ("nir", "swir_1640")),
    "nsdsi": (indices.nsdsi, ("swir_1640", "swir_2130")),
    "ndvi": (indices.ndvi, ("red", "nir")),
    "evi": (indices.evi, ("red", "nir", "blue")),
}
"""What is computed of which bands."""

_CLOUD_STATE: Final = 0b11
_CLOUDY, _MIXED = 1, 2
"""Bits 0-1 of the state; 0 is clear, 3 not known and taken for clear."""
_SHADOW: Final = 1 << 2
_SURFACE: Final = 3
_AEROSOL: Final = 0b11 << 6
"""Both bits set: much of it."""
_CIRRUS: Final = 0b10 << 8
"""Set in two of the four degrees of bits 8-9: average and high."""
_INTERNAL_CLOUD: Final = 1 << 10
_BESIDE_CLOUD: Final = 1 << 13
_SNOW: Final = 1 << 12 | 1 << 15
"""By the cloud mask's snow flag or the product's own."""

_PRODUCED: Final = 0b11
_NOT_PRODUCED: Final = 0b10
"""Bits 0-1 of the quality: nothing was produced because of clouds."""
_FIRST_BAND: Final = 2
_BITS_OF_BAND: Final = 4
_UNFIT: Final = np.isin(np.arange(16), (9, 11, 13, 14, 15))
"""Of a band: sun too low, no input, correction out of bounds, faulty input, not processed."""
_DOUBTFUL: Final = ~_UNFIT & (np.arange(16) > 0)
"""Noisy or dead detector, low sun, a constant in place of climatology."""


class ModisReflectance(TileReader):
    """Reader of the composites of one of the two satellites."""

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``ndwi``, ``lswi``, ``nsdsi``, ``ndvi``, ``evi`` and the seven bands, as far as the file has their bands."""
        granule = tile_granule(path)
        empty = True
        with hdf4(path) as file:
            for raster in _rasters(_Bands(file, granule)):
                if np.isfinite(raster.values).any():
                    empty = False
                    yield raster
        if empty:
            raise RefusedInput("holds no value at all: every pixel is cloudy or was not processed")


class _Bands:
    """The bands of an open file, each decoded when it is first asked for."""

    def __init__(self, file: Hdf4, granule: TileGranule) -> None:
        self._file = file
        self.granule = granule
        state, self._flags = flags(file, _STATE), flags(file, _QUALITY)
        check_shapes(granule.grid.shape, **{_STATE: state, _QUALITY: self._flags})
        self._state = _state_bits(state)
        self._hidden = _hidden(state, self._flags)
        self._decoded: dict[str, tuple[_Array, NDArray[np.bool_]]] = {}
        self.names = [name for name in _BANDS if _stored(name) in file.names]
        if not self.names:
            raise RefusedInput("has no band of reflectance: cut by a subsetter")

    def values(self, name: str) -> _Array:
        """Return a band; NaN under clouds and where it is unfit."""
        return self._band(name)[0]

    def quality(self, names: tuple[str, ...]) -> NDArray[np.uint16]:
        """Return the quality of what is made of some bands."""
        bits = self._state.copy()
        for name in names:
            set_bits(bits, self._band(name)[1], InputQuality.NOT_RECOMMENDED)
        return bits

    def _band(self, name: str) -> tuple[_Array, NDArray[np.bool_]]:
        if name not in self._decoded:
            values = scaled(self._file, _stored(name), _STEP)
            check_shapes(self.granule.grid.shape, **{_stored(name): values})
            first = _FIRST_BAND + _BITS_OF_BAND * (_BANDS[name] - 1)
            rank = ((self._flags >> first) & 0xF).astype(np.uint8)
            values[self._hidden | _UNFIT.take(rank)] = np.nan
            values = np.asarray(within_range(values, variable(name)), np.float32)
            self._decoded[name] = values, _DOUBTFUL.take(rank)
        return self._decoded[name]


def _rasters(bands: _Bands) -> Iterator[Raster]:
    granule = bands.granule
    for name, (formula, needed) in _INDICES.items():
        if all(band in bands.names for band in needed):
            values = formula(*(bands.values(band) for band in needed))
            yield Raster(
                variable(name), granule.grid, values, bands.quality(needed), granule.period
            )
    for name in bands.names:
        yield Raster(
            variable(name), granule.grid, bands.values(name), bands.quality((name,)), granule.period
        )


def _stored(name: str) -> str:
    return f"sur_refl_b{_BANDS[name]:02d}"


def _hidden(state: NDArray[Any], quality: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark pixels of which nothing is seen but clouds."""
    hidden: NDArray[np.bool_] = (
        ((state & _CLOUD_STATE) == _CLOUDY)
        | ((state & _INTERNAL_CLOUD) != 0)
        | (state == _NO_STATE)
        | ((quality & _PRODUCED) == _NOT_PRODUCED)
        | (quality == _NO_QUALITY)
    )
    return hidden


def _state_bits(state: NDArray[Any]) -> NDArray[np.uint16]:
    """Translate the state of the pixels; both arrays of one shape."""
    bits = np.zeros(state.shape, np.uint16)
    doubtful = (
        ((state & _CLOUD_STATE) == _MIXED)
        | ((state & (_SHADOW | _CIRRUS | _BESIDE_CLOUD)) != 0)
        | ((state & _AEROSOL) == _AEROSOL)
    )
    known = state != _NO_STATE
    set_bits(bits, doubtful & known, InputQuality.NOT_RECOMMENDED)
    set_bits(bits, ((state & _SNOW) != 0) & known, InputQuality.FROZEN)
    set_bits(bits, open_water(state, _SURFACE) & known, InputQuality.WATER)
    return bits


READERS: Final = (
    ModisReflectance("MOD09A1", "Surface reflectance and indices of Terra MODIS, 8 days, 500 m"),
    ModisReflectance("MYD09A1", "Surface reflectance and indices of Aqua MODIS, 8 days, 500 m"),
)
