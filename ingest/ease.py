"""Where the cells of the global EASE-Grids 2.0 lie in degrees."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.grids import Grid, grid
from smcatalog.resample.geometry import transformer

__all__ = ["OFF_CENTRE", "Floats", "beside", "centres", "farthest", "kilometres"]

OFF_CENTRE: Final = 0.02
"""Degrees that coordinates may lie beside a centre; cells of 36 and 9 km are 0.37 and 0.09 wide."""

Floats = NDArray[np.float64]


@lru_cache(maxsize=4)
def centres(base: str = "M36") -> tuple[Floats, Floats]:
    """Return latitudes of the rows and longitudes of the columns of a global grid [degrees]."""
    whole = grid(base)
    x, y = whole.centres()
    to_degrees = transformer(whole, Grid.latlon(-180, 90, 1.0, (180, 360)))
    latitudes = np.asarray(to_degrees.transform(np.full_like(y, x[0]), y)[1])
    return latitudes, np.asarray(to_degrees.transform(x, np.full_like(x, y[0]))[0])


def farthest(values: Floats, expected: Floats) -> float:
    """Return the largest difference where a value is known."""
    known = np.isfinite(values)
    return float(abs(values - expected)[known].max(initial=0.0))


def beside(name: str, far: float, base: str = "M36") -> str:
    """Say that coordinates are not those of the grid."""
    return (
        f"its {name} is up to {far:.2f} degrees beside the centres of the {kilometres(base)} km grid: "
        "shifted, damaged or of another grid"
    )


def kilometres(base: str) -> int:
    """Return the nominal width of a global grid's cells [km]."""
    return round(grid(base).cell[0] / 1000)
