"""What is asked for, what a provider has of it, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import BBox
from smcatalog.database.inputs import GranuleRecord

__all__ = [
    "AcquireReport",
    "FileReport",
    "Held",
    "Order",
    "Outcome",
    "Remote",
    "Request",
    "parse_region",
]

_EDGES = 4
_MOST_EAST, _MOST_NORTH = 180.0, 90.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for of a source.

    Parameters
    ----------
    source : str
        Our name of it.
    first, last : date or None
        Days, both included; None for static data.
    bbox : (west, south, east, north) or None
        Region in degrees; a west beyond the east crosses the 180th meridian. None: everywhere.
    variables : frozenset of str
        Canonical variables that are needed, where a source is delivered in parts; empty: all.
    """

    source: str
    first: date | None
    last: date | None
    bbox: BBox | None
    variables: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None and self.last < self.first:
            raise UsageError(f"the last day {self.last} is before the first day {self.first}")


@dataclass(frozen=True, slots=True)
class Order:
    """What a provider makes a file of on request.

    Parameters
    ----------
    dataset : str
        The provider's name.
    inputs : mapping
        The request in the provider's words.
    """

    dataset: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remote:
    """A file at its provider.

    Parameters
    ----------
    source : str
        Our name of the source.
    name : str
        File name.
    day : date or None
        First day that it covers.
    url : str
        Where it is; empty as long as it is to be ordered.
    size : int or None
        Exact bytes, where the provider says them.
    estimate : int
        Bytes, roughly, where it does not; 0 for unknown.
    algorithm, checksum : str
        Checksum and its kind as `hashlib` calls it; empty if there is none.
    order : Order or None
        By which it is made.
    """

    source: str
    name: str
    day: date | None = None
    url: str = ""
    size: int | None = None
    estimate: int = 0
    algorithm: str = ""
    checksum: str = ""
    order: Order | None = None

    @property
    def bytes(self) -> int:
        """Bytes that it takes, as far as they are known."""
        return self.estimate if self.size is None else self.size


@dataclass(frozen=True, slots=True)
class Held:
    """What is here already.

    Parameters
    ----------
    recorded : tuple of GranuleRecord
        Granules of the source that the database knows.
    files : mapping of str to int
        Complete files in the target folder and their bytes.
    days : mapping of str to set of date
        Of a variable the days that have a layer of the source which covers the region.
    """

    recorded: tuple[GranuleRecord, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    days: Mapping[str, frozenset[date]] = field(default_factory=dict)


class Outcome(StrEnum):
    """What became of a file."""

    FETCHED = "fetched"
    THERE = "there"
    """Complete in the target folder before."""
    KNOWN = "known"
    """In the database before."""
    WANTED = "wanted"
    """To be fetched: it was only asked what would be."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of a file, or, without a name, of a whole source.

    Parameters
    ----------
    source : str
        Our name of the source.
    name : str
        File name; empty when all of the source could not be had.
    outcome : Outcome
        What became of it.
    bytes : int
        Its length; of a wanted file as far as it is known.
    reason : str
        Why it could not be had.
    """

    source: str
    name: str
    outcome: Outcome
    bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AcquireReport:
    """What became of everything that was asked for.

    Parameters
    ----------
    files : tuple of FileReport
        One entry a file.
    folders : tuple of Path
        Where files of this request lie that are not in the database yet.
    """

    files: tuple[FileReport, ...]
    folders: tuple[Path, ...] = ()

    def of(self, outcome: Outcome) -> list[FileReport]:
        """Return the files of an outcome."""
        return [file for file in self.files if file.outcome is outcome]

    def bytes_of(self, outcome: Outcome) -> int:
        """Return the bytes of the files of an outcome."""
        return sum(file.bytes for file in self.of(outcome))


def parse_region(text: str) -> BBox:
    """Read a region written as ``W,S,E,N`` in degrees.

    Raises
    ------
    UsageError
        When it is anything else.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != _EDGES:
        raise UsageError(f"'{text}' is not a region: write it as W,S,E,N in degrees, 104,36,108,40")
    west, south, east, north = values
    if not (-_MOST_NORTH <= south < north <= _MOST_NORTH):
        raise UsageError(f"the region {text} must reach from a south to a north of it, within ±90°")
    if west == east or not all(-_MOST_EAST <= edge <= _MOST_EAST for edge in (west, east)):
        raise UsageError(f"the region {text} must have a west and an east within ±180°")
    return west, south, east, north
