"""A home of a run: its database, store, inbox, and the receiver that hears of its maps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import Engine, text

from smcatalog.cli import nightly
from smcatalog.core.settings import Settings
from smcatalog.database.cluster import Cluster
from smcatalog.services.workspace import Workspace
from tests.factories.commands import Place
from tests.faults.state import State, differences, faults_of, state_of
from tests.faults.world import PRODUCT, World
from tests.fixtures.databases import Database, Server

OPTIONS = {
    "heartbeat_seconds": "0.3",
    "check_seconds": "0.3",
    "stalled_seconds": "1.5",
    "poll_seconds": "0.5",
    "retry_seconds": ",".join(["0.3"] * 100),
    "max_kills": "100000",
    "grace_seconds": "20",
    "patience_seconds": "120",
    "outage_seconds": "120",
}
_SECRET = "a secret of the fault suite"  # noqa: S105 - of nobody


class _Listener(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        heard: list[int] = self.server.heard  # type: ignore[attr-defined]
        heard += [one["id"] for one in json.loads(body)["announcements"]]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Listener)
        self.heard: list[int] = []

    def handle_error(self, *_: object) -> None:
        """Say nothing of senders that were killed."""


@dataclass(frozen=True)
class Home(Place):
    """A home whose workers can be disturbed."""

    world: World | None = None
    database: Database | None = None
    receiver: _Receiver | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def inbox(self) -> Path:
        return self.home / "inbox"

    @property
    def engine(self) -> Engine:
        return self.database.engine

    @cached_property
    def workspace(self) -> Workspace:
        names = {**os.environ, **self.environment()}
        return Workspace.open(Settings.load(env=names))

    def environment(self) -> dict[str, str]:
        ours = {f"SMCATALOG_WORKER_{name.upper()}": value for name, value in OPTIONS.items()}
        ours |= {
            "SMCATALOG_INBOX": str(self.inbox),
            "SMCATALOG_WEBHOOK_URL": f"http://127.0.0.1:{self.receiver.server_address[1]}/",
            "SMCATALOG_WEBHOOK_SECRET_FILE": str(self.home / "secret"),
            "OMP_NUM_THREADS": "1",
        }
        return {**super().environment(), **ours, **self.extra}

    def wake(self, wave: int | None) -> None:
        """Deliver a wave and wake the workers, as ``nightly --enqueue-only`` does.

        The product is planned from the second wave on, or as soon as no wave is named.
        """
        if wave is not None:
            self.world.deliver(wave, self.inbox)
        products = [] if wave == 1 else [PRODUCT]
        nightly._wake(self.workspace, self.workspace.settings, products)

    def left(self) -> int:
        """Return how many jobs are in the queue."""
        asked = text(
            "SELECT count(*) FROM procrastinate.procrastinate_jobs WHERE status IN ('todo', 'doing')"
        )
        with self.engine.connect() as connection:
            return int(connection.scalar(asked))

    def end(self) -> list[str]:
        """Let one night do what may be left; name what is not current then."""
        night = self.answer("nightly", PRODUCT, code=None)
        wrong = []
        states = night["states"][PRODUCT]
        days = len(self.world.days)
        if states != {"current": days}:
            wrong.append(f"the plan says {states} instead of {days} days that are current")
        wrong += [f"{night[name]} jobs {name}" for name in ("left", "quarantined") if night[name]]
        runs = night["runs"]
        if runs.keys() - {"done"} or runs.get("done", 0) > 2:  # the plan, and a look at the webhook
            wrong.append(f"the last night found something left to do: {runs}")
        return wrong

    def compare(self, expected: State | None) -> tuple[State, list[str]]:
        """Return the final state, with what is wrong with it or different from an undisturbed run's."""
        wrong = self.end()
        found = state_of(self.engine, self.workspace.store, str(self.home))
        wrong += faults_of(self.engine, found)
        wrong += differences(expected, found) if expected else []
        with self.engine.connect() as connection:
            told = set(connection.scalars(text("SELECT id FROM smcatalog.announcements")))
        if unheard := told - set(self.receiver.heard):
            wrong.append(f"{len(unheard)} announcements were never heard")
        return found, wrong


@contextmanager
def home_of(
    server: Server, folder: Path, world: World, extra: Mapping[str, str] | None = None
) -> Iterator[Home]:
    """Make a home with a database of its own; both go when the block ends."""
    folder.mkdir(parents=True)
    (folder / "secret").write_text(_SECRET, encoding="utf-8")
    with _Receiver() as receiver, server.database() as database:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        home = Home(folder, database.url, None, world, database, receiver, extra or {})
        try:
            (folder / "products").mkdir()
            shutil.copy(world.recipe, folder / "products")
            yield home
        finally:
            home.workspace.engine.dispose()
            receiver.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def crash(cluster: Cluster) -> None:
    """Let a server end at once, as in a crash, and start it again: it recovers from its log."""
    pid = cluster.status().pid
    os.kill(pid, signal.SIGQUIT)
    while Path(f"/proc/{pid}").exists() and cluster.status().pid == pid:
        time.sleep(0.01)
    cluster.start()


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process until the block ends."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
