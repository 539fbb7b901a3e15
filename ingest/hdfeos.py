"""HDF-EOS: the texts inside a granule that say what it is, and the tile that it covers.

Both generations (HDF4 and HDF5) carry the same texts in ODL, the Object Description Language:
``StructMetadata`` describes grids, ``CoreMetadata`` and ``ArchiveMetadata`` the granule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final

import h5py

from ingest.hdf4 import Hdf4, hdf4
from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid, grid, sinusoidal_tile
from smcatalog.core.time import Period, julian

__all__ = [
    "EosGrid",
    "TileGranule",
    "hdf5_short_name",
    "inventory",
    "short_name",
    "structure",
    "tile_granule",
]

_RADIUS: Final = 6371007.181
"""Of the sphere of the sinusoidal grid [m]."""
_PIXELS: Final = 1200
_STRAY: Final = 0.01
"""Pixels by which a corner may miss the lattice: the providers round to a micrometre or a metre."""
_STEM = re.compile(r"^(?P<product>[A-Z][A-Z0-9]+)\.A(?P<day>\d{7})\.h(?P<h>\d{2})v(?P<v>\d{2})\.")
_TILE = re.compile(r"(?<![A-Za-z0-9])h(?P<h>\d{2})v(?P<v>\d{2})(?![A-Za-z0-9])")
_LINE = re.compile(r"^\s*(?P<key>\w+)\s*=\s*(?P<value>.*?)\s*$")


@dataclass(frozen=True, slots=True)
class EosGrid:
    """A grid as ``StructMetadata`` describes it.

    Parameters
    ----------
    name : str
        Its name; in HDF4 part of its dimensions' names too.
    shape : (int, int)
        Rows, columns.
    upper_left, lower_right : (float, float)
        Outer corners, x and y [m].
    projection : str
        Code of the projection, such as ``GCTP_SNSOID``.
    radius : float
        First parameter of the projection: radius of the sphere [m].
    """

    name: str
    shape: tuple[int, int]
    upper_left: tuple[float, float]
    lower_right: tuple[float, float]
    projection: str
    radius: float


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


def inventory(text: str) -> dict[str, str]:
    """Return the values of an ODL text, by name of their object.

    Additional attributes are found by their own names. Of objects that come more than once the
    first counts. Quotes are taken off; lists stay as they are written.
    """
    found: dict[str, str] = {}
    names: list[str] = []
    additional, unclosed = "", False
    for line in text.splitlines():
        if unclosed:  # a list over several lines
            unclosed = ")" not in line
            continue
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match["key"], match["value"]
        unclosed = value.startswith("(") and not value.endswith(")")
        value = value.strip('"')
        if key == "OBJECT":
            names.append(value)
        elif key == "END_OBJECT" and names:
            names.pop()
        elif key == "VALUE" and names:
            if names[-1] == "ADDITIONALATTRIBUTENAME":
                additional = value
            name = additional if names[-1] == "PARAMETERVALUE" and additional else names[-1]
            found.setdefault(name, value)
    return found


def structure(text: str) -> list[EosGrid]:
    """Return the grids that a ``StructMetadata`` describes.

    Raises
    ------
    RefusedInput
        When a description is incomplete or its numbers are none.
    """
    parts = re.split(r"^\s*GROUP=GRID_\d+\s*$", text, flags=re.MULTILINE)[1:]
    return [_grid(part) for part in parts]


def _grid(text: str) -> EosGrid:
    values: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            values.setdefault(match["key"], match["value"])

    def numbers(key: str, count: int) -> list[float]:
        return [float(x) for x in values[key].strip("()").split(",")[:count]]

    with refusing("describes its grid incompletely", (KeyError, ValueError)):
        x0, y0 = numbers("UpperLeftPointMtrs", 2)
        x1, y1 = numbers("LowerRightMtrs", 2)
        return EosGrid(
            name=values["GridName"].strip('"'),
            shape=(int(values["YDim"]), int(values["XDim"])),
            upper_left=(x0, y0),
            lower_right=(x1, y1),
            projection=values["Projection"],
            radius=numbers("ProjParams", 1)[0],
        )


@dataclass(frozen=True, slots=True)
class _Texts:
    """What is written inside a file, empty where nothing is; or why it cannot be read."""

    values: dict[str, str]
    structure: str
    refusal: str = ""


def _texts(path: Path) -> _Texts:
    with refusing("cannot be read", (OSError,)):
        state = path.stat()
    texts = _read_texts(path, state.st_size, state.st_mtime_ns)
    if texts.refusal:
        raise RefusedInput(texts.refusal)
    return texts


@lru_cache(maxsize=8)
def _read_texts(path: Path, size: int, modified_ns: int) -> _Texts:  # noqa: ARG001 - the key of the cache
    try:
        with hdf4(path) as file:
            return _Texts(_values(file), file.text("StructMetadata"))
    except RefusedInput as error:  # remembered, or every reader would try it anew
        return _Texts({}, "", error.reason)


def _values(file: Hdf4) -> dict[str, str]:
    # subsetters keep the texts of the whole granule under other names
    core = file.text("CoreMetadata") or file.text("OldCoreMetadata")
    archive = file.text("ArchiveMetadata") or file.text("OldArchiveMetadata")
    return inventory(archive) | inventory(core)


def short_name(path: Path) -> str | None:
    """Return the provider's short name of an HDF4-EOS granule's product.

    None when the file is of another format, broken, or does not say it.
    """
    try:
        return _texts(path).values.get("SHORTNAME")
    except RefusedInput:
        return None


def hdf5_short_name(path: Path) -> str | None:
    """Return the short name of an HDF5-EOS granule's product; None as `short_name`."""
    try:
        with refusing("is no sound HDF5 file"), h5py.File(path, "r") as file:
            name = file.attrs.get("ShortName")
    except RefusedInput:
        return None
    return name.decode(errors="replace") if isinstance(name, bytes) else None


def tile_granule(path: Path, delivered: str = "") -> TileGranule:
    """Return which tile and days an HDF4-EOS granule of 1 km covers, checked against each other.

    Parameters
    ----------
    delivered : str
        The name it was delivered under; what it says must agree with what is inside.

    Raises
    ------
    RefusedInput
        When something is missing inside, or tile, corners, day and names contradict each other.
    """
    texts = _texts(path)
    values = texts.values
    name = _value(values, "LOCALGRANULEID").removesuffix(".hdf")
    period = _period(values)
    with refusing("names no tile", (ValueError,)):
        tile = (
            int(_value(values, "HORIZONTALTILENUMBER")),
            int(_value(values, "VERTICALTILENUMBER")),
        )
    product = _value(values, "SHORTNAME")
    for title, said in (("its name", delivered), ("its LOCALGRANULEID", name)):
        _agree(title, said, product, period, tile)
    described = structure(texts.structure)
    if len(described) != 1:
        raise RefusedInput(f"describes {len(described)} grids, expected one")
    return TileGranule(name, period, _window(described[0], tile))


def _value(values: dict[str, str], key: str) -> str:
    if not values.get(key):
        raise RefusedInput(f"does not say its {key}: its metadata are cut or damaged")
    return values[key]


def _period(values: dict[str, str]) -> Period:
    days = []
    for key in ("RANGEBEGINNINGDATE", "RANGEENDINGDATE"):
        with refusing(f"its {key} is no day", (ValueError,)):
            days.append(date.fromisoformat(_value(values, key)))
    first, last = days
    if last < first:
        raise RefusedInput(f"covers {first} to {last}: it ends before it begins")
    return Period.of_days(first, last)


def _agree(title: str, said: str, product: str, period: Period, tile: tuple[int, int]) -> None:
    """Check what a name says, as far as it says anything: a renamed file is read all the same."""
    if match := _STEM.match(said):
        wanted = (product, julian(period.start.date()))
        if (match["product"], match["day"]) != wanted:
            raise RefusedInput(
                f"{title} says {match['product']} of {match['day']}, inside it is {wanted[0]} of "
                f"{wanted[1]}: files mixed up"
            )
    for match in _TILE.finditer(said):
        if (int(match["h"]), int(match["v"])) != tile:
            raise RefusedInput(
                f"{title} says tile {match[0]}, inside it is {_tile_name(tile)}: files mixed up"
            )


def _tile_name(tile: tuple[int, int]) -> str:
    return f"h{tile[0]:02d}v{tile[1]:02d}"


def _window(described: EosGrid, tile: tuple[int, int]) -> Grid:
    """Return the described grid as a window of the global one.

    Raises
    ------
    RefusedInput
        When it is no part of the tile, or its pixels are not those of the global grid.
    """
    if described.projection != "GCTP_SNSOID" or abs(described.radius - _RADIUS) > _STRAY:
        raise RefusedInput(
            f"its grid is {described.projection} on a sphere of {described.radius:g} m, expected "
            "the sinusoidal one of MODIS: fetch the granule unprojected"
        )
    try:
        whole = sinusoidal_tile(*tile, _PIXELS)
    except UsageError as error:
        raise RefusedInput(f"names a tile that there is not: {error}") from error
    world, cell = grid(whole.base), whole.cell[0]
    x0, y0 = ((x - c) / cell for x, c in zip(described.upper_left, _origin(world), strict=True))
    x1, y1 = ((x - c) / cell for x, c in zip(described.lower_right, _origin(world), strict=True))
    rows, columns = described.shape
    column, row = round(x0), round(-y0)
    stray = max(abs(x0 - column), abs(-y0 - row), abs(x1 - column - columns), abs(-y1 - row - rows))
    if stray > _STRAY:
        raise RefusedInput(
            f"its {rows} x {columns} pixels are not those of the sinusoidal grid (off by {stray:.2f} "
            "pixels): cut out and moved by a subsetter; fetch the whole granule"
        )
    top, left = row - whole.row, column - whole.column
    if top < 0 or left < 0 or top + rows > _PIXELS or left + columns > _PIXELS:
        corner = (column // _PIXELS, row // _PIXELS)
        raise RefusedInput(
            f"its corners lie in tile {_tile_name(corner)}, its metadata say {_tile_name(tile)}: "
            "files mixed up or damaged"
        )
    return whole.window(slice(top, top + rows), slice(left, left + columns))


def _origin(world: Grid) -> tuple[float, float]:
    return world.transform.c, world.transform.f
