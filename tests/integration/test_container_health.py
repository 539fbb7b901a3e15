"""The containers' health checks say what is so."""

import importlib.util
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.factories.commands import Place

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture
def health(monkeypatch, module_database):
    monkeypatch.syspath_prepend(str(DOCKER))
    monkeypatch.setenv("SMCATALOG_DATABASE_URL", module_database.url)
    monkeypatch.delenv("DATABASE_HOST", raising=False)
    spec = importlib.util.spec_from_file_location("image_health", DOCKER / "health.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    yield loaded
    sys.modules.pop("entrypoint", None)


@pytest.fixture
def worker(module_database, tmp_path):
    """A worker's process, as it waits for jobs."""
    process = Place(tmp_path / "home", module_database.url).start("worker")
    while "worker started" not in (line := process.stderr.readline()):
        assert line, "the worker ended"
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def until(code, check, seconds=20):
    """Wait until a check answers so: a connection's end takes the server a moment to notice."""
    last = time.monotonic() + seconds
    while check() != code:
        assert time.monotonic() < last
        time.sleep(0.1)


def test_a_worker_is_well_while_its_heart_beats(health, worker, monkeypatch, capsys):
    until(0, lambda: health.main(["worker"]))
    assert "last heartbeat" in capsys.readouterr().out
    os.kill(worker.pid, signal.SIGSTOP)
    monkeypatch.setattr(health, "FRESH_SECONDS", 3)  # a beat every two
    until(1, lambda: health.main(["worker"]))
    assert f"the last heartbeat of {socket.gethostname()}" in capsys.readouterr().err
    os.kill(worker.pid, signal.SIGCONT)
    until(0, lambda: health.main(["worker"]))
    worker.kill()
    until(1, lambda: health.main(["worker"]))
    until(True, lambda: "is connected" in _said(health, capsys))


def _said(health, capsys):
    capsys.readouterr()
    health.main(["worker"])
    return capsys.readouterr().err


def test_the_planner_is_well_while_it_could_begin(health, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(health, "_commands", lambda: [["smcatalog", "nightly", "--at", "02:30"]])
    monkeypatch.setenv("SMCATALOG_INBOX", str(tmp_path))
    assert health.main(["nightly"]) == 0
    monkeypatch.setenv("SMCATALOG_INBOX", str(tmp_path / "not mounted"))
    assert health.main(["nightly"]) == 1
    assert "not mounted" in capsys.readouterr().err
    monkeypatch.setattr(health, "_commands", lambda: [["python", "health.py", "nightly"]])
    assert health.main(["nightly"]) == 1
    assert "no process waits" in capsys.readouterr().err


def test_without_a_database_nothing_is_well(health, monkeypatch, capsys):
    monkeypatch.setenv("SMCATALOG_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    monkeypatch.setattr(health, "_commands", lambda: [["smcatalog", "nightly", "--at", "02:30"]])
    assert [health.main([name]) for name in ("worker", "nightly")] == [1, 1]
    monkeypatch.setattr(health, "API_PORT", 1)
    assert health.main(["api"]) == 1
    assert capsys.readouterr().err.count("not well: ") == 3
    assert health.main([]) == 2
