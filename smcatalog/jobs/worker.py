"""A worker: fetches jobs, does them one at a time, and says what became of them.

A job runs in the process's main thread and alone, since the libraries behind HDF4 and NetCDF are not
thread-safe; for more at once more workers are started, on as many machines as one likes.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from smcatalog.core.errors import (
    DatabaseUnavailable,
    Interrupted,
    NotFoundError,
    RefusedInput,
    UsageError,
)
from smcatalog.core.logs import masked
from smcatalog.database.collisions import pause
from smcatalog.database.engine import connect, transaction
from smcatalog.jobs import fetching, transitions
from smcatalog.jobs.fetching import Fetched
from smcatalog.jobs.options import WorkerOptions
from smcatalog.jobs.values import Handler, Outcome, RunningJob, WorkerReport, shown
from smcatalog.jobs.watch import Watcher

__all__ = ["run_worker"]

_BEYOND_RETRY: Final = (UsageError, NotFoundError, RefusedInput)
"""What another attempt cannot mend; UsageError stands for wrong settings and definitions too."""
_INSTANT: Final = 0.2
_TRACEBACK_CHARACTERS: Final = 20_000

_T = TypeVar("_T")

log = structlog.get_logger("smcatalog.jobs")


def run_worker(
    url: str,
    handlers: Mapping[str, Handler],
    *,
    wait: bool,
    name: str | None = None,
    options: WorkerOptions | None = None,
) -> WorkerReport:
    """Do jobs until told to stop or, without ``wait``, until nothing is left to do.

    On the first SIGTERM or SIGINT no further job is fetched and the one that runs is asked to stop;
    on the second, or after a grace period, the process ends at once. Every worker puts back the jobs of
    workers that died.

    Parameters
    ----------
    url : str
        Of the database, as a role that may write.
    handlers : mapping of str to Handler
        What does the jobs of each task; jobs of other tasks are left to other workers.
    wait : bool
        Whether to wait for jobs that come later. Without, the worker ends when no job of its tasks is
        due, runs elsewhere, or becomes due within the options' patience.
    name : str, optional
        For logs; host and process by default.
    options : WorkerOptions, optional
        Times and numbers.

    Returns
    -------
    WorkerReport
        What became of the jobs.

    Raises
    ------
    DatabaseUnavailable
        When no database answers at the start, or one is away for longer than the options allow.
    """
    chosen = options or WorkerOptions()
    called = name or f"{socket.gethostname()}-{os.getpid()}"
    engine = connect(url, application=f"smcatalog worker {called}")
    try:
        with structlog.contextvars.bound_contextvars(worker=called):
            worker = transaction(engine, fetching.register)
            with Watcher(engine, worker, chosen, called) as watcher:
                log.info("worker started", tasks=sorted(handlers))
                loop = _Loop(engine, handlers, watcher, chosen)
                try:
                    left = loop.run(wait=wait)
                finally:
                    loop.sign_off()
                report = WorkerReport(
                    name=called,
                    runs=dict(loop.runs),
                    recovered=watcher.recovered,
                    left=left,
                    stopped=watcher.stopping.is_set(),
                )
            log.info("worker ended", left=left, recovered=report.recovered, **_counts(report))
            return report
    finally:
        engine.dispose()


def _counts(report: WorkerReport) -> dict[str, int]:
    return {outcome.value: number for outcome, number in report.runs.items()}


@dataclass(slots=True)
class _Loop:
    """The main thread's part of a worker."""

    engine: Engine
    handlers: Mapping[str, Handler]
    watcher: Watcher
    options: WorkerOptions
    runs: Counter[Outcome] = field(default_factory=Counter)

    def run(self, *, wait: bool) -> int:
        """Do jobs; return how many are left of these tasks."""
        tasks = sorted(self.handlers)
        idle_since: float | None = None
        fruitless = False
        while not self.watcher.stopping.is_set():
            self.watcher.awake.clear()  # before looking, so that nothing is missed
            worker = self.watcher.worker
            try:
                fetched = self._persist(partial(fetching.fetch, worker=worker, tasks=tasks))
            except IntegrityError:
                # another one took the lock in the same instant, or this worker was taken for dead and
                # the watcher is about to register it anew
                self.watcher.awake.wait(_INSTANT)
                continue
            if fetched is not None:
                idle_since, fruitless = None, False
                self.runs[self._do(fetched, worker)] += 1
                continue
            idle_since = idle_since or time.monotonic()
            left = self._backlog(tasks)
            if not wait and not (left.soon or left.elsewhere):
                # what is due may have come in since; else it stands behind a job that is due much later
                if not left.due or fruitless:
                    return left.total
                fruitless = True
                continue
            if not wait and time.monotonic() - idle_since > self.options.patience_seconds:
                return left.total
            self.watcher.awake.wait(
                min(self.options.poll_seconds, left.next_seconds or self.options.poll_seconds)
            )
        return self._backlog(tasks).total

    def sign_off(self) -> None:
        """Take the worker off the list; where that fails, others do it."""
        try:
            transaction(
                self.engine,
                partial(fetching.unregister, worker=self.watcher.worker),
                retries=0,
            )
        except DatabaseUnavailable as error:
            log.warning("could not sign off", error=str(error))

    def _backlog(self, tasks: list[str]) -> fetching.Backlog:
        return self._persist(
            partial(
                fetching.backlog,
                worker=self.watcher.worker,
                tasks=tasks,
                within_seconds=self.options.patience_seconds,
            )
        )

    def _do(self, fetched: Fetched, worker: int) -> Outcome:
        """Run a job's handler and record what became of it."""
        job = RunningJob(
            id=fetched.id,
            task=fetched.task,
            arguments=fetched.arguments,
            attempt=1 + fetched.failures + fetched.kills,
            # after it was taken for dead a worker is another one, and its job is somebody else's
            should_stop=lambda: self.watcher.stopping.is_set() or self.watcher.worker != worker,
        )
        with structlog.contextvars.bound_contextvars(
            job=job.id, task=job.task, attempt=job.attempt, **shown(job.arguments)
        ):
            log.info("job started")
            self.watcher.running = job.id
            began = time.monotonic()
            try:
                error = _run(self.handlers[job.task], job)
                seconds = time.monotonic() - began
                # recorded while it counts as running: a worker that ends hard then gives it back
                outcome = self._persist(self._step(fetched, job, worker, error, seconds))
            finally:
                self.watcher.running = None
            _tell(outcome, error, seconds, job.tally.bytes)
        return outcome

    def _step(
        self,
        fetched: Fetched,
        job: RunningJob,
        worker: int,
        error: BaseException | None,
        seconds: float,
    ) -> Callable[[Connection], Outcome]:
        """Return the transaction that records what became of a job."""
        size = job.tally.bytes
        if error is None:
            return partial(
                transitions.succeed, worker=worker, job_id=job.id, seconds=seconds, size=size
            )
        if isinstance(error, Interrupted) and job.should_stop():
            return partial(transitions.give_back, worker=worker, job_id=job.id, reason=_said(error))
        return partial(
            transitions.fail,
            worker=worker,
            job_id=job.id,
            error=_said(error),
            traceback=_traceback(error),
            delay=None
            if isinstance(error, _BEYOND_RETRY)
            else self.options.delay(fetched.failures + 1),
            seconds=seconds,
            size=size,
        )

    def _persist(self, work: Callable[[Connection], _T]) -> _T:
        """Run a transaction, also over a time in which the database is away."""
        until = time.monotonic() + self.options.outage_seconds
        attempt = 0
        while True:
            try:
                return transaction(self.engine, work)
            except DatabaseUnavailable as error:
                idle = self.watcher.running is None
                if time.monotonic() > until or (idle and self.watcher.stopping.is_set()):
                    raise
                log.warning("no database, trying again", error=str(error))
                pause(attempt)
                attempt += 1


def _run(handler: Handler, job: RunningJob) -> BaseException | None:
    """Run a handler; return what it raised."""
    try:
        handler(job)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is the job's
        return error
    return None


def _said(error: BaseException) -> str:
    """Return an error in a sentence, without secrets."""
    sentence = str(error).strip().replace("\0", "")
    kind = type(error).__name__
    return masked(f"{kind}: {sentence}" if sentence else kind)


def _traceback(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error)).replace("\0", "")
    return masked(lines[-_TRACEBACK_CHARACTERS:])


def _tell(outcome: Outcome, error: BaseException | None, seconds: float, size: int) -> None:
    values: dict[str, Any] = {"outcome": outcome.value, "seconds": round(seconds, 3)}
    if size:
        values["bytes"] = size
    if error is None or outcome in {Outcome.DONE, Outcome.INTERRUPTED}:
        log.info("job ended", **values)
    elif outcome is Outcome.QUARANTINED:
        log.error("job ended", error=_said(error), exc_info=error, **values)
    else:
        log.warning("job ended", error=_said(error), **values)
