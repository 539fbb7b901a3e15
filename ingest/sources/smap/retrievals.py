"""Retrievals of SMAP granules: their names, quality and cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.ease import OFF_CENTRE, Floats, beside, centres, farthest, kilometres
from ingest.netcdf import NetCdf
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable

__all__ = [
    "FILL_FLAGS",
    "OFF_CENTRE",
    "PLACE",
    "RETRIEVALS",
    "Flags",
    "Floats",
    "Window",
    "beside",
    "bounds",
    "centres",
    "check_place",
    "check_retrieval",
    "check_shape",
    "check_unit",
    "cropped",
    "decoded",
    "farthest",
    "floats",
    "kilometres",
    "names_of",
    "placed",
]

RETRIEVALS: Final = (
    "soil_moisture",
    "soil_moisture_dca",
    "soil_moisture_scav",
    "soil_moisture_scah",
)
"""The baseline (since release 18 dual-channel), dual-channel, single-channel V and H."""

PLACE: Final = ("latitude", "longitude")
FILL_FLAGS: Final = 65534
Flags = NDArray[np.uint16]
Window = tuple[slice, slice]
"""Rows and columns."""

_OLD_NAMES: Final = {"_dca": "_option3", "_scav": "_option2", "_scah": "_option1"}
"""Half orbits, and composites before release 18, number the algorithms."""
_UNITS: Final = {"cm**3/cm**3", "m**3/m**3", "m3 m-3"}
_FILL: Final = -9999.0
_MOST: Final = 0xFFFF
_NOT_RECOMMENDED: Final = 0b1
_WATER: Final = 0b11
"""Static water, and water that the radar saw while it lived."""
_FROZEN: Final = 0b1_1110_0000
"""Snow or ice, permanent snow or ice, frozen ground by radiometer and by model."""


def check_retrieval(retrieval: str) -> None:
    """Refuse a parameter that names no retrieval."""
    if retrieval not in RETRIEVALS:
        raise UsageError(f"the retrieval is one of {RETRIEVALS}, got '{retrieval}'")


def names_of(data: NetCdf, retrieval: str, suffix: str) -> tuple[str, str] | None:
    """Return the names of a retrieval and its quality flag in a group; None when it is not there."""
    algorithm = retrieval.removeprefix(RETRIEVALS[0])
    for form in (algorithm, _OLD_NAMES.get(algorithm, algorithm)):
        found = f"soil_moisture{form}{suffix}", f"retrieval_qual_flag{form}{suffix}"
        if found[0] in data.names:
            return found
    return None


def floats(data: NetCdf, name: str, part: Any = ...) -> Floats:
    """Read a dataset or a part of it; fill becomes NaN."""
    if name not in data.names:
        raise RefusedInput(f"lacks {name}")
    values = data.values(name, part)
    values[values == _FILL] = np.nan  # coordinates do not declare it
    return values


def _flags(data: NetCdf, name: str, missing: int, part: Any) -> Flags:
    """Read bit flags; fill, which has most bits set, becomes ``missing``."""
    values = floats(data, name, part)
    values[np.isnan(values) | (values == FILL_FLAGS)] = missing
    if ((values < 0) | (values > _MOST)).any():
        raise RefusedInput(f"{name} holds {values.min():g} to {values.max():g}: no 16-bit flags")
    return values.astype(np.uint16)


def check_unit(data: NetCdf, name: str) -> None:
    """Refuse water contents in another unit than that of volumes."""
    unit = data.attribute(name, "units")
    if unit is not None and unit not in _UNITS:
        raise RefusedInput(f"{name} is in '{unit}', expected {max(_UNITS)}")


def decoded(
    data: NetCdf, names: tuple[str, str], suffix: str, part: Any = ...
) -> tuple[Floats, Flags]:
    """Return retrievals [m3 m-3] and `InputQuality` bits, in the shape of the file or of a part."""
    check_unit(data, names[0])
    values = floats(data, names[0], part)
    # a retrieval without a word on its quality is not recommended
    retrieval = _flags(data, names[1], _NOT_RECOMMENDED, part)
    surface = _flags(data, f"surface_flag{suffix}", 0, part)
    if not values.shape == retrieval.shape == surface.shape:
        raise RefusedInput("its retrievals and flags differ in shape")
    quality = np.zeros(values.shape, np.uint16)
    for flags, bits, meaning in (
        (retrieval, _NOT_RECOMMENDED, InputQuality.NOT_RECOMMENDED),
        (surface, _WATER, InputQuality.WATER),
        (surface, _FROZEN, InputQuality.FROZEN),
    ):
        quality[np.isfinite(values) & (flags & bits != 0)] |= np.uint16(meaning)
    return values, quality


def check_shape(data: NetCdf, names: Iterable[str], base: str) -> None:
    """Refuse fields, as far as they are there, that have not the shape of a global grid."""
    expected = grid(base).shape
    for name in names:
        if name in data.names and data.shape(name) != expected:
            raise RefusedInput(
                f"{name} has the shape {data.shape(name)}, the grid of {kilometres(base)} km {expected}"
            )


def check_place(
    data: NetCdf, names: tuple[str, str], base: str, part: Window, used: NDArray[np.bool_]
) -> None:
    """Refuse fields whose coordinates are not those of a global grid.

    Parameters
    ----------
    names : (str, str)
        Of latitude and longitude.
    part : (rows, columns)
        What is looked at.
    used : ndarray of bool, shape of the part
        Where there are retrievals.
    """
    rows, columns = centres(base)
    for name, expected in zip(names, (rows[:, None], columns[None, :]), strict=True):
        values = floats(data, name, part)
        if not np.isfinite(values[used]).any():
            raise RefusedInput(f"its retrievals have no {name}")
        here, there = (
            np.broadcast_to(e, grid(base).shape)[part] for e in (expected, expected[::-1, ::-1])
        )
        far = farthest(values, here)
        if far <= OFF_CENTRE:
            continue
        if farthest(values, there) <= OFF_CENTRE:
            raise RefusedInput(f"its {name} runs backwards: the grid is flipped")
        raise RefusedInput(beside(name, far, base))


def bounds(values: Floats) -> Window | None:
    """Return the smallest window that holds values; None when there are none."""
    some = np.isfinite(values)
    rows, columns = np.flatnonzero(some.any(axis=1)), np.flatnonzero(some.any(axis=0))
    if not rows.size:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def placed(
    target: str, base: str, part: Window, values: Floats, quality: Flags, period: Period | None
) -> Raster:
    """Return the raster of a part of a global grid."""
    window = grid(base).window(*part)
    return Raster(variable(target), window, values.astype(np.float32), quality, period)


def cropped(target: str, values: Floats, quality: Flags, period: Period | None) -> Raster:
    """Return the smallest window of the 36 km grid that holds values.

    Raises
    ------
    RefusedInput
        When there are none.
    """
    part = bounds(values)
    if part is None:
        raise RefusedInput(f"holds no {target} at all: nothing but fill")
    return placed(target, "M36", part, values[part], quality[part], period)
