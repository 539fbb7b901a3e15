"""The state of the simulated world on a day, as every writer gets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Array, Landscape

__all__ = ["LAYERS_CM", "DayState"]

LAYERS_CM: Final = (0, 5, 10, 20, 30, 40, 50, 60, 70, 85, 100)
"""Depths of the bounds of the profile's ten layers [cm]; the first is what an L-band radiometer senses."""


@dataclass(frozen=True, slots=True, eq=False)
class DayState:
    """What the world is like on a day of UTC; all arrays have the shape of the landscape's grid.

    Parameters
    ----------
    land : Landscape
        What does not change.
    day : date
        Day of UTC.
    before, after : ndarray of float32, shape (10, rows, columns)
        Water content of the profile's layers when the day begins and when it ends [m3 m-3].
    rain : ndarray of float32
        Rain and snow of the day [mm].
    rain_hour : float
        Hour of UTC around which it falls.
    coldest, warmest : ndarray of float32
        Lowest and highest air temperature of the day [degC].
    snow : ndarray of float32
        Water in the snow pack [mm].
    frozen : ndarray of bool
        Whether the upper soil is frozen.
    ndvi, evi : ndarray of float32
        Of the surface without its clouds [1].
    vegetation_water : ndarray of float32
        Water in the canopy [kg m-2].
    lst_day, lst_night : ndarray of float32
        Surface temperature at 10:30 and 22:30 solar time, under clouds too [K].
    cloud_day, cloud_night : ndarray of bool
        Whether clouds hide the surface at these hours.
    """

    land: Landscape
    day: date
    before: Array
    after: Array
    rain: Array
    rain_hour: float
    coldest: Array
    warmest: Array
    snow: Array
    frozen: NDArray[np.bool_]
    ndvi: Array
    evi: Array
    vegetation_water: Array
    lst_day: Array
    lst_night: Array
    cloud_day: NDArray[np.bool_]
    cloud_night: NDArray[np.bool_]

    def surface(self, hour: float) -> Array:
        """Return the water content of the upper 5 cm at an hour of the UTC day, 0…24 [m3 m-3]."""
        return self.layer(0, hour)

    def layer(self, index: int, hour: float) -> Array:
        """Return the water content of a layer of the profile at an hour of the UTC day [m3 m-3].

        Dry days change evenly; where it rains, the water comes around the hour of the rain.
        """
        passed = np.where(self.rain > 1.0, self._rained(hour), np.float32(hour / 24.0))
        change = self.after[index] - self.before[index]
        result: Array = (self.before[index] + change * passed).astype(np.float32)
        return result

    def surface_mean(self) -> Array:
        """Return the day's mean water content of the upper 5 cm [m3 m-3]: the truth of a daily map."""
        hours = np.arange(0.5, 24.0)
        wet = np.float32(np.mean([self._rained(hour) for hour in hours]))
        passed = np.where(self.rain > 1.0, wet, np.float32(0.5))
        result: Array = (self.before[0] + (self.after[0] - self.before[0]) * passed).astype(
            np.float32
        )
        return result

    def _rained(self, hour: float) -> np.float32:
        """Return the share of the day's change that has come by an hour, where it rains."""
        ends = [1.0 / (1.0 + np.exp(-(h - self.rain_hour))) for h in (0.0, hour, 24.0)]
        return np.float32((ends[1] - ends[0]) / (ends[2] - ends[0]))

    def air_temperature(self, hour: float) -> Array:
        """Return the air temperature at an hour of the UTC day [degC]: warmest at 14:00 solar time."""
        phase = np.cos((hour - self.land.utc_hour(14.0)) * np.pi / 12.0)
        middle, swing = (self.warmest + self.coldest) / 2, (self.warmest - self.coldest) / 2
        result: Array = (middle + swing * np.float32(phase)).astype(np.float32)
        return result
