"""A second process that works beside this one: it ends with it, and its failures are told here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest.world.beside import beside
from smcatalog.core.errors import RefusedInput, SmcatalogError

PATIENCE = 60.0
"""Seconds after which something that should have happened has not."""


class AwkwardError(Exception):
    """One that cannot be made of what its pickle holds."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def wait_until(true):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.01)


def runs(pid):
    """Whether a process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def forever(check):
    while True:
        check()
        time.sleep(0.01)


def refuse(_check):
    raise RefusedInput("no such tile")


def test_both_work_and_the_end_waits_for_both(tmp_path):
    def work(check):
        wait_until((tmp_path / "begun").exists)  # at the same time, not one after the other
        check()
        time.sleep(0.05)
        (tmp_path / "done").write_text(str(os.getpid()))

    with beside(work) as check:
        check()
        (tmp_path / "begun").touch()
    other = int((tmp_path / "done").read_text())
    assert other != os.getpid()
    assert not runs(other)


def test_one_that_is_done_first_may_be_asked_again():
    with beside(lambda _check: None) as check:
        for _ in range(50):
            check()
            time.sleep(0.001)


def test_what_it_raises_is_raised_at_the_end():
    with pytest.raises(RefusedInput, match="no such tile") as raised, beside(refuse):
        pass
    assert raised.value.reason == "no such tile"
    assert "in refuse" in raised.value.__notes__[0]


def test_what_it_raises_ends_the_block_at_the_next_check():
    with pytest.raises(RefusedInput, match="no such tile"), beside(refuse) as check:
        wait_until(lambda: check() is not None)


def test_an_error_that_cannot_travel_is_told_by_its_name():
    def work(_check):
        raise AwkwardError("this", "that")

    with pytest.raises(RuntimeError, match="AwkwardError: this and that"), beside(work):
        pass


@pytest.mark.parametrize(
    ("die", "told"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"was killed \(too little memory\?\): run"),
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), "was ended by signal 10: run"),
        (lambda: os._exit(3), "ended with exit code 3: run"),
    ],
)
def test_its_death_is_told(die, told):
    with pytest.raises(SmcatalogError, match=told), beside(lambda _check: die()):
        pass


def test_an_error_here_ends_it_and_lets_it_clean_up(tmp_path):
    half = tmp_path / "half"

    def work(check):
        try:
            half.write_text(str(os.getpid()))
            forever(check)
        finally:
            half.rename(tmp_path / "cleaned")

    def fail():
        wait_until(lambda: half.exists() and half.read_text())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), beside(work):
        fail()
    assert not runs(int((tmp_path / "cleaned").read_text()))


SCRIPT = """
import os, sys, time
from pathlib import Path
from ingest.world.beside import beside

def forever(check):
    Path(sys.argv[1]).write_text(f"{os.getpid()}.")
    while True:
        check()
        time.sleep(0.01)

with beside(forever) as check:
    while True:
        check()
        time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGINT, False),
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
        (signal.SIGKILL, False),
    ],
)
def test_signals_end_both(tmp_path, number, group):
    """At a terminal an interrupt reaches both at once; the others come to the first alone."""
    told = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(told)], stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith("."))
        other = int(told.read_text()[:-1])
        assert runs(other)
        (os.killpg if group else os.kill)(process.pid, number)
        assert process.wait(PATIENCE) == -number
        wait_until(lambda: not runs(other))
    finally:
        process.kill()
        _, said = process.communicate()
    assert said.count("Traceback") == (number == signal.SIGINT)
