"""Putting jobs into the queue, within the caller's transaction, and looking at what is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.jobs.values import JSON, Job

__all__ = ["QueuedJob", "TaskCount", "count_tasks", "enqueue", "enqueued", "find_job", "list_jobs"]

_AT_ONCE: Final = 5_000
"""Jobs that go to the database in one statement."""

# A task is a queue of its own, so that a worker fetches only what it has a handler for. The rows are
# numbered as they come: jobs of the same priority run in the order in which they were enqueued.
_ENQUEUE: Final = text("""
    INSERT INTO procrastinate.procrastinate_jobs
        (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
    SELECT task, task, priority, lock, queueing_lock, arguments, not_before
    FROM ROWS FROM (jsonb_to_recordset(CAST(:jobs AS jsonb)) AS (
        task text, priority integer, lock text, queueing_lock text, arguments jsonb,
        not_before timestamptz
    )) WITH ORDINALITY AS job (task, priority, lock, queueing_lock, arguments, not_before, number)
    ORDER BY number
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    RETURNING id
""")

_LIST: Final = """
    SELECT j.id, j.task_name AS task, j.args AS arguments, j.status = 'doing' AS running,
           j.lock, j.priority, j.scheduled_at AS not_before,
           coalesce(t.failures, 0) AS failures, coalesce(t.kills, 0) AS kills,
           coalesce(t.error, '') AS error
    FROM procrastinate.procrastinate_jobs j
    LEFT JOIN smcatalog.job_troubles t ON t.job_id = j.id
    WHERE j.status IN ('todo', 'doing')
"""

_COUNT: Final = text("""
    SELECT task_name AS task,
           count(*) FILTER (WHERE status = 'doing') AS running,
           count(*) FILTER (WHERE status = 'todo' AND coalesce(scheduled_at <= now(), true))
               AS waiting,
           count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()) AS later
    FROM procrastinate.procrastinate_jobs
    WHERE status IN ('todo', 'doing')
    GROUP BY task_name
    ORDER BY task_name
""")


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job in the queue.

    Parameters
    ----------
    id : int
        Its number.
    task : str
        What is to be done.
    arguments : mapping
        With what.
    running : bool
        Whether a worker has it.
    lock : str or None
        Jobs with the same one run one after the other.
    priority : int
        The higher goes first.
    not_before : datetime or None
        When it is due; None when at once.
    failures, kills : int
        How often it failed, and how often its worker died.
    error : str
        What went wrong last.
    """

    id: int
    task: str
    arguments: Mapping[str, JSON]
    running: bool
    lock: str | None
    priority: int
    not_before: datetime | None
    failures: int
    kills: int
    error: str


@dataclass(frozen=True, slots=True)
class TaskCount:
    """How many jobs of a task are running, waiting now, and due later."""

    task: str
    running: int
    waiting: int
    later: int


def enqueue(connection: Connection, jobs: Iterable[Job]) -> int:
    """Put jobs into the queue as part of the caller's transaction.

    They come about, and workers are woken, when the transaction commits. A job whose queueing lock
    another waiting job has is left out: that one stands for it.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In the transaction that makes the jobs needed.
    jobs : iterable of Job
        In the order in which they are to be done.

    Returns
    -------
    int
        How many were enqueued.

    Raises
    ------
    UsageError
        When a job's arguments have no JSON form or its instant has no time zone.
    """
    return len(enqueued(connection, jobs))


def enqueued(connection: Connection, jobs: Iterable[Job]) -> list[int]:
    """Do as `enqueue`; return the numbers of the jobs that went in."""
    rows = [_row(job) for job in jobs]
    ids: list[int] = []
    for first in range(0, len(rows), _AT_ONCE):
        document = "[" + ",".join(rows[first : first + _AT_ONCE]) + "]"
        ids += connection.execute(_ENQUEUE, {"jobs": document}).scalars()
    return ids


def _row(job: Job) -> str:
    if job.not_before is not None and job.not_before.tzinfo is None:
        raise UsageError(
            f"job '{job.task}' is to be done not before {job.not_before}, which has no time zone: "
            "give it one"
        )
    try:
        return json.dumps(
            {
                "task": job.task,
                "priority": job.priority,
                "lock": job.lock,
                "queueing_lock": job.queueing_lock,
                "arguments": dict(job.arguments),
                "not_before": job.not_before.isoformat() if job.not_before else None,
            },
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the arguments of job '{job.task}' have no JSON form ({error}): {dict(job.arguments)}"
        ) from error


def list_jobs(connection: Connection, *, limit: int = 100) -> list[QueuedJob]:
    """Return the jobs in the queue, those that run first, then in the order of their turn."""
    rows = connection.execute(
        text(f"{_LIST} ORDER BY j.status <> 'doing', j.priority DESC, j.id LIMIT :limit"),
        {"limit": limit},
    ).mappings()
    return [_job(row) for row in rows]


def find_job(connection: Connection, job_id: int) -> QueuedJob:
    """Return a job of the queue.

    Raises
    ------
    NotFoundError
        When it is not in the queue.
    """
    row = connection.execute(text(f"{_LIST} AND j.id = :id"), {"id": job_id}).mappings().first()
    if row is None:
        raise NotFoundError(
            f"job {job_id} is not in the queue: it is done, or it never was, or it is in quarantine "
            "(`smcatalog jobs list`)"
        )
    return _job(row)


def count_tasks(connection: Connection) -> list[TaskCount]:
    """Return how many jobs of each task are in the queue."""
    return [TaskCount(**row) for row in connection.execute(_COUNT).mappings()]


def _job(row: RowMapping) -> QueuedJob:
    values: dict[str, Any] = dict(row)
    return QueuedJob(**values)
