"""Workers side by side: what a second one brings on the same machine as the database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Final

from sqlalchemy import text

from smcatalog.bench.core import Contest, Seconds, figure
from smcatalog.bench.places import BenchServer, daily_product, put_day, put_relief
from smcatalog.core.errors import SmcatalogError
from smcatalog.database.engine import transaction
from smcatalog.jobs import enqueue
from smcatalog.products import Definition, MethodChoice
from smcatalog.services.night import plan_job
from smcatalog.services.plan import activate
from smcatalog.services.workspace import Workspace

_PARTITIONS: Final = 16
_DAYS: Final = 3
"""Days with layers in each partition."""
_TREES: Final = 60
_PATIENCE: Final = 900.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@figure("workers", "two workers beside one on 16 independent partitions; at most 0.67", repeats=3)
def workers(folder: Path) -> Contest:
    """Fit 16 models and make the maps of their days, from an empty catalogue with layers.

    Both sides have workers that wait for jobs already; the time is from the plan's job to the empty queue.
    """
    server = BenchServer.start(folder)
    first = date(2020, 1, 1)
    span = [first + timedelta(days=16 * n + d) for n in range(_PARTITIONS) for d in range(_DAYS)]
    forest = MethodChoice("random_forest", {"n_estimators": _TREES})
    product = daily_product("crowd", first, span[-1], method=forest)
    whole = server.workspace("layers")
    put_relief(whole)
    for day in span:
        put_day(whole, day)
    whole.engine.dispose()
    runs: dict[int, list[_Run]] = {1: [], 2: []}

    def run(number: int) -> Seconds:
        runs[number].append(_run(server, product, number, sum(map(len, runs.values()))))
        return Seconds(runs[number][-1].seconds)

    def notes() -> str:
        return "; ".join(f"{n} workers: {_said(n, some)}" for n, some in sorted(runs.items()))

    size = f"{_PARTITIONS} partitions of {_DAYS} days, {_TREES} trees"
    return Contest(lambda: run(2), lambda: run(1), size, notes, server.close)


class _Run:
    """What a run took: seconds, and CPU seconds of the workers and of the database."""

    def __init__(self, seconds: float, working: float, database: float) -> None:
        self.seconds, self.working, self.database = seconds, working, database


def _said(number: int, runs: list[_Run]) -> str:
    """Say what a number of workers spent their time on."""
    seconds, working, database = (
        median(getattr(run, name) for run in runs) for name in ("seconds", "working", "database")
    )
    waiting = number * seconds - working
    cores = len(os.sched_getaffinity(0))
    busy = (working + database) / (cores * seconds)
    return (
        f"{seconds:.1f} s, CPU of workers {working:.1f} s, of PostgreSQL {database:.1f} s, waiting "
        f"{waiting:.1f} s, {busy:.0%} of {cores} cores"
    )


def _run(server: BenchServer, product: Definition, number: int, serial: int) -> _Run:
    place = server.workspace(f"run{serial}", template="layers")
    shutil.copytree(server.folder / "layers" / "store", server.folder / f"run{serial}" / "store")
    processes = [_start(place) for _ in range(number)]
    try:
        _wait(place, "SELECT count(*) >= :n FROM procrastinate.procrastinate_workers", number)
        # they sleep by now; what their first jobs import is part of it
        time.sleep(1.0)
        postmaster = server.cluster.status().pid or 0
        before = [_cpu(process.pid) for process in processes], _cpu_of_all(postmaster)
        began = time.perf_counter()
        with place.engine.begin() as connection:
            activate(connection, product)
            enqueue(connection, [plan_job(product.name)])
        _wait(place, "SELECT count(*) = 0 FROM procrastinate.procrastinate_jobs", number)
        seconds = time.perf_counter() - began
        working = sum(_cpu(p.pid) for p in processes) - sum(before[0])
        database = _cpu_of_all(postmaster) - before[1]
        made = transaction(
            place.engine, lambda c: c.scalar(text("SELECT count(*) FROM smcatalog.maps"))
        )
        if made != _PARTITIONS * _DAYS:
            raise SmcatalogError(f"{made} maps were made, not {_PARTITIONS * _DAYS}")
        return _Run(seconds, working, database)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)
        place.engine.dispose()


def _start(place: Workspace) -> subprocess.Popen[bytes]:
    settings = place.settings
    ours = {
        "SMCATALOG_HOME": str(settings.home),
        "SMCATALOG_DATABASE_URL": str(settings.database_url),
        "SMCATALOG_WORKER_POLL_SECONDS": "0.5",
        "OMP_NUM_THREADS": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMCATALOG_")}
    return subprocess.Popen(
        [sys.executable, "-m", "smcatalog", "worker"],
        env={**kept, **ours},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait(place: Workspace, asked: str, number: int) -> None:
    """Wait until the database answers a question with yes."""
    until = time.monotonic() + _PATIENCE
    while not transaction(place.engine, lambda c: c.scalar(text(asked), {"n": number})):
        if time.monotonic() > until:
            raise SmcatalogError(f"the workers had not done after {_PATIENCE:.0f} s")
        time.sleep(0.1)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process and of those of its children that have ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


def _cpu_of_all(pid: int) -> float:
    """Return the CPU seconds of a process and of all its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return _cpu(pid) + sum(_cpu(int(child)) for child in children)
