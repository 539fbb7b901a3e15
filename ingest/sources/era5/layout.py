"""The NetCDF of the Climate Data Store: its times, its cells, and its fields hour by hour.

Two layouts: since 2024 ``valid_time`` and an ``expver`` for each hour; before, ``time`` and, in
files that reach into the last months, ``expver`` as a dimension (1 final, 5 preliminary).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.netcdf import NetCdf
from ingest.sources.era5.fields import Field
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid

__all__ = [
    "Hours",
    "Place",
    "check_unit",
    "has_times_and_places",
    "hours_of",
    "spacing",
    "unit_of_time",
]

_TIMES: Final = ("valid_time", "time")
_PLACE: Final = ("latitude", "longitude")
_DECIMALS: Final = 5
"""Of coordinates: kept in 32 bits they are off by less than half of the last."""
_FIRST_YEAR, _LAST_YEAR = 1, 9999
"""Calendar arithmetic of Python covers no more."""
_AT_ONCE: Final = 8_000_000
"""Values in memory: a day of ERA5-Land over a large country; the globe's come a few hours at a time."""


@dataclass(frozen=True, slots=True)
class Place:
    """The grid of a file and how its arrays are brought onto it."""

    grid: Grid
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @classmethod
    def of(cls, file: NetCdf) -> Place:
        """Read the coordinates.

        Raises
        ------
        RefusedInput
            When they are damaged or make no regular grid.
        """
        latitudes, longitudes = (file.values(name).round(_DECIMALS) for name in _PLACE)
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


def has_times_and_places(names: frozenset[str]) -> bool:
    """Say whether a file of these variables has the coordinates of the store."""
    return bool(names.intersection(_TIMES)) and names.issuperset(_PLACE)


def spacing(file: NetCdf) -> float:
    """Return the distance of the cells' centres from west to east [degrees]."""
    longitudes = file.values("longitude")
    return float(abs(np.diff(longitudes)).min(initial=np.inf)) if longitudes.ndim else np.inf


def unit_of_time(file: NetCdf) -> str:
    """Return what the times count: ``days since …`` in files of daily statistics."""
    return str(file.attribute(_time_name(file), "units"))


def _time_name(file: NetCdf) -> str:
    return next(name for name in _TIMES if name in file.names)


def hours_of(file: NetCdf) -> NDArray[np.datetime64]:
    """Read the stamps, datetime64[s], as the file orders them.

    Raises
    ------
    RefusedInput
        When there is none, one is there twice, or one is no whole hour or no day of a calendar.
    """
    times = file.times(_time_name(file))
    if not len(times):
        raise RefusedInput("holds no hour at all: its time axis is empty")
    if len(np.unique(times)) != len(times):
        raise RefusedInput("holds the same hour more than once: files joined by mistake")
    if (times != times.astype("datetime64[h]")).any():
        raise RefusedInput("has times that are not whole hours")
    years = times[[times.argmin(), times.argmax()]].astype("datetime64[Y]").astype(int) + 1970
    if not _FIRST_YEAR < years[0] <= years[1] < _LAST_YEAR:
        raise RefusedInput(
            f"holds times from {times.min()} to {times.max()} ({UTC}): damaged times"
        )
    return times


def check_unit(file: NetCdf, field: Field) -> None:
    """Refuse a variable whose unit is another one than the field's."""
    unit = file.attribute(field.name, "units")
    if unit is None and "" in field.units:
        return
    if unit is None or str(unit) not in field.units:
        told = "names no unit" if unit is None else f"is in '{unit}'"
        raise RefusedInput(f"{field.name} {told}, expected {max(field.units)}")


class Hours:
    """The fields of an open file.

    Parameters
    ----------
    file : NetCdf
        Open as long as fields are asked for.

    Attributes
    ----------
    times : ndarray of datetime64[s], shape (n,)
        As the file orders them.
    place : Place
        Where its cells are.
    """

    def __init__(self, file: NetCdf) -> None:
        self._file = file
        self.times = hours_of(file)
        self.place = Place.of(file)

    @property
    def names(self) -> frozenset[str]:
        """Names of the file's variables."""
        return self._file.names

    def still(self, field: Field) -> NDArray[np.float64] | None:
        """Return a field that has no hours, on the grid; None when it has."""
        dimensions = self._file.dimensions(field.name)
        if set(dimensions) != set(_PLACE):
            return None
        check_unit(self._file, field)
        return self._checked(
            field, self._file.values(field.name), ["yx"[d == "longitude"] for d in dimensions]
        )

    def blocks(
        self, field: Field, hours: NDArray[np.intp]
    ) -> Iterator[tuple[NDArray[np.datetime64], NDArray[np.float64]]]:
        """Yield times and values of some hours in the order of time, as many at once as fit.

        Values of shape (hours, rows, columns) are as the file has them: see `Place.turn`.

        Raises
        ------
        RefusedInput
            When unit, dimensions or shape are not as expected.
        """
        check_unit(self._file, field)
        ordered = hours[np.argsort(self.times[hours])]
        cells = int(np.prod(self._file.shape(field.name), dtype=float)) // max(len(self.times), 1)
        most = max(1, _AT_ONCE // max(cells, 1))
        starts = np.flatnonzero(np.append(True, np.diff(ordered) != 1))
        for run in np.split(ordered, starts[1:]):
            # neighbouring hours in one go, since that is how they are stored
            for first in range(0, len(run), most):
                part = run[first : first + most]
                yield self.times[part], self._read(field, slice(int(part[0]), int(part[-1]) + 1))

    def _read(self, field: Field, span: slice) -> NDArray[np.float64]:
        order = self._file.dimensions(field.name)
        clock = _time_name(self._file)
        known = {clock: "t", "latitude": "y", "longitude": "x", "expver": "e"}
        if not set(order) <= set(known) or not set(order) >= {clock, *_PLACE}:
            raise RefusedInput(
                f"{field.name} has the dimensions {order}; expected time, latitude, longitude"
            )
        axes = [known[d] for d in order]
        if self._file.shape(field.name)[axes.index("t")] != len(self.times):
            raise RefusedInput(
                f"{field.name} has the shape {self._file.shape(field.name)} and the file "
                f"{len(self.times)} times"
            )
        block = self._file.values(
            field.name, tuple(span if axis == "t" else slice(None) for axis in axes)
        )
        if "e" in axes:
            block = self._final_first(block, axes)
            axes = [axis for axis in axes if axis != "e"]
        return self._checked(field, block, axes)

    def _checked(
        self, field: Field, block: NDArray[np.float64], axes: list[str]
    ) -> NDArray[np.float64]:
        wanted = [axis for axis in "tyx" if axis in axes]
        block = block.transpose([axes.index(axis) for axis in wanted])
        if block.shape[-2:] != self.place.grid.shape:
            raise RefusedInput(
                f"{field.name} has the shape {block.shape}, its coordinates {self.place.grid.shape}"
            )
        if field.slack:
            block[(block < 0) & (block > -field.slack)] = 0
        return block

    def _final_first(self, block: NDArray[np.float64], axes: list[str]) -> NDArray[np.float64]:
        """Join the versions along ``expver``: the final one where there is one."""
        axis = axes.index("e")
        versions = (
            self._file.values("expver") if "expver" in self.names else np.arange(block.shape[axis])
        )
        if versions.shape != block.shape[axis : axis + 1]:
            raise RefusedInput(f"has {versions.size} versions (expver) for {block.shape[axis]}")
        parts = np.moveaxis(block, axis, 0)[np.argsort(versions)]
        joined: NDArray[np.float64] = parts[0]
        for part in parts[1:]:
            joined = np.where(np.isnan(joined), part, joined)
        return joined
