"""HDF-EOS granules of the whole globe in degrees: the climate modelling grids of the MODIS products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.hdfeos import EosGrid, check_upright, described
from ingest.reader import Identity
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from smcatalog.core.time import Period

__all__ = ["GlobeGranule", "globe_granule"]

_STRAY: Final = 0.01
"""Cells by which a corner may miss the lattice."""
_FULL_TURN: Final = 360.0
_SUBJECT: Final = 2
"""Parts of a name before collection and time of production: product and day."""


@dataclass(frozen=True, slots=True)
class GlobeGranule:
    """A granule of the globe, or of a part cut out of it, by what is written inside.

    Parameters
    ----------
    name : str
        The provider's name without suffix.
    period : Period
        Days covered.
    grid : Grid
        Window of the global grid in degrees.
    """

    name: str
    period: Period
    grid: Grid

    def identity(self, source: str) -> Identity:
        """Return which granule it is: ``SOURCE.AYYYYDDD`` produced at a time, anew at another."""
        parts = self.name.split(".")
        subject = ".".join(parts[:_SUBJECT])
        return Identity(source, self.name, self.period, subject, ".".join(parts[_SUBJECT:]))


def globe_granule(
    path: Path, per_degree: int, delivered: str = "", *, named_day: bool = False
) -> GlobeGranule:
    """Return which days and part of the globe an HDF4-EOS granule covers, checked against its names.

    Parameters
    ----------
    per_degree : int
        Cells of the product's grid in a degree.
    delivered, named_day
        As for `ingest.hdfeos.described`.

    Raises
    ------
    RefusedInput
        When something is missing inside, day and names contradict each other, or the cells are not
        those of the global grid.
    """
    found = described(path, delivered, named_day=named_day)
    return GlobeGranule(found.name, found.period, _window(found.grid, per_degree))


def _window(told: EosGrid, per_degree: int) -> Grid:
    if told.projection != "GCTP_GEO":
        raise RefusedInput(
            f"its grid is {told.projection}, expected one in degrees (GCTP_GEO): fetch it unprojected"
        )
    check_upright(told)
    whole = Grid.latlon(-180, 90, 1 / per_degree, (180 * per_degree, 360 * per_degree))
    corners = [*told.upper_left, *told.lower_right]
    if any(abs(x) > _FULL_TURN for x in corners):
        corners = [_unpacked(x) for x in corners]
    west, north, east, south = corners
    x0, x1 = (west + 180) * per_degree, (east + 180) * per_degree
    y0, y1 = (90 - north) * per_degree, (90 - south) * per_degree
    rows, columns = told.shape
    row, column = round(y0), round(x0)
    stray = max(abs(x0 - column), abs(y0 - row), abs(x1 - column - columns), abs(y1 - row - rows))
    if stray > _STRAY:
        raise RefusedInput(
            f"its {rows} x {columns} cells are not those of the global grid of 1/{per_degree} degree "
            f"(off by {stray:.2f} cells): cut out and moved by a subsetter; fetch the whole granule"
        )
    height, width = whole.shape
    if min(row, column) < 0 or row + rows > height or column + columns > width:
        raise RefusedInput(
            f"its corners {west:g}, {north:g} and {east:g}, {south:g} are not on the globe"
        )
    return whole.window(slice(row, row + rows), slice(column, column + columns))


def _unpacked(packed: float) -> float:
    """Return degrees of an angle packed as ``DDDMMMSSS.SS``; some products write plain degrees."""
    angle = abs(packed)
    degrees, rest = divmod(angle, 1_000_000)
    minutes, seconds = divmod(rest, 1000)
    return math.copysign(degrees + minutes / 60 + seconds / 3600, packed)
