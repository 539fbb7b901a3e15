"""Ingesting: files become granules, layers and observations, or go to quarantine with a reason.

A granule goes in whole or not at all: its layers' files are written first, then one transaction
records everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from ingest.files import Candidate, walk
from smcatalog.core.errors import RefusedInput
from smcatalog.core.fingerprint import sha256_file
from smcatalog.core.raster import Raster
from smcatalog.core.stations import Site, StationSeries
from smcatalog.database.engine import transaction
from smcatalog.database.inputs import (
    GranuleRecord,
    NewLayer,
    Refusal,
    find_granule,
    known_files,
    record_granule,
    record_layer,
    refuse,
    resolve,
)
from smcatalog.database.observations import record_series, record_site
from smcatalog.resample import cropped, layer_grid, regrid
from smcatalog.services.layers import write_layer
from smcatalog.services.workspace import Workspace

if TYPE_CHECKING:
    from ingest.granules import Granule

__all__ = ["FileResult", "IngestReport", "ingest"]

_INGESTED: Final = "ingested"
_KNOWN: Final = "known"
_REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a file.

    Parameters
    ----------
    name : str
        What a person knows the file by.
    outcome : str
        ``ingested``, ``known`` (nothing to do) or ``refused``.
    source : str or None
        Product family, when it was recognised.
    layers : int
        New layers made of it.
    observations : int
        Observations read from it.
    reason : str
        Why it was refused.
    """

    name: str
    outcome: str
    source: str | None = None
    layers: int = 0
    observations: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of all files."""

    files: tuple[FileResult, ...]

    def count(self, outcome: str) -> int:
        """Return the number of files of an outcome."""
        return sum(file.outcome == outcome for file in self.files)

    @property
    def refused(self) -> list[FileResult]:
        """Files that were refused."""
        return [file for file in self.files if file.outcome == _REFUSED]


def ingest(
    workspace: Workspace,
    paths: Iterable[Path],
    *,
    tell: Callable[[FileResult], None] = lambda _: None,
) -> IngestReport:
    """Ingest files, folders and zips.

    Parameters
    ----------
    paths : iterable of Path
        Where to look.
    tell : callable, optional
        Called with each file's result as it comes.

    Returns
    -------
    IngestReport
        One entry a file. Files that are known already are left alone; unfit ones are named with their
        reason, again at each run that meets them.
    """
    workspace.store.sweep()
    known = transaction(workspace.engine, known_files)
    results = []
    for candidate in walk(paths):
        result = _ingest_file(workspace, candidate, known)
        tell(result)
        results.append(result)
    return IngestReport(tuple(results))


def _ingest_file(
    workspace: Workspace, candidate: Candidate, known: set[tuple[str, str]]
) -> FileResult:
    granule: Granule | None = None
    try:
        if candidate.problem is None and _is_known(candidate, known):
            return FileResult(candidate.name, _KNOWN)
        from ingest.granules import examine  # noqa: PLC0415 - brings in all readers' libraries

        granule = examine(candidate)
        result = _ingest_granule(workspace, candidate, granule)
    except RefusedInput as error:
        return _quarantine(workspace, candidate, granule, error.reason)
    known.add((candidate.delivered, granule.sha256))
    return result


def _is_known(candidate: Candidate, known: set[tuple[str, str]]) -> bool:
    try:
        return (candidate.delivered, sha256_file(candidate.path)) in known
    except OSError as error:
        raise RefusedInput(f"cannot be read: {error.strerror or error}") from error


def _ingest_granule(workspace: Workspace, candidate: Candidate, granule: Granule) -> FileResult:
    from ingest.granules import read  # noqa: PLC0415 - as above

    identity = granule.identity
    record = GranuleRecord(
        source=identity.source,
        name=identity.name,
        delivered_as=candidate.delivered,
        sha256=granule.sha256,
        size=granule.size,
        period=identity.period,
    )
    with workspace.engine.connect() as connection:
        if find_granule(connection, record.source, record.name, record.sha256) is not None:
            return FileResult(candidate.name, _KNOWN, identity.source)
    layers: list[NewLayer] = []
    series: list[StationSeries] = []
    sites: list[Site] = []
    with workspace.store.work() as work:
        for value in read(granule):
            match value:
                case Raster():
                    layers += _write_layers(workspace, work, identity.source, value)
                case StationSeries():
                    series.append(value)
                case Site():
                    sites.append(value)

    def write(connection: Connection) -> tuple[int, int] | None:
        granule_id = record_granule(connection, record)
        if granule_id is None:
            return None
        new_layers = sum(record_layer(connection, layer, granule_id) for layer in layers)
        for site in sites:
            record_site(connection, site)
        observed = sum(record_series(connection, one) for one in series)
        resolve(connection, candidate.delivered)
        return new_layers, observed

    written = transaction(workspace.engine, write)
    if written is None:
        return FileResult(candidate.name, _KNOWN, identity.source)
    return FileResult(candidate.name, _INGESTED, identity.source, *written)


def _write_layers(workspace: Workspace, work: Path, source: str, value: Raster) -> list[NewLayer]:
    """Write a raster on the grid on which it is kept; nothing when nothing of it is left there.

    A single pixel between clouds may cover too little of every cell.
    """
    target = layer_grid(value.grid)
    raster = regrid(value, target)
    kept = raster if value.grid.base == target.base else cropped(raster)
    return [] if kept is None else [write_layer(workspace.store, work, source, kept)]


def _quarantine(
    workspace: Workspace, candidate: Candidate, granule: Granule | None, reason: str
) -> FileResult:
    """Record a refusal; a path that leads to no file is only reported."""
    sha256 = granule.sha256 if granule else None
    size = granule.size if granule else None
    if granule is None and candidate.path.is_file():
        try:
            sha256, size = sha256_file(candidate.path), candidate.path.stat().st_size
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
    if candidate.path.exists():
        transaction(workspace.engine, lambda connection: refuse(connection, [refusal]))
    source = granule.identity.source if granule else None
    return FileResult(candidate.name, _REFUSED, source, reason=reason)
