"""What a figure is and how it is measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

__all__ = ["Contest", "Figure", "Measurement", "Seconds", "figure", "measure", "registered"]


class Seconds(float):
    """A time that a contestant took itself, to count in place of how long it ran."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Contest:
    """Two ways of doing the same, ready to be timed.

    Parameters
    ----------
    ours, reference : callable
        What is timed; called several times in turn. One that returns `Seconds` says itself what counts.
    size : str
        How much is done, for a person.
    notes : callable, optional
        Says in the end what else was seen, for a person.
    close : callable, optional
        Ends what was started for it.
    """

    ours: Callable[[], object]
    reference: Callable[[], object]
    size: str
    notes: Callable[[], str] = str
    close: Callable[[], object] = str


@dataclass(frozen=True, slots=True)
class Figure:
    """A benchmark.

    Parameters
    ----------
    name : str
        Short name.
    title : str
        What is compared with what.
    prepare : callable
        Gets an empty folder and returns the contest.
    repeats : int
        How often both are timed; medians count.
    """

    name: str
    title: str
    prepare: Callable[[Path], Contest]
    repeats: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Result of a figure: medians of seconds, their ratio, and what else was seen."""

    name: str
    title: str
    size: str
    ours: float
    reference: float
    ratio: float
    notes: str = ""


_FIGURES: Final[dict[str, Figure]] = {}


def figure(
    name: str, title: str, *, repeats: int = 3
) -> Callable[[Callable[[Path], Contest]], Callable[[Path], Contest]]:
    """Register a function that prepares a contest as a figure."""

    def register(prepare: Callable[[Path], Contest]) -> Callable[[Path], Contest]:
        _FIGURES[name] = Figure(name, title, prepare, repeats)
        return prepare

    return register


def registered() -> list[Figure]:
    """Return the figures of all modules imported so far."""
    return list(_FIGURES.values())


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    said = work()
    return float(said) if isinstance(said, Seconds) else time.perf_counter() - start


def measure(wanted: Figure) -> Measurement:
    """Time both ways in turn and return medians and their ratio."""
    with tempfile.TemporaryDirectory(prefix="smcatalog-bench-") as folder:
        contest = wanted.prepare(Path(folder))
        try:
            pairs = [
                (_seconds(contest.ours), _seconds(contest.reference)) for _ in range(wanted.repeats)
            ]
            notes = contest.notes()
        finally:
            contest.close()
    ours, reference = (median(side) for side in zip(*pairs, strict=True))
    ratio = ours / reference
    return Measurement(wanted.name, wanted.title, contest.size, ours, reference, ratio, notes)
