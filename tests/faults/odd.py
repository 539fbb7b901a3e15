"""Processes that are odd: a worker whose clock jumps or whose disk is full, and two that make the same days.

``python -m tests.faults.odd worker ...`` is ``smcatalog worker ...`` with what the environment asks for;
``rival`` makes each block of days that a line of its input names, and says which days it made.
"""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

MODULE = "tests.faults.odd"
CLOCK = "FAULTS_CLOCK"
"""File with the seconds by which the clock is wrong."""
FULL = "FAULTS_FULL"
"""File that is there while the disk is full."""

_real, _seconds = dt.datetime, time.time


class _AnyDatetime(type(_real)):  # type: ignore[misc]
    """Takes every datetime for its instance, since libraries in C make them without asking."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real)


class _Jumping(_real, metaclass=_AnyDatetime):
    """Datetimes of a clock that is wrong."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _real.now(tz) + dt.timedelta(seconds=_wrong_by())

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(dt.UTC).replace(tzinfo=None)


def _wrong_by() -> float:
    try:
        return float(Path(os.environ[CLOCK]).read_text(encoding="utf-8") or 0)
    except FileNotFoundError:
        return 0.0


def jump() -> None:
    """Let this process believe in a wrong clock; before anything else is imported."""
    dt.datetime = _Jumping  # type: ignore[misc]
    time.time = lambda: _seconds() + _wrong_by()
    time.time_ns = lambda: int(time.time() * 1e9)


def fill() -> None:
    """Let writing fail as on a full disk while a file is there."""
    from smcatalog.store import base, work

    full = Path(os.environ[FULL])

    def flush(path: Path) -> None:
        if full.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        work.flush(path)

    base.flush = flush


def rival() -> None:
    """Make blocks of days as they are asked for, a JSON list of product, partition and block a line."""
    from smcatalog.core.settings import Settings
    from smcatalog.methods import registry  # noqa: F401 - slow to import: now, not while the other one makes maps
    from smcatalog.services.night import make_block
    from smcatalog.services.workspace import Workspace

    workspace = Workspace.open(Settings.load())
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        made = make_block(workspace, *json.loads(line))
        print(json.dumps([str(day.day) for day in made]), flush=True)  # noqa: T201


def main() -> None:
    if sys.argv[1] == "rival":
        rival()
        return
    if CLOCK in os.environ:
        jump()
    if FULL in os.environ:
        fill()
    from smcatalog.cli import main as command

    command()


if __name__ == "__main__":
    main()
