"""Metrics for Prometheus: everything is in the database, so one process tells of all workers on all machines.

The database is asked when somebody scrapes, as a role that may only read views.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import Final

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, text

from smcatalog.core.encoding import asset_kinds
from smcatalog.core.errors import DatabaseUnavailable
from smcatalog.database import status as stored
from smcatalog.database.engine import transaction
from smcatalog.database.status import (
    BusyWorker,
    DayGroup,
    ProductState,
    QueuedTask,
    StepTotal,
    StoredFiles,
)
from smcatalog.jobs import WorkerOptions
from smcatalog.services.plan import DayState
from smcatalog.services.status import snapshot

__all__ = ["CatalogueCollector"]

_DAY_SECONDS: Final = 86_400
_KINDS: Final = ("layer", *(kind.name for kind in asset_kinds()))

log = structlog.get_logger("smcatalog.metrics")


@dataclass(frozen=True, slots=True)
class _Found:
    """What the database said."""

    products: Sequence[ProductState]
    days: Sequence[DayGroup]
    queue: Sequence[QueuedTask]
    workers: Sequence[BusyWorker]
    quarantined: dict[str, int]
    refused: dict[str, int]
    undelivered: int
    steps: Sequence[StepTotal]
    files: Sequence[StoredFiles]
    database_bytes: int


class CatalogueCollector(Collector):
    """Asks the database for each scrape.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of any role that reads the views.
    fresh_seconds : float
        For how long an answer serves for further scrapes [s].
    timeout_seconds : float
        After how long a query is given up [s].

    Notes
    -----
    When no database answers, ``smcatalog_up`` is 0 and the other metrics are absent. Labels are names of products,
    sources, tasks, states and kinds: their number does not grow with the history.
    """

    def __init__(
        self, engine: Engine, *, fresh_seconds: float = 5.0, timeout_seconds: float = 8.0
    ) -> None:
        self._engine = engine
        self._fresh_seconds = fresh_seconds
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()  # scrapes that come together ask once
        self._asked: float | None = None
        self._found: _Found | None = None
        self._was_up = True

    def describe(self) -> Iterable[Metric]:
        """Return all metrics without values, by which scrapes may choose."""
        return _families(_Found([], [], [], [], {}, {}, 0, [], [], 0), described=True)

    def collect(self) -> Iterable[Metric]:
        """Return all metrics as they are now."""
        with self._lock:
            now = time.monotonic()
            if self._asked is None or now - self._asked >= self._fresh_seconds:
                self._found = self._ask()
                self._asked = time.monotonic()
            return _families(self._found)

    def _ask(self) -> _Found | None:
        try:
            found = transaction(snapshot(self._engine), self._gather, retries=0)
        except DatabaseUnavailable as error:
            if self._was_up:
                log.warning("no metrics: the database does not answer", error=str(error))
            self._was_up = False
            return None
        if not self._was_up:
            log.warning("the database answers again")
        self._was_up = True
        return found

    def _gather(self, connection: Connection) -> _Found:
        connection.execute(
            text("SELECT set_config('statement_timeout', :value, true)"),
            {"value": f"{self._timeout_seconds * 1000:.0f}ms"},
        )
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        return _Found(
            products=stored.product_states(connection),
            days=stored.plan_summary(connection, datetime.now(UTC)),
            queue=stored.queue(connection),
            workers=stored.workers(connection),
            quarantined=stored.count_quarantined_jobs(connection),
            refused=stored.count_refused_files(connection),
            undelivered=stored.undelivered(connection).waiting,
            steps=stored.step_totals(connection),
            files=stored.stored_files(connection, _KINDS),
            database_bytes=size,
        )


def _families(found: _Found | None, *, described: bool = False) -> list[Metric]:
    up = GaugeMetricFamily("smcatalog_up", "Whether the database answered: 1 or 0.")
    up.add_metric([], float(found is not None))
    build = InfoMetricFamily("smcatalog_build", "The software that answers, always 1.")
    build.add_metric([], {"version": version("smcatalog")})
    families: list[Metric] = [up, build]
    if found is not None:
        families += [
            *_of_products(found),
            *_of_jobs(found),
            *_of_steps(found.steps),
            *_of_files(found),
        ]
    if described:
        for family in families:
            family.samples.clear()
    return families


def _gauge(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"smcatalog_{name}", text, labels=labels)
    for label, value in values:
        family.add_metric(label, value)
    return family


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _of_products(found: _Found) -> Iterable[Metric]:
    products = found.products
    days = {(p.product, state.value): 0 for p in products for state in DayState}
    refused: dict[tuple[str, str], int] = {}
    settled: dict[str, date] = {}
    for group in found.days:
        days[group.product, group.state] += group.days
        if group.settled_until is not None:
            settled[group.product] = group.settled_until
        if group.state == DayState.REFUSED:
            key = (group.product, group.cause or "")
            refused[key] = refused.get(key, 0) + group.days
    yield _gauge(
        "maps",
        "Days of a product by the state of their map: current, missing, stale, gone (to be withdrawn), held "
        "(stale by policy) or refused.",
        ("product", "state"),
        days.items(),
    )
    yield _gauge(
        "maps_refused",
        "Days without a map that cannot be made, by cause: incomplete, untrained or quarantine.",
        ("product", "cause"),
        refused.items(),
    )
    yield _gauge(
        "map_lag_seconds",
        "Time in whole days from the newest map to the newest input without which there is no map.",
        ("product",),
        (([p.product], p.lag_days * _DAY_SECONDS) for p in products if p.lag_days is not None),
    )
    yield _gauge(
        "newest_map_timestamp_seconds",
        "Day of the newest map in force, as the instant at which it begins.",
        ("product",),
        (([p.product], _midnight(p.newest_map)) for p in products if p.newest_map),
    )
    yield _gauge(
        "newest_input_timestamp_seconds",
        "Day of the newest layer of a source without which there is no map, as the instant at which it begins.",
        ("product", "source"),
        (
            ([p.product, source], _midnight(day))
            for p in products
            for source, day in p.newest_by_source.items()
            if day
        ),
    )
    yield _gauge(
        "settled_until_timestamp_seconds",
        "Newest day up to which nothing is missing, stale or gone, as the instant at which it begins.",
        ("product",),
        (([product], _midnight(day)) for product, day in settled.items()),
    )
    yield _gauge(
        "plan_changes",
        "Changes of layers whose consequences are still to be planned.",
        ("product",),
        (([p.product], p.changes_waiting) for p in products),
    )


def _of_jobs(found: _Found) -> Iterable[Metric]:
    yield _gauge(
        "jobs",
        "Jobs in the queue: running, waiting (due) or later.",
        ("task", "state"),
        (
            ([task.task, state], getattr(task, state))
            for task in found.queue
            for state in ("running", "waiting", "later")
        ),
    )
    yield _gauge(
        "jobs_retrying",
        "Waiting jobs that failed before or whose worker died.",
        ("task",),
        (([task.task], task.retrying) for task in found.queue),
    )
    yield _gauge(
        "jobs_oldest_waiting_timestamp_seconds",
        "Since when the oldest of the jobs that are due waits.",
        ("task",),
        (
            ([task.task], task.oldest_waiting.timestamp())
            for task in found.queue
            if task.oldest_waiting
        ),
    )
    # of each task that ever ran: a series that comes only with the first job cannot be seen to rise
    tasks = dict.fromkeys([step.step for step in found.steps], 0) | found.quarantined
    yield _gauge(
        "jobs_quarantined",
        "Jobs that nobody tries any more until a person releases them.",
        ("task",),
        (([task], number) for task, number in sorted(tasks.items())),
    )
    states = {"busy": 0, "idle": 0, "silent": 0}
    for worker in found.workers:
        silent = worker.silent_seconds >= WorkerOptions().stalled_seconds
        states["silent" if silent else "idle" if worker.job_id is None else "busy"] += 1
    yield _gauge(
        "workers",
        "Workers on all machines: busy, idle, or silent, which means dead.",
        ("state",),
        (([state], number) for state, number in states.items()),
    )


def _of_steps(steps: Sequence[StepTotal]) -> Iterable[Metric]:
    for name, about in (
        ("runs", "Jobs that ended, well or not."),
        ("failures", "Jobs that failed or whose worker died."),
        ("seconds", "Time that jobs took."),
        ("bytes", "Bytes that jobs wrote."),
    ):
        family = CounterMetricFamily(f"smcatalog_step_{name}", about, labels=("step",))
        for step in steps:
            family.add_metric([step.step], getattr(step, name))
        yield family


def _of_files(found: _Found) -> Iterable[Metric]:
    yield _gauge(
        "files_refused",
        "Files that were refused and in whose place no good ones came.",
        ("source",),
        (([source], number) for source, number in found.refused.items()),
    )
    waiting = GaugeMetricFamily(
        "smcatalog_announcements_waiting",
        "Announcements that were neither delivered nor given up; all, when no webhook is declared.",
    )
    waiting.add_metric([], found.undelivered)
    yield waiting
    yield _gauge(
        "store_files",
        "Files in the store that the catalogue knows.",
        ("kind",),
        (([file.kind], file.files) for file in found.files),
    )
    yield _gauge(
        "store_bytes",
        "Size of the files in the store that the catalogue knows; models are not counted.",
        ("kind",),
        (([file.kind], file.bytes) for file in found.files if file.bytes is not None),
    )
    size = GaugeMetricFamily("smcatalog_database_bytes", "Size of the database on disk.")
    size.add_metric([], found.database_bytes)
    yield size
