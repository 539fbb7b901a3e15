"""What a reader is: it knows its files by their content and yields values from them.

A reader is one module under ``ingest.sources`` or ``ingest.stations`` with an object that has the
shape of `Reader`. It never writes, never touches the database and holds at most one tile or
day in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smcatalog.core.raster import Raster
from smcatalog.core.stations import Site, StationSeries
from smcatalog.core.time import Period
from smcatalog.core.zones import ZoneSet

__all__ = ["Identity", "Reader", "Yield"]

Yield = Raster | StationSeries | Site | ZoneSet
"""What readers deliver."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which granule a file is.

    Parameters
    ----------
    source : str
        Name of the product family, as `Reader.source`; with a name behind a colon where one family
        has several sets of layers that stand side by side, as ``zones:basins``.
    name : str
        The provider's name of the granule; from inside the file where it is written there.
    period : Period or None
        What the granule covers, if that is known without reading all of it.
    subject : str
        What stays the same when the provider produces the granule anew: its name without release
        and time of production. Empty: the name itself.
    production : str
        Release or time of production; of one subject the later text is the newer granule.
    """

    source: str
    name: str
    period: Period | None = None
    subject: str = ""
    production: str = ""


class Reader(Protocol):
    """Reads the files of one source."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        ...

    @property
    def title(self) -> str:
        """What the source is, in a few words for a person."""
        ...

    def identify(self, path: Path, name: str) -> Identity | None:
        """Say which granule a file is, or None when it is not of this source.

        Cheap: looks at the first bytes and the structure, not at the data.

        Parameters
        ----------
        path : Path
            A readable regular file on disk.
        name : str
            The name it was delivered under; differs from ``path.name`` for a zip's member.

        Raises
        ------
        RefusedInput
            When the file is of this source beyond doubt and yet broken.
        """
        ...

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield the granule's values, in canonical variables, units and UTC.

        Raises
        ------
        RefusedInput
            When the content is truncated, empty, out of range or contradicts itself. What was
            yielded before is discarded by the caller: a granule goes in whole or not at all.
        """
        ...
