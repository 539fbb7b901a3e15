"""Albedo of Terra and Aqua MODIS together: MCD43A3 (tiles of 500 m), MCD43C3 (0.05°), MCD43D58 (30″).

Made anew each day from the views of 16 days, which weigh the more the nearer they are to the day that the
granule's name says. Quality after the products' user guide (collections 6 and 6.1): a full inversion of the
reflectance model is good; one that only scales an archived model (a magnitude inversion) is not recommended.
The files of 30″ hold a single band, their quality is a product of its own (MCD43D31) and not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ingest.hdf4 import Hdf4, hdf4
from ingest.hdfeos import short_name
from ingest.hdfeos_globe import GlobeGranule, globe_granule
from ingest.hdfeos_tile import TileGranule, TileReader
from ingest.modis import check_shapes, scaled, set_bits
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READERS", "AlbedoBand7", "AlbedoGlobe", "AlbedoTile"]

_STEP: Final = 0.001
_FIELDS: Final = (
    ("albedo", ("Albedo_BSA_shortwave", "Albedo_WSA_shortwave"), "shortwave"),
    ("albedo_wsa_b7", ("Albedo_WSA_Band7",), "Band7"),
)
"""Variable, data sets whose mean it is, band of its quality."""
_QUALITY: Final = "BRDF_Albedo_Band_Mandatory_Quality_"
_FULL, _MAGNITUDE = 0, 1
_MIXED: Final = 3
"""Lowest quality of a coarse cell that is not recommended: magnitude inversions, or half of it fill."""
_WORST: Final = 5
_SNOW, _ALL = 10, 100
"""Percent of a coarse cell under snow from which its albedo is one of snow; more than all is fill."""
_COARSE, _FINE = 20, 120
"""Cells in a degree."""
_ROWS: Final = 600
"""Rows read at once: 5 degrees at 30 arc seconds, 52 MB."""
_COLUMNS: Final = 1200


class AlbedoTile(TileReader):
    """Reader of the tiles of 500 m."""

    named_day: ClassVar[bool] = True

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``albedo``, the mean of black- and white-sky, and ``albedo_wsa_b7`` if it is there."""
        granule = self.granule(path)
        empty = True
        with hdf4(path) as file:
            for name, stored, band in _FIELDS:
                if name != "albedo" and stored[0] not in file.names:
                    continue  # a subsetter was told to leave it out
                raster = _tile(file, granule, name, stored, band)
                if np.isfinite(raster.values).any():
                    empty = False
                    yield raster
        if empty:
            raise RefusedInput(_EMPTY)


@dataclass(frozen=True, slots=True)
class AlbedoGlobe:
    """Reader of the global grid of 0.05 degrees; parameters as of `AlbedoTile`."""

    source: str
    title: str

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the product by the short name inside."""
        if short_name(path) != self.source:
            return None
        return globe_granule(path, _COARSE, name, named_day=True).identity(self.source)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``albedo``, the mean of black- and white-sky, where the file holds any."""
        granule = globe_granule(path, _COARSE, named_day=True)
        name, stored, _ = _FIELDS[0]
        with hdf4(path) as file:
            for field in (*stored, "BRDF_Quality", "Percent_Snow"):
                _check_shape(file, granule, field)
            held = [
                (rows.start, values, _coarse_quality(file, rows))
                for rows in _strips(granule)
                if np.isfinite(values := _mean(file, stored, rows)).any()
            ]
        if not held:
            raise RefusedInput(_EMPTY)
        top, bottom = held[0][0], held[-1][0] + len(held[-1][1])
        shape = (bottom - top, granule.grid.shape[1])
        values, quality = np.full(shape, np.nan, np.float32), np.zeros(shape, np.uint16)
        for first, part, bits in held:
            values[first - top : first - top + len(part)] = part
            quality[first - top : first - top + len(part)] = bits
        box = _box(np.isfinite(values))
        window = granule.grid.window(slice(top, bottom), slice(None)).window(*box)
        yield Raster(variable(name), window, values[box], quality[box], granule.period)


@dataclass(frozen=True, slots=True)
class AlbedoBand7:
    """Reader of band 7 on the global grid of 30 arc seconds; parameters as of `AlbedoTile`."""

    source: str
    title: str

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the product by the short name inside."""
        if short_name(path) != self.source:
            return None
        return globe_granule(path, _FINE, name, named_day=True).identity(self.source)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``albedo_wsa_b7`` of each block of 5 by 10 degrees that holds any.

        The blocks are those of the whole globe, also in a part that was cut out of it.
        """
        granule = globe_granule(path, _FINE, named_day=True)
        kind, empty = variable("albedo_wsa_b7"), True
        with hdf4(path) as file:
            field = _band(file)
            _check_shape(file, granule, field)
            for rows in _strips(granule):
                strip = scaled(file, field, _STEP, rows)
                for columns in _blocks(granule):
                    block = strip[:, columns].copy()
                    if np.isfinite(block).any():
                        empty = False
                        window = granule.grid.window(rows, columns)
                        yield Raster.good(kind, window, block, granule.period)
        if empty:
            raise RefusedInput(_EMPTY)


_EMPTY: Final = "holds no value at all: no day of its 16 was clear, or nothing but sea"


def _tile(
    file: Hdf4, granule: TileGranule, name: str, stored: tuple[str, ...], band: str
) -> Raster:
    values, flags = _mean(file, stored), file.raw(_QUALITY + band)
    check_shapes(granule.grid.shape, **{stored[0]: values, _QUALITY + band: flags})
    values[flags > _MAGNITUDE] = np.nan
    bits = np.zeros(values.shape, np.uint16)
    set_bits(bits, (flags == _MAGNITUDE) & np.isfinite(values), InputQuality.NOT_RECOMMENDED)
    return Raster(variable(name), granule.grid, values, bits, granule.period)


def _mean(file: Hdf4, stored: tuple[str, ...], rows: slice | None = None) -> NDArray[np.float32]:
    """Return the mean of data sets, NaN where one of them has no value."""
    total = scaled(file, stored[0], _STEP, rows)
    for field in stored[1:]:
        values = scaled(file, field, _STEP, rows)
        check_shapes((total.shape[0], total.shape[-1]), **{field: values})
        total += values
    return total / np.float32(len(stored))


def _check_shape(file: Hdf4, granule: GlobeGranule, field: str) -> None:
    if field not in file.names:
        raise RefusedInput(f"has no data set '{field}': cut by a subsetter, or another version")
    if file.shapes[field] != granule.grid.shape:
        raise RefusedInput(
            f"{field} has the shape {file.shapes[field]}, the grid {granule.grid.shape}"
        )


def _band(file: Hdf4) -> str:
    """Return the name of the file's band: what is put before it differs between versions."""
    found = [name for name in file.names if name.endswith("WSA_Band7")]
    if len(found) != 1:
        raise RefusedInput(
            f"has {len(found)} data sets of the white-sky albedo of band 7, expected one"
        )
    return found[0]


def _coarse_quality(file: Hdf4, rows: slice) -> NDArray[np.uint16]:
    flags, snow = file.raw("BRDF_Quality", rows), file.raw("Percent_Snow", rows)
    bits = np.zeros(flags.shape, np.uint16)
    set_bits(bits, (flags >= _MIXED) & (flags <= _WORST), InputQuality.NOT_RECOMMENDED)
    set_bits(bits, (snow >= _SNOW) & (snow <= _ALL), InputQuality.FROZEN)
    return bits


def _strips(granule: GlobeGranule) -> Iterator[slice]:
    yield from _pieces(granule.grid.row, granule.grid.shape[0], _ROWS)


def _blocks(granule: GlobeGranule) -> Iterator[slice]:
    yield from _pieces(granule.grid.column, granule.grid.shape[1], _COLUMNS)


def _pieces(offset: int, length: int, size: int) -> Iterator[slice]:
    """Yield pieces of a length that end at multiples of ``size`` on the globe."""
    bounds = [0, *range(size - offset % size, length, size), length]
    for first, last in pairwise(bounds):
        yield slice(first, last)


def _box(held: NDArray[Any]) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(held.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


READERS: Final = (
    AlbedoTile("MCD43A3", "Albedo of Terra and Aqua MODIS, daily, 500 m"),
    AlbedoGlobe("MCD43C3", "Albedo of Terra and Aqua MODIS, daily, 0.05 degrees"),
    AlbedoBand7("MCD43D58", "White-sky albedo of MODIS band 7, daily, 30 arc seconds"),
)
