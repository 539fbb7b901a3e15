"""A published map as a value: what the catalogue knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from smcatalog.core.grids import Grid
from smcatalog.core.stations import Depth
from smcatalog.core.time import Period, julian

__all__ = ["MapFile", "MapStatus", "PublishedMap", "item_id"]


class MapStatus(StrEnum):
    """Whether a day may still be made again when its look-ahead closes."""

    PROVISIONAL = "provisional"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class MapFile:
    """One file of a map in the store.

    Parameters
    ----------
    kind : str
        Name of the `AssetKind`: ``soil_moisture``, ``uncertainty``, ``quality``.
    key : str
        Store-relative key, with forward slashes.
    sha256 : str
        Hexadecimal.
    size : int
        Bytes.
    """

    kind: str
    key: str
    sha256: str
    size: int


def item_id(product: str, period: Period, version: int, revision: int) -> str:
    """Return the identifier of a map's item: product, Julian day, version and revision.

    Examples
    --------
    >>> from datetime import date
    >>> item_id("yanco", Period.of_day(date(2018, 8, 2)), 1, 2)
    'yanco_2018214_v1r2'
    """
    return f"{product}_{julian(period.day)}_v{version}r{revision}"


@dataclass(frozen=True, slots=True)
class PublishedMap:
    """A product version's map of one day.

    Parameters
    ----------
    product : str
        Name of the product, which is also its collection.
    version : int
        Number of the product version, from 1.
    revision : int
        How often this version's map of the day was published, from 1.
    period : Period
        What the map covers; it is dated by ``period.day``.
    grid : Grid
        Its grid.
    depths : tuple of Depth
        One a band.
    files : tuple of MapFile
        In the order of `asset_kinds`.
    status : MapStatus
        Provisional or final.
    fingerprint : str
        Of all inputs, parameters and the algorithm's version.
    model : str
        Fingerprint of the model that made it.
    published_at : datetime
        UTC.
    predecessor, successor : str or None
        Item identifiers of the map that this one replaces and of the one that replaces it.
    withdrawn : str or None
        Why it was withdrawn; None if it was not. A withdrawn map has a successor once another one of
        its day is published.
    """

    product: str
    version: int
    revision: int
    period: Period
    grid: Grid
    depths: tuple[Depth, ...]
    files: tuple[MapFile, ...]
    status: MapStatus
    fingerprint: str
    model: str
    published_at: datetime
    predecessor: str | None = None
    successor: str | None = None
    withdrawn: str | None = None

    @property
    def item_id(self) -> str:
        """Identifier of the map's STAC item."""
        return item_id(self.product, self.period, self.version, self.revision)

    @property
    def deprecated(self) -> bool:
        """Whether this map is no longer in force: another one has replaced it, or it was withdrawn."""
        return self.successor is not None or self.withdrawn is not None
