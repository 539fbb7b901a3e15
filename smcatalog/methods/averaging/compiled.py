"""Compilation of the inner loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

__all__ = ["compiled"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that holds no Python objects, so that threads run it side by side.

    Threads are the callers': the compiler's own would not survive a fork nor two callers at once. The
    machine code is kept beside the source; functions that call each other live in one module, since a
    change in another would not be seen. Sums keep the order in which they are written.
    """
    made = numba.njit(nogil=True, cache=True, fastmath=False, error_model="numpy")(function)
    return cast("Callable[P, R]", made)
