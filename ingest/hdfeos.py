"""HDF-EOS: the texts inside a granule that say what it is and describe its grid.

Both generations (HDF4 and HDF5) carry the same texts in ODL, the Object Description Language:
``StructMetadata`` describes grids, ``CoreMetadata`` and ``ArchiveMetadata`` the granule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final

import h5py

from ingest.hdf4 import Hdf4, hdf4
from ingest.hdf5 import check_heaps
from ingest.refusal import refusing
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.time import Period, julian, parse_day

__all__ = [
    "Described",
    "EosGrid",
    "check_upright",
    "described",
    "inventory",
    "short_name",
    "structure",
]

_DEGREES: Final = "GCTP_GEO"
_STEM = re.compile(r"^(?P<product>[A-Z][A-Z0-9]+)\.A(?P<day>\d{7})\.(?:h\d{2}v\d{2}|\d{3})\.")
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
        Outer corners, x and y [m]; of a grid in degrees as they are written.
    projection : str
        Code of the projection, such as ``GCTP_SNSOID``.
    radius : float
        First parameter of the projection: radius of the sphere [m]; 0 for degrees.
    """

    name: str
    shape: tuple[int, int]
    upper_left: tuple[float, float]
    lower_right: tuple[float, float]
    projection: str
    radius: float


@dataclass(frozen=True, slots=True)
class Described:
    """A granule of one grid, by what is written inside.

    Parameters
    ----------
    name : str
        The provider's name without suffix.
    period : Period
        Days covered.
    grid : EosGrid
        As the file describes it.
    values : mapping of str to str
        All that it says of itself, by `inventory`.
    """

    name: str
    period: Period
    grid: EosGrid
    values: Mapping[str, str]

    def value(self, key: str) -> str:
        """Return what it says under a name; refuse it when it says nothing."""
        return _value(self.values, key)


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
            projection=values["Projection"].removeprefix("HE5_"),
            radius=0.0 if values["Projection"] == _DEGREES else numbers("ProjParams", 1)[0],
        )


def check_upright(told: EosGrid) -> None:
    """Refuse a grid whose corners say that its rows or columns run the wrong way."""
    (x0, y0), (x1, y1) = told.upper_left, told.lower_right
    if y1 > y0:
        raise RefusedInput(
            f"its rows run from south to north, from {y0:g} to {y1:g}: turned upside down, or its corners "
            "are mixed up; fetch it again"
        )
    if x1 < x0:
        raise RefusedInput(
            f"its columns run from east to west, from {x0:g} to {x1:g}: mirrored, or its corners are "
            "mixed up; fetch it again"
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
        if sniff(head(path)) is Format.HDF5:
            return _hdf5_texts(path)
        with hdf4(path) as file:
            return _Texts(_values(file), file.text("StructMetadata"))
    except RefusedInput as error:  # remembered, or every reader would try it anew
        return _Texts({}, "", error.reason)


def _values(file: Hdf4) -> dict[str, str]:
    # subsetters keep the texts of the whole granule under other names
    core = file.text("CoreMetadata") or file.text("OldCoreMetadata")
    archive = file.text("ArchiveMetadata") or file.text("OldArchiveMetadata")
    return inventory(archive) | inventory(core)


def _hdf5_texts(path: Path) -> _Texts:
    check_heaps(path)
    with refusing("is a broken or truncated HDF5 file"), h5py.File(path, "r") as file:
        core, archive, grids = (
            _hdf5_text(file, f"{name}Metadata") for name in ("Core", "Archive", "Struct")
        )
        values = inventory(archive) | inventory(core)
        named = file.attrs.get("ShortName")  # some products have it here alone
        if isinstance(named, bytes):
            values.setdefault("SHORTNAME", named.decode(errors="replace"))
        return _Texts(values, grids)


def _hdf5_text(file: h5py.File, name: str) -> str:
    """Return a text that is stored in pieces ``name.0``, ``name.1``, …; "" if absent."""
    pieces: list[str] = []
    while isinstance(
        data := file.get(f"HDFEOS INFORMATION/{name}.{len(pieces)}"), h5py.Dataset
    ) and isinstance(piece := data[()], bytes):
        pieces.append(piece.decode(errors="replace").rstrip("\0"))
    return "".join(pieces)


def short_name(path: Path) -> str | None:
    """Return the provider's short name of an HDF-EOS granule's product, of either generation.

    None when the file is of another format, broken, or does not say it.
    """
    try:
        return _texts(path).values.get("SHORTNAME")
    except RefusedInput:
        return None


def described(path: Path, delivered: str = "", *, named_day: bool = False) -> Described:
    """Return which days and grid an HDF-EOS granule covers, checked against its names.

    Parameters
    ----------
    delivered : str
        The name it was delivered under; what it says must agree with what is inside.
    named_day : bool
        Whether it is of the one day that its LOCALGRANULEID names, among those that were looked at
        to make it.

    Raises
    ------
    RefusedInput
        When something is missing inside, or day and names contradict each other.
    """
    texts = _texts(path)
    name = _value(texts.values, "LOCALGRANULEID").removesuffix(".hdf").removesuffix(".h5")
    period = _period(texts.values)
    if named_day:
        period = _named_day(name, period)
    product = _value(texts.values, "SHORTNAME")
    for title, said in (("its name", delivered), ("its LOCALGRANULEID", name)):
        _agree_on_day(title, said, product, period)
    grids = structure(texts.structure)
    if len(grids) != 1:
        raise RefusedInput(f"describes {len(grids)} grids, expected one")
    return Described(name, period, grids[0], texts.values)


def _value(values: Mapping[str, str], key: str) -> str:
    if not values.get(key):
        raise RefusedInput(f"does not say its {key}: its metadata are cut or damaged")
    return values[key]


def _period(values: Mapping[str, str]) -> Period:
    days = []
    for key in ("RANGEBEGINNINGDATE", "RANGEENDINGDATE"):
        with refusing(f"its {key} is no day", (ValueError,)):
            days.append(date.fromisoformat(_value(values, key)))
    first, last = days
    if last < first:
        raise RefusedInput(f"covers {first} to {last}: it ends before it begins")
    return Period.of_days(first, last)


def _named_day(name: str, period: Period) -> Period:
    """Return the day of a name, which must be one of a period's."""
    match = _STEM.match(f"{name}.")
    with refusing(f"its LOCALGRANULEID {name} names no day", (UsageError,)):
        day = Period.of_day(parse_day(match["day"] if match else ""))
    if day.start < period.start or day.end > period.end:
        raise RefusedInput(
            f"its LOCALGRANULEID says {match and match['day']}, inside it covers {period}: files mixed up"
        )
    return day


def _agree_on_day(title: str, said: str, product: str, period: Period) -> None:
    """Check what a name says, as far as it says anything: a renamed file is read all the same."""
    if match := _STEM.match(said):
        wanted = (product, julian(period.start.date()))
        if (match["product"], match["day"]) != wanted:
            raise RefusedInput(
                f"{title} says {match['product']} of {match['day']}, inside it is {wanted[0]} of "
                f"{wanted[1]}: files mixed up"
            )
