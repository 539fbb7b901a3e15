"""What the two MODIS make of the world's albedo: for each day the clear views of the 16 around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Array
from ingest.world.physics import albedo
from ingest.world.reflectance import reflectances
from ingest.world.state import DayState

__all__ = [
    "AFTER",
    "BEFORE",
    "FULL_VIEWS",
    "AlbedoDays",
    "Combined",
    "Retrieval",
    "ViewDays",
    "band7",
]

BEFORE, AFTER = 8, 7
"""Days before and after the day of a retrieval whose views count."""
FULL_VIEWS: Final = 7
"""Clear views from which on a reflectance model is inverted in full."""
_FEWEST: Final = 2
_HOUR: Final = 10.5
"""Local solar time of the views."""
_SNOW: Final = 5.0
"""Water in the pack from which the ground is white [mm]."""
_SPLIT: Final = 0.06
"""By which share the white-sky albedo is higher than the mean, and the black-sky one lower."""


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """The albedo of a day; all arrays have the shape of the state's grid.

    Parameters
    ----------
    day : date
        Whose albedo it is.
    shortwave, band7 : ndarray of float32
        Mean of black- and white-sky shortwave albedo, and white-sky albedo of band 7 [1].
    made : ndarray of bool
        Where there were views enough.
    full : ndarray of bool
        Where the model was inverted in full.
    snow : ndarray of bool
        Where snow lay on the day.
    """

    day: date
    shortwave: Array
    band7: Array
    made: NDArray[np.bool_]
    full: NDArray[np.bool_]
    snow: NDArray[np.bool_]

    @property
    def black(self) -> Array:
        """Black-sky shortwave albedo."""
        return self.shortwave * np.float32(1 - _SPLIT)

    @property
    def white(self) -> Array:
        """White-sky shortwave albedo."""
        return self.shortwave * np.float32(1 + _SPLIT)


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """What the clear views around a day make together; all arrays have the shape of the state's grid.

    Parameters
    ----------
    day : date
        Whose it is.
    fields : dict of str to ndarray of float32
        Weighted means of what is seen.
    made : ndarray of bool
        Where there were views enough.
    full : ndarray of bool
        Where the model was inverted in full.
    snow : ndarray of bool
        Where snow lay on the day.
    """

    day: date
    fields: dict[str, Array]
    made: NDArray[np.bool_]
    full: NDArray[np.bool_]
    snow: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    day: date
    fields: dict[str, Array]
    clear: NDArray[np.bool_]
    snow: NDArray[np.bool_]


class ViewDays:
    """Takes days in the order of time and combines views as soon as the last that counts is there.

    Parameters
    ----------
    see : callable
        Returns what of a day's state is seen under a clear sky, by name.
    """

    def __init__(self, see: Callable[[DayState], dict[str, Array]]) -> None:
        self._see = see
        self._views: deque[_View] = deque(maxlen=BEFORE + 1 + AFTER)
        self._next: date | None = None

    def take(self, state: DayState) -> Iterator[Combined]:
        """Take a day; yield what it completes."""
        self._views.append(_View(state.day, self._see(state), ~state.cloud_day, state.snow > _SNOW))
        self._next = self._next or state.day
        yield from self._until(state.day - timedelta(days=AFTER))

    def end(self) -> Iterator[Combined]:
        """Yield what there is of the last days, of the views that there are."""
        if self._views:
            yield from self._until(self._views[-1].day)

    def _until(self, last: date) -> Iterator[Combined]:
        while self._next is not None and self._next <= last:
            yield self._combined(self._next)
            self._next += timedelta(days=1)

    def _combined(self, day: date) -> Combined:
        (today,) = (view for view in self._views if view.day == day)
        shape = today.clear.shape
        weights = np.zeros(shape, np.float32)
        totals = {name: np.zeros(shape, np.float32) for name in today.fields}
        views = np.zeros(shape, np.int16)
        for view in self._views:
            lag = (view.day - day).days
            if -BEFORE <= lag <= AFTER:
                weight = view.clear * np.float32(1 / (1 + abs(lag)))
                weights += weight
                for name, total in totals.items():
                    np.add(total, weight * view.fields[name], out=total)
                views += view.clear
        made = views >= _FEWEST
        # where nothing was made stands something finite, so that neighbours can be interpolated
        for name, total in totals.items():
            np.divide(total, weights, out=total, where=made)
            np.copyto(total, today.fields[name], where=~made)
        return Combined(day, totals, made, views >= FULL_VIEWS, today.snow)


class AlbedoDays:
    """Takes days in the order of time and gives retrievals as soon as their last view is there."""

    def __init__(self) -> None:
        self._days = ViewDays(lambda s: {"shortwave": albedo(s), "band7": band7(s)})

    def take(self, state: DayState) -> Iterator[Retrieval]:
        """Take a day; yield the retrieval that it completes."""
        yield from map(_retrieval, self._days.take(state))

    def end(self) -> Iterator[Retrieval]:
        """Yield the retrievals of the last days, of the views that there are."""
        yield from map(_retrieval, self._days.end())


def _retrieval(found: Combined) -> Retrieval:
    shortwave, seventh = found.fields["shortwave"], found.fields["band7"]
    return Retrieval(found.day, shortwave, seventh, found.made, found.full, found.snow)


def band7(state: DayState) -> Array:
    """Return the white-sky albedo of 2105-2155 nm: that of the surface whose reflectance others see."""
    return reflectances(state, _HOUR)["swir_2130"]
