"""AMSR2 soil moisture of JAXA, level 3: daily HDF5 maps of 0.25 or 0.1 degrees for each direction of the orbit.

``Geophysical Data`` holds tenths of a percent of volume, and codes below nought where nothing was retrieved; neither
coordinates nor the grid's edges are written. Rows run from the north. Columns begin at Greenwich, as land data
assimilation systems take them (NASA's LIS), or at 180 degrees: between 30 degrees south and north the sixty degrees east
of Greenwich are mostly land and those east of 180 degrees are ocean, and nothing is retrieved over the ocean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.fields import held_part
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period, parse_day
from smcatalog.core.variables import variable

__all__ = ["READER", "Amsr2"]

_NAME = re.compile(
    r"^(?P<subject>GW1AM2_(?P<day>\d{8})_(?P<step>\d\d[DM])_EQM(?P<overpass>[AD])_L3SGSMC[A-Z]{2})(?P<version>\d{7})"
)
_DATA: Final = "Geophysical Data"
_QUANTITY: Final = "Soil Moisture Content"
_PER_DEGREE: Final[dict[tuple[int, ...], int]] = {(720, 1440): 4, (1800, 3600): 10}
_STEP: Final = 0.1
"""Percent in a stored step."""
_CODES: Final = -32_760
"""From here down numbers are codes."""
_UNITS: Final = {"%", "percent"}
_TROPICS: Final = 30
_SIXTY: Final = 60


@dataclass(frozen=True, slots=True)
class Amsr2:
    """Reader of the maps of the southward passes, at half past one in the night."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "AMSR2-L3-SM"

    @property
    def title(self) -> str:
        """What the source is."""
        return "AMSR2 soil moisture of JAXA, 0.25 or 0.1 degrees, night"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a map by its data set and its own or its delivered name.

        Raises
        ------
        RefusedInput
            When it is of another quantity, pass or span, or its name and content are of two maps.
        """
        if _DATA not in variables_of(path):
            return None
        with netcdf(path) as file:
            inside, outside = _NAME.match(file.text("GranuleID")), _NAME.match(name)
            quantity = file.text("GeophysicalName")
            match = inside or outside
            if match is None:
                what = quantity or "AMSR2, without a word on the quantity"
                raise RefusedInput(
                    f"is a map of JAXA ({what}), and neither it nor its name says that it is of soil moisture"
                )
            if quantity and quantity != _QUANTITY:
                raise RefusedInput(
                    f"is called a map of soil moisture, inside it is one of {quantity}: files mixed up"
                )
            if inside and outside and inside["subject"] != outside["subject"]:
                raise RefusedInput(
                    f"its name says {outside['subject']}, inside it is {inside['subject']}: files mixed up"
                )
            began = file.text("ObservationStartDateTime")[:10]
        if match["step"] != "01D":
            raise RefusedInput("is a mean of a month: fetch the daily maps (01D)")
        if match["overpass"] == "A":
            raise RefusedInput(
                "is of the northward pass, in the afternoon: fetch the night's (EQMD)"
            )
        day = _day(match["day"])
        if began and began.replace("/", "-") != day.isoformat():
            raise RefusedInput(f"its name says {day}, inside it began on {began}: files mixed up")
        return Identity(
            self.source, match.group(), Period.of_day(day), match["subject"], match["version"]
        )

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm`` on the smallest window of the globe's grid that holds it.

        Raises
        ------
        RefusedInput
            When its steps, unit or shape are others, or it holds nothing.
        """
        with netcdf(path) as file:
            if _DATA not in file.names:
                raise RefusedInput(f"lacks {_DATA}")
            per_degree = _cells(file)
            values = _percent(file)
        values = _from_the_west(values, per_degree) / 100
        whole = Grid.latlon(-180, 90, 1 / per_degree, values.shape)
        part = held_part(whole, np.isfinite(values))
        if part is None:
            raise RefusedInput(
                "holds no soil moisture at all: nothing but codes of what is missing"
            )
        target = variable("sm")
        found = within_range(values[part], target)
        yield Raster.good(target, whole.window(*part), found, identity.period)


def _day(text: str) -> date:
    try:
        return parse_day(text)
    except UsageError as error:
        raise RefusedInput(f"has an impossible day in its name: {error}") from error


def _cells(file: NetCdf) -> int:
    """Return the cells a degree of a map."""
    shape = file.shape(_DATA)
    per_degree = _PER_DEGREE.get(shape[:2])
    if per_degree is None or shape[2:] not in {(), (1,)}:
        raise RefusedInput(
            f"{_DATA} has the shape {shape}, the globe's grids are of 720 x 1440 or 1800 x 3600 cells"
        )
    return per_degree


def _percent(file: NetCdf) -> NDArray[np.float64]:
    scale, unit = (file.attribute(_DATA, name) for name in ("SCALE FACTOR", "UNIT"))
    if not isinstance(scale, float | int | np.number) or not np.isclose(
        float(scale), _STEP, rtol=1e-4
    ):
        raise RefusedInput(
            f"{_DATA} has steps of {scale}, expected {_STEP} percent: damaged, or of another version"
        )
    if unit is not None and str(unit).strip() not in _UNITS:
        raise RefusedInput(f"{_DATA} is in '{unit}', expected %")
    raw = file.values(_DATA)
    raw = raw.reshape(raw.shape[:2])
    return np.where(raw <= _CODES, np.nan, raw * _STEP)


def _from_the_west(values: NDArray[np.float64], per_degree: int) -> NDArray[np.float64]:
    """Return a map whose columns begin at 180 degrees west."""
    middle, width = 90 * per_degree, _SIXTY * per_degree
    belt = np.isfinite(values[middle - _TROPICS * per_degree : middle + _TROPICS * per_degree])
    half = values.shape[1] // 2
    first, second = belt[:, :width].sum(), belt[:, half : half + width].sum()
    if second > first:
        return values
    return np.roll(values, half, axis=1)


READER: Final = Amsr2()
