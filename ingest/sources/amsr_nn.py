"""Soil moisture of AMSR-E and AMSR2 by a neural network that learned from SMAP, 36 km: Yao et al. (2017, 2021).

Daily files of the National Tibetan Plateau Data Center. The layout that is read is the one that its authors describe for
the sibling of FengYun-3B, whose files are called ``NNsm-FY-yyyyddd.nc``: ``latitude`` (406), ``longitude`` (964) and
``soil_moisture`` (406 x 964, or turned, as MATLAB leaves it) on the EASE-Grid 2.0 of 36 km, in m3 m-3, the day in the
name alone: ``NNsm-AMSR-yyyyddd.nc``. A letter behind the day tells the pass: D is the southward one at half past one
in the night, which is also meant where there is none; the northward one (A) is not read. A GeoTIFF of the same name on the
same cells is read as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.ease import OFF_CENTRE, beside, centres, farthest
from ingest.fields import check_unit, held_part
from ingest.geotiff import check_band, check_projection, geotiff, read_band
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from ingest.windows import ease_window
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period, parse_day
from smcatalog.core.variables import variable

__all__ = ["READER", "AmsrNn"]

_NAME = re.compile(
    r"^NNsm-(?P<sensor>AMSR(?:-?E2?|-?2)?|FY)[-_](?P<day>\d{7})(?:[-_]?(?P<overpass>[AD]))?\.(?:nc|tif)$",
    re.IGNORECASE,
)
_BASE: Final = "M36"
_HELD: Final = frozenset({"latitude", "longitude", "soil_moisture"})
_UNITS: Final = {"m3 m-3", "m3/m3", "m^3/m^3", "cm3/cm3", "cm^3/cm^3", "m**3 m**-3"}
_FILL: Final = -9999.0


@dataclass(frozen=True, slots=True)
class AmsrNn:
    """Reader of the daily fields."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "AMSR-NN"

    @property
    def title(self) -> str:
        """What the source is."""
        return "AMSR-E and AMSR2 soil moisture by a neural network, 36 km, night, Yao et al. (2021)"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a field by its variables and shape, or a GeoTIFF by its name.

        Raises
        ------
        RefusedInput
            When its name says no day, another pass or another radiometer.
        """
        match = _NAME.match(name)
        kind = sniff(head(path))
        if kind is Format.TIFF:
            if match is None:
                return None
        elif kind not in {Format.HDF5, Format.NETCDF3} or not self._is_field(path):
            return None
        if match is None:
            raise RefusedInput(
                "holds a day's soil moisture on the grid of 36 km, and its name does not say which day: it should be "
                "called NNsm-AMSR-yyyyddd.nc"
            )
        if match["sensor"].upper() == "FY":
            raise RefusedInput(
                "is of FengYun's radiometer, which is not read: only that of AMSR-E and AMSR2 is"
            )
        if (match["overpass"] or "D").upper() == "A":
            raise RefusedInput(
                "is of the northward pass, in the afternoon: the night's (D) is read"
            )
        try:
            day = parse_day(match["day"])
        except UsageError as error:
            raise RefusedInput(f"has an impossible day in its name: {error}") from error
        return Identity(self.source, name.rpartition(".")[0], Period.of_day(day))

    def _is_field(self, path: Path) -> bool:
        names = variables_of(path)
        if not names >= _HELD or "index" in names:
            return False
        with netcdf(path) as file:
            shapes = {name: _plain(file.shape(name)) for name in _HELD}
        rows, columns = grid(_BASE).shape
        return (shapes["latitude"], shapes["longitude"]) == ((rows,), (columns,))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm`` on the smallest window of ``M36`` that holds it.

        Raises
        ------
        RefusedInput
            When its cells are not those of the grid, or it holds nothing.
        """
        if sniff(head(path)) is Format.TIFF:
            where, values = _picture(path)
        else:
            with netcdf(path) as file:
                where, values = grid(_BASE), _field(file)
        values = np.where(values == _FILL, np.nan, values)
        part = held_part(where, np.isfinite(values))
        if part is None:
            raise RefusedInput("holds no soil moisture at all: nothing but fill")
        target = variable("sm")
        found = within_range(values[part], target)
        yield Raster.good(target, where.window(*part), found, identity.period)


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its axes of length one."""
    return tuple(n for n in shape if n != 1)


def _field(file: NetCdf) -> NDArray[np.float64]:
    """Return the field of a NetCDF file on the whole grid."""
    check_unit(file, "soil_moisture", _UNITS)
    rows, columns = grid(_BASE).shape
    values = file.values("soil_moisture")
    values = values.reshape(_plain(values.shape))
    if values.shape == (columns, rows):
        values = values.T
    if values.shape != (rows, columns):
        raise RefusedInput(
            f"soil_moisture has the shape {values.shape}, its coordinates {(rows, columns)}"
        )
    for name, expected, axis in zip(("latitude", "longitude"), centres(_BASE), (0, 1), strict=True):
        degrees = file.values(name).ravel()
        if not np.isfinite(degrees).all():
            raise RefusedInput(f"its {name} is not a list of degrees: damaged coordinates")
        if farthest(degrees, expected[::-1]) <= OFF_CENTRE:
            values = np.flip(values, axis)
        elif (far := farthest(degrees, expected)) > OFF_CENTRE:
            raise RefusedInput(beside(name, far, _BASE))
    return values


def _picture(path: Path) -> tuple[Grid, NDArray[np.float64]]:
    """Return grid and values of a GeoTIFF."""
    with geotiff(path) as file:
        check_band(file)
        corner, step = check_projection(file, "EPSG:6933")
        where = ease_window(corner, step, (file.height, file.width), _BASE)
        return where, read_band(file).astype(np.float64)


READER: Final = AmsrNn()
