"""Retrievals of SMAP granules: their names, quality and cells."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.netcdf import NetCdf
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from smcatalog.resample.geometry import transformer

__all__ = [
    "FILL_FLAGS",
    "OFF_CENTRE",
    "PLACE",
    "RETRIEVALS",
    "Flags",
    "Floats",
    "beside",
    "centres",
    "check_retrieval",
    "cropped",
    "decoded",
    "farthest",
    "floats",
    "names_of",
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
OFF_CENTRE: Final = 0.02
"""Degrees that coordinates may lie beside a centre; cells are 0.37 wide."""

Floats = NDArray[np.float64]
Flags = NDArray[np.uint16]

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


def floats(data: NetCdf, name: str) -> Floats:
    """Read a dataset; fill becomes NaN."""
    if name not in data.names:
        raise RefusedInput(f"lacks {name}")
    values = data.values(name)
    values[values == _FILL] = np.nan  # coordinates do not declare it
    return values


def _flags(data: NetCdf, name: str, missing: int) -> Flags:
    """Read bit flags; fill, which has most bits set, becomes ``missing``."""
    values = floats(data, name)
    values[np.isnan(values) | (values == FILL_FLAGS)] = missing
    if ((values < 0) | (values > _MOST)).any():
        raise RefusedInput(f"{name} holds {values.min():g} to {values.max():g}: no 16-bit flags")
    return values.astype(np.uint16)


def decoded(data: NetCdf, names: tuple[str, str], suffix: str) -> tuple[Floats, Flags]:
    """Return retrievals [m3 m-3] and `InputQuality` bits, in the shape of the file."""
    unit = data.attribute(names[0], "units")
    if unit is not None and unit not in _UNITS:
        raise RefusedInput(f"{names[0]} is in '{unit}', expected {max(_UNITS)}")
    values = floats(data, names[0])
    # a retrieval without a word on its quality is not recommended
    retrieval = _flags(data, names[1], _NOT_RECOMMENDED)
    surface = _flags(data, f"surface_flag{suffix}", 0)
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


@lru_cache(maxsize=1)
def centres() -> tuple[Floats, Floats]:
    """Return latitudes of the rows and longitudes of the columns of the 36 km grid [degrees]."""
    whole = grid("M36")
    x, y = whole.centres()
    to_degrees = transformer(whole, Grid.latlon(-180, 90, 1.0, (180, 360)))
    latitudes = np.asarray(to_degrees.transform(np.full_like(y, x[0]), y)[1])
    return latitudes, np.asarray(to_degrees.transform(x, np.full_like(x, y[0]))[0])


def farthest(values: Floats, expected: Floats) -> float:
    """Return the largest difference where a value is known."""
    known = np.isfinite(values)
    return float(abs(values - expected)[known].max(initial=0.0))


def beside(name: str, far: float) -> str:
    """Say that coordinates are not those of the grid."""
    return (
        f"its {name} is up to {far:.2f} degrees beside the centres of the 36 km grid: "
        "shifted, damaged or of another grid"
    )


def cropped(target: str, values: Floats, quality: Flags, period: Period | None) -> Raster:
    """Return the smallest window that holds values."""
    some = np.isfinite(values)
    rows, columns = np.flatnonzero(some.any(axis=1)), np.flatnonzero(some.any(axis=0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Raster(
        variable(target),
        grid("M36").window(*window),
        values[window].astype(np.float32),
        quality[window],
        period,
    )
