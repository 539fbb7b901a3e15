"""The faults: each disturbs the same world in a new home and compares what is left in the end."""

from __future__ import annotations

import ctypes.util
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from smcatalog.cli.handlers import handlers
from smcatalog.jobs import WorkerOptions, run_worker
from tests.factories.commands import REPOSITORY
from tests.factories.objects import Fault, object_server
from tests.faults import odd
from tests.faults.crew import TASKS, Crew, crew_of, run_waves
from tests.faults.disks import disk_of
from tests.faults.home import OPTIONS, Home, crash, environment, home_of
from tests.faults.state import State
from tests.faults.world import PRODUCT, World
from tests.fixtures.databases import Server

_DAY = 86_400


@dataclass(frozen=True)
class Trial:
    """What was tried and what came of it.

    Parameters
    ----------
    fault : str
        What was done.
    times : int
        How often.
    seconds : float
        How long the disturbed nights took.
    wrong : list of str
        Differences and leftovers; none when everything survived.
    details : dict
        Counts by kind.
    """

    fault: str
    times: int
    seconds: float
    wrong: list[str]
    details: Mapping[str, int] = field(default_factory=dict)

    @property
    def survived(self) -> bool:
        return not self.wrong


@dataclass
class Ground:
    """Where trials take place.

    Parameters
    ----------
    server : Server
        Its databases; durable, so that it can crash.
    folder : Path
        For homes.
    world : World
        What is delivered.
    workers : int
        How many work at once.
    dice : random.Random
        Draws moments.
    short : bool
        Whether each fault is tried once or a few times only.
    """

    server: Server
    folder: Path
    world: World
    workers: int
    dice: random.Random
    short: bool = False
    homes: int = 0

    @contextmanager
    def home(self, extra: Mapping[str, str] | None = None) -> Iterator[Home]:
        self.homes += 1
        with home_of(self.server, self.folder / f"home{self.homes}", self.world, extra) as home:
            yield home


def undisturbed(ground: Ground) -> tuple[Trial, State]:
    """Run the world without any fault; what is left is what all others are compared with."""
    began = time.monotonic()
    with ground.home() as home, crew_of(home, ground.workers) as crew:
        run_waves(home, crew)
        outcomes = crew.outcomes
        state, wrong = home.compare(None)
    wrong += [f"{outcomes[name]} jobs {name}" for name in outcomes.keys() - {"done"}]
    counts = {name: state.count(name) for name in ("granules", "models", "maps", "matchups")}
    counts |= {"files": len(state.files), "jobs": outcomes["done"]}
    return Trial("none", 0, time.monotonic() - began, wrong, counts), state


def kills(ground: Ground, expected: State, wanted: int) -> Iterator[Trial]:
    """Kill workers at random moments, most of them within jobs of the task that was hit least."""
    hit: Counter[str] = Counter()
    while hit.total() < wanted:
        began = time.monotonic()
        with ground.home() as home, crew_of(home, ground.workers) as crew:
            hunt = _Hunt(crew, ground.dice, hit, wanted)
            run_waves(home, crew, hunt)
            _, wrong = home.compare(expected)
        number = crew.kills.total()
        hit += crew.kills
        yield Trial("SIGKILL", number, time.monotonic() - began, wrong, dict(crew.kills))
        if not number and wanted:
            return


class _Hunt:
    """Kills again and again, until it is enough."""

    def __init__(
        self, crew: Crew, dice: random.Random, before: Mapping[str, int], wanted: int
    ) -> None:
        self._crew, self._dice, self._before, self._wanted = crew, dice, before, wanted

    def __call__(self) -> None:
        crew, dice = self._crew, self._dice
        hit = Counter(self._before) + crew.kills
        if hit.total() >= self._wanted:
            return
        crew.look()
        running = sorted({worker.task for worker in crew.workers if worker.task})
        least = min(TASKS, key=lambda task: (hit[task], dice.random()))
        if crew.hunt(dice, least, 1.0) or not running:
            return
        if dice.random() < 0.3:  # at times whoever it is, at work or not
            crew.kill(dice.randrange(len(crew.workers)))
        elif hit[least] > hit.total() / 12 or dice.random() < 0.3:
            crew.hunt(dice, min(running, key=lambda task: hit[task]), 0.5)


def crashes(ground: Ground, expected: State, wanted: int) -> Trial:
    """Crash the database while a worker's transaction has written and not yet committed."""
    began = time.monotonic()
    done: Counter[str] = Counter()
    every = 2.0 if ground.short else 4.0
    with ground.home() as home, crew_of(home, ground.workers) as crew:
        last = time.monotonic()

        def strike() -> None:
            nonlocal last
            early = time.monotonic() - last < ground.dice.uniform(1, every)
            # a worker that finds no database when it starts ends: who runs it starts it again
            if done.total() >= wanted or early or not all(one.ready for one in crew.workers):
                return
            writing = _writing(home, 1.0)
            crash(ground.server.cluster)
            done["in mid-transaction" if writing else "between transactions"] += 1
            last = time.monotonic()

        run_waves(home, crew, strike)
        outcomes = crew.outcomes
        _, wrong = home.compare(expected)
    details = {**done, "retried jobs": outcomes["retried"]}
    return Trial("database crashed", done.total(), time.monotonic() - began, wrong, details)


def _writing(home: Home, seconds: float) -> bool:
    """Wait until a worker's transaction has changed something and is open still, or commits."""
    asked = text(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'smcatalog worker%' AND backend_xid IS NOT NULL)"
    )
    until = time.monotonic() + seconds
    with home.engine.connect() as connection:
        while time.monotonic() < until:
            found = connection.scalar(asked)
            connection.rollback()
            if found:
                return True
    return False


def full_disk(ground: Ground, expected: State) -> Trial:
    """Let the store's disk be full again and again; each time there is a bit more room later."""
    began = time.monotonic()
    with ExitStack() as stack:
        home = stack.enter_context(ground.home())
        disk = stack.enter_context(disk_of(home))
        crew = stack.enter_context(crew_of(home, ground.workers, disk.module, disk.given))
        seen = 0

        def room() -> None:
            nonlocal seen
            if crew.outcomes["retried"] > seen:
                time.sleep(ground.dice.uniform(0, 1))
                crew.look()
                seen = crew.outcomes["retried"]
                disk.enlarge()
            disk.refill(ground.dice)

        run_waves(home, crew, room)
        outcomes = crew.outcomes
        disk.enlarge()
        _, wrong = home.compare(expected)
    if not outcomes["retried"]:
        wrong.append("no job failed: the disk was never full")
    details = {"retried jobs": outcomes["retried"]}
    return Trial(disk.name, disk.times, time.monotonic() - began, wrong, details)


def rivals(ground: Ground, expected: State) -> Trial:
    """Give each day to two processes at once, past the queue's locks."""
    began = time.monotonic()
    contested = made = 0
    with ground.home() as home, ExitStack() as stack:
        both = [stack.enter_context(_rival(home)) for _ in range(2)]
        for wave in (*range(1, home.world.waves + 1),):
            for named in (wave, None) if wave == 1 else (wave,):
                home.wake(named)
                _work(home, "ingest", "plan", "fit")
            for block in _blocks(home):
                answers = [set(answer) for answer in _together(both, block)]
                contested += len(answers[0] & answers[1])
                made += len(answers[0] | answers[1])
            _work(home, *TASKS)
        _, wrong = home.compare(expected)
    if not contested:
        wrong.append("no day was made by both")
    details = {"days made": made, "by both at once": contested}
    return Trial("day given to two", contested, time.monotonic() - began, wrong, details)


def _work(home: Home, *tasks: str) -> None:
    """Do in this process what there is to do of some tasks."""
    known = handlers(home.workspace)
    chosen = {task: known[task] for task in tasks}
    run_worker(home.database_url, chosen, wait=False, options=WorkerOptions.read(OPTIONS))


def _blocks(home: Home) -> list[list[str]]:
    asked = text(
        "SELECT args ->> 'partition', args ->> 'block' FROM procrastinate.procrastinate_jobs "
        "WHERE task_name = 'produce' AND status = 'todo' ORDER BY id"
    )
    with home.engine.connect() as connection:
        return [[PRODUCT, *row] for row in connection.execute(asked)]


@contextmanager
def _rival(home: Home) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", odd.MODULE, "rival"],
        cwd=REPOSITORY,
        env=home.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        process.stdout.readline()
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def _together(both: list[subprocess.Popen[str]], block: list[str]) -> list[list[str]]:
    for process in both:
        process.stdin.write(json.dumps(block) + "\n")
        process.stdin.flush()
    answers = [process.stdout.readline() for process in both]
    if not all(answers):
        raise RuntimeError(f"a process that made block {block} ended")
    return [json.loads(answer) for answer in answers]


def clocks(ground: Ground, expected: State) -> Trial:
    """Let the clocks of all workers but one jump by up to three days, each in its own way."""
    began = time.monotonic()
    jumps = 0
    library = _faketime()
    with ground.home() as home:
        files = [home.home / f"clock{number}" for number in range(ground.workers)]

        def turn() -> None:
            nonlocal jumps
            for number, file in enumerate(files[1:]):
                if ground.dice.random() < 0.1 or not file.exists():
                    # the first is fast, the second slow, and so on
                    wrong = ground.dice.randint(1, 3 * _DAY) * (-1) ** number
                    file.with_suffix(".new").write_text(f"{wrong:+d}\n", encoding="utf-8")
                    file.with_suffix(".new").replace(file)
                    jumps += 1

        def given(number: int) -> Mapping[str, str]:
            if number == 0:
                return {}
            if library is None:
                return {odd.CLOCK: str(files[number])}
            return {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(files[number]),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }

        turn()
        with crew_of(home, ground.workers, "smcatalog" if library else odd.MODULE, given) as crew:
            run_waves(home, crew, turn)
        _, wrong = home.compare(expected)
    how = "libfaketime" if library else "injected"
    return Trial(f"clocks jump ({how})", jumps, time.monotonic() - began, wrong)


def _faketime() -> str | None:
    places = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    found = ctypes.util.find_library("faketime")
    return next((str(path) for path in places), found)


def bad_store(ground: Ground, expected: State) -> Trial:
    """Let a bucket answer 500 and 503, cut connections, lose answers and not answer at all, at random."""
    began = time.monotonic()
    kinds = ("500", "503", "503", "cut", "lost", *(() if ground.short else ("hang",)))
    requests, share = (1_000, 10) if ground.short else (6_000, 12)
    drawn = [
        Fault(ground.dice.choice(kinds), times=1, after=ground.dice.randrange(requests))
        for _ in range(requests // share)
    ]
    hangs = [fault for fault in drawn if fault.kind == "hang"][:6]  # each takes a worker's time
    told = [fault for fault in drawn if fault.kind != "hang"] + hangs
    with object_server(ground.folder / "objects.log") as server:
        server.make_bucket("faults")
        extra = {**server.environment, "SMCATALOG_STORE": "s3://faults/catalogue"}
        with environment(extra), ground.home(extra) as home:
            server.fail(*told)
            with crew_of(home, ground.workers) as crew:
                run_waves(home, crew)
                outcomes = crew.outcomes
            asked = len(server.seen)
            server.fail()
            _, wrong = home.compare(expected)
    met = _met(told, asked)
    details = {**met, "requests": asked, "retried jobs": outcomes["retried"]}
    return Trial("S3 fails", met.total(), time.monotonic() - began, wrong, details)


def _met(told: list[Fault], requests: int) -> Counter[str]:
    """Return how many faults of each kind so many requests met, as the server counts."""
    waiting = [[fault.kind, fault.after] for fault in told]
    met: Counter[str] = Counter()
    for _ in range(requests):
        for fault in waiting:
            if fault[1] == 0:
                met[fault[0]] += 1
                waiting.remove(fault)
                break
            fault[1] -= 1
    return met


def run(ground: Ground, wanted: int, tell: Callable[[Trial], None]) -> list[Trial]:
    """Try everything and say what came of each as it comes."""
    trials: list[Trial] = []

    def add(trial: Trial) -> None:
        trials.append(trial)
        tell(trial)

    first, expected = undisturbed(ground)
    add(first)
    for trial in kills(ground, expected, wanted):
        add(trial)
    add(crashes(ground, expected, 2 if ground.short else 12))
    add(full_disk(ground, expected))
    add(rivals(ground, expected))
    add(clocks(ground, expected))
    add(bad_store(ground, expected))
    shutil.rmtree(ground.folder, ignore_errors=True)
    return trials
