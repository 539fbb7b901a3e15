"""What PostgreSQL says when two sessions met, and how long to wait before trying again."""

from __future__ import annotations

import random
import time
from typing import Final

import psycopg

__all__ = ["TRANSIENT", "collision", "pause"]

TRANSIENT: Final = frozenset({"55P03", "40P01", "40001"})
"""Lock not available, deadlock, serialization failure: over when the other one has finished."""


def collision(error: BaseException | None) -> psycopg.Error | None:
    """Return the server's error behind another one if it only says that two sessions met.

    Beside locks and deadlocks these are the errors of two sessions that change the same row of a
    system catalogue; those of roles and settings are shared by all databases of a server.

    Parameters
    ----------
    error : BaseException or None
        Psycopg's, or one that was raised from it.
    """
    while error is not None and not isinstance(error, psycopg.Error):
        error = getattr(error, "orig", None) or error.__cause__
    if error is None:
        return None
    said = error.diag
    met = (
        error.sqlstate in TRANSIENT
        # The server has no code for these: "tuple concurrently updated", "... deleted".
        or (error.sqlstate == "XX000" and "concurrently" in (said.message_primary or ""))
        or (error.sqlstate == "23505" and said.schema_name == "pg_catalog")
    )
    return error if met else None


def pause(attempt: int) -> None:
    """Wait before the next attempt: longer each time, and by chance, so that both do not meet again.

    Parameters
    ----------
    attempt : int
        How many have failed before this one.
    """
    time.sleep(random.uniform(0.5, 1.0) * min(0.05 * 2**attempt, 2.0))  # noqa: S311 - no secret
