"""Palmer's drought severity index of TerraClimate, monthly, 1/24 degree: Abatzoglou et al. (2018).

NetCDF, a file for each year (``TerraClimate_PDSI_2018.nc``) or a piece of the whole cut by a server: ``PDSI`` (``pdsi`` in some
years) over time, latitude and longitude, in hundredths or tenths; ``time`` says in which month a value lies, whatever its
day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.fields import Place, instants, month_of, of_scale
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable

__all__ = ["READER", "TerraClimate"]

_NAMES: Final = ("PDSI", "pdsi")
_NAME = re.compile(r"^TerraClimate_(?:PDSI|pdsi)_(?P<year>\d{4})(?:_[\w-]+)?\.nc$")
_PER_DEGREE: Final = 24
_STEPS: Final = (0.1, 0.01, 0.001)
_FIRST: Final = 1970
"""Year from which on layers are kept."""
_ROWS: Final = 480
"""Read at once: 20 degrees of the globe."""


@dataclass(frozen=True, slots=True)
class TerraClimate:
    """Reader of the index."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "TerraClimate"

    @property
    def title(self) -> str:
        """What the source is."""
        return "TerraClimate Palmer drought severity index, monthly, 1/24 degree"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the variable; the months come from inside.

        Raises
        ------
        RefusedInput
            When its name says another year.
        """
        if not variables_of(path) & set(_NAMES):
            return None
        with netcdf(path) as file:
            _check(file)
            months = _months(instants(file))
        if (match := _NAME.match(name)) and {first.year for first in months} != {
            int(match["year"])
        }:
            raise RefusedInput(
                f"its name says {match['year']}, inside are the months from {months[0]:%Y-%m} to {months[-1]:%Y-%m}: "
                "files mixed up"
            )
        if months[0].year < _FIRST:
            raise RefusedInput(
                f"begins in {months[0]:%Y-%m}; months before {_FIRST} are not kept: cut it from {_FIRST}-01 on"
            )
        whole = Period(month_of(months[0]).start, month_of(months[-1]).end)
        return Identity(self.source, name.removesuffix(".nc"), whole)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``pdsi`` of each month; months without any value are left out.

        Raises
        ------
        RefusedInput
            When its cells are not those of the globe's grid, or it holds nothing.
        """
        target = variable("pdsi")
        with netcdf(path) as file:
            name = _check(file)
            place = Place.of(file, per_degree=_PER_DEGREE)
            empty = True
            for step, first in enumerate(_months(instants(file))):
                values = _read(file, name, place, step)
                if np.isnan(values).all():
                    continue
                empty = False
                found = within_range(values, target).astype(np.float32, copy=False)
                yield Raster.good(target, place.grid, found, month_of(first))
        if empty:
            raise RefusedInput("holds no value at all: nothing but fill")


def _check(file: NetCdf) -> str:
    """Return the variable's name; refuse numbers in steps that are not the index's."""
    name = next(name for name in _NAMES if name in file.names)
    if file.attribute(name, "scale_factor") is not None or file.whole_numbers(name):
        of_scale(file, name, _STEPS)
    return name


def _read(file: NetCdf, name: str, place: Place, step: int) -> NDArray[np.float32]:
    """Return a month's map; of the whole globe it has 37 million cells."""
    values = np.empty(place.grid.shape, np.float32)
    for first in range(0, len(values), _ROWS):
        part = slice(first, min(first + _ROWS, len(values)))
        values[part] = place.read(file, name, step, part)
    return values


def _months(times: list[datetime]) -> list[date]:
    """Return the first days of the months in which times lie."""
    months = [time.date().replace(day=1) for time in times]
    if len(set(months)) != len(months):
        raise RefusedInput(
            "holds the same month more than once: it is not monthly, or files were joined"
        )
    return months


READER: Final = TerraClimate()
