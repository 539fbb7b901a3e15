"""How hard it is to downscale in the simulated world: neither trivial nor hopeless.

Trivial would be a world whose water does not differ within a coarse cell, or whose covariates
give it away; hopeless one where they say nothing about it. Measured on the state itself,
without noise, gaps or formats, and with a learner that is no part of the service:

- how much of the variance of soil moisture lies within the 36 km cells;
- how well the surface temperature alone goes with it there;
- how much of it the covariates could tell at most: boosted trees that see the truth at 1 km in one half
  of the coarse cells, scored in the other half.

``python -m ingest.world.difficulty`` prints the table of the presets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import landscape
from ingest.world.physics import days
from ingest.world.presets import PRESETS, preset
from ingest.world.state import DayState

__all__ = ["Difficulty", "difficulty"]

_CELL: Final = 36
_EVERY: Final = 5
"""Pixels between two samples: neighbours tell the same."""
_FEW: Final = 50


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What there is to find within the coarse cells.

    Parameters
    ----------
    within : float
        Share of the variance of a day's soil moisture that lies within the coarse cells, 0…1.
    temperature : float
        Correlation of soil moisture and surface temperature within the cells.
    ceiling : float
        Correlation, within cells that were not learned from, of soil moisture and what boosted
        trees make of perfect covariates.
    clear : float
        Share of the land that clouds leave open by day.
    """

    within: float
    temperature: float
    ceiling: float
    clear: float


def difficulty(states: Iterable[DayState]) -> Difficulty:
    """Measure how hard a world is to downscale.

    Parameters
    ----------
    states : iterable of DayState
        Some days of one world; a few that are apart say more than many in a row.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 - slow

    features: list[NDArray[np.float64]] = []
    targets: list[NDArray[np.float64]] = []
    cells: list[NDArray[np.intp]] = []
    shares: list[tuple[float, float]] = []
    clear: list[float] = []
    for state in states:
        land = ~state.land.water
        water = state.surface_mean().astype(np.float64)
        middle = _flat(water)
        shares.append((float((water - middle)[land].var()), float(water[land].var())))
        seen = land & ~state.cloud_day
        clear.append(float(seen.sum() / land.sum()))
        seen[np.arange(seen.shape[0]) % _EVERY != state.day.toordinal() % _EVERY] = False
        seen[:, np.arange(seen.shape[1]) % _EVERY != 0] = False
        if seen.sum() < _FEW:
            continue
        seeing: list[NDArray[np.floating]] = [middle, state.lst_day, state.ndvi]
        seeing += [state.land.elevation, state.land.sand, state.land.clay]
        seeing += [a - _flat(a) for a in (state.lst_day, state.ndvi)]
        features.append(np.stack([a[seen] for a in seeing], axis=1).astype(np.float64))
        targets.append((water - middle)[seen])
        cells.append(_numbers(water.shape)[seen])
    x, y, cell = np.concatenate(features), np.concatenate(targets), np.concatenate(cells)
    one = cell % 2 == 0
    scored = np.full(len(y), np.nan)
    for train in (one, ~one):
        trees = HistGradientBoostingRegressor(max_iter=150, random_state=0)
        scored[~train] = trees.fit(x[train], y[train]).predict(x[~train])
    inside, whole = np.sum(shares, axis=0)
    return Difficulty(
        within=float(inside / whole),
        temperature=_correlation(x[:, -2], y),
        ceiling=_correlation(scored, y),
        clear=float(np.mean(clear)),
    )


def _flat(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return each pixel's mean over its coarse cell."""
    rows, columns = values.shape
    blocks = values.astype(np.float64).reshape(rows // _CELL, _CELL, columns // _CELL, _CELL)
    flat: NDArray[np.float64] = np.kron(blocks.mean(axis=(1, 3)), np.ones((_CELL, _CELL)))
    return flat


def _numbers(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return each pixel's coarse cell, numbered like the fields of a chessboard's colours."""
    row, column = np.indices(shape) // _CELL
    number: NDArray[np.intp] = row + column
    return number


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def main(names: list[str]) -> None:
    """Print a line for each preset and seed."""
    print("| preset | seed | variance within cells | R of LST | ceiling of R | clear |")  # noqa: T201
    print("| --- | --- | --- | --- | --- | --- |")  # noqa: T201
    for name in names or PRESETS:
        for seed in (1, 2, 3):
            land = landscape(preset(name), seed, 300)
            year = days(land, date(2018, 6, 1), date(2018, 8, 31))
            found = difficulty(state for state in year if state.day.day % 7 == 0)
            print(  # noqa: T201 - a program of its own
                f"| {name} | {seed} | {found.within:.2f} | {found.temperature:.2f} "
                f"| {found.ceiling:.2f} | {found.clear:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
