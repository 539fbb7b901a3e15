"""The inbox: a folder that files are delivered to, of which a night takes in what is new.

A file is new when nothing was taken in from its place, or it has another size or time of change than then. It
is left where it lies.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.database.models import Delivery
from smcatalog.jobs import Job
from smcatalog.services.night import INGEST_PRIORITY

__all__ = ["Stamp", "inbox_jobs", "note_taken", "stamps"]

Stamp = tuple[str, int, int]
"""Path, size and time of change [ns] of a file."""

_AT_ONCE: Final = 16
"""Files that one job takes in: enough to make the libraries' start worth it, few enough to share them out."""
_UNFINISHED: Final = (".part", ".partial", ".tmp", ".crdownload", ".aria2")
_SETTLED_SECONDS: Final = 5.0


def stamps(paths: Sequence[Path]) -> list[Stamp]:
    """Return what marks files as they lie there; folders and files that are gone are left out."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        if path.is_file():
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return found


def inbox_jobs(
    connection: Connection, folder: Path, *, settled_seconds: float = _SETTLED_SECONDS
) -> list[Job]:
    """Return the jobs that take in what is new in an inbox.

    Parameters
    ----------
    folder : Path
        The inbox, searched with all its folders.
    settled_seconds : float
        A file that was changed so recently is left for the next time: it may still grow.

    Raises
    ------
    UsageError
        When there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no inbox {folder}: make the folder, or name another one")
    known = {
        row.path: (row.size, row.modified_ns)
        for row in connection.execute(
            select(Delivery.path, Delivery.size, Delivery.modified_ns).where(
                Delivery.path.startswith(f"{folder.absolute()}{os.sep}", autoescape=True)
            )
        )
    }
    latest = time.time_ns() - int(settled_seconds * 1e9)
    new = [
        path
        for path, size, changed in _lying(folder.absolute())
        if changed <= latest and known.get(path) != (size, changed)
    ]
    return [_job(part) for part in _parts(new)]


def note_taken(connection: Connection, taken: Sequence[Stamp]) -> None:
    """Note that files were taken in as they lay when they were read."""
    if not taken:
        return
    statement = insert(Delivery)
    values: list[dict[str, Any]] = [
        {"path": path, "size": size, "modified_ns": changed} for path, size, changed in taken
    ]
    changes = {name: statement.excluded[name] for name in ("size", "modified_ns")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["path"], set_=changes), values
    )


def _lying(folder: Path) -> Iterator[Stamp]:
    """Iterate over the files of a folder, those that are still written by their name left out."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _lying(Path(entry.path))
            elif entry.is_file():
                status = entry.stat()
                yield entry.path, status.st_size, status.st_mtime_ns


def _parts(paths: Sequence[str]) -> Iterator[list[str]]:
    """Divide files among jobs; those of one name and several suffixes stay together."""
    part: list[str] = []
    for _, group in groupby(sorted(paths), key=lambda path: path.partition(".")[0]):
        together = list(group)
        if part and len(part) + len(together) > _AT_ONCE:
            yield part
            part = []
        part += together
    if part:
        yield part


def _job(paths: Sequence[str]) -> Job:
    lock = f"ingest:{fingerprint(list(paths))[:16]}"
    return Job("ingest", {"paths": list(paths)}, lock, lock, INGEST_PRIORITY)
