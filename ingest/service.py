"""Ingesting: files become granules, layers and observations, or go to quarantine with a reason.

A granule goes in whole or not at all: its layers' files are written first, in as many processes as are asked
for, then one transaction records everything, in the order of the files' names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from ingest.candidate import Candidate
from ingest.files import deliveries, opened
from ingest.pool import in_processes
from ingest.prepare import Known, Prepared, Preparer, Recognised, Refused, Result
from ingest.zips import names_inside
from smcatalog.database.damage import note_repaired
from smcatalog.database.engine import transaction
from smcatalog.database.inputs import (
    is_outdated,
    known_files,
    record_granule,
    record_layer,
    refuse,
    resolve,
    supersede_older,
)
from smcatalog.database.observations import record_series, record_site
from smcatalog.database.withdrawals import lock_subject, withdrawn_files, withdrawn_reason
from smcatalog.database.zones import record_zones
from smcatalog.jobs import enqueue
from smcatalog.services.night import jobs_behind_layers, jobs_behind_observations
from smcatalog.services.workspace import Workspace

__all__ = ["FileResult", "IngestReport", "ingest"]

_INGESTED: Final = "ingested"
_KNOWN: Final = "known"
_REFUSED: Final = "refused"
_NEW: Final = "new"
_WITHDRAWN: Final = "withdrawn"
_RESTORED: Final = "restored"
_WORTH: Final = 4
"""Files for which it pays to start another process."""
_MANY: Final = 32
"""Files for which it pays to read in one process and to write in another."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a file.

    Parameters
    ----------
    name : str
        What a person knows the file by.
    outcome : str
        ``ingested``, ``known`` (nothing to do), ``restored`` (known, and files of its layers that were
        lost are there again), ``refused``, or ``withdrawn``: its granule was withdrawn and stays so.
    source : str or None
        Product family, when it was recognised.
    layers : int
        New layers made of it.
    observations : int
        Observations read from it.
    reason : str
        Why it was refused or withdrawn.
    zones : int
        New zones made of it.
    """

    name: str
    outcome: str
    source: str | None = None
    layers: int = 0
    observations: int = 0
    reason: str = ""
    zones: int = 0


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

    @property
    def withdrawn(self) -> list[FileResult]:
        """Files whose granules were withdrawn before."""
        return [file for file in self.files if file.outcome == _WITHDRAWN]


def ingest(
    workspace: Workspace,
    paths: Iterable[Path],
    *,
    workers: int = 1,
    tell: Callable[[FileResult], None] = lambda _: None,
    dry_run: bool = False,
) -> IngestReport:
    """Ingest files, folders and zips.

    Parameters
    ----------
    paths : iterable of Path
        Where to look.
    workers : int
        Processes that read files, if there are enough of them; what comes out is the same.
    tell : callable, optional
        Called with each file's result as it comes.
    dry_run : bool
        Only say of each file what it is; nothing is written.

    Returns
    -------
    IngestReport
        One entry a file. Files that are known already are left alone; unfit ones are named with their
        reason, again at each run that meets them.
    """
    if not dry_run:
        workspace.store.sweep()
    found = list(deliveries(paths))
    names = _names(found)
    known, withdrawn = transaction(
        workspace.engine,
        lambda connection: (known_files(connection, names), withdrawn_files(connection, names)),
    )
    settings = workspace.settings
    preparer = partial(
        Preparer,
        workspace.store.location,
        settings.work,
        settings.cache,
        frozenset(known),
        withdrawn,
    )
    processes = 0 if dry_run else _processes(workers, found, len(names))
    results = []
    for result in (
        in_processes(preparer, found, processes)
        if processes
        else _in_this_process(preparer(), found, dry_run=dry_run)
    ):
        file = _told(result) if dry_run else _recorded(workspace, result)
        tell(file)
        results.append(file)
    return IngestReport(tuple(results))


def _processes(workers: int, found: list[Candidate], files: int) -> int:
    """Return in how many processes files are prepared; 0 for this one.

    A delivery goes to one process. Of a single zip with many files the one is worth it too: it reads on
    while this process writes to the database.
    """
    if workers <= 1:
        return 0
    processes = min(workers, len(found) // _WORTH)
    if processes > 1:
        return processes
    return int(files >= _MANY)


def _names(found: Iterable[Candidate]) -> set[str]:
    """Return the names under which files may be known, those in zips included."""
    names = {delivery.delivered for delivery in found}
    for delivery in found:
        if delivery.problem is None and delivery.delivered.lower().endswith(".zip"):
            names |= names_inside(delivery.path)
    return names


def _in_this_process(
    preparer: Preparer, found: Iterable[Candidate], *, dry_run: bool
) -> Iterator[Result]:
    for delivery in found:
        for candidate in opened(delivery):
            yield preparer.look(candidate) if dry_run else preparer.prepare(candidate)


def _told(result: Result) -> FileResult:
    """Return what would become of a file that was looked at."""
    match result:
        case Known():
            return _known(result.name, None, result.withdrawn)
        case Refused():
            refusal = result.refusal
            return FileResult(result.name, _REFUSED, refusal.source, reason=refusal.reason)
        case Recognised():
            return FileResult(result.name, _NEW, result.source)
        case Prepared():
            raise TypeError(f"{result.name} was to be looked at and was prepared")


def _recorded(workspace: Workspace, result: Result) -> FileResult:
    match result:
        case Known():
            return _known(result.name, None, result.withdrawn)
        case Refused():
            return _quarantined(workspace, result)
        case Prepared():
            return transaction(workspace.engine, lambda connection: _record(connection, result))
        case Recognised():
            raise TypeError(f"{result.name} was only looked at: there is nothing to record")


def _record(connection: Connection, prepared: Prepared) -> FileResult:
    granule = prepared.granule
    lock_subject(connection, granule.source, granule.subject or granule.name)
    granule_id = record_granule(connection, granule)
    if granule_id is None:
        withdrawn = withdrawn_reason(connection, granule)
        files = [(layer.key, layer.sha256) for layer in prepared.layers]
        if note_repaired(connection, files) and withdrawn is None:
            return FileResult(prepared.name, _RESTORED, granule.source)
        return _known(prepared.name, granule.source, withdrawn)
    outdated = is_outdated(connection, granule_id)
    layers = sum(
        record_layer(connection, layer, granule_id, outdated=outdated) for layer in prepared.layers
    )
    superseded = supersede_older(connection, granule_id)
    for site in prepared.sites:
        record_site(connection, site)
    observed = sum(record_series(connection, one) for one in prepared.series)
    zones = sum(record_zones(connection, one, granule_id) for one in prepared.sets)
    resolve(connection, granule.delivered_as)
    if observed or prepared.sites:
        enqueue(connection, jobs_behind_observations(connection))
    if layers or superseded:
        # last, since others that record wait here until we have committed
        enqueue(connection, jobs_behind_layers(connection))
    return FileResult(
        prepared.name, _INGESTED, granule.source, layers=layers, observations=observed, zones=zones
    )


def _known(name: str, source: str | None, withdrawn: str | None) -> FileResult:
    if withdrawn is None:
        return FileResult(name, _KNOWN, source)
    return FileResult(name, _WITHDRAWN, source, reason=f"its granule was withdrawn: {withdrawn}")


def _quarantined(workspace: Workspace, result: Refused) -> FileResult:
    """Record a refusal; a path that leads to no file is only reported."""
    if result.exists:
        transaction(workspace.engine, lambda connection: refuse(connection, [result.refusal]))
    return FileResult(result.name, _REFUSED, result.refusal.source, reason=result.refusal.reason)
