"""The words of the queue: a job to be done, a job that runs, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from smcatalog.core.errors import Interrupted

__all__ = ["JSON", "Handler", "Job", "Outcome", "RunningJob", "WorkerReport", "shown"]

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What JSON can say."""

_SHOWN: Final = ("product", "partition", "block", "day", "month", "version", "source")


def shown(arguments: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return those of a job's arguments that all log lines about it carry."""
    return {name: arguments[name] for name in _SHOWN if name in arguments}


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done.

    Parameters
    ----------
    task : str
        Name of the handler that does it.
    arguments : mapping
        With what, as JSON; no secrets, since people read them.
    lock : str, optional
        Jobs with the same lock run one after the other, in the order of priority and enqueueing; one
        that waits for its next attempt holds up those behind it.
    queueing_lock : str, optional
        Of jobs with the same one only one waits at a time: it stands for all of them.
    priority : int
        The higher goes first.
    not_before : datetime, optional
        Earliest instant, with its time zone; at once by default.
    """

    task: str
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    lock: str | None = None
    queueing_lock: str | None = None
    priority: int = 0
    not_before: datetime | None = None


class Outcome(StrEnum):
    """What became of a run of a job."""

    DONE = "done"
    RETRIED = "retried"
    """It failed and is tried again later."""
    QUARANTINED = "quarantined"
    """It failed and is not tried again before a person releases it."""
    INTERRUPTED = "interrupted"
    """It was asked to stop and went back to the queue."""
    LOST = "lost"
    """It is this worker's no more: taken for dead, or recorded already when the connection broke."""


@dataclass(slots=True)
class Tally:
    """What a running job counts."""

    bytes: int = 0


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job as its handler sees it.

    Parameters
    ----------
    id : int
        Its number in the queue.
    task : str
        What is to be done.
    arguments : mapping
        With what.
    attempt : int
        From 1; interruptions do not count.
    should_stop : callable
        Whether the handler should come to an end early by raising `Interrupted`.
    """

    id: int
    task: str
    arguments: Mapping[str, JSON]
    attempt: int
    should_stop: Callable[[], bool]
    tally: Tally = field(default_factory=Tally, repr=False, compare=False)

    def count_bytes(self, number: int) -> None:
        """Add to the bytes that the totals of the job's task show."""
        self.tally.bytes += number

    def stop_if_asked(self) -> None:
        """Raise `Interrupted` when the job should stop.

        Raises
        ------
        Interrupted
            Then the job goes back to the queue at once; that is no failed attempt.
        """
        if self.should_stop():
            raise Interrupted(f"job {self.id} ({self.task}) was asked to stop")


Handler: TypeAlias = Callable[[RunningJob], None]
"""Does a job. It is safe to repeat: a job may run more than once, wherever it was cut off."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker did.

    Parameters
    ----------
    name : str
        Of the worker.
    runs : mapping of Outcome to int
        How many runs of jobs came to what.
    recovered : int
        Jobs of dead workers that it put back.
    left : int
        Jobs of its tasks that were still in the queue when it ended, waiting or done elsewhere.
    stopped : bool
        Whether a signal ended it.
    """

    name: str
    runs: Mapping[Outcome, int]
    recovered: int
    left: int
    stopped: bool

    def count(self, outcome: Outcome) -> int:
        """Return how many runs came to this."""
        return self.runs.get(outcome, 0)
