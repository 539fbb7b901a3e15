"""Zones: numbered, named areas of a set, such as terrain classes, basins or climate regions."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Final

from smcatalog.core.errors import UsageError
from smcatalog.core.variables import LAYER_NODATA

__all__ = ["HIGHEST_NUMBER", "Zone", "ZoneSet", "zone_set_name"]

HIGHEST_NUMBER: Final = LAYER_NODATA - 1
"""Of a zone: numbers are stored in layers."""


def zone_set_name(text: str) -> str:
    """Turn a text into the name of a set: lower case, letters of any alphabet, digits, ``_`` and ``-``.

    Returns
    -------
    str
        Empty when the text has no letter or digit.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[^\w]+", "-", plain).strip("-_")


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone.

    Parameters
    ----------
    number : int
        From 1 on, unique within the set.
    label : str
        Name for people.
    wkb : bytes
        Its MultiPolygon in longitude and latitude (EPSG:4326) as well-known binary: two
        dimensions, little-endian, in normal form, so that equal areas are equal bytes.
    mended : bool
        Whether its polygon was made valid here: a ring of it touched itself as it was delivered.

    Raises
    ------
    UsageError
        When the number is not 1 to 65534 or the label is empty.
    """

    number: int
    label: str
    wkb: bytes
    mended: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.number <= HIGHEST_NUMBER:
            raise UsageError(
                f"zones are numbered from 1 to {HIGHEST_NUMBER}, '{self.label}' has {self.number}"
            )
        if not self.label.strip() or "\0" in self.label:
            raise UsageError(f"zone {self.number} needs a label, got {self.label!r}")


@dataclass(frozen=True, slots=True)
class ZoneSet:
    """The zones of one division of the land.

    Parameters
    ----------
    name : str
        As `zone_set_name` gives it.
    zones : tuple of Zone
        At least one, in the order of their numbers.

    Raises
    ------
    UsageError
        When the name is not one, there is no zone, or two have one number.
    """

    name: str
    zones: tuple[Zone, ...]

    def __post_init__(self) -> None:
        if not self.name or self.name != zone_set_name(self.name):
            raise UsageError(f"a set of zones cannot be called '{self.name}'")
        numbers = [zone.number for zone in self.zones]
        if not numbers:
            raise UsageError(f"the set {self.name} has no zone")
        if len(set(numbers)) < len(numbers):
            twice = next(n for n, count in Counter(numbers).items() if count > 1)
            raise UsageError(f"the set {self.name} has more than one zone of number {twice}")
        if numbers != sorted(numbers):
            object.__setattr__(self, "zones", tuple(sorted(self.zones, key=lambda z: z.number)))
