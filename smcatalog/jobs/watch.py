"""What happens beside the job that runs: heartbeats, looking after other workers, being woken, signals.

All of it in one thread with a connection of its own, since a job may keep the main thread busy for
minutes, also within a library, where Python's handlers of signals do not run.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from types import FrameType
from typing import Any, Final, Self

import psycopg
import structlog
from sqlalchemy import Engine, make_url

from smcatalog.core.errors import DatabaseUnavailable
from smcatalog.database.engine import transaction
from smcatalog.jobs.fetching import register
from smcatalog.jobs.options import WorkerOptions
from smcatalog.jobs.transitions import CHANNEL, Recovered, give_back, recover, recover_ownerless
from smcatalog.jobs.values import shown

__all__ = ["Watcher"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_STOPPED: Final = 128
_PAUSE: Final = 1.0
_LAST_WORDS: Final = 5.0
"""Seconds that a process has to hand its job back before it ends hard."""
_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": "-c timezone=UTC -c lock_timeout=5000 -c statement_timeout=20000",
}

log = structlog.get_logger("smcatalog.jobs")
_installed = False


def _forget_signals() -> None:
    """Give a forked process its signals back: they would go to its parent's watcher."""
    if _installed:
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_signals)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal: its number has gone to the watcher's socket already."""


class Watcher:
    """The thread beside a worker's jobs; use it in a ``with``.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of the worker's database.
    worker : int
        Number of the worker.
    options : WorkerOptions
        How often and for how long.
    name : str
        What the server's lists of activity show.
    """

    def __init__(self, engine: Engine, worker: int, options: WorkerOptions, name: str) -> None:
        self.worker = worker
        """Number of the worker; a new one after it was taken for dead, when others have its job."""
        self.running: int | None = None
        """The job that the main thread runs, as number."""
        self.recovered = 0
        """Jobs of dead workers that were put back."""
        self.awake = threading.Event()
        """Set when there may be something to do."""
        self.stopping = threading.Event()
        """Set when the worker was asked to stop."""
        self._engine = engine
        self._options = options
        self._name = name
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._seen: dict[int, tuple[datetime, float]] = {}
        self._next_beat = self._next_check = 0.0
        self._stopping_since: float | None = None
        self._closing = False
        self._reader, self._writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._restore: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            self._restore = _take_signals(self._writer.fileno())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._poke()
        self._thread.join()
        self._restore()
        self._reader.close()
        self._writer.close()

    def _poke(self) -> None:
        with suppress(BlockingIOError):
            self._writer.send(b"\0")

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        structlog.contextvars.bind_contextvars(worker=self._name)
        while not self._closing:
            try:
                self._round()
            except (psycopg.Error, DatabaseUnavailable) as error:
                log.warning("no database for heartbeats, trying again", error=str(error).strip())
                self._disconnect()
                self._wait(_PAUSE)
            except Exception:
                # without a watcher a worker that is well would be taken for dead
                log.exception("the watcher met what it does not know, and goes on")
                self._disconnect()
                self._wait(_PAUSE)
        self._disconnect()

    def _round(self) -> None:
        connection = self._connection or self._connect()
        now = time.monotonic()
        if now >= self._next_beat:
            self._beat(connection)
            self._next_beat = now + self._options.heartbeat_seconds
        if now >= self._next_check:
            self._look_after_others(connection)
            self._next_check = now + self._options.check_seconds
        # what has arrived with an answer does not show on the socket any more
        if self._wait(min(self._next_beat, self._next_check) - time.monotonic(), connection) or any(
            connection.notifies(timeout=0)
        ):
            self.awake.set()

    def _wait(
        self, seconds: float, connection: psycopg.Connection[tuple[Any, ...]] | None = None
    ) -> bool:
        """Wait for a signal, a notification or the time; return whether a notification came."""
        sockets = [self._reader.fileno(), *([connection.fileno()] if connection else [])]
        grace = self._grace_left()
        if grace is not None:
            seconds = min(seconds, grace)
        ready, _, _ = select.select(sockets, [], [], max(0.0, seconds))
        if sockets[0] in ready:
            for number in self._reader.recv(64):
                if number in _SIGNALS:
                    self._asked_to_stop(number)
        grace = self._grace_left()
        if grace is not None and grace <= 0:
            self._end_hard(signal.SIGTERM, "its grace period is over")
        return bool(connection and connection.fileno() in ready) and any(
            connection.notifies(timeout=0) if connection else ()
        )

    def _grace_left(self) -> float | None:
        """Return for how long the job may still run; None when nothing limits it."""
        if self._stopping_since is None or self.running is None:
            return None
        return self._stopping_since + self._options.grace_seconds - time.monotonic()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        url = self._engine.url.set(drivername="postgresql")
        connection = psycopg.connect(
            make_url(url).render_as_string(hide_password=False),
            autocommit=True,
            application_name=f"smcatalog worker {self._name}",
            **_CONNECTION,
        )
        self._connection = connection
        connection.execute(f"LISTEN {CHANNEL}".encode())
        self.awake.set()  # whatever was said meanwhile was not heard
        self._next_beat = 0.0
        return connection

    def _disconnect(self) -> None:
        # how long nobody was there to hear heartbeats says nothing about other workers
        self._seen.clear()
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _beat(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        alive = connection.execute(
            "SELECT procrastinate.procrastinate_update_heartbeat_v1(id) "
            "FROM procrastinate.procrastinate_workers WHERE id = %s",
            [self.worker],
        ).fetchone()
        if alive is None:
            self.worker, former = transaction(self._engine, register), self.worker
            log.warning("this worker was taken for dead", former=former, job=self.running)

    def _look_after_others(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Recover the jobs of workers whose heartbeat has not changed for too long.

        The time is taken from this process's own clock that nobody sets: a clock of the database server
        that jumps makes nobody look dead.
        """
        now = time.monotonic()
        rows = connection.execute(
            "SELECT id, last_heartbeat FROM procrastinate.procrastinate_workers WHERE id <> %s",
            [self.worker],
        ).fetchall()
        seen: dict[int, tuple[datetime, float]] = {}
        recovered: list[Recovered] = []
        for worker, heartbeat in rows:
            known = self._seen.get(worker)
            since = known[1] if known is not None and known[0] == heartbeat else now
            seen[worker] = (heartbeat, since)
            if now - since >= self._options.stalled_seconds:
                kills = self._options.max_kills
                recovered += transaction(
                    self._engine,
                    partial(recover, worker=worker, last_heartbeat=heartbeat, max_kills=kills),
                )
        self._seen = seen
        recovered += transaction(self._engine, recover_ownerless)
        for job in recovered:
            log.warning(
                "job of a dead worker",
                job=job.id,
                task=job.task,
                outcome=job.outcome.value,
                **shown(job.arguments),
            )
        self.recovered += len(recovered)
        if recovered:
            self.awake.set()

    # -- stopping -----------------------------------------------------------------------------

    def _asked_to_stop(self, number: int) -> None:
        if self._stopping_since is not None:
            self._end_hard(number, "it was asked a second time")
        self._stopping_since = time.monotonic()
        log.info(
            "asked to stop",
            signal=signal.Signals(number).name,
            job=self.running,
            grace_seconds=self._options.grace_seconds,
        )
        self.stopping.set()
        self.awake.set()

    def _end_hard(self, number: int, why: str) -> None:
        """End the process; its job goes back to the queue, or is recovered by others."""
        code = _STOPPED + number
        timer = threading.Timer(_LAST_WORDS, os._exit, [code])
        timer.daemon = True
        timer.start()
        log.warning("this worker ends at once", why=why, job=self.running)
        if self.running is not None:
            with suppress(Exception):  # whatever it is, the process ends
                transaction(
                    self._engine,
                    partial(
                        give_back,
                        worker=self.worker,
                        job_id=self.running,
                        reason=f"its worker had to end: {why}",
                    ),
                    lock_timeout_ms=1000,
                    retries=0,
                )
        os._exit(code)


def _take_signals(descriptor: int) -> Callable[[], None]:
    """Let signals write their number to a socket, whatever the main thread does; return the undoing."""
    global _installed  # noqa: PLW0603 - signals are the process's
    former = {number: signal.signal(number, _nothing) for number in _SIGNALS}
    descriptor_before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    _installed = True

    def restore() -> None:
        global _installed  # noqa: PLW0603 - as above
        _installed = False
        signal.set_wakeup_fd(descriptor_before)
        for number, handler in former.items():
            signal.signal(number, handler)

    return restore
