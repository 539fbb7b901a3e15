"""Maps in NetCDF files: variables over latitude, longitude and time in any order, brought onto their grid north first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.netcdf import NetCdf
from ingest.windows import degree_grid, global_window
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from smcatalog.core.time import DAY, Period

__all__ = ["Place", "check_unit", "held_part", "instants", "month_of", "of_scale"]

_ROLES: Final = {
    "lat": "y", "latitude": "y", "y": "y", "lon": "x", "longitude": "x", "x": "x",
    "time": "t", "valid_time": "t", "day": "t",
}  # fmt: skip
_EDGE: Final = 0.5
"""Degrees by which a rounded coordinate may lie beyond the poles or a whole turn."""

Part = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class Place:
    """The grid of a file's maps, and how its arrays are brought onto it.

    Parameters
    ----------
    grid : Grid
        In degrees, row 0 northernmost, west to east.
    axes : dict of str to str
        Names of the dimensions, by ``y`` and ``x``.
    rows, columns : ndarray of int
        Where the grid's rows and columns lie in the file.
    """

    grid: Grid
    axes: dict[str, str]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @classmethod
    def of(cls, file: NetCdf, *, per_degree: int | None = None) -> Place:
        """Return the place of a file's maps.

        Parameters
        ----------
        per_degree : int, optional
            Cells a degree of the globe's grid that the maps must be a part of; default: any regular grid.

        Raises
        ------
        RefusedInput
            When it has no coordinates, or damaged, uneven or shifted ones.
        """
        axes = {}
        for role, what in (("y", "latitudes"), ("x", "longitudes")):
            found = [n for n in sorted(file.names) if _ROLES.get(n.lower()) == role]
            if not found:
                raise RefusedInput(f"lacks its {what}: where its values lie is not known")
            axes[role] = found[0]
        latitudes, longitudes = _degrees(file, axes["y"], 90), _degrees(file, axes["x"], 360)
        # a whole turn from nought is cut at 180 degrees; a part of it that crosses them is in two pieces
        east = np.where(longitudes >= 180, longitudes - 360, longitudes)  # noqa: PLR2004 - degrees
        rows, columns = np.argsort(-latitudes, kind="stable"), np.argsort(east, kind="stable")
        _check_order(rows, axes["y"])
        grid = degree_grid(latitudes[rows], east[columns])
        if per_degree is not None:
            t = grid.transform
            grid = global_window((t.c, t.f), (t.a, -t.e), grid.shape, per_degree)
        return cls(grid, axes, rows, columns)

    def read(
        self, file: NetCdf, name: str, step: int | None = None, part: slice = slice(None)
    ) -> NDArray[np.float64]:
        """Read a map, or some rows of it.

        Parameters
        ----------
        name : str
            A variable of the file.
        step : int, optional
            Which of the times; default: there is one, or none.
        part : slice
            Rows of the grid.

        Returns
        -------
        ndarray of float64, shape (rows, columns)
            On the grid; fill is NaN.

        Raises
        ------
        RefusedInput
            When the variable is no map, or its shape is not that of the coordinates.
        """
        order, shape = file.dimensions(name), file.shape(name)
        roles = [_ROLES.get(one.lower(), "") for one in order]
        wanted = {"y", "x", "t"}
        if (
            not set(roles) <= wanted
            or len(set(roles)) != len(roles)
            or not {"y", "x"} <= set(roles)
        ):
            raise RefusedInput(
                f"{name} has the dimensions {order}; expected time, latitude, longitude"
            )
        sizes = dict(zip(roles, shape, strict=True))
        if (sizes["y"], sizes["x"]) != self.grid.shape:
            raise RefusedInput(f"{name} has the shape {shape}, its coordinates {self.grid.shape}")
        if step is None and sizes.get("t", 1) != 1:
            raise RefusedInput(f"{name} has {sizes['t']} times, expected one")
        rows = self.rows[part]
        first, last = int(rows.min()), int(rows.max()) + 1
        index = {"y": slice(first, last), "x": slice(None), "t": step or 0}
        block = file.values(name, tuple(index[role] for role in roles))
        if roles.index("x") < roles.index("y"):
            block = block.T
        return block[np.ix_(rows - first, self.columns)]


def _degrees(file: NetCdf, name: str, most: float) -> NDArray[np.float64]:
    values = file.values(name)
    if values.ndim != 1 or not np.isfinite(values).all() or (abs(values) > most + _EDGE).any():
        raise RefusedInput(f"its {name} is not a list of degrees: damaged coordinates")
    return values


def _check_order(rows: NDArray[np.intp], name: str) -> None:
    """Refuse latitudes that neither rise nor fall: sorted, their rows would be those of other places."""
    if len(rows) > 1 and len(set(np.diff(rows).tolist())) != 1:
        raise RefusedInput(f"its {name} neither rises nor falls evenly: damaged coordinates")


def check_unit(file: NetCdf, name: str, known: Collection[str]) -> str | None:
    """Return the unit that a variable names.

    Raises
    ------
    RefusedInput
        When it is another one than those that are known; a unit that is not named at all is believed.
    """
    unit = file.attribute(name, "units")
    if unit is None:
        return None
    if str(unit).strip() not in known:
        raise RefusedInput(f"{name} is in '{unit}', expected {max(known)}")
    return str(unit).strip()


def of_scale(file: NetCdf, name: str, steps: Collection[float]) -> None:
    """Refuse a variable of whole numbers whose steps are not among those that are known."""
    scale = file.attribute(name, "scale_factor")
    near = any(
        isinstance(scale, float | int | np.number) and np.isclose(scale, s, rtol=1e-5)
        for s in steps
    )
    if not near:
        shown = scale.item() if isinstance(scale, np.generic) else scale
        raise RefusedInput(
            f"{name} has steps of {shown}, expected {max(steps):g}: damaged, or of another version"
        )


def instants(file: NetCdf, name: str = "time", *, calendar: str | None = None) -> list[datetime]:
    """Return the times of a file, in UTC.

    Raises
    ------
    RefusedInput
        When there are none, they do not rise, or they are beyond Python's calendar.
    """
    if name not in file.names:
        raise RefusedInput(f"lacks {name}: when its values hold is not known")
    times = file.times(name, calendar=calendar)
    if not len(times):
        raise RefusedInput("holds no value at all: its time axis is empty")
    if (np.diff(times) <= np.timedelta64(0, "s")).any():
        raise RefusedInput(f"its {name} does not rise: files joined by mistake, or damaged")
    early, late = np.datetime64("1000-01-01", "s"), np.datetime64("9000-01-01", "s")
    if times[0] < early or times[-1] > late:
        raise RefusedInput(f"holds times from {times[0]} to {times[-1]}: damaged times")
    return [datetime.fromisoformat(str(time)).replace(tzinfo=UTC) for time in times]


def month_of(day: date) -> Period:
    """Return the month of a day."""
    first = day.replace(day=1)
    return Period.of_days(first, (first + timedelta(days=31)).replace(day=1) - DAY)


def held_part(grid: Grid, *masks: NDArray[Any]) -> Part | None:
    """Return the rows and columns around all that is marked; None where nothing is."""
    held = np.zeros(grid.shape, bool)
    for mask in masks:
        held |= mask.astype(bool)
    rows, columns = (np.flatnonzero(held.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
