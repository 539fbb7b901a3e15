"""The part of ingesting that needs no database: a file is read, checked, and its layers' files are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.candidate import Candidate
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.stations import Site, StationSeries
from smcatalog.core.zones import ZoneSet
from smcatalog.database.inputs import GranuleRecord, NewLayer, Refusal
from smcatalog.resample import AreaWeights, cropped, layer_grid, regrid
from smcatalog.services.layers import write_layer
from smcatalog.services.weights import WeightFiles
from smcatalog.store import FolderStore, open_store

if TYPE_CHECKING:
    from ingest.granules import Granule
    from smcatalog.core.grids import Grid

__all__ = ["Known", "Prepared", "Preparer", "Recognised", "Refused", "Result", "refused"]


@dataclass(frozen=True, slots=True)
class Known:
    """A file whose granule was recorded before.

    Parameters
    ----------
    name : str
        What a person knows the file by.
    withdrawn : str or None
        Why the granule was withdrawn since; None if it was not.
    """

    name: str
    withdrawn: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not fit.

    Parameters
    ----------
    name : str
        What a person knows the file by.
    refusal : Refusal
        The reason, and what is known of the file.
    exists : bool
        Whether there is a file at all, to be put into quarantine.
    """

    name: str
    refusal: Refusal
    exists: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """A granule that is ready to be recorded; its layers' files are in the store.

    Parameters
    ----------
    name : str
        What a person knows the file by.
    granule : GranuleRecord
        Which granule it is.
    layers : tuple of NewLayer
        Made of its rasters.
    series, sites, sets : tuple
        What else it holds: observations, stations, sets of zones.
    """

    name: str
    granule: GranuleRecord
    layers: tuple[NewLayer, ...]
    series: tuple[StationSeries, ...]
    sites: tuple[Site, ...]
    sets: tuple[ZoneSet, ...]


@dataclass(frozen=True, slots=True)
class Recognised:
    """A file that was only looked at: which granule it is.

    Parameters
    ----------
    name : str
        What a person knows the file by.
    source : str
        Product family.
    """

    name: str
    source: str


Result = Known | Refused | Prepared | Recognised


class Preparer:
    """Prepares files; knows the store and neither the database nor other files.

    Parameters
    ----------
    store : Path or str
        Where the store lies, which is opened here.
    work : Path
        Folder of temporary files for it, where it is no folder.
    cache : Path
        Folder of the area weights.
    known : set of (str, str)
        File name and checksum of every file whose granule is recorded.
    withdrawn : dict of (str, str) to str, optional
        Why granules were withdrawn, by the same, of those that were.
    """

    def __init__(
        self,
        store: Path | str,
        work: Path,
        cache: Path,
        known: frozenset[tuple[str, str]],
        withdrawn: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self._store = open_store(store, work=work)
        self._weights: Callable[[Grid, Grid], AreaWeights] = WeightFiles(cache)
        self._known = known
        self._names = {name for name, _ in known}
        self._withdrawn = dict(withdrawn or {})

    def prepare(self, candidate: Candidate) -> Result:
        """Read a file and write its layers' files."""
        granule: Granule | None = None
        try:
            if candidate.problem is None and (mark := self._known_mark(candidate)):
                return Known(candidate.name, self._withdrawn.get(mark))
            from ingest.granules import examine  # noqa: PLC0415 - brings in all readers' libraries

            granule = examine(candidate)
            return self._prepare(candidate, granule)
        except RefusedInput as error:
            return refused(candidate, granule, error.reason)

    def look(self, candidate: Candidate) -> Result:
        """Say which granule a file is, and write nothing; what is wrong further inside is not seen."""
        try:
            if candidate.problem is None and (mark := self._known_mark(candidate)):
                return Known(candidate.name, self._withdrawn.get(mark))
            from ingest.granules import examine  # noqa: PLC0415 - as above

            return Recognised(candidate.name, examine(candidate).identity.source)
        except RefusedInput as error:
            return refused(candidate, None, error.reason)

    def _known_mark(self, candidate: Candidate) -> tuple[str, str] | None:
        """Return file name and checksum of a file whose granule is recorded."""
        if candidate.delivered not in self._names:
            return None
        try:
            mark = candidate.delivered, candidate.sha256()
        except OSError as error:
            raise RefusedInput(f"cannot be read: {error.strerror or error}") from error
        return mark if mark in self._known else None

    def _prepare(self, candidate: Candidate, granule: Granule) -> Prepared:
        from ingest.granules import read  # noqa: PLC0415 - as above

        identity = granule.identity
        layers: list[NewLayer] = []
        series: list[StationSeries] = []
        sites: list[Site] = []
        sets: list[ZoneSet] = []
        with self._store.work() as work:
            # kept apart until the granule was read to its end: of a refused one nothing stays
            stage = FolderStore(work / "stage")
            for value in read(granule):
                match value:
                    case Raster():
                        layers += self._write_layers(stage, work, identity.source, value)
                    case StationSeries():
                        series.append(value)
                    case Site():
                        sites.append(value)
                    case ZoneSet():
                        sets.append(value)
            for key in {layer.key for layer in layers}:
                self._store.take(stage, key)
        record = GranuleRecord(
            source=identity.source,
            name=identity.name,
            delivered_as=candidate.delivered,
            sha256=granule.sha256,
            size=granule.size,
            period=identity.period,
            subject=identity.subject,
            production=identity.production,
        )
        return Prepared(
            candidate.name, record, tuple(layers), tuple(series), tuple(sites), tuple(sets)
        )

    def _write_layers(
        self, stage: FolderStore, work: Path, source: str, value: Raster
    ) -> list[NewLayer]:
        """Write a raster on the grid on which it is kept; nothing when nothing of it is left there.

        A single pixel between clouds may cover too little of every cell.
        """
        target = layer_grid(value.grid)
        raster = regrid(value, target, parts=True, weights=self._weights)
        kept = raster if value.grid.base == target.base else cropped(raster)
        return [] if kept is None else [write_layer(stage, work, source, kept)]


def refused(candidate: Candidate, granule: Granule | None, reason: str) -> Refused:
    """Return the refusal of a file, with what is known of it."""
    sha256 = granule.sha256 if granule else None
    size = granule.size if granule else None
    if granule is None and candidate.path.is_file():
        try:
            sha256 = candidate.sha256()
            size = sum(file.stat().st_size for file in candidate.files)
        except OSError:  # no permission: that is the refusal's reason already
            sha256 = None
    refusal = Refusal(
        name=candidate.delivered,
        reason=reason,
        sha256=sha256,
        size=size,
        source=granule.identity.source if granule else None,
        period=granule.identity.period if granule else None,
    )
    return Refused(candidate.name, refusal, candidate.path.exists())
