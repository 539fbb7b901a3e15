"""The regions of the simulated world: one a paper, with its climate, relief, soil and cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from smcatalog.core.errors import NotFoundError

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A region: what its landscape and weather are like.

    Parameters
    ----------
    name : str
        Of the paper whose region it is.
    title : str
        Where it is.
    centre : (float, float)
        Longitude and latitude of the middle of the region [degrees].
    temperature : float
        Mean annual air temperature at the height of ``lowland`` [degC].
    seasonality : float
        Half the difference between the warmest and the coldest month [K].
    diurnal : float
        Mean difference between the day's highest and lowest air temperature [K].
    rain : float
        Mean annual precipitation [mm].
    monsoon : float
        How far summer rain exceeds the mean: 0 none, 1 all rain falls around July.
    storm_radius : float
        Typical radius of a storm [km].
    lowland, relief : float
        Height of the lowest ground and standard deviation of the relief [m].
    sand, clay : float
        Mean fractions by weight.
    green : float
        NDVI of natural cover that has all the water it wants.
    forest, irrigated, water : float
        Shares of the area.
    network : str
        Name of the simulated station network.
    """

    name: str
    title: str
    centre: tuple[float, float]
    temperature: float
    seasonality: float
    diurnal: float
    rain: float
    monsoon: float
    storm_radius: float
    lowland: float
    relief: float
    sand: float
    clay: float
    green: float
    forest: float
    irrigated: float
    water: float
    network: str


_PRESETS: Final = (
    Preset(
        "rao2022", "Ningxia: desert, loess and irrigated land in northern China", (106.0, 37.8),
        temperature=9.5, seasonality=15.5, diurnal=13.0, rain=290.0, monsoon=0.8,
        storm_radius=22.0, lowland=1100.0, relief=330.0, sand=0.52, clay=0.14,
        green=0.48, forest=0.03, irrigated=0.10, water=0.004, network="SIM-NINGXIA",
    ),
    Preset(
        "song2022", "Central Tibet: cold grassland, frozen for half the year", (92.0, 31.6),
        temperature=-1.0, seasonality=11.0, diurnal=15.0, rain=430.0, monsoon=0.9,
        storm_radius=18.0, lowland=4500.0, relief=300.0, sand=0.60, clay=0.10,
        green=0.55, forest=0.0, irrigated=0.0, water=0.02, network="SIM-NAQU",
    ),
    Preset(
        "stacking", "Anhui: plain, hills and rivers in the humid east", (117.2, 32.0),
        temperature=15.8, seasonality=12.5, diurnal=8.5, rain=1150.0, monsoon=0.55,
        storm_radius=45.0, lowland=20.0, relief=180.0, sand=0.32, clay=0.24,
        green=0.85, forest=0.25, irrigated=0.25, water=0.03, network="SIM-ANHUI",
    ),
    Preset(
        "bma", "Inner Mongolia: steppe between desert and farmland", (113.5, 42.0),
        temperature=3.5, seasonality=18.0, diurnal=13.5, rain=320.0, monsoon=0.8,
        storm_radius=25.0, lowland=1000.0, relief=200.0, sand=0.58, clay=0.12,
        green=0.60, forest=0.02, irrigated=0.04, water=0.004, network="SIM-STEPPE",
    ),
    Preset(
        "smci", "North China Plain and its western mountains", (114.5, 36.5),
        temperature=13.5, seasonality=14.5, diurnal=11.0, rain=560.0, monsoon=0.75,
        storm_radius=32.0, lowland=50.0, relief=320.0, sand=0.38, clay=0.20,
        green=0.78, forest=0.12, irrigated=0.35, water=0.008, network="SIM-PLAIN",
    ),
)  # fmt: skip

PRESETS: Final[dict[str, Preset]] = {one.name: one for one in _PRESETS}
"""All presets, by name."""


def preset(name: str) -> Preset:
    """Return the preset of a name.

    Raises
    ------
    NotFoundError
        When there is none; the message lists those that are.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise NotFoundError(
            f"no preset is called '{name}'; there are {', '.join(PRESETS)}"
        ) from None
