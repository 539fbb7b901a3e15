"""What a worker does to the queue: each function is one step of a job, within one transaction.

A worker that was taken for dead may come back: whatever it then says about its job must not count,
since another one has it. So every step first asks whether the job is still this worker's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text
from sqlalchemy.exc import IntegrityError

from smcatalog.jobs.values import JSON, Outcome

__all__ = [
    "CHANNEL",
    "Recovered",
    "fail",
    "give_back",
    "held",
    "put_back",
    "recover",
    "recover_ownerless",
    "succeed",
]

CHANNEL: Final = "procrastinate_any_queue_v1"
"""Where procrastinate says that a job came in, and we that a lock came free."""

_HELD: Final = """
    SELECT id, task_name, args, lock, queueing_lock, priority
    FROM procrastinate.procrastinate_jobs
    WHERE status = 'doing' AND {which}
    FOR UPDATE SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A job of a dead worker: put back, or in quarantine."""

    id: int
    task: str
    arguments: Mapping[str, JSON]
    outcome: Outcome


def succeed(
    connection: Connection, worker: int, job_id: int, *, seconds: float, size: int
) -> Outcome:
    """Take a job that is done out of the queue, with all that was noted about it."""
    job = _own(connection, worker, job_id)
    if job is None:
        return Outcome.LOST
    _forget_troubles(connection, job_id)
    _finish(connection, job, "succeeded", delete=True)
    _add_to_totals(connection, job["task_name"], failed=False, seconds=seconds, size=size)
    return Outcome.DONE


def fail(
    connection: Connection,
    worker: int,
    job_id: int,
    *,
    error: str,
    traceback: str,
    delay: float | None,
    seconds: float,
    size: int,
) -> Outcome:
    """Put a job that failed back for later, or into quarantine.

    Parameters
    ----------
    error, traceback : str
        What went wrong and where, without secrets.
    delay : float or None
        Seconds until it is tried again; None for quarantine.
    seconds : float
        How long it ran.
    size : int
        Bytes that it counted.
    """
    job = _own(connection, worker, job_id)
    if job is None:
        return Outcome.LOST
    _note(connection, job_id, "failures", error)
    _add_to_totals(connection, job["task_name"], failed=True, seconds=seconds, size=size)
    if delay is None:
        _quarantine(connection, job, traceback)
        return Outcome.QUARANTINED
    put_back(connection, job, delay)
    return Outcome.RETRIED


def give_back(connection: Connection, worker: int, job_id: int, *, reason: str) -> Outcome:
    """Put a job that was asked to stop back into the queue at once, as if it had not been tried."""
    job = _own(connection, worker, job_id)
    if job is None:
        return Outcome.LOST
    _note(connection, job_id, "interruptions", reason)
    put_back(connection, job, 0.0)
    return Outcome.INTERRUPTED


def recover(
    connection: Connection, worker: int, last_heartbeat: datetime, max_kills: int
) -> list[Recovered]:
    """Put the jobs of a dead worker back into the queue and take it off the list.

    Nothing happens when the worker has given a sign of life since, or another worker does this already.

    Parameters
    ----------
    worker : int
        The one that is taken for dead.
    last_heartbeat : datetime
        Its last sign of life, as it was seen.
    max_kills : int
        How often a job's worker may die; then the job goes to quarantine.
    """
    dead = connection.execute(
        text(
            "SELECT id FROM procrastinate.procrastinate_workers "
            "WHERE id = :worker AND last_heartbeat = :seen FOR UPDATE SKIP LOCKED"
        ),
        {"worker": worker, "seen": last_heartbeat},
    ).scalar()
    if dead is None:
        return []
    recovered = [
        _after_kill(connection, job, max_kills)
        for job in held(connection, "worker_id = :worker", worker=worker)
    ]
    connection.execute(
        text("SELECT procrastinate.procrastinate_unregister_worker_v1(:worker)"), {"worker": worker}
    )
    return recovered


def recover_ownerless(connection: Connection) -> list[Recovered]:
    """Put jobs back that run nowhere, as their worker was taken off the list by hand."""
    recovered = []
    for job in held(connection, "worker_id IS NULL"):
        _note(connection, job["id"], "interruptions", "its worker was taken off the list")
        put_back(connection, job, 0.0)
        recovered.append(Recovered(job["id"], job["task_name"], job["args"], Outcome.INTERRUPTED))
    return recovered


def _own(connection: Connection, worker: int, job_id: int) -> RowMapping | None:
    # waits for a transaction that has the row, unlike held: it may be about to give it to another
    return (
        connection.execute(
            text(
                _HELD.format(which="id = :job AND worker_id = :worker").replace("SKIP LOCKED", "")
            ),
            {"job": job_id, "worker": worker},
        )
        .mappings()
        .first()
    )


def held(connection: Connection, which: str, **values: int) -> Sequence[RowMapping]:
    """Return running jobs that a condition chooses and nobody else is busy with, locked."""
    return connection.execute(text(_HELD.format(which=which)), values).mappings().all()


def _after_kill(connection: Connection, job: RowMapping, max_kills: int) -> Recovered:
    kills = _note(connection, job["id"], "kills", "the worker that ran it died")
    _add_to_totals(connection, job["task_name"], failed=True, seconds=0.0, size=0)
    if kills < max_kills:
        put_back(connection, job, 0.0)
        return Recovered(job["id"], job["task_name"], job["args"], Outcome.RETRIED)
    connection.execute(
        text("UPDATE smcatalog.job_troubles SET error = :error WHERE job_id = :job"),
        {
            "job": job["id"],
            "error": (
                f"the worker that ran it died {kills} times: it takes more memory than there is, or a "
                "library breaks down on its data; the workers' logs and the system's say which. "
                "`smcatalog jobs release` tries it again"
            ),
        },
    )
    _quarantine(connection, job, "")
    return Recovered(job["id"], job["task_name"], job["args"], Outcome.QUARANTINED)


def _note(connection: Connection, job_id: int, count: str, error: str) -> int:
    """Count a trouble of a job; return how many of its kind there are now."""
    return int(
        connection.execute(
            text(
                f"INSERT INTO smcatalog.job_troubles AS t (job_id, {count}, error) "  # noqa: S608 - a column
                f"VALUES (:job, 1, :error) ON CONFLICT (job_id) DO UPDATE SET {count} = t.{count} + 1, "
                f"error = excluded.error, last_at = clock_timestamp() RETURNING {count}"
            ),
            {"job": job_id, "error": error},
        ).scalar_one()
    )


def _forget_troubles(connection: Connection, job_id: int) -> None:
    connection.execute(
        text("DELETE FROM smcatalog.job_troubles WHERE job_id = :job"), {"job": job_id}
    )


def put_back(connection: Connection, job: RowMapping, delay: float) -> None:
    """Let a job wait again, unless one with its queueing lock waits: then that one stands for it."""
    while True:
        other = None
        if job["queueing_lock"] is not None:
            other = connection.execute(
                text(
                    "SELECT id FROM procrastinate.procrastinate_jobs "
                    "WHERE queueing_lock = :queueing AND status = 'todo' FOR UPDATE"
                ),
                {"queueing": job["queueing_lock"]},
            ).scalar()
        if other is not None:
            _hand_over(connection, job, int(other), delay)
            return
        try:
            with connection.begin_nested():
                connection.execute(
                    text(
                        "SELECT procrastinate.procrastinate_retry_job_v2(:job, "
                        "CASE WHEN :delay > 0 THEN clock_timestamp() + make_interval(secs => :delay) "
                        "END, NULL, NULL, NULL)"
                    ),
                    {"job": job["id"], "delay": delay},
                )
        except IntegrityError:
            continue  # one with its queueing lock came in just now
        _wake(connection, job)
        return


def _hand_over(connection: Connection, job: RowMapping, other: int, delay: float) -> None:
    """Let a waiting job stand for this one, with its troubles and its delay."""
    connection.execute(
        text("""
            INSERT INTO smcatalog.job_troubles AS t
                (job_id, failures, kills, interruptions, first_at, error)
            SELECT :other, failures, kills, interruptions, first_at, error
            FROM smcatalog.job_troubles WHERE job_id = :job
            ON CONFLICT (job_id) DO UPDATE SET
                failures = t.failures + excluded.failures, kills = t.kills + excluded.kills,
                interruptions = t.interruptions + excluded.interruptions,
                first_at = least(t.first_at, excluded.first_at), last_at = excluded.last_at,
                error = excluded.error
        """),
        {"job": job["id"], "other": other},
    )
    _forget_troubles(connection, job["id"])
    if delay > 0:
        connection.execute(
            text(
                "UPDATE procrastinate.procrastinate_jobs SET scheduled_at = greatest(scheduled_at, "
                "clock_timestamp() + make_interval(secs => :delay)) WHERE id = :other"
            ),
            {"other": other, "delay": delay},
        )
    _finish(connection, job, "aborted", delete=True)


def _quarantine(connection: Connection, job: RowMapping, traceback: str) -> None:
    connection.execute(
        text("""
            INSERT INTO smcatalog.quarantined_jobs (
                job_id, task, arguments, lock, queueing_lock, priority, attempts, kills, first_at,
                error, traceback)
            SELECT j.id, j.task_name, j.args, j.lock, j.queueing_lock, j.priority,
                   t.failures + t.kills, t.kills, t.first_at, t.error, :traceback
            FROM procrastinate.procrastinate_jobs j
            JOIN smcatalog.job_troubles t ON t.job_id = j.id
            WHERE j.id = :job
        """),
        {"job": job["id"], "traceback": traceback},
    )
    _forget_troubles(connection, job["id"])
    _finish(connection, job, "failed", delete=False)


def _finish(connection: Connection, job: RowMapping, status: str, *, delete: bool) -> None:
    connection.execute(
        text(
            "SELECT procrastinate.procrastinate_finish_job_v1(:job, "
            "CAST(:status AS procrastinate.procrastinate_job_status), :delete)"
        ),
        {"job": job["id"], "status": status, "delete": delete},
    )
    if job["lock"] is not None:
        _wake(connection, job)


def _wake(connection: Connection, job: RowMapping) -> None:
    """Wake idle workers: procrastinate does it for new jobs only, not when a lock comes free."""
    payload: dict[str, Any] = {"type": "job_inserted", "job_id": job["id"]}
    connection.execute(
        text("SELECT pg_notify(:channel, :payload)"),
        {"channel": CHANNEL, "payload": json.dumps(payload)},
    )


def _add_to_totals(
    connection: Connection, step: str, *, failed: bool, seconds: float, size: int
) -> None:
    connection.execute(
        text("""
            INSERT INTO smcatalog.step_totals AS s (step, runs, failures, seconds, bytes)
            VALUES (:step, 1, :failures, :seconds, :bytes)
            ON CONFLICT (step) DO UPDATE SET
                runs = s.runs + 1, failures = s.failures + excluded.failures,
                seconds = s.seconds + excluded.seconds, bytes = s.bytes + excluded.bytes
        """),
        {"step": step, "failures": int(failed), "seconds": seconds, "bytes": size},
    )
