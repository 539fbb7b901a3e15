"""The weather of the simulated world: storms, temperature, clouds and the air's demand for water.

A day's weather depends on the seed and the day alone: it is the same whatever day a simulation begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Array, Landscape
from ingest.world.noise import field, generator, white

__all__ = ["Weather", "night_clouds", "sun_height", "weather"]

_BLOCK_KM: Final = 120.0
"""Edge of the squares whose storms are drawn together."""
_REACH: Final = 3.0
"""Radii beyond which a storm brings nothing."""
_WARMEST_DAY: Final = 200
_LAPSE: Final = 0.006
"""Fall of temperature with height [K m-1]."""
_MEMORY: Final = 24
_SHOWERS: Final = 0.5
"""Share of the days on which it rains in the afternoon rather than at any hour."""


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """A day's weather; arrays have the shape of the landscape's grid.

    Parameters
    ----------
    rain : ndarray of float32
        Rain or snow [mm].
    rain_hour : float
        Hour of UTC around which it falls.
    coldest, mean, warmest : ndarray of float32
        Air temperature [degC].
    demand : ndarray of float32
        Potential evapotranspiration [mm], after Hargreaves and Samani (1985).
    calm : float
        Aerodynamic resistance relative to its mean: the day's wind [1].
    cloud_day : ndarray of bool
        Clouds at 10:30 solar time.
    """

    rain: Array
    rain_hour: float
    coldest: Array
    mean: Array
    warmest: Array
    demand: Array
    calm: float
    cloud_day: NDArray[np.bool_]


def weather(land: Landscape, day: date) -> Weather:
    """Return the weather of a day of UTC."""
    p, seed = land.preset, land.seed
    season = _season(day)
    wet = _memory(seed, "wet", day, 2.5)
    warm = 3.0 * _memory(seed, "warm", day, 4.0) - 1.2 * wet
    x, y = (centres / 1000.0 for centres in land.grid.centres())
    rain = _rain(land, day, season, wet, x, y)
    cloud_day = _clouds(land, wet, rain, _sky(land, f"sky {day}", x, y))
    mean: Array = (
        p.temperature + p.seasonality * season + warm - _LAPSE * (land.elevation - p.lowland)
    ).astype(np.float32)
    swing = p.diurnal * np.where(cloud_day, 0.75, 1.12).astype(np.float32)
    demand = _demand(land, day, mean, swing)
    numbers = generator(seed, "day", day)
    hour, calm = numbers.uniform(0.0, 24.0), math.exp(0.25 * numbers.standard_normal())
    # showers come in the afternoon
    rain_hour = land.utc_hour(15.5) if numbers.uniform() < _SHOWERS else hour
    half = (swing / 2).astype(np.float32)
    return Weather(rain, rain_hour, mean - half, mean, mean + half, demand, calm, cloud_day)


def night_clouds(land: Landscape, day: date, rain: Array) -> NDArray[np.bool_]:
    """Return where clouds are at 22:30 solar time, half of them those of the day.

    Parameters
    ----------
    rain : ndarray of float32, shape of the landscape's grid
        Of the day [mm].
    """
    x, y = (centres / 1000.0 for centres in land.grid.centres())
    by_day, later = (_sky(land, f"{which} {day}", x, y) for which in ("sky", "night sky"))
    wet = _memory(land.seed, "wet", day, 2.5)
    return _clouds(land, wet, rain, 0.5 * by_day + 0.87 * later)


def _sky(
    land: Landscape, key: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    return 0.9 * field(land.seed, key, x, y, longest=320.0, shortest=6.0, roughness=0.65)


def _clouds(
    land: Landscape, wet: float, rain: Array, sky: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return where the sky is overcast, more often where it rains on the day.

    Clouds rain, but a storm has left most places by the time a satellite passes.
    """
    overcast = 0.42 - land.preset.rain / 2500.0 - 0.7 * wet
    raining = rain > 2.0 * land.preset.rain / 365.0
    clouds: NDArray[np.bool_] = sky > overcast - 1.2 * raining
    return clouds


def _season(day: date) -> float:
    """Return the course of the year: 1 on the warmest day, -1 on the coldest."""
    return math.cos(2 * math.pi * (day.timetuple().tm_yday - _WARMEST_DAY) / 365.25)


def _memory(seed: int, key: str, day: date, days: float) -> float:
    """Return a daily series of unit variance that forgets with an e-folding time of some days."""
    noise = white(seed, key, day.toordinal() - _MEMORY + 1, _MEMORY)
    weights = np.exp(-np.arange(_MEMORY)[::-1] / days)
    return float(noise @ weights / np.sqrt(np.sum(weights**2)))


def _rain(
    land: Landscape,
    day: date,
    season: float,
    wet: float,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> Array:
    """Add up the day's storms: showers of an elliptic shape in squares of Poisson numbers."""
    p = land.preset
    strength = 5.0 + p.rain / 90.0  # mean depth in the middle of a storm [mm]
    spread = math.exp(2 * 0.35**2)  # mean of the squared radius over the square of its median
    yield_mm = 2 * math.pi * p.storm_radius**2 * spread * strength / _BLOCK_KM**2
    active = math.exp(1.1 * wet - 1.1**2 / 2)
    expected = p.rain / 365.25 / yield_mm * max(1 + p.monsoon * season, 0.0) * active
    margin = _REACH * 2 * p.storm_radius
    along_x, along_y = [], []
    for row in _squares(y, margin):
        for column in _squares(x, margin):
            numbers = generator(land.seed, "storms", day, row, column)
            for _ in range(numbers.poisson(expected)):
                middle_x = (column + numbers.uniform()) * _BLOCK_KM
                middle_y = (row + numbers.uniform()) * _BLOCK_KM
                radius = p.storm_radius * math.exp(0.35 * numbers.standard_normal())
                longer = math.exp(0.35 * numbers.standard_normal())
                depth = numbers.gamma(1.6, strength / 1.6)
                along_x.append(depth * np.exp(-(((x - middle_x) / (radius * longer)) ** 2) / 2))
                along_y.append(np.exp(-(((y - middle_y) / (radius / longer)) ** 2) / 2))
    if not along_x:
        return np.zeros((len(y), len(x)), np.float32)
    total = np.stack(along_y).T @ np.stack(along_x)
    texture = field(land.seed, f"rain {day}", x, y, longest=40.0, shortest=5.0, roughness=0.7)
    height = (land.elevation - p.lowland) / p.relief
    total *= np.exp(0.6 * texture - 0.18) * (0.85 + 0.14 * np.clip(height, 0.0, 3.0))
    total[total < 0.2] = 0.0  # noqa: PLR2004 - mm: what a gauge does not see
    return total.astype(np.float32)


def _squares(centres: NDArray[np.float64], margin: float) -> range:
    low, high = float(centres.min()) - margin, float(centres.max()) + margin
    return range(math.floor(low / _BLOCK_KM), math.floor(high / _BLOCK_KM) + 1)


def sun_height(latitude: NDArray[np.float64], day: date, solar_hour: float) -> NDArray[np.float64]:
    """Return the cosine of the sun's zenith angle, 0 below the horizon.

    Parameters
    ----------
    latitude : ndarray of float
        In degrees, any shape.
    """
    declination = _declination(day)
    phi, hour = np.radians(latitude), math.radians(15.0 * (solar_hour - 12.0))
    height = np.sin(phi) * math.sin(declination)
    height = height + np.cos(phi) * math.cos(declination) * math.cos(hour)
    return np.maximum(height, 0.0)


def _declination(day: date) -> float:
    return math.radians(23.45) * math.sin(2 * math.pi * (day.timetuple().tm_yday + 284) / 365.0)


def _demand(land: Landscape, day: date, mean: Array, swing: Array) -> Array:
    """Hargreaves and Samani (1985): 0.0023 Ra (T + 17.8) sqrt(range), Ra as evaporated water."""
    phi, declination = np.radians(land.latitude), _declination(day)
    sunset = np.arccos(np.clip(-np.tan(phi) * math.tan(declination), -1.0, 1.0))
    daily = sunset * np.sin(phi) * math.sin(declination)
    daily = daily + np.cos(phi) * math.cos(declination) * np.sin(sunset)
    extraterrestrial = 37.6 * daily / 2.45  # MJ m-2 d-1 to mm d-1
    demand = 0.0023 * extraterrestrial[:, np.newaxis] * (mean + 17.8) * np.sqrt(swing)
    result: Array = (np.maximum(demand, 0.0) * land.sunward).astype(np.float32)
    return result
