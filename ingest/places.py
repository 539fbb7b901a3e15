"""Whether a grid lies on Earth where its coordinate reference system says."""

from __future__ import annotations

from typing import Final

import numpy as np
from pyproj.enums import TransformDirection
from pyproj.exceptions import CRSError, ProjError

from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from smcatalog.resample.geometry import transformer

__all__ = ["check_degrees", "check_on_earth"]

_DEGREES: Final = Grid.latlon(-180, 90, 1.0, (180, 360))
_WGS84: Final = 4326
_POINTS: Final = 5
"""Looked at along each side: of a projection with gaps some lie in none."""


def check_degrees(grid: Grid) -> None:
    """Refuse a grid in degrees that reaches beyond the globe by more than a cell."""
    dx, dy = grid.cell
    (west, east), (south, north) = _edges(grid)
    if west < -180 - dx or east > 180 + dx or south < -90 - dy or north > 90 + dy:
        raise RefusedInput(
            f"reaches from {west:g} to {east:g} degrees east and {south:g} to {north:g} north: "
            "not on Earth, or counted from 0 to 360"
        )


def check_on_earth(grid: Grid) -> None:
    """Refuse a grid whose reference system has no place for it, or none on Earth.

    Raises
    ------
    RefusedInput
        Also when it is in metres, and its corners are degrees.
    """
    if grid.crs.geographic:
        check_degrees(grid)
    if grid.crs.epsg == _WGS84:
        return
    (west, east), (south, north) = _edges(grid)
    x, y = (
        axis.ravel()
        for axis in np.meshgrid(
            np.linspace(west, east, _POINTS), np.linspace(south, north, _POINTS)
        )
    )
    try:
        there = transformer(grid, _DEGREES)
        degrees = there.transform(x, y)
        back = there.transform(*degrees, direction=TransformDirection.INVERSE)
    except (CRSError, ProjError) as error:
        raise RefusedInput(
            f"nobody knows the way from its coordinate reference system ({grid.name}) to degrees: it is "
            "damaged, local or of another planet; write the right one with gdal_edit -a_srs"
        ) from error
    cell = max(grid.cell)
    with np.errstate(invalid="ignore"):
        found = (abs(back[0] - x) < cell) & (abs(back[1] - y) < cell)
    if not found.any():
        raise RefusedInput(
            f"reaches from {west:g} to {east:g} and {south:g} to {north:g} in its reference system "
            f"({grid.name.partition('(')[0]}), which is nowhere on Earth"
        )
    if not grid.crs.geographic and max(-west, east) <= 360 and max(-south, north) <= 90:  # noqa: PLR2004 - degrees
        raise RefusedInput(
            f"reaches from {west:g} to {east:g} and {south:g} to {north:g}: these are degrees, its "
            f"reference system ({grid.name.partition('(')[0]}) counts metres"
        )


def _edges(grid: Grid) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return west and east, south and north, in units of the reference system."""
    rows, columns = grid.shape
    t = grid.transform
    return (t.c, t.c + columns * t.a), (t.f + rows * t.e, t.f)
