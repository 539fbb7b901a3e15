"""Workers and their turns: coming and going, getting the next job, what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from smcatalog.jobs.transitions import held, put_back
from smcatalog.jobs.values import JSON

__all__ = ["Backlog", "Fetched", "backlog", "fetch", "register", "unregister"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A job that this worker has got.

    Parameters
    ----------
    id : int
        Its number.
    task, arguments
        What is to be done, and with what.
    failures, kills : int
        How often it failed before, and how often its worker died.
    """

    id: int
    task: str
    arguments: Mapping[str, JSON]
    failures: int
    kills: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is left of some tasks.

    Parameters
    ----------
    due : int
        Jobs that wait and could run now, but for their locks.
    soon, later : int
        Jobs that are due within the span that was asked for, and after it.
    elsewhere : int
        Jobs that other workers do.
    next_seconds : float or None
        Time until the next job is due.
    """

    due: int
    soon: int
    later: int
    elsewhere: int
    next_seconds: float | None

    @property
    def total(self) -> int:
        """All of them."""
        return self.due + self.soon + self.later + self.elsewhere


def register(connection: Connection) -> int:
    """Make a worker known, with its first heartbeat; return its number."""
    return int(
        connection.execute(
            text("SELECT worker_id FROM procrastinate.procrastinate_register_worker_v1()")
        ).scalar_one()
    )


def unregister(connection: Connection, worker: int) -> None:
    """Take a worker off the list; it has no job any more."""
    connection.execute(
        text("SELECT procrastinate.procrastinate_unregister_worker_v1(:worker)"), {"worker": worker}
    )


def fetch(connection: Connection, worker: int, tasks: Sequence[str]) -> Fetched | None:
    """Get the next job of some tasks for a worker that has none.

    A job that the worker has nevertheless was fetched while the connection broke, so that nobody
    runs it: it goes back first.
    """
    for job in held(connection, "worker_id = :worker", worker=worker):
        put_back(connection, job, 0.0)
    row = (
        connection.execute(
            text("""
                SELECT j.id, j.task_name, j.args, coalesce(t.failures, 0) AS failures,
                       coalesce(t.kills, 0) AS kills
                FROM procrastinate.procrastinate_fetch_job_v2(CAST(:tasks AS varchar[]), :worker) j
                LEFT JOIN smcatalog.job_troubles t ON t.job_id = j.id
                WHERE j.id IS NOT NULL
            """),
            {"tasks": list(tasks), "worker": worker},
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    return Fetched(row["id"], row["task_name"], row["args"], row["failures"], row["kills"])


def backlog(
    connection: Connection, worker: int, tasks: Sequence[str], within_seconds: float
) -> Backlog:
    """Return what is left of some tasks."""
    row = (
        connection.execute(
            text("""
                SELECT count(*) FILTER (WHERE todo AND wait <= 0) AS due,
                       count(*) FILTER (WHERE todo AND wait > 0 AND wait <= :within) AS soon,
                       count(*) FILTER (WHERE todo AND wait > :within) AS later,
                       count(*) FILTER (WHERE NOT todo AND worker_id IS DISTINCT FROM :worker)
                           AS elsewhere,
                       min(wait) FILTER (WHERE todo AND wait > 0) AS next_seconds
                FROM (
                    SELECT status = 'todo' AS todo, worker_id,
                           coalesce(extract(epoch FROM scheduled_at - now()), 0)::float8 AS wait
                    FROM procrastinate.procrastinate_jobs
                    WHERE status IN ('todo', 'doing') AND queue_name = ANY (:tasks)
                ) AS job
            """),
            {"tasks": list(tasks), "worker": worker, "within": within_seconds},
        )
        .mappings()
        .one()
    )
    return Backlog(**row)
