"""Workers for tests: handlers that leave traces in a folder, also in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from smcatalog.core.errors import RefusedInput
from smcatalog.core.logs import configure_logs
from smcatalog.jobs import Job, RunningJob, WorkerOptions, WorkerReport, run_worker

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = {
    "heartbeat_seconds": "0.2",
    "check_seconds": "0.3",
    "stalled_seconds": "2",
    "poll_seconds": "0.2",
    "retry_seconds": "0.1,0.1",
    "grace_seconds": "20",
    "patience_seconds": "20",
}
SECRET = "hunter2"  # noqa: S105 - of nobody


@dataclass(frozen=True)
class Traces:
    """What jobs wrote about themselves, a line each, in the order in which it happened."""

    folder: Path

    def job(self, task: str, name: str = "", *, lock=None, queueing_lock=None, **more) -> Job:
        arguments = {"folder": str(self.folder), "name": name or task}
        return Job(task, {**arguments, **more}, lock, queueing_lock)

    def lines(self) -> list[str]:
        file = self.folder / "traces"
        return file.read_text().splitlines() if file.exists() else []

    def leave(self, line: str) -> None:
        with (self.folder / "traces").open("a") as stream:
            stream.write(f"{line}\n")

    def wait_for(self, line: str, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while line not in self.lines():
            if time.monotonic() > until:
                raise TimeoutError(f"no '{line}' in {self.lines()}")
            time.sleep(0.02)


def _traces(job: RunningJob) -> Traces:
    return Traces(Path(str(job.arguments["folder"])))


def note(job: RunningJob) -> None:
    """Take some time."""
    traces, name = _traces(job), job.arguments["name"]
    traces.leave(f"{name} begins")
    time.sleep(float(job.arguments.get("seconds", 0)))
    job.count_bytes(10)
    traces.leave(f"{name} ends")


def fail(job: RunningJob) -> None:
    """Fail a number of times, then do it."""
    _traces(job).leave(f"{job.arguments['name']} attempt {job.attempt}")
    if job.attempt <= int(job.arguments["times"]):
        raise RuntimeError(f"no answer from postgresql://someone:{SECRET}@host/db")


def refuse(job: RunningJob) -> None:
    raise RefusedInput("the file is empty")


def hang(job: RunningJob) -> None:
    """Go on until the file ``go`` is there, or until asked to stop."""
    traces = _traces(job)
    traces.leave(f"{job.arguments['name']} attempt {job.attempt}")
    while not (traces.folder / "go").exists():
        job.stop_if_asked()
        time.sleep(0.02)
    traces.leave(f"{job.arguments['name']} ends")


def deaf(job: RunningJob) -> None:
    """Never stop, whoever asks."""
    _traces(job).leave("deaf begins")
    time.sleep(600)


def die(job: RunningJob) -> None:
    """Kill the worker."""
    _traces(job).leave(f"die attempt {job.attempt}")
    os.kill(os.getpid(), signal.SIGKILL)


HANDLERS = {f.__name__: f for f in (note, fail, refuse, hang, deaf, die)}


def work(url: str, handlers=HANDLERS, **options: str) -> WorkerReport:
    """Do in this process what there is to do."""
    return run_worker(url, handlers, wait=False, options=WorkerOptions.read({**QUICK, **options}))


def start(url: str, *, wait: bool = False, **options: str) -> subprocess.Popen[str]:
    """Start a worker as a process; the caller waits for it."""
    settings = json.dumps({"url": url, "wait": wait, "options": {**QUICK, **options}})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.factories.working", settings],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(
    process: subprocess.Popen[str], seconds: float = 40
) -> tuple[int, list[dict[str, object]]]:
    """Exit code of a worker and what it logged."""
    _, err = process.communicate(timeout=seconds)
    return process.returncode, [json.loads(line) for line in err.splitlines()]


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    configure_logs("json")
    run_worker(
        given["url"], HANDLERS, wait=given["wait"], options=WorkerOptions.read(given["options"])
    )
