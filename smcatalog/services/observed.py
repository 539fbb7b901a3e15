"""What stations observed, for methods that learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.blocks import Block
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import Grid
from smcatalog.core.time import Period
from smcatalog.database.series import StationDays, region_days
from smcatalog.methods import Covariates, InSitu
from smcatalog.methods.cells import cell_numbers
from smcatalog.products import Definition
from smcatalog.validation.left_out import twins

__all__ = ["IN_SITU", "StationPixels", "distinct", "observed_by_day", "observed_stations"]

IN_SITU: Final = ("in-situ", "sm")
"""What stands for observations among a product's inputs: the triggers of `alembic`'s revision 0014 know it."""


def observed_stations(
    connection: Connection,
    definition: Definition,
    first: date,
    last: date,
) -> list[StationDays]:
    """Return the daily means of the stations that teach a product, in the depth of its first band.

    Those with no mean from ``first`` to ``last``, both included, are left out.
    """
    wanted = definition.in_situ.networks if definition.in_situ else ()
    return region_days(connection, definition.bbox, definition.depths[0], first, last, wanted)


def distinct(stations: Sequence[StationDays]) -> list[StationDays]:
    """Return stations without those whose series are copies of an earlier one's."""
    same = twins([dict(zip(one.days, one.values, strict=True)) for one in stations])
    return [one for number, one in enumerate(stations) if same[number] == number]


def observed_by_day(
    connection: Connection, definition: Definition, first: date, last: date
) -> dict[date, str]:
    """Return a fingerprint of what a product learns from stations, for each day with an observation.

    Parameters
    ----------
    first, last : date
        Days that are asked for, both included; those out of the product's ``[in_situ]`` teach nothing.
    """
    choice = definition.in_situ
    if choice is None:
        return {}
    begin, end = max(first, choice.first_day), min(last, choice.last_day)
    if begin > end:
        return {}
    rows: dict[date, list[list[object]]] = {}
    for one in observed_stations(connection, definition, begin, end):
        for day, value in zip(one.days, one.values, strict=True):
            place = [one.network, one.station, one.longitude, one.latitude]
            rows.setdefault(day, []).append([*place, value])
    return {day: fingerprint(some) for day, some in rows.items()}


@dataclass(slots=True)
class StationPixels:
    """Collects the features at stations' pixels while the covariates of days are read.

    Parameters
    ----------
    grid, coarse : Grid
        Of the maps and of the coarse product.
    stations : sequence of StationDays
        What they observed.
    """

    grid: Grid
    coarse: Grid
    stations: Sequence[StationDays]
    _rows: NDArray[np.int64] = field(init=False)
    _columns: NDArray[np.int64] = field(init=False)
    _inside: NDArray[np.bool_] = field(init=False)
    _cells: NDArray[np.int64] = field(init=False)
    _series: list[Mapping[date, float]] = field(init=False)
    _found: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], date]] = field(
        init=False, default_factory=list
    )

    def __post_init__(self) -> None:
        longitude = np.array([one.longitude for one in self.stations], float)
        latitude = np.array([one.latitude for one in self.stations], float)
        self._rows, self._columns, inside = self.grid.locate(longitude, latitude)
        rows, columns, known = self.coarse.locate(longitude, latitude)
        self._inside = np.asarray(inside, bool) & np.asarray(known, bool)
        numbers = cell_numbers(self.coarse)
        self._cells = np.full(len(self.stations), -1, np.int64)
        self._cells[self._inside] = numbers[rows[self._inside], columns[self._inside]]
        self._series = [dict(zip(one.days, one.values, strict=True)) for one in self.stations]

    @property
    def cells(self) -> NDArray[np.int64]:
        """Number of each station's coarse cell, shape (stations,); -1 of those outside."""
        return self._cells

    def observe(self, period: Period) -> bool:
        """Say whether any station inside observed something in a period: else nothing need be read for it."""
        days = list(period.days())
        return any(d in self._series[place] for place in np.flatnonzero(self._inside) for d in days)

    def take(self, period: Period, block: Block, covariates: Covariates) -> None:
        """Take the features of a block of a map's period."""
        rows, columns = block.rows, block.columns
        here = self._inside & (self._rows >= rows.start) & (self._rows < rows.stop)
        here &= (self._columns >= columns.start) & (self._columns < columns.stop)
        observed = np.full(len(self.stations), np.nan)
        for place in np.flatnonzero(here):
            days = [d for d in period.days() if d in self._series[place]]
            if days:
                observed[place] = np.mean([self._series[place][d] for d in days])
        wanted = np.flatnonzero(np.isfinite(observed))
        if not len(wanted):
            return
        at = self._rows[wanted] - rows.start, self._columns[wanted] - columns.start
        features = covariates.values[:, at[0], at[1]].T.astype(np.float64)
        whole = np.isfinite(features).all(axis=1)
        if whole.any():
            kept = wanted[whole]
            self._found.append((features[whole], observed[kept], kept, period.day))

    def rows(self) -> InSitu | None:
        """Return what was collected; None for nothing."""
        if not self._found:
            return None
        place = np.concatenate([part[2] for part in self._found])
        days = [np.full(len(part[2]), np.datetime64(part[3], "D")) for part in self._found]
        return InSitu(
            features=np.concatenate([part[0] for part in self._found]),
            observed=np.concatenate([part[1] for part in self._found]),
            groups=self._cells[place],
            days=np.concatenate(days),
            stations=place,
            names=tuple(f"{one.network}/{one.station}" for one in self.stations),
        )
