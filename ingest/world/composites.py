"""Composites of several days: of each pixel the best view that a satellite had of it.

Composites begin on days 1, 1 + n, 1 + 2n, … of the year and last n days each, so that the last one of a year
reaches into the next. One that the simulation does not cover whole is made of the days there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.world.state import DayState
from ingest.world.tiles import Overpass, TileView, overpass

__all__ = ["Best", "Composites", "Finished", "Sky", "Views", "beginnings", "sky", "sun_zenith"]


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """What a tile's pixels have above them in an overpass, each of shape (n,).

    Parameters
    ----------
    cloudy, edge : ndarray of bool
        Below a cloud; near to one, where haze and missed thin clouds lie over the pixel.
    seen : ndarray of bool
        Whether the swath reaches the pixel.
    zenith : ndarray of float32
        View zenith angle [degrees], negative to the west of the track.
    """

    cloudy: NDArray[np.bool_]
    edge: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    zenith: NDArray[np.float32]


def sky(view: TileView, state: DayState, which: Overpass, edge_cells: int) -> Sky:
    """Return what lies over a tile's pixels in a day's overpass.

    Parameters
    ----------
    edge_cells : int
        Cells of the state from a cloud that count as near to it.
    """
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    look = overpass(view, state.day, which)
    cloudy = view.nearest(state.cloud_day)
    edge = view.nearest(binary_dilation(state.cloud_day, iterations=edge_cells)) & ~cloudy
    return Sky(cloudy, edge, look.seen, look.zenith)


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """A tile's pixels on a day.

    Parameters
    ----------
    score : ndarray of float32, shape (n,)
        The higher the better; minus infinity where there is no view.
    fields : callable
        Gives the views' values by name for an index of pixels: only those that are better than what
        there was are asked for.
    """

    score: NDArray[np.float32]
    fields: Callable[[NDArray[np.int64]], Mapping[str, NDArray[Any]]]


class Best:
    """The best views of a tile's pixels so far.

    Attributes
    ----------
    score : ndarray of float32, shape (n,)
        Minus infinity where there was none.
    day : ndarray of int16, shape (n,)
        Day of the year of the view; 0 where there was none.
    fields : dict of str to ndarray, shape (n,)
        Values of the views; 0 where there was none.
    """

    def __init__(self, size: int) -> None:
        self.score = np.full(size, -np.inf, np.float32)
        self.day = np.zeros(size, np.int16)
        self.fields: dict[str, NDArray[Any]] = {}

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Where there was a view at all."""
        found: NDArray[np.bool_] = self.score > -np.inf
        return found

    def take(self, views: Views, day: date) -> None:
        """Take a day's views where they are better."""
        better = np.flatnonzero(views.score > self.score)
        self.score[better] = views.score[better]
        self.day[better] = day.timetuple().tm_yday
        for name, values in views.fields(better).items():
            kept = self.fields.setdefault(name, np.zeros(len(self.score), values.dtype))
            kept[better] = values


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A composite of a tile.

    Parameters
    ----------
    view : TileView
        The tile.
    first, last : date
        Days covered.
    best : Best
        The views taken.
    """

    view: TileView
    first: date
    last: date
    best: Best

    @property
    def produced(self) -> datetime:
        """When the provider would have made it: at the end of its last day."""
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    @property
    def middle(self) -> date:
        """The day in its middle."""
        return self.first + ((self.last - self.first) + timedelta(days=1)) // 2


class Composites:
    """The composites of all tiles that are being made.

    Parameters
    ----------
    views : sequence of TileView
        The tiles.
    length : int
        Of a composite [days].
    """

    def __init__(self, views: Sequence[TileView], length: int) -> None:
        self._views = views
        self._length = length
        self._open: dict[date, list[Best]] = {}

    def day(self, day: date, see: Callable[[TileView], Views]) -> Iterator[Finished]:
        """Take a day of all tiles and yield the composites that end with it."""
        firsts = beginnings(day, self._length)
        for first in firsts:
            self._open.setdefault(first, [Best(len(view.pixels)) for view in self._views])
        for number, view in enumerate(self._views):
            seen = see(view)
            for first in firsts:
                self._open[first][number].take(seen, day)
        for first in [first for first in self._open if self._last(first) <= day]:
            yield from self._finish(first)

    def end(self) -> Iterator[Finished]:
        """Yield the composites that the simulation leaves incomplete."""
        for first in sorted(self._open):
            yield from self._finish(first)

    def _finish(self, first: date) -> Iterator[Finished]:
        for view, best in zip(self._views, self._open.pop(first), strict=True):
            yield Finished(view, first, self._last(first), best)

    def _last(self, first: date) -> date:
        return first + timedelta(days=self._length - 1)


def beginnings(day: date, length: int) -> list[date]:
    """Return the first days of the composites that hold a day: two in the first days of a year."""
    found = []
    for year in (day.year - 1, day.year):
        start = date(year, 1, 1)
        while start.year == year:
            if start <= day < start + timedelta(days=length):
                found.append(start)
            start += timedelta(days=length)
    return found


def sun_zenith(latitude: NDArray[np.float32], day: date, solar_hour: float) -> NDArray[np.float32]:
    """Return the sun's zenith angle at a local solar hour [degrees], of the shape of ``latitude``."""
    turn = 2 * np.pi * (day.timetuple().tm_yday - 80) / 365.25
    declination = np.radians(23.44) * np.sin(turn)
    hour = np.radians(15.0 * (solar_hour - 12.0))
    phi = np.radians(latitude)
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    zenith: NDArray[np.float32] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return zenith
