"""ERA5 reanalysis, hourly soil water, as the Climate Data Store delivers NetCDF.

Two layouts: since 2024 ``valid_time`` and an ``expver`` for each hour; before, ``time`` and, in
files that reach into the last months, ``expver`` as a dimension (1 final, 5 preliminary). Days come
from inside, never from the name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable

__all__ = ["LEAST_HOURS", "READER", "Era5"]

LEAST_HOURS: Final = 12
"""Hours that a daily mean needs. Soil water moves little in half a day, but a file cut at the edge of a
request holds an hour or two of its last day: no mean of it."""

_HOURS: Final = 24
_TIMES: Final = ("valid_time", "time")
_PLACE: Final = ("latitude", "longitude")
_LAND_STEP: Final = 0.15  # between ERA5-Land's 0.1 and ERA5's 0.25 degrees
_OVERSHOOT: Final = 0.01
"""The model's numerics and packing leave dry ground a little below zero (seen: -0.0025): that is zero."""
_UNITS: Final = {"swvl1": {"m**3 m**-3", "m3 m-3"}, "lsm": {"(0 - 1)", "1", "0-1", ""}}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Era5:
    """Reader of ERA5's hourly NetCDF files."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "ERA5"

    @property
    def title(self) -> str:
        """What the source is."""
        return "ERA5 hourly reanalysis, soil water of 0-7 cm"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise ERA5 by its variables; the period is the hull of the times inside."""
        names = variables_of(path)
        if "swvl1" not in names or not names.intersection(_TIMES) or not names.issuperset(_PLACE):
            return None
        with netcdf(path) as file:
            days = _days(_times(file))
            step = abs(np.diff(file.values("longitude"))).min(initial=np.inf)
        if step < _LAND_STEP:
            raise RefusedInput(f"has cells of {step:.2f} degrees: ERA5-Land, which is not read yet")
        period = Period.of_days(days[0].item(), days[-1].item())
        return Identity(self.source, name.removesuffix(".nc"), period)

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield a daily mean of ``swvl1`` for each day inside, and ``lsm`` once.

        A mean of fewer than 24 hours is marked as of partial coverage; cells with fewer than
        `LEAST_HOURS` have none, and a day without any such cell is left out with a warning.
        """
        with netcdf(path) as file:
            times = _times(file)
            place = _Place.of(file)
            found = False
            for day in _days(times):
                hours = np.flatnonzero(times.astype("datetime64[D]") == day)
                mean, count = _mean_of(file, "swvl1", hours, place)
                mean[count < LEAST_HOURS] = np.nan
                period = Period.of_day(day.item())
                if len(hours) < LEAST_HOURS:
                    _log.warning(
                        "%s holds %d hours of %s: no daily mean", path.name, len(hours), day
                    )
                    continue
                found = True
                quality = np.where(count < _HOURS, np.uint16(InputQuality.PARTIAL_COVERAGE), 0)
                yield Raster(
                    variable("swvl1"),
                    place.grid,
                    mean.astype(np.float32),
                    quality.astype(np.uint16),
                    period,
                )
            if not found:
                raise RefusedInput(
                    f"holds {len(times)} hours and no day with {LEAST_HOURS} of them: no daily mean"
                )
            if "lsm" in file.names:
                yield Raster.good(variable("lsm"), place.grid, _land(file, times, place), None)


@dataclass(frozen=True, slots=True)
class _Place:
    """The grid of a file and how its arrays are brought onto it."""

    grid: Grid
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @classmethod
    def of(cls, file: NetCdf) -> _Place:
        latitudes, longitudes = (file.values(name) for name in _PLACE)
        for name, values, most in zip(_PLACE, (latitudes, longitudes), (90, 360), strict=True):
            if values.ndim != 1 or not np.isfinite(values).all() or (abs(values) > most).any():
                raise RefusedInput(f"its {name} is not a list of degrees: damaged coordinates")
        east = np.where(longitudes >= 180, longitudes - 360, longitudes)  # noqa: PLR2004 - degrees
        rows, columns = np.argsort(-latitudes), np.argsort(east)
        try:
            grid = Grid.from_centres(latitudes[rows], east[columns])
        except UsageError as error:
            raise RefusedInput(
                f"its cells make no regular grid: {error} (a box over the 180th meridian "
                "must be fetched as two)"
            ) from error
        return cls(grid, rows, columns)

    def turn(self, field: NDArray[Any]) -> NDArray[Any]:
        """Bring a field onto the grid: north first, from west to east."""
        return field[np.ix_(self.rows, self.columns)]


def _time_name(file: NetCdf) -> str:
    return next(name for name in _TIMES if name in file.names)


def _times(file: NetCdf) -> NDArray[np.datetime64]:
    times = file.times(_time_name(file))
    if not len(times):
        raise RefusedInput("holds no hour at all: its time axis is empty")
    if len(np.unique(times)) != len(times):
        raise RefusedInput("holds the same hour more than once: files joined by mistake")
    if (times != times.astype("datetime64[h]")).any():
        raise RefusedInput("has times that are not whole hours")
    return times


def _days(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    days: NDArray[np.datetime64] = np.unique(times.astype("datetime64[D]"))
    first, last = days[0].item(), days[-1].item()
    # calendar arithmetic of Python covers the years 1 to 9999 only
    if not (hasattr(first, "year") and hasattr(last, "year") and last.year < 9999):  # noqa: PLR2004
        raise RefusedInput(f"holds times from {days[0]} to {days[-1]} ({UTC}): damaged times")
    return days


def _mean_of(
    file: NetCdf, name: str, hours: NDArray[np.intp], place: _Place
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return mean over some hours and the number of hours, both on the grid."""
    _check_unit(file, name)
    order = file.dimensions(name)
    known = {_time_name(file): "t", "latitude": "y", "longitude": "x", "expver": "e"}
    if not set(order) <= set(known) or not set(order) >= {_time_name(file), *_PLACE}:
        raise RefusedInput(f"{name} has the dimensions {order}; expected time, latitude, longitude")
    # neighbouring hours in one go, since that is how they are stored
    first, last = int(hours.min()), int(hours.max()) + 1
    span = slice(first, last)
    part = tuple(span if d == _time_name(file) else slice(None) for d in order)
    axes = [known[d] for d in order]
    if last - first > len(hours):
        blocks = [
            file.values(name, tuple(int(h) if a == "t" else slice(None) for a in axes))
            for h in hours
        ]
        block = np.stack(blocks)
        axes = ["t", *(a for a in axes if a != "t")]
    else:
        block = file.values(name, part)
    if "e" in axes:
        block, axes = _final_first(file, block, axes), [a for a in axes if a != "e"]
    block = block.transpose([axes.index(a) for a in "tyx"])
    if block.shape[1:] != place.grid.shape:
        raise RefusedInput(
            f"{name} has the shape {block.shape}, its coordinates {place.grid.shape}"
        )
    block[(block < 0) & (block > -_OVERSHOOT)] = 0
    count = np.isfinite(block).sum(axis=0)
    total = np.where(np.isfinite(block), block, 0).sum(axis=0)
    mean = np.full(count.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return place.turn(mean), place.turn(count)


def _final_first(file: NetCdf, block: NDArray[np.float64], axes: list[str]) -> NDArray[np.float64]:
    """Join the versions along ``expver``: the final one where there is one."""
    versions = (
        file.values("expver") if "expver" in file.names else np.arange(block.shape[axes.index("e")])
    )
    parts = np.moveaxis(block, axes.index("e"), 0)[np.argsort(versions)]
    joined: NDArray[np.float64] = parts[0]
    for part in parts[1:]:
        joined = np.where(np.isnan(joined), part, joined)
    return joined


def _check_unit(file: NetCdf, name: str) -> None:
    unit = file.attribute(name, "units")
    if unit is not None and str(unit) not in _UNITS[name]:
        raise RefusedInput(f"{name} is in '{unit}', expected {max(_UNITS[name])}")


def _land(file: NetCdf, times: NDArray[np.datetime64], place: _Place) -> NDArray[np.float64]:
    """Return the land fraction, averaged over the hours where the file repeats it."""
    if set(file.dimensions("lsm")) == set(_PLACE):
        _check_unit(file, "lsm")
        field = file.values("lsm")
        return place.turn(field if file.dimensions("lsm")[0] == "latitude" else field.T)
    days = times.astype("datetime64[D]")
    means = [_mean_of(file, "lsm", np.flatnonzero(days == day), place) for day in np.unique(days)]
    count = np.sum([n for _, n in means], axis=0)
    total = np.sum([np.where(n > 0, m, 0) * n for m, n in means], axis=0)
    mean = np.full(place.grid.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return np.where((mean > 1) & (mean < 1 + _OVERSHOOT), 1.0, mean)


READER: Final = Era5()
