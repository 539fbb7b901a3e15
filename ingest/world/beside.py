"""A second process that works beside this one and ends with it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from smcatalog.core.errors import SmcatalogError

__all__ = ["Check", "beside", "can_work_beside"]

Check = Callable[[], None]
"""To be called now and then by each of the two: it ends its caller when the other has failed."""

_PATIENCE: Final = 10.0
"""Seconds that the second process gets to clean up when it is ended."""


def can_work_beside() -> bool:
    """Return whether a second process helps and can be forked.

    It helps where there is a second processor. A lock that another thread holds would stay locked in the
    fork for ever.
    """
    return len(os.sched_getaffinity(0)) > 1 and threading.active_count() == 1


@contextmanager
def beside(work: Callable[[Check], None]) -> Iterator[Check]:
    """Have a forked process do some work while the block runs, and wait for it at its end.

    Parameters
    ----------
    work : callable
        Of the second process. What it raises is raised here: by the block's `Check`, or at its end.

    Raises
    ------
    SmcatalogError
        When the second process dies.
    """
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(work, os.getpid(), here, there), daemon=True)
    process.start()
    there.close()

    def check() -> None:
        if not here.closed and here.poll():
            _receive(here, process)

    try:
        yield check
        if not here.closed:
            _receive(here, process)
    finally:
        _end(process)
        here.close()


def _receive(pipe: Connection, process: BaseProcess) -> None:
    """Wait for the second process to say how it went."""
    try:
        error = pipe.recv()
    except EOFError:
        process.join()
        raise SmcatalogError(
            f"the process that shared the work {_died(process.exitcode)}: run the same again"
        ) from None
    pipe.close()
    process.join()
    if error is not None:
        raise error


def _died(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "was killed (too little memory?)"
    if code is not None and code < 0:
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.terminate()
        process.join(_PATIENCE)
    if process.is_alive():
        process.kill()
    process.join()


def _work(work: Callable[[Check], None], parent: int, here: Connection, there: Connection) -> None:
    """Do the work in the forked process and tell how it went."""
    # an interrupt at the terminal reaches both: the first process decides, and ends this one so that
    # it leaves nothing half done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    here.close()

    def check() -> None:
        if os.getppid() != parent:
            sys.exit(1)

    try:
        work(check)
    except Exception as error:  # noqa: BLE001 - whatever it is, the first process raises it
        there.send(_portable(error))
    else:
        there.send(None)


def _leave(*_: Any) -> None:
    sys.exit(1)


def _portable(error: Exception) -> Exception:
    """Return an error as the other process can get it, with where it arose as a note."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - by its own code
        told: Exception = RuntimeError(f"{type(error).__name__}: {error}")
    else:
        told = error
    told.add_note(
        "".join(
            ["in the process that shared the work:\n", *traceback.format_tb(error.__traceback__)]
        )
    )
    return told
