"""HDF-EOS granules of one tile of the sinusoidal grid: the land products of MODIS and VIIRS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from ingest.hdfeos import EosGrid, check_upright, described, short_name
from ingest.reader import Identity
from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid, grid, sinusoidal_tile
from smcatalog.core.time import DAY, Period

__all__ = ["DailyTileReader", "TileGranule", "TileReader", "tile_granule"]

_RADIUS: Final = 6371007.181
"""Of the sphere of the sinusoidal grid [m]."""
_PIXELS: Final = (1200, 2400)
"""Along an edge of a tile: 926.6 m or 463.3 m wide."""
_TILE_WIDTH: Final = 1111950.5196666666
"""Of the sinusoidal grid [m]."""
_STRAY: Final = 0.01
"""Pixels by which a corner may miss the lattice: the providers round to a micrometre or a metre."""
_SUBJECT: Final = 3
"""Parts of a name before collection and time of production: product, day, tile."""
_TILE = re.compile(r"(?<![A-Za-z0-9])h(?P<h>\d{2})v(?P<v>\d{2})(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class TileGranule:
    """A granule of one sinusoidal tile, by what is written inside.

    Parameters
    ----------
    name : str
        The provider's name without suffix.
    period : Period
        Days covered.
    grid : Grid
        The tile, or the window of it that the file holds.
    """

    name: str
    period: Period
    grid: Grid

    def identity(self, source: str) -> Identity:
        """Return which granule it is: ``SOURCE.AYYYYDDD.hHHvVV`` produced at a time, anew at another."""
        parts = self.name.split(".")
        subject = ".".join(parts[:_SUBJECT])
        return Identity(source, self.name, self.period, subject, ".".join(parts[_SUBJECT:]))


@dataclass(frozen=True, slots=True)
class TileReader:
    """What readers of tiles share: they know theirs by the short name inside.

    Parameters
    ----------
    source : str
        The provider's short name.
    title : str
        What the source is.
    """

    named_day: ClassVar[bool] = False
    """Whether a granule is of the one day that it is named after; see `ingest.hdfeos.described`."""

    source: str
    title: str

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the product by the short name inside."""
        if short_name(path) != self.source:
            return None
        return self.granule(path, name).identity(self.source)

    def granule(self, path: Path, name: str = "") -> TileGranule:
        """Return which tile and days a file of the product covers, checked."""
        return tile_granule(path, name, named_day=self.named_day)


class DailyTileReader(TileReader):
    """A reader of tiles that hold one day each."""

    def granule(self, path: Path, name: str = "") -> TileGranule:
        """Return which tile and day a file of the product covers, checked."""
        granule = super().granule(path, name)
        if granule.period.end - granule.period.start != DAY:
            raise RefusedInput(f"covers {granule.period}, expected one day")
        return granule


def tile_granule(path: Path, delivered: str = "", *, named_day: bool = False) -> TileGranule:
    """Return which tile and days an HDF-EOS granule covers, checked against each other.

    Parameters
    ----------
    delivered, named_day
        As for `ingest.hdfeos.described`.

    Raises
    ------
    RefusedInput
        When something is missing inside, or tile, corners, day and names contradict each other, or
        the pixels are not those of tiles of 1 km or 500 m.
    """
    found = described(path, delivered, named_day=named_day)
    with refusing("names no tile", (ValueError,)):
        tile = (
            int(found.value("HORIZONTALTILENUMBER")),
            int(found.value("VERTICALTILENUMBER")),
        )
    for title, said in (("its name", delivered), ("its LOCALGRANULEID", found.name)):
        _agree_on_tile(title, said, tile)
    return TileGranule(found.name, found.period, _window(found.grid, tile))


def _agree_on_tile(title: str, said: str, tile: tuple[int, int]) -> None:
    for match in _TILE.finditer(said):
        if (int(match["h"]), int(match["v"])) != tile:
            raise RefusedInput(
                f"{title} says tile {match[0]}, inside it is {_tile_name(tile)}: files mixed up"
            )


def _tile_name(tile: tuple[int, int]) -> str:
    return f"h{tile[0]:02d}v{tile[1]:02d}"


def _window(told: EosGrid, tile: tuple[int, int]) -> Grid:
    """Return the described grid as a window of the global one.

    Raises
    ------
    RefusedInput
        When it is no part of the tile, or its pixels are not those of the global grid.
    """
    if told.projection != "GCTP_SNSOID" or abs(told.radius - _RADIUS) > _STRAY:
        raise RefusedInput(
            f"its grid is {told.projection} on a sphere of {told.radius:g} m, expected "
            "the sinusoidal one of MODIS: fetch the granule unprojected"
        )
    check_upright(told)
    width = (told.lower_right[0] - told.upper_left[0]) / max(told.shape[1], 1)
    # of the sizes that there are the nearest: whether it is this one, the corners will say
    pixels = min(_PIXELS, key=lambda n: abs(n * width - _TILE_WIDTH))
    try:
        whole = sinusoidal_tile(*tile, pixels)
    except UsageError as error:
        raise RefusedInput(f"names a tile that there is not: {error}") from error
    world, cell = grid(whole.base), whole.cell[0]
    x0, y0 = ((x - c) / cell for x, c in zip(told.upper_left, _origin(world), strict=True))
    x1, y1 = ((x - c) / cell for x, c in zip(told.lower_right, _origin(world), strict=True))
    rows, columns = told.shape
    column, row = round(x0), round(-y0)
    stray = max(abs(x0 - column), abs(-y0 - row), abs(x1 - column - columns), abs(-y1 - row - rows))
    if stray > _STRAY:
        raise RefusedInput(
            f"its {rows} x {columns} pixels are not those of the sinusoidal grid (off by {stray:.2f} "
            "pixels): cut out and moved by a subsetter; fetch the whole granule"
        )
    top, left = row - whole.row, column - whole.column
    if top < 0 or left < 0 or top + rows > pixels or left + columns > pixels:
        corner = (column // pixels, row // pixels)
        raise RefusedInput(
            f"its corners lie in tile {_tile_name(corner)}, its metadata say {_tile_name(tile)}: "
            "files mixed up or damaged"
        )
    return whole.window(slice(top, top + rows), slice(left, left + columns))


def _origin(world: Grid) -> tuple[float, float]:
    return world.transform.c, world.transform.f
