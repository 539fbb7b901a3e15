"""Stations, sensors and their observations as values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError

__all__ = ["Depth", "Site", "StationSeries"]


@dataclass(frozen=True, slots=True, order=True)
class Depth:
    """A depth interval below the surface, in metres; ``top == bottom`` for a point sensor."""

    top: float
    bottom: float

    def __post_init__(self) -> None:
        if not 0 <= self.top <= self.bottom:
            raise UsageError(
                f"a depth goes from top to bottom, in metres below ground, got {self.top} to {self.bottom}"
            )

    def __str__(self) -> str:
        """Write the interval in metres, as ``0.00-0.05 m``."""
        return f"{self.top:.2f}-{self.bottom:.2f} m"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a station stands.

    Parameters
    ----------
    network, station : str
        Names as the provider writes them.
    latitude, longitude : float
        Degrees, WGS 84.
    decimals : int
        Decimal places that the provider gives of the coordinates: of two statements of one
        station's place, the finer is kept.
    elevation : float or None
        Metres above sea level.
    """

    network: str
    station: str
    latitude: float
    longitude: float
    decimals: int
    elevation: float | None = None

    def __post_init__(self) -> None:
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):  # noqa: PLR2004
            raise UsageError(
                f"station {self.network}/{self.station} has impossible coordinates "
                f"{self.latitude}, {self.longitude}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class StationSeries:
    """Observations of one sensor.

    Parameters
    ----------
    site : Site
        Where the sensor is.
    sensor : str
        Instrument's name.
    variable : str
        What it measures; ``sm`` in m³ m⁻³.
    depth : Depth
        Metres below the surface.
    step_hours : int
        What one value stands for: 1 for hourly values, 24 for daily means.
    times : ndarray of datetime64[s], shape (n,)
        Start of each value's hour or day, UTC, strictly increasing.
    values : ndarray of float32, shape (n,)
        In the variable's unit. No NaN: missing values are left out.
    flags : ndarray of str, shape (n,)
        The provider's quality flags, "" where it gives none.
    good : ndarray of bool, shape (n,)
        Whether the provider's flags let the value be used.
    """

    site: Site
    sensor: str
    variable: str
    depth: Depth
    step_hours: int
    times: NDArray[np.datetime64]
    values: NDArray[np.float32]
    flags: NDArray[np.str_]
    good: NDArray[np.bool_] = field(repr=False)

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.times, self.values, self.flags, self.good)}
        if len(lengths) != 1:
            raise UsageError(f"the arrays of {self.site.station} differ in length: {lengths}")

    def part(self, start: int, end: int) -> StationSeries:
        """Return the observations from one index up to another."""
        at = slice(start, end)
        return replace(
            self,
            times=self.times[at],
            values=self.values[at],
            flags=self.flags[at],
            good=self.good[at],
        )
