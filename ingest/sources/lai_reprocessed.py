"""Reprocessed MODIS leaf area index, Yuan et al. (2011), Lin et al. (2023), Remote Sens. 15, doi:10.3390/rs15071780.

NetCDF, one file a year, ``lai_8-day_0.1_2018.nc`` and its like at other resolutions (``30s``, ``0.05`` …): gaps are filled and
noise is smoothed, so that there is a value for all land every 8 days and no quality. The layout that is
read: ``lai`` over (time, lat, lon) in m2 m-2; ``time`` counts the days of the year (1, 9 … 361) or is one of CF; whole numbers
without a scale factor are tenths, as MODIS stores them. A step holds for its 8 days, the last one to
the year's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from ingest.fields import Place, check_unit, instants
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from ingest.windows import blocks
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable

__all__ = ["READER", "LaiReprocessed"]

_NAME = re.compile(r"lai_8-day_[\w.]+?_(?P<year>\d{4})(?:\.nc4?)?$", re.IGNORECASE)
_STORED: Final = "lai"
_UNITS: Final = frozenset(
    {"m2/m2", "m^2/m^2", "m2 m-2", "m**2 m**-2", "m2m-2", "1", "-", "", "unitless"}
)
_OF_THE_YEAR: Final = frozenset({"day", "days", "day of year", "doy", "", "1", "none"})
_STEP: Final = 8
_TENTHS: Final = 0.1
_FINE: Final = 100
"""Cells a degree from which the map is read in blocks."""
_LONGEST: Final = 366


@dataclass(frozen=True, slots=True)
class LaiReprocessed:
    """Reader of a year's file."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "LAI-reprocessed"

    @property
    def title(self) -> str:
        """What the source is."""
        return "Leaf area index of MODIS, reprocessed by Yuan et al., 8 days, without gaps"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a file by its name and its variable."""
        match = _NAME.search(name)
        if match is None or _STORED not in variables_of(path):
            return None
        with netcdf(path) as file:
            starts = _starts(file, int(match["year"]))
            check_unit(file, _STORED, _UNITS)
        period = Period.of_days(starts[0], _last(starts[-1]))
        return Identity(self.source, re.sub(r"\.nc4?$", "", name), period)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``lai`` of each 8 days, in blocks of 10 degrees when cells are fine."""
        match = _NAME.search(identity.name)
        if match is None:
            raise RefusedInput(f"{identity.name} names no year")
        empty = True
        with netcdf(path) as file:
            starts = _starts(file, int(match["year"]))
            place = Place.of(file)
            factor = _factor(file)
            whole = (slice(0, place.grid.shape[0]), slice(0, place.grid.shape[1]))
            parts = [whole] if place.grid.cell[0] * _FINE > 1 else list(blocks(place.grid))
            for step, first in enumerate(starts):
                period = Period.of_days(first, _last(first))
                for rows, columns in parts:
                    values = place.read(file, _STORED, step, rows)[:, columns] * factor
                    if np.isfinite(values).any():
                        empty = False
                        part = (
                            place.grid
                            if values.shape == place.grid.shape
                            else place.grid.window(rows, columns)
                        )
                        yield Raster.good(variable("lai"), part, values, period)
        if empty:
            raise RefusedInput("holds no value at all: nothing but fill")


def _starts(file: NetCdf, year: int) -> list[date]:
    """Return the first days of the steps.

    Raises
    ------
    RefusedInput
        When they are not those of composites of 8 days of the year.
    """
    if "time" not in file.names:
        raise RefusedInput("lacks time: which days its values are of is not known")
    unit = str(file.attribute("time", "units") or "").strip().lower()
    if unit in _OF_THE_YEAR:
        numbers = file.values("time")
        if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
            raise RefusedInput("its time is no list of days of the year: damaged")
        if (numbers < 1).any() or (numbers > _LONGEST).any() or (numbers % 1 != 0).any():
            raise RefusedInput(
                f"its time goes from {numbers.min():g} to {numbers.max():g}: no days of a year"
            )
        starts = [date(year, 1, 1) + timedelta(days=int(n) - 1) for n in numbers]
    else:
        starts = [instant.date() for instant in instants(file)]
    if any(start.year != year for start in starts):
        wrong = next(start.year for start in starts if start.year != year)
        raise RefusedInput(f"its name says {year}, inside are days of {wrong}: files mixed up")
    odd = [start for start in starts if (start.timetuple().tm_yday - 1) % _STEP]
    if odd or starts != sorted(set(starts)):
        raise RefusedInput(
            f"its times are not the first days of 8 days each ({odd[0] if odd else 'out of order'}): monthly, or damaged"
        )
    return starts


def _last(first: date) -> date:
    return min(first + timedelta(days=_STEP - 1), date(first.year, 12, 31))


def _factor(file: NetCdf) -> float:
    """Return what a value is worth beyond what the file declares: whole numbers without a step are tenths."""
    declared = file.attribute(_STORED, "scale_factor") is not None
    return _TENTHS if file.whole_numbers(_STORED) and not declared else 1.0


READER: Final = LaiReprocessed()
