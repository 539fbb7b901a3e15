"""Jobs that nobody tries any more: what they are, and how a person lets them go again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, RowMapping, text

from smcatalog.core.errors import NotFoundError
from smcatalog.jobs.queue import enqueued
from smcatalog.jobs.values import JSON, Job

__all__ = ["QuarantineEntry", "Released", "is_quarantined", "quarantined", "release"]

_ENTRIES: Final = """
    SELECT id, job_id, task, arguments, lock, queueing_lock, priority, attempts, kills, first_at,
           last_at, error, traceback
    FROM smcatalog.quarantined_jobs
    WHERE released_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A job in quarantine.

    Parameters
    ----------
    id : int
        Number of the entry, by which it is released.
    job_id : int
        Number that the job had in the queue.
    task, arguments
        What was to be done, and with what.
    lock, queueing_lock, priority
        As the job was enqueued.
    attempts : int
        How often it was tried, the times that its worker died included.
    kills : int
        How often its worker died.
    first_at, last_at : datetime
        When it failed first and last.
    error : str
        What went wrong last.
    traceback : str
        Where in the code, without secrets; empty when its worker died.
    """

    id: int
    job_id: int
    task: str
    arguments: Mapping[str, JSON]
    lock: str | None
    queueing_lock: str | None
    priority: int
    attempts: int
    kills: int
    first_at: datetime
    last_at: datetime
    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Released:
    """An entry that was released.

    Parameters
    ----------
    id : int
        Number of the entry.
    task : str
        What is to be done again.
    job_id : int or None
        Number of the new job; None when an equal one was waiting already.
    """

    id: int
    task: str
    job_id: int | None


def quarantined(
    connection: Connection, ids: Collection[int] | None = None
) -> list[QuarantineEntry]:
    """Return what is in quarantine, oldest first; of some entries only where numbers are given.

    Raises
    ------
    NotFoundError
        When a number is not that of an open entry.
    """
    if ids is None:
        rows = connection.execute(text(f"{_ENTRIES} ORDER BY id")).mappings()
        return [_entry(row) for row in rows]
    rows = connection.execute(
        text(f"{_ENTRIES} AND id = ANY (:ids) ORDER BY id FOR UPDATE"), {"ids": list(ids)}
    ).mappings()
    found = [_entry(row) for row in rows]
    missing = sorted(set(ids) - {entry.id for entry in found})
    if missing:
        raise NotFoundError(
            f"no job is in quarantine under {', '.join(map(str, missing))}: "
            "`smcatalog jobs list` shows their numbers"
        )
    return found


def is_quarantined(connection: Connection, task: str, arguments: Mapping[str, JSON]) -> bool:
    """Return whether a job with just these arguments is in quarantine, so that none is planned."""
    return bool(
        connection.execute(
            text(
                "SELECT EXISTS (SELECT FROM smcatalog.quarantined_jobs WHERE released_at IS NULL "
                "AND task = :task AND arguments = :arguments)"
            ),
            {"task": task, "arguments": Jsonb(dict(arguments))},
        ).scalar()
    )


def release(connection: Connection, ids: Collection[int]) -> list[Released]:
    """Put jobs of the quarantine back into the queue, with all attempts before them.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        The jobs come about when its transaction commits.
    ids : collection of int
        Numbers of open entries.

    Raises
    ------
    NotFoundError
        When a number is not that of an open entry; then nothing was released.
    """
    released = []
    for entry in quarantined(connection, ids):
        job = Job(entry.task, entry.arguments, entry.lock, entry.queueing_lock, entry.priority)
        new = enqueued(connection, [job])
        job_id = new[0] if new else None
        connection.execute(
            text(
                "UPDATE smcatalog.quarantined_jobs SET released_at = clock_timestamp(), "
                "released_as = :job WHERE id = :id"
            ),
            {"id": entry.id, "job": job_id},
        )
        connection.execute(
            text(
                "DELETE FROM procrastinate.procrastinate_jobs WHERE id = :id AND status = 'failed'"
            ),
            {"id": entry.job_id},
        )
        released.append(Released(entry.id, entry.task, job_id))
    return released


def _entry(row: RowMapping) -> QuarantineEntry:
    values: dict[str, Any] = dict(row)
    return QuarantineEntry(**values)
