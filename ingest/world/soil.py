"""What soil maps of the simulated world say: never the soil itself, but what a survey with few profiles would."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.noise import field
from smcatalog.core.grids import BBox, Grid

__all__ = ["around", "bulk_density", "survey", "under_water"]

_MARGIN: Final = 0.05
_ERROR: Final = 0.03
_LEAST: Final = 0.01
_QUARTZ: Final = 2650.0
"""Density of the grains [kg m-3]."""


def survey(land: Landscape, grid: Grid, name: str = "survey") -> dict[str, NDArray[np.float64]]:
    """Return what a soil map says of sand, silt and clay by weight.

    Smooth errors are added to the truth.

    Parameters
    ----------
    land : Landscape
        The truth.
    grid : Grid
        In degrees (EPSG:4326).
    name : str
        Of the survey: each has errors of its own.

    Returns
    -------
    dict of ndarray of float64, shape (rows, columns)
        Fractions that add up to 1, by name.
    """
    longitude, latitude = grid.centres()
    parts = dict(zip(("sand", "clay"), land.ground.texture(grid), strict=True))
    for part, true in parts.items():
        error = field(
            land.seed, f"{name}/{part}", longitude, latitude,
            longest=0.4, shortest=0.02, roughness=0.6,
        )  # fmt: skip
        parts[part] = np.maximum(true + _ERROR * error, _LEAST)
    silt = np.maximum(1.0 - parts["sand"] - parts["clay"], _LEAST)
    whole = parts["sand"] + parts["clay"] + silt
    return {part: values / whole for part, values in (parts | {"silt": silt}).items()}


def bulk_density(sand: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the density [kg m-3] of soil with so much sand: that of its grains, less the pores.

    Pores after Cosby et al. (1984), table 4, as in the landscape.
    """
    return _QUARTZ * (1.0 - (48.9 - 12.6 * sand) / 100)


def around(box: BBox, per_degree: int) -> Grid:
    """Return cells on whole multiples of a part of a degree around a box and 0.05 degrees beyond."""
    west, south, east, north = box
    left, right = (
        math.floor((west - _MARGIN) * per_degree),
        math.ceil((east + _MARGIN) * per_degree),
    )
    bottom, top = (
        math.floor((south - _MARGIN) * per_degree),
        math.ceil((north + _MARGIN) * per_degree),
    )
    return Grid.latlon(
        left / per_degree, top / per_degree, 1 / per_degree, (top - bottom, right - left)
    )


def under_water(land: Landscape, grid: Grid) -> NDArray[np.bool_]:
    """Mark cells of a degree grid in the landscape's water; around the landscape all is land."""
    longitude, latitude = grid.centres()
    # both grids' axes are meridians and parallels: columns and rows are found apart
    _, columns, east = land.grid.locate(longitude, np.full_like(longitude, land.latitude.mean()))
    rows, _, north = land.grid.locate(np.full_like(latitude, land.longitude.mean()), latitude)
    wet: NDArray[np.bool_] = land.water[np.ix_(rows, columns)] & np.logical_and.outer(north, east)
    return wet
