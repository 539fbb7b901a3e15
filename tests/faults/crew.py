"""Workers as processes that are watched through their logs, killed, and replaced."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.factories.commands import REPOSITORY
from tests.faults.home import Home

TASKS = ("ingest", "plan", "fit", "produce", "validate", "announce")
_GLANCE = 0.004
_PATIENCE = 300.0


@dataclass
class Worker:
    """A worker's process and what its log has said so far."""

    process: subprocess.Popen[bytes]
    log: Path
    read: int = 0
    task: str | None = None
    """Task of the job that it runs."""
    job: int | None = None
    ready: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[tuple[str, float]] = field(default_factory=list)
    """How long jobs ran, by task."""

    def look(self) -> None:
        """Read on in the log."""
        with self.log.open("rb") as stream:
            stream.seek(self.read)
            said = stream.read()
        whole, _, _ = said.rpartition(b"\n")
        self.read += len(whole) + bool(whole)
        for line in whole.splitlines():
            if not line.startswith(b"{"):
                continue
            entry = json.loads(line)
            match entry["event"]:
                case "worker started":
                    self.ready = True
                case "job started":
                    self.task, self.job = entry["task"], entry["job"]
                case "job ended":
                    self.task = self.job = None
                    self.outcomes[entry["outcome"]] += 1
                    self.seconds.append((entry["task"], entry["seconds"]))


class Crew:
    """Some workers of a home; use it in a ``with``.

    Parameters
    ----------
    home : Home
        Where they work.
    size : int
        How many.
    module : str
        What is run as a worker.
    given : callable
        Returns the environment that a worker has besides, by its number.
    """

    def __init__(
        self,
        home: Home,
        size: int,
        module: str = "smcatalog",
        given: Callable[[int], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self.home = home
        self.kills: Counter[str] = Counter()
        self._module = module
        self._given = given
        self._started = 0
        self._past: Counter[str] = Counter()
        self._seconds: list[tuple[str, float]] = []
        self._logs = home.home / "logs"
        self._logs.mkdir(exist_ok=True)
        self.workers = [self._start(number) for number in range(size)]

    @property
    def outcomes(self) -> Counter[str]:
        """Runs of jobs by what they came to, as far as workers lived to tell."""
        return self._past + sum((w.outcomes for w in self.workers), Counter())

    def _start(self, number: int) -> Worker:
        log = self._logs / f"{self._started:04d}.log"
        self._started += 1
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", self._module, "worker", "--name", f"w{self._started}"],
                cwd=REPOSITORY,
                env={**self.home.environment(), **self._given(number)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        return Worker(process, log)

    def look(self) -> None:
        """See what everybody does.

        Raises
        ------
        RuntimeError
            When one has ended that nobody killed.
        """
        for number, worker in enumerate(self.workers):
            worker.look()
            if worker.process.poll() is not None:
                raise RuntimeError(
                    f"worker {number} ended by itself with {worker.process.returncode}: "
                    f"{worker.log.read_text()[-3000:]}"
                )

    def kill(self, number: int) -> None:
        """Kill a worker without a warning and put another one in its place."""
        worker = self.workers[number]
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
        worker.look()
        self.kills[worker.task or ("idle" if worker.ready else "start")] += 1
        self._past += worker.outcomes
        self._seconds += worker.seconds
        self.workers[number] = self._start(number)

    def hunt(self, dice: random.Random, task: str, seconds: float) -> bool:
        """Kill a worker at a random moment of a job of some task; say whether there was one in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            found = [n for n, worker in enumerate(self.workers) if worker.task == task]
            if found:
                number = dice.choice(found)
                time.sleep(dice.uniform(0, 1.1) * self._duration(dice, task))
                self.kill(number)
                return True
            time.sleep(_GLANCE)
        return False

    def _duration(self, dice: random.Random, task: str) -> float:
        """Return how long a job of a task may take: as long as one that came to its end did."""
        known = [
            took
            for seconds in (self._seconds, *(w.seconds for w in self.workers))
            for one, took in seconds
            if one == task
        ]
        return dice.choice(known) if known else 1.0

    def until_done(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until the queue is empty; do something again and again while it is not."""
        until = time.monotonic() + _PATIENCE
        while self.home.left():
            self.look()
            meanwhile()
            if time.monotonic() > until:
                raise TimeoutError(
                    f"jobs were left after {_PATIENCE:.0f} s: {self.home.run('jobs', 'list', code=None).stdout}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End all of them."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()


@contextmanager
def crew_of(
    home: Home,
    size: int,
    module: str = "smcatalog",
    given: Callable[[int], Mapping[str, str]] = lambda _: {},
) -> Iterator[Crew]:
    """Start workers and end them with the block."""
    crew = Crew(home, size, module, given)
    try:
        yield crew
    finally:
        crew.stop()


def run_waves(home: Home, crew: Crew, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Deliver all waves, one after the other, and have the work of each done."""
    for wave in range(1, home.world.waves + 1):
        home.wake(wave)
        crew.until_done(meanwhile)
        if wave == 1:
            home.wake(None)
            crew.until_done(meanwhile)
