"""The local learners of one day after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcatalog.methods.averaging.cube import SampleCube
from smcatalog.methods.averaging.local import LocalLearners
from smcatalog.methods.averaging.settings import LEARNERS, LearnerSettings
from smcatalog.methods.averaging.windows import Growth, adaptive_windows
from smcatalog.methods.averaging.zonemap import ZoneMap
from smcatalog.methods.values import InSitu, Matrix

__all__ = ["DayLearners", "season_of", "station_members"]


def season_of(day: np.datetime64, seasons: int) -> int:
    """Return the part of the year that a day lies in, from 0; the first one begins with December.

    Parameters
    ----------
    seasons : int
        Number of parts, a divisor of 12.
    """
    month = int(day.astype("datetime64[M]").astype(np.int64) % 12)  # January is 0
    return (month + 1) % 12 // (12 // seasons)


@dataclass(frozen=True, slots=True, eq=False)
class DayLearners:
    """What makes the learners of a day.

    Parameters
    ----------
    growth : Growth
        How windows grow.
    zones : ZoneMap
        Zone of each coarse cell.
    settings : mapping of (int, int) to LearnerSettings
        Hyperparameters by zone and season.
    seasons : int
        Number of seasons.
    seed : int
        Of what windows draw.
    bounds : tuple of float
        Range of every learner's estimates [m³ m⁻³].
    """

    growth: Growth
    zones: ZoneMap
    settings: Mapping[tuple[int, int], LearnerSettings]
    seasons: int
    seed: int
    bounds: tuple[float, float]

    @property
    def reach(self) -> tuple[int, int]:
        """How many days before and after a day its widest windows hold."""
        return self.growth.reach(1, self.growth.last_days)[1]

    def of(
        self,
        cube: SampleCube,
        day: np.datetime64,
        wanted: NDArray[np.bool_] | None = None,
        keep: list[int] | None = None,
    ) -> LocalLearners:
        """Return the learners of a day.

        Parameters
        ----------
        cube : SampleCube
            Holds the samples of the days around.
        wanted : ndarray of bool, shape (rows, columns), optional
            Cells that need learners; all when absent.
        keep : list of int, optional
            Places of the predictors that are used; all when absent. Windows grow to what that many need.
        """
        back, ahead = self.reach
        near = cube.around(day, back, ahead)
        features = near.features if keep is None else near.features[keep]
        windows = adaptive_windows(features, near.target, back, self.growth, wanted=wanted)
        numbers = near.numbers
        season = season_of(day, self.seasons)
        return LocalLearners(
            windows,
            features,
            near.target,
            [self.settings[zone, season] for zone in range(self.zones.count)],
            groups=self.zones.of(numbers.ravel()).reshape(numbers.shape),
            identity=numbers,
            # another draw each day, the same whatever other days are made
            seed=self.seed * 1_000_003 + int(day.astype("datetime64[D]").astype(np.int64)),
            bounds=self.bounds,
        )


def by_day(days: NDArray[np.datetime64]) -> Iterator[tuple[np.datetime64, NDArray[np.intp]]]:
    """Yield each day in the order of time and the rows that are of it."""
    order = np.argsort(days, kind="stable")
    found, first = np.unique(days[order], return_index=True)
    yield from zip(found, np.split(order, first[1:]), strict=True)


def station_members(
    cube: SampleCube,
    stations: InSitu,
    learners: DayLearners,
    *,
    keep: list[int] | None = None,
) -> Matrix:
    """Fit the windows around stations, day by day, and predict at their pixels.

    Parameters
    ----------
    cube : SampleCube
        Samples of the observations' days and of those around them.
    keep : list of int, optional
        Places of the predictors that are used.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Estimates [m³ m⁻³] in the order of `LEARNERS`; NaN where a pixel has no window.
    """
    kept = list(range(stations.features.shape[1])) if keep is None else keep
    members = np.full((len(stations), len(LEARNERS)), np.nan)
    places = cube.place(stations.groups)
    for day, rows in by_day(stations.days):
        own = rows[places[rows] >= 0]
        if not len(own):
            continue
        wanted = np.zeros(int(np.prod(cube.shape)), bool)
        wanted[places[own]] = True
        local = learners.of(cube, day, wanted.reshape(cube.shape), kept)
        members[own] = local.predict(stations.features[own][:, kept], places[own])
    return members
