"""What goes wrong with probes: defects of the simulated stations, and what a quality control finds of them.

The kinds are those for which Dorigo et al. (2013, doi:10.2136/vzj2012.0097) look, and two that no flag tells:
a bias and a drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape

__all__ = ["Defect", "DefectKind", "apply", "defects"]

_BLOCK: Final = 30 * 24
"""Hours whose defects are drawn together: they do not depend on what is simulated."""


class DefectKind(StrEnum):
    """What goes wrong."""

    BIAS = "bias"
    """All values are shifted by the size."""
    DRIFT = "drift"
    """The shift grows evenly from nothing to the size."""
    BREAK = "break"
    """A sudden shift by the size, until somebody comes."""
    SPIKE = "spike"
    """A single value is off by the size."""
    PLATEAU = "plateau"
    """The probe is stuck: every value is the size."""
    DROPOUT = "dropout"
    """No values."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A time during which a probe misbehaves.

    Parameters
    ----------
    kind : DefectKind
        In which way.
    start, end : int
        First hour and the hour after the last, since 1970-01-01 UTC.
    size : float
        As the kind says [m3 m-3]; 0 for a dropout.
    flagged : bool
        Whether the provider's quality control finds it.
    """

    kind: DefectKind
    start: int
    end: int
    size: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class _Habit:
    """How a kind of defect comes.

    Parameters
    ----------
    monthly : float
        Mean number in 30 days at a badly kept station.
    hours : (int, int)
        Shortest and longest duration.
    size : (float, float)
        Smallest and largest; the sign is drawn.
    found : float
        Share that the provider's quality control finds.
    """

    monthly: float
    hours: tuple[int, int]
    size: tuple[float, float]
    found: float


_HABITS: Final = {
    DefectKind.BIAS: _Habit(0.08, (240, 2400), (0.02, 0.06), 0.0),
    DefectKind.DRIFT: _Habit(0.06, (480, 2880), (0.03, 0.09), 0.0),
    DefectKind.BREAK: _Habit(0.12, (48, 600), (0.05, 0.15), 0.7),
    DefectKind.SPIKE: _Habit(2.5, (1, 1), (0.08, 0.30), 0.8),
    DefectKind.PLATEAU: _Habit(0.20, (24, 168), (0.0, 0.04), 0.7),
    DefectKind.DROPOUT: _Habit(0.50, (2, 96), (0.0, 0.0), 0.0),
}
_DRY: Final = 0.01
_LOW: Final = 0.1
"""Plateaus below this are low ones [m3 m-3]: between the driest and any saturated soil."""
_LONGEST: Final = max(habit.hours[1] for habit in _HABITS.values())


def defects(
    land: Landscape, key: str, first: int, count: int, *, rate: float, saturation: float
) -> tuple[Defect, ...]:
    """Return the defects of a probe that touch some hours, in the order of their start.

    Parameters
    ----------
    key : str
        Which probe.
    first, count : int
        The hours, since 1970; any range gives the same defects.
    rate : float
        How often defects come, relative to a badly kept station.
    saturation : float
        Water content at saturation [m3 m-3]: where high plateaus are.
    """
    blocks = range((first - _LONGEST) // _BLOCK, (first + count - 1) // _BLOCK + 1)
    found = [
        one
        for block in blocks
        for one in _drawn(land.generator("defects", key, block), block, rate, saturation)
        if one.start < first + count and one.end > first
    ]
    return tuple(sorted(found, key=lambda one: (one.start, one.kind)))


def _drawn(
    rng: np.random.Generator, block: int, rate: float, saturation: float
) -> Iterator[Defect]:
    for kind, habit in _HABITS.items():
        for _ in range(rng.poisson(habit.monthly * rate)):
            start = block * _BLOCK + int(rng.integers(_BLOCK))
            hours = int(rng.integers(habit.hours[0], habit.hours[1] + 1))
            size, down = rng.uniform(*habit.size), rng.random() < 0.5  # noqa: PLR2004 - even odds
            flagged = bool(rng.random() < habit.found)
            if kind is DefectKind.PLATEAU:
                size = _DRY + size if down else saturation - size
            elif down:
                size = -size
            yield Defect(kind, start, start + hours, round(float(size), 4), flagged)


def apply(
    events: tuple[Defect, ...], values: NDArray[np.float64], first: int
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.bool_]]]:
    """Return readings with their defects, and where a quality control flags them.

    Parameters
    ----------
    events : tuple of Defect
        From `defects`.
    values : ndarray of float64, shape (hours,)
        What a sound probe reads [m3 m-3].
    first : int
        The first of the hours, since 1970.

    Returns
    -------
    values : ndarray of float64, shape (hours,)
        NaN in dropouts.
    marked : dict of ndarray of bool, shape (hours,)
        By ISMN's codes: D06 spike, D07 drop, D08 jump, D09 low and D10 saturated plateau.
    """
    values = values.copy()
    marked = {code: np.zeros(len(values), bool) for code in ("D06", "D07", "D08", "D09", "D10")}
    # what shifts comes before what is stuck, and silence last
    for one in sorted(events, key=lambda one: _ORDER.index(one.kind)):
        start, end = max(one.start - first, 0), min(one.end - first, len(values))
        match one.kind:
            case DefectKind.BIAS | DefectKind.BREAK | DefectKind.SPIKE:
                values[start:end] += one.size
            case DefectKind.DRIFT:
                hours = np.arange(start, end) + 1 + first - one.start
                values[start:end] += one.size * hours / (one.end - one.start)
            case DefectKind.PLATEAU:
                values[start:end] = one.size
            case DefectKind.DROPOUT:
                values[start:end] = np.nan
        if one.flagged:
            low = one.size < (_LOW if one.kind is DefectKind.PLATEAU else 0.0)
            match one.kind:
                case DefectKind.SPIKE:
                    marked["D06"][start:end] = True
                case DefectKind.BREAK if (
                    one.start >= first
                ):  # the moment is flagged, not what follows
                    marked["D07" if low else "D08"][start] = True
                case DefectKind.PLATEAU:
                    marked["D09" if low else "D10"][start:end] = True
    return values, marked


_ORDER: Final = (
    DefectKind.BIAS, DefectKind.DRIFT, DefectKind.BREAK, DefectKind.SPIKE, DefectKind.PLATEAU,
    DefectKind.DROPOUT,
)  # fmt: skip
