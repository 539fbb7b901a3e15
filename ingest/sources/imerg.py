"""Rain of GPM IMERG (releases 6 and 7), 0.1 degrees: daily NetCDF files and half-hourly HDF5 files.

Dimensions are time, longitude, latitude, in this order. Daily files count the half hours that a day rests on; a half hour's rate
becomes a day's sum by 24, so that the mean over a day's layers is the day's rain. Which run a file is of (early, late or
final) stands in its name; a later run takes an earlier one's place. The half-hourly files call their calendar Julian and
count as everybody does, from 1970 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from ingest.checks import within_range
from ingest.fields import Place, check_unit, instants
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import DAY, Period
from smcatalog.core.variables import variable

__all__ = ["READERS", "Imerg"]

_NAME = re.compile(
    r"^3B-(?P<step>DAY|HHR)(?:-(?P<run>[EL]))?\.MS\.MRG\.3IMERG\.(?P<day>\d{8})-S(?P<start>\d{6})-E(?P<end>\d{6})"
    r"(?P<minute>\.\d{4})?\.V(?P<version>\d\d[A-Z]?)"
)
_RAIN: Final = ("precipitation", "precipitationCal")
"""In release 7, and in release 6."""
_GROUPS: Final = {"DAY": "", "HHR": "Grid"}
_UNITS: Final = {
    "DAY": {"mm/day", "mm", "mm d-1", "mm/d"},
    "HHR": {"mm/hr", "mm/h", "mm hr-1", "mm h-1"},
}
_FACTORS: Final = {"DAY": 1.0, "HHR": 24.0}
_LENGTHS: Final = {"DAY": DAY, "HHR": timedelta(minutes=30)}
_HALF_HOURS: Final = 48
_PER_DEGREE: Final = 10


@dataclass(frozen=True, slots=True)
class Imerg:
    """Reader of the files of one step.

    Parameters
    ----------
    step : {"DAY", "HHR"}
        As the provider's names call it.
    """

    step: str

    @property
    def source(self) -> str:
        """Name of the product family."""
        return {"DAY": "GPM_3IMERGDF", "HHR": "GPM_3IMERGHH"}[self.step]

    @property
    def title(self) -> str:
        """What the source is."""
        what = {"DAY": "daily rain", "HHR": "rain of half hours"}[self.step]
        return f"GPM IMERG {what}, 0.1 degrees"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a file by its header or its name, and its group of maps.

        Raises
        ------
        RefusedInput
            When it has no rain, or says two times.
        """
        if sniff(head(path)) not in {Format.HDF5, Format.NETCDF3}:
            return None
        names = variables_of(path)
        if bool(names) is bool(_GROUPS[self.step]):  # maps are in the root of the daily files alone
            return None
        with netcdf(path) as file:
            told = _header(file)
            inside, outside = _NAME.match(told.get("FileName", "")), _NAME.match(name)
            match = inside or outside
            group = _GROUPS[self.step]
            if match is None or match["step"] != self.step or (group and group not in file.groups):
                return None
        if (
            inside
            and outside
            and inside.group("step", "day", "start") != outside.group("step", "day", "start")
        ):
            raise RefusedInput(
                f"its name says {outside['day']} {outside['start']}, inside it is {inside['day']} {inside['start']}: "
                "files mixed up"
            )
        with netcdf(path, group) as file:
            _rain(file)
            period = self._period(file, match)
        of = f"{match['day']}-S{match['start']}-E{match['end']}{match['minute'] or ''}"
        subject = f"3B-{self.step}.MS.MRG.3IMERG.{of}"
        # in this order: early, late, final
        production = "-".join(filter(None, (match["run"], f"V{match['version']}")))
        known = outside.group() if outside else _stem(name)
        return Identity(self.source, known, period, subject, production)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``precipitation``; a day that rests on fewer than its 48 half hours is of partial coverage.

        Raises
        ------
        RefusedInput
            When it is in another unit, or on other cells.
        """
        target = variable("precipitation")
        with netcdf(path, _GROUPS[self.step]) as file:
            name = _rain(file)
            check_unit(file, name, _UNITS[self.step])
            place = Place.of(file, per_degree=_PER_DEGREE)
            values = place.read(file, name) * _FACTORS[self.step]
            quality = np.zeros(values.shape, np.uint16)
            count = f"{name}_cnt"
            if self.step == "DAY" and count in file.names:
                counted = place.read(file, count)
                values[counted == 0] = np.nan
                quality[(counted < _HALF_HOURS) & np.isfinite(values)] = (
                    InputQuality.PARTIAL_COVERAGE
                )
        found = within_range(values, target).astype(np.float32)
        yield Raster(target, place.grid, found, quality, identity.period)

    def _period(self, file: NetCdf, match: re.Match[str]) -> Period:
        """Return what a file covers, on which its time and the name agree."""
        with refusing("has an impossible time in its name", (ValueError,)):
            start = datetime.strptime(match["day"] + match["start"], "%Y%m%d%H%M%S").replace(
                tzinfo=UTC
            )
        times = instants(file, calendar="standard")
        if len(times) != 1:
            raise RefusedInput(f"holds {len(times)} times, expected one: files joined")
        (found,) = times
        if not start <= found < start + _LENGTHS[self.step]:
            raise RefusedInput(
                f"its name says {start:%Y-%m-%d %H:%M}, its time {found:%Y-%m-%d %H:%M}: files mixed up"
            )
        return Period(start, start + _LENGTHS[self.step])


def _header(file: NetCdf) -> dict[str, str]:
    """Return what the file's header says, by name."""
    lines = (line.strip().rstrip(";") for line in file.text("FileHeader").splitlines())
    return {
        key.strip(): value.strip()
        for key, _, value in (line.partition("=") for line in lines)
        if value
    }


def _rain(file: NetCdf) -> str:
    """Return the name of the variable of rain.

    Raises
    ------
    RefusedInput
        When there is none, such as in a subset of coordinates alone.
    """
    for name in _RAIN:
        if name in file.names:
            return name
    held = ", ".join(sorted(file.names))[:200]
    raise RefusedInput(f"holds no rain at all: it has only {held}; fetch it with its precipitation")


def _stem(name: str) -> str:
    """Return a name without the suffixes that providers and their subsetters give."""
    return re.sub(r"(?:\.(?:nc4?|HDF5|hdf5|h5|SUB|dap))+$", "", name)


READERS: Final = (Imerg("DAY"), Imerg("HHR"))
