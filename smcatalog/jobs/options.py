"""How a worker behaves: beats, patience and attempts."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from smcatalog.core.errors import ConfigurationError

__all__ = ["WorkerOptions"]

_JITTER: Final = 0.2
"""Share of a delay by which it varies, so that what failed together does not come back together."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker behaves. All times are in seconds.

    Parameters
    ----------
    heartbeat_seconds : float
        How often a worker says that it lives.
    check_seconds : float
        How often it looks whether the others do.
    stalled_seconds : float
        For how long it must see no heartbeat of another one, by its own clock, to take it for dead.
        A library that keeps Python's lock for longer makes its worker look dead, too.
    poll_seconds : float
        How often an idle worker asks for jobs even if nothing woke it.
    retry_seconds : tuple of float
        How long a failed job waits before its second, third, ... attempt; one attempt more than
        there are numbers.
    max_kills : int
        How often a job's worker may die before the job goes to quarantine.
    grace_seconds : float
        How long a job may run on when the worker was asked to stop.
    patience_seconds : float
        How long a worker that ends when nothing is left waits for jobs that are due later or done
        elsewhere.
    outage_seconds : float
        How long a worker waits for a database that is away.
    """

    heartbeat_seconds: float = 2.0
    check_seconds: float = 5.0
    stalled_seconds: float = 20.0
    poll_seconds: float = 5.0
    retry_seconds: tuple[float, ...] = (10.0, 30.0, 120.0, 600.0)
    max_kills: int = 3
    grace_seconds: float = 60.0
    patience_seconds: float = 900.0
    outage_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("heartbeat_seconds", "check_seconds", "stalled_seconds", "poll_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} must be more than 0, got {getattr(self, name)}")
        if self.stalled_seconds <= 2 * self.heartbeat_seconds:
            raise ConfigurationError(
                f"stalled_seconds ({self.stalled_seconds}) must be more than two heartbeats "
                f"({self.heartbeat_seconds} each), or workers take live ones for dead"
            )
        if self.max_kills < 1:
            raise ConfigurationError(f"max_kills must be 1 or more, got {self.max_kills}")

    @property
    def max_attempts(self) -> int:
        """How often a failing job is tried in all."""
        return len(self.retry_seconds) + 1

    def delay(self, failures: int) -> float | None:
        """Return how long a job waits after so many failures, by chance a bit more or less.

        Parameters
        ----------
        failures : int
            How often it has failed, the last time included.

        Returns
        -------
        float or None
            In seconds; None when it has failed too often.
        """
        if failures > len(self.retry_seconds):
            return None
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        return self.retry_seconds[failures - 1] * jitter

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Self:
        """Read options from texts by name, as settings hold them; defaults for the rest.

        Parameters
        ----------
        values : mapping of str to str
            By the names of the fields. ``retry_seconds`` is a list with commas.

        Raises
        ------
        ConfigurationError
            When a name is no option or a text is no number.
        """
        names = {field.name for field in fields(cls)}
        for name in values:
            if name not in names:
                raise ConfigurationError(
                    f"'{name}' is not an option of workers; there are {', '.join(sorted(names))}"
                )
        return cls(**{name: _read(name, text) for name, text in values.items()})


def _read(name: str, text: str) -> Any:
    try:
        if name == "retry_seconds":
            return tuple(_seconds(part) for part in text.split(",") if part.strip())
        return int(text) if name == "max_kills" else _seconds(text)
    except ValueError as error:
        raise ConfigurationError(
            f"the option '{name}' of workers must be "
            f"{'numbers with commas' if name == 'retry_seconds' else 'a number'}, got '{text}'"
        ) from error


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError(text)
    return value
