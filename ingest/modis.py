"""What the readers of MODIS and VIIRS tiles share: scaled data sets, their shapes, the kinds of surface."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.hdf4 import Hdf4
from smcatalog.core.errors import RefusedInput

__all__ = ["check_shapes", "flags", "open_water", "scaled", "set_bits"]

_OPEN_WATER: Final = np.isin(np.arange(8), (0, 3, 5, 6, 7))
"""Ocean, shallow and deep; inland water, shallow and deep. Not land (1), shores (2), ephemeral water (4)."""
_SURFACE: Final = 0b111


def scaled(file: Hdf4, name: str, step: float, rows: slice | None = None) -> NDArray[np.float32]:
    """Read a data set, or rows of it, that declares its step as ``scale_factor``; fill becomes NaN.

    Raises
    ------
    RefusedInput
        As `Hdf4.values`, and when the declared step is another one.
    """
    declared = file.attribute(name, "scale_factor")
    if not isinstance(declared, float) or not np.isclose(declared, step, rtol=1e-5):
        raise RefusedInput(f"{name} has steps of {declared}, expected {step:g}")
    return file.values(name, step, rows=rows)


def flags(file: Hdf4, name: str) -> NDArray[np.unsignedinteger]:
    """Read a data set of bits.

    Raises
    ------
    RefusedInput
        As `Hdf4.raw`, and when it holds anything but unsigned integers.
    """
    values = file.raw(name)
    if values.dtype.kind != "u":
        raise RefusedInput(f"{name} holds {values.dtype} where bits belong: damaged")
    return values


def check_shapes(grid: tuple[int, int], **arrays: NDArray[Any]) -> None:
    """Refuse a granule whose data sets differ in shape from its grid."""
    for name, array in arrays.items():
        if array.shape != grid:
            raise RefusedInput(f"{name} has the shape {array.shape} and the grid {grid}")


def open_water(bits: NDArray[Any], first: int) -> NDArray[np.bool_]:
    """Tell open water by the three bits of the land/water flag, of which ``first`` is the lowest."""
    found: NDArray[np.bool_] = _OPEN_WATER.take(((bits >> first) & _SURFACE).astype(np.uint8))
    return found


def set_bits(bits: NDArray[np.uint16], where: NDArray[np.bool_], flag: int) -> None:
    """Set a flag of the quality in place."""
    bits |= where.astype(np.uint16) * np.uint16(flag)
