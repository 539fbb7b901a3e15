"""How many threads there may be, and sharing work out among them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

__all__ = ["beside", "spread", "thread_count"]

_here = threading.local()

_R = TypeVar("_R")


def thread_count() -> int:
    """Return how many threads the caller may use.

    ``OMP_NUM_THREADS``, or the processors that the process may use; 1 in work that `spread` shared out, and `beside`.
    """
    if getattr(_here, "one_of_several", False):
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0))


def spread(work: Callable[..., _R], parts: Iterable[tuple[Any, ...]]) -> list[_R]:
    """Call a function for each part, in as many threads as there may be; whoever is free takes the next.

    Such work should spend its time in compiled code that lets other threads run, and its results must not depend on
    who does it. Linear algebra is kept to one thread meanwhile: cores are shared out among the
    parts. The threads end with the call, so that nothing is left behind that a fork would break.

    Parameters
    ----------
    work : callable
        Called with each part's elements.
    parts : iterable of tuple
        Arguments.

    Returns
    -------
    list
        Results in the order of the parts. When one fails, those that were not begun are not done, and its error
        goes up.
    """
    listed = list(parts)
    threads = min(thread_count(), len(listed))
    if threads <= 1:
        return list(starmap(work, listed))
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(threads, thread_name_prefix="spread", initializer=_join) as pool,
    ):
        return list(pool.map(lambda part: work(*part), listed))


def beside() -> ThreadPoolExecutor:
    """Return a thread for work beside the caller's; `spread` shares out nothing in it."""
    return ThreadPoolExecutor(1, thread_name_prefix="beside", initializer=_join)


def _join() -> None:
    _here.one_of_several = True
