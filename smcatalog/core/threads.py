"""How many threads there may be."""

from __future__ import annotations

import os

__all__ = ["thread_count"]


def thread_count() -> int:
    """Return how many threads a process uses: ``OMP_NUM_THREADS``, or the processors that it may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0))
