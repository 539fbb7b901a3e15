"""How things stand: each function is one query, and all but one ask public views, as any role may."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from smcatalog.database.queue_schema import INSTALLED, SCHEMA

__all__ = [
    "BusyWorker",
    "DatabaseState",
    "DayGroup",
    "ProductState",
    "QuarantinedJob",
    "QueuedTask",
    "RefusedFile",
    "StepTotal",
    "StoredFiles",
    "Undelivered",
    "count_quarantined_jobs",
    "count_refused_files",
    "database_state",
    "newest_quarantined_jobs",
    "newest_refused_files",
    "plan_summary",
    "product_states",
    "queue",
    "step_totals",
    "stored_files",
    "undelivered",
    "workers",
]


@dataclass(frozen=True, slots=True)
class ProductState:
    """How far a product is, and how far it could be.

    Parameters
    ----------
    product : str
        Its name.
    version : int
        Number of the version that is planned and made.
    newest_map : date or None
        Newest day with a map in force.
    newest_input : date or None
        Newest day of a layer without which there is no map.
    lag_days : int or None
        Days from the one to the other.
    newest_by_source : mapping of str to (date or None)
        Newest day by source of such layers; None of a source that has none yet.
    changes_waiting : int
        Changes of layers whose consequences are still to be planned.
    changes_since : datetime or None
        When the oldest of them happened.
    """

    product: str
    version: int
    newest_map: date | None
    newest_input: date | None
    lag_days: int | None
    newest_by_source: Mapping[str, date | None]
    changes_waiting: int
    changes_since: datetime | None


@dataclass(frozen=True, slots=True)
class DayGroup:
    """Days of a product of which the same is to be said.

    Parameters
    ----------
    product : str
        Its name.
    state : str
        What is to be done about them, as in `smcatalog.services.plan.DayState`.
    cause : str or None
        Why, as in `smcatalog.services.plan.Cause`; None when they are current.
    held_for : str or None
        closing, listed or never, when the product's policy leaves them as they are.
    detail : str or None
        What is missing, or why they were refused; of files in quarantine the newest one's.
    days : int
        How many.
    first_day, last_day : date
        The first and the last of them.
    settled_until : date or None
        Newest day of the product up to which nothing is missing, stale or gone.
    """

    product: str
    state: str
    cause: str | None
    held_for: str | None
    detail: str | None
    days: int
    first_day: date
    last_day: date
    settled_until: date | None


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """Jobs of a task.

    Parameters
    ----------
    task : str
        What is to be done.
    running, waiting, later : int
        Jobs that workers have, that are due, and that are due later.
    retrying : int
        Those of the waiting ones, due or not, that failed before or whose worker died.
    oldest_waiting : datetime or None
        Since when the oldest of those that are due waits.
    """

    task: str
    running: int
    waiting: int
    later: int
    retrying: int
    oldest_waiting: datetime | None


@dataclass(frozen=True, slots=True)
class BusyWorker:
    """A worker and its job, if it has one.

    Parameters
    ----------
    worker : int
        Its number.
    silent_seconds : float
        Time since its last heartbeat, by the database's clock [s].
    job_id : int or None
        The job that it has.
    task, arguments
        What is to be done, and with what.
    started_at : datetime or None
        When the job was begun.
    """

    worker: int
    silent_seconds: float
    job_id: int | None
    task: str | None
    arguments: Mapping[str, Any] | None
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class QuarantinedJob:
    """A job that waits for a person; the rest as in `smcatalog.jobs.QuarantineEntry`."""

    id: int
    task: str
    arguments: Mapping[str, Any]
    attempts: int
    kills: int
    last_at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that was refused and in whose place no good one came.

    Parameters
    ----------
    name : str
        As it was delivered.
    source : str or None
        Its product family, if that was recognised.
    reason : str
        What is wrong with it.
    first_seen : datetime
        When it was refused first.
    """

    name: str
    source: str | None
    reason: str
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class StepTotal:
    """What all jobs of a task took: runs, failures, time [s] and bytes written."""

    step: str
    runs: int
    failures: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """Files of a kind in the store, as the catalogue knows them; bytes are None where sizes are not recorded."""

    kind: str
    files: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Announcements that the webhook's receiver did not take.

    Parameters
    ----------
    waiting : int
        Neither delivered nor given up.
    oldest_at : datetime or None
        When the oldest of these was announced.
    """

    waiting: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The database itself.

    Parameters
    ----------
    revision, pgstac, queue : str
        Newest revision of our schema, of pgstac's and of the queue's.
    server : str
        Version of PostgreSQL.
    bytes : int
        Size on disk.
    """

    revision: str
    pgstac: str
    queue: str
    server: str
    bytes: int


def product_states(connection: Connection) -> list[ProductState]:
    """Return how far each active product is, in the order of names."""
    rows = connection.execute(
        text("""
            SELECT product, version, newest_map, newest_input, lag_days, newest_by_source, changes_waiting,
                   changes_since
            FROM views.product_status ORDER BY product
        """)
    ).mappings()
    return [
        ProductState(**{**row, "newest_by_source": _days(row["newest_by_source"])}) for row in rows
    ]


def _days(plain: Mapping[str, str | None]) -> dict[str, date | None]:
    return {name: date.fromisoformat(day) if day else None for name, day in sorted(plain.items())}


def plan_summary(connection: Connection, instant: datetime) -> list[DayGroup]:
    """Return the days of all active products in groups, the largest of each state first."""
    rows = connection.execute(
        text("""
            SELECT product, state, cause, held_for, detail, days, first_day, last_day, settled_until
            FROM views.plan_summary(:instant)
            ORDER BY product, state, days DESC, last_day DESC, cause, detail
        """),
        {"instant": instant},
    ).mappings()
    return [DayGroup(**row) for row in rows]


def queue(connection: Connection) -> list[QueuedTask]:
    """Return what is in the queue by task, in the order of names."""
    rows = connection.execute(
        text("""
            SELECT task, running, waiting, later, retrying, oldest_waiting
            FROM views.queue ORDER BY task
        """)
    ).mappings()
    return [QueuedTask(**row) for row in rows]


def workers(connection: Connection) -> list[BusyWorker]:
    """Return the workers that are on the list, in the order in which they came."""
    rows = connection.execute(
        text("""
            SELECT worker, job_id, task, arguments, started_at,
                   greatest(extract(epoch FROM clock_timestamp() - last_heartbeat), 0)::float8
                       AS silent_seconds
            FROM views.workers ORDER BY worker
        """)
    ).mappings()
    return [BusyWorker(**row) for row in rows]


def count_quarantined_jobs(connection: Connection) -> dict[str, int]:
    """Return the number of jobs in quarantine by task."""
    rows = connection.execute(
        text(
            "SELECT task, count(*) AS number FROM views.quarantined_jobs GROUP BY task ORDER BY task"
        )
    )
    return {row.task: row.number for row in rows}


def newest_quarantined_jobs(connection: Connection, limit: int) -> list[QuarantinedJob]:
    """Return the jobs that came to quarantine last, the newest first."""
    rows = connection.execute(
        text("""
            SELECT id, task, arguments, attempts, kills, last_at, error
            FROM views.quarantined_jobs ORDER BY last_at DESC, id DESC LIMIT :limit
        """),
        {"limit": limit},
    ).mappings()
    return [QuarantinedJob(**row) for row in rows]


def count_refused_files(connection: Connection) -> dict[str, int]:
    """Return the number of refused files by source, ``unknown`` where it was not recognised."""
    rows = connection.execute(
        text("""
            SELECT coalesce(source, 'unknown') AS source, count(*) AS number FROM views.quarantine
            WHERE resolved_at IS NULL GROUP BY 1 ORDER BY 1
        """)
    )
    return {row.source: row.number for row in rows}


def newest_refused_files(connection: Connection, limit: int) -> list[RefusedFile]:
    """Return the files that were refused last, the newest first."""
    rows = connection.execute(
        text("""
            SELECT name, source, reason, first_seen FROM views.quarantine
            WHERE resolved_at IS NULL ORDER BY first_seen DESC, name LIMIT :limit
        """),
        {"limit": limit},
    ).mappings()
    return [RefusedFile(**row) for row in rows]


def undelivered(connection: Connection) -> Undelivered:
    """Return how many announcements were not delivered; where nobody is declared to take them, all."""
    row = connection.execute(
        text("""
            SELECT count(*) AS waiting, min(announced_at) AS oldest_at FROM views.announcements
            WHERE delivered_at IS NULL AND abandoned_at IS NULL
        """)
    ).one()
    return Undelivered(row.waiting, row.oldest_at)


def step_totals(connection: Connection) -> list[StepTotal]:
    """Return what all jobs took by task, in the order of names."""
    rows = connection.execute(
        text("SELECT step, runs, failures, seconds, bytes FROM views.step_totals ORDER BY step")
    ).mappings()
    return [StepTotal(**row) for row in rows]


def stored_files(connection: Connection, kinds: Collection[str] = ()) -> list[StoredFiles]:
    """Return how much is stored by kind, in the order of names.

    Parameters
    ----------
    kinds : collection of str
        Kinds that are listed even if there is no file of them.
    """
    rows = connection.execute(
        text("SELECT kind, files, bytes FROM views.stored_files ORDER BY kind")
    ).mappings()
    found = {row["kind"]: StoredFiles(**row) for row in rows}
    return [found.get(kind) or StoredFiles(kind, 0, 0) for kind in sorted({*found, *kinds})]


def database_state(connection: Connection) -> DatabaseState:
    """Return revisions and size of the database; it takes a role that may read the tables."""
    row = connection.execute(
        text(f"""
            SELECT (SELECT version_num FROM smcatalog.alembic_version) AS revision,
                   (SELECT version FROM pgstac.migrations ORDER BY datetime DESC, version DESC LIMIT 1)
                       AS pgstac,
                   (SELECT max(name) FROM {SCHEMA}.{INSTALLED}) AS queue,
                   current_setting('server_version') AS server,
                   pg_database_size(current_database()) AS bytes
        """)  # noqa: S608 - put together from constants
    ).mappings()
    return DatabaseState(**row.one())
