"""When and where the swath of a sun-synchronous satellite passes over a place.

The Earth is a sphere and the orbit a circle whose plane keeps its angle to the mean sun. Seen from the sun
the plane then stands still and places move through it, once a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smcatalog.core.time import utc_midnight

__all__ = ["AMSR2", "SMAP", "Orbit", "Overpass", "passes"]

_EARTH_KM: Final = 6371.0
_HOURS: Final = 24.0
_TURN: Final = 2.0 * np.pi
_STEPS: Final = 4
"""Iterations for the time of a pass: each leaves about a tenth of the error, which begins as minutes."""


class Overpass(StrEnum):
    """Which half of the orbit looks down on a place."""

    ASCENDING = "ascending"
    """Northward."""
    DESCENDING = "descending"
    """Southward."""


@dataclass(frozen=True, slots=True)
class Orbit:
    """A sun-synchronous orbit with an exact repeat, and the swath of its instrument.

    Parameters
    ----------
    inclination : float
        Angle between the orbit's plane and the equator [degrees]; above 90.
    ascending_hour : float
        Local mean solar time at which the satellite crosses the equator northward [h].
    orbits, days : int
        The ground track closes after so many revolutions, which take so many days.
    swath : float
        Width of the ground that the instrument sees [km].
    epoch : datetime
        A northward crossing of the equator, UTC.
    """

    inclination: float
    ascending_hour: float
    orbits: int
    days: int
    swath: float
    epoch: datetime

    @property
    def period(self) -> float:
        """Hours of a revolution."""
        return self.days * _HOURS / self.orbits

    def solar_hour(self, overpass: Overpass) -> float:
        """Return the local solar time at the equator of an overpass [h]."""
        later = _HOURS / 2 if overpass is Overpass.DESCENDING else 0.0
        return (self.ascending_hour + later) % _HOURS


SMAP: Final = Orbit(
    inclination=98.12,
    ascending_hour=18.0,
    orbits=117,
    days=8,
    swath=1000.0,
    # crossing of orbit 2801, as its half-orbit granule states it
    epoch=datetime(2015, 8, 11, 1, 56, 40, tzinfo=UTC),
)
"""Soil Moisture Active Passive (Entekhabi et al., 2010)."""

AMSR2: Final = Orbit(
    inclination=98.2,
    ascending_hour=13.5,
    orbits=233,
    days=16,
    swath=1450.0,
    # where it is in its cycle matters to nobody
    epoch=datetime(2012, 7, 3, 0, 0, tzinfo=UTC),
)
"""Advanced Microwave Scanning Radiometer 2 on GCOM-W, in the A-Train (Imaoka et al., 2010)."""


def passes(
    orbit: Orbit, day: date, overpass: Overpass, longitude: ArrayLike, latitude: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Find the places that a swath covers on a day, and when.

    Parameters
    ----------
    day : date
        Day of UTC.
    overpass : Overpass
        Which half of the orbit counts.
    longitude, latitude : array_like of float
        Places [degrees]; broadcast against each other, as a grid's columns and rows.

    Returns
    -------
    seen : ndarray of bool, shape of the places
        Whether a swath covers the place.
    hour : ndarray of float64, shape of the places
        Hour of the UTC day, 0…24; NaN where nothing passes. Of several passes the one nearest to the
        overpass's solar time at the equator, as the daily composites of providers choose.
    """
    lon, lat = np.broadcast_arrays(
        np.radians(np.asarray(longitude, float)), np.radians(np.asarray(latitude, float))
    )
    wanted = orbit.solar_hour(overpass)
    plane = _Plane.of(orbit, wanted)
    start = (utc_midnight(day) - orbit.epoch).total_seconds() / 3600.0
    ahead = orbit.period / 2 if overpass is Overpass.DESCENDING else 0.0
    first = int(np.floor((start - ahead) / orbit.period)) - 1
    best = np.full(lon.shape, np.inf)
    hour = np.full(lon.shape, np.nan)
    for revolution in range(first, first + int(np.ceil(_HOURS / orbit.period)) + 3):
        at, along, across = plane.meets(revolution * orbit.period + ahead - start, lon, lat)
        covered = (
            (abs(across) * _EARTH_KM <= orbit.swath / 2)
            & (abs(along) <= _TURN / 4)  # beyond the turning points the other half begins
            & (at >= 0)
            & (at < _HOURS)
        )
        local = at + lon * _HOURS / _TURN
        off = abs((local - wanted + _HOURS / 2) % _HOURS - _HOURS / 2)
        better = covered & (off < best)
        best = np.where(better, off, best)
        hour = np.where(better, at, hour)
    return np.isfinite(hour), hour


@dataclass(frozen=True, slots=True)
class _Plane:
    """An orbit's plane in the frame that stands still against the sun.

    There the longitude of a place is its solar time, and the axes point to solar midnight on the equator,
    to six o'clock and to the pole.
    """

    node: NDArray[np.float64]
    ahead: NDArray[np.float64]
    normal: NDArray[np.float64]
    period: float

    @classmethod
    def of(cls, orbit: Orbit, node_hour: float) -> _Plane:
        """Return the plane with the crossing of the equator that an overpass is counted from."""
        turn = node_hour / _HOURS * _TURN
        tilt = np.radians(orbit.inclination)
        if node_hour != orbit.ascending_hour:
            tilt = -tilt  # southward through this node
        node = np.array([np.cos(turn), np.sin(turn), 0.0])
        east = np.array([-np.sin(turn), np.cos(turn), 0.0])
        pole = np.array([0.0, 0.0, 1.0])
        ahead = np.cos(tilt) * east + np.sin(tilt) * pole
        return cls(node, ahead, np.cross(node, ahead), orbit.period)

    def meets(
        self, crossing: float, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return when the satellite is abeam of places, and where they then lie from the track.

        Parameters
        ----------
        crossing : float
            When it crosses the equator, in hours of the UTC day.
        lon, lat : ndarray of float
            Places [radians].

        Returns
        -------
        at, along, across : ndarray of float, shape of the places
            Hour of the UTC day; angle along the track from the crossing; angle from the track [radians].
        """
        at = np.full(lon.shape, crossing)
        # the place moves on while the satellite is on its way to it
        for _ in range(_STEPS):
            turn = lon + at * _TURN / _HOURS
            place = (np.cos(lat) * np.cos(turn), np.cos(lat) * np.sin(turn), np.sin(lat))
            along = np.arctan2(_dot(self.ahead, place), _dot(self.node, place))
            at = crossing + along / _TURN * self.period
        return at, along, np.arcsin(np.clip(_dot(self.normal, place), -1.0, 1.0))


def _dot(axis: NDArray[np.float64], place: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = axis[0] * place[0] + axis[1] * place[1] + axis[2] * place[2]
    return result
