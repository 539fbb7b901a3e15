"""SMAP 36 km retrievals as lists of points, pooled over a window of days.

The lists hold the cells' centres on the EASE-Grid 2.0 of 36 km, the same cell once per day and
overpass. The window stands nowhere but in the file's name, as its first and last day or as one day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from ingest.checks import within_range
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import DAY, Period, parse_day
from smcatalog.core.variables import variable

__all__ = ["READER", "RETRIEVALS", "SmapPoints"]

RETRIEVALS: Final = ("soil_moisture", "soil_moisture_dca")
"""The baseline and the dual-channel algorithm: the same since release 18, whose baseline that is."""

_NAME = re.compile(
    r"^SMAP_(?:(?P<first>\d{8})_(?P<last>\d{8})|[A-Za-z]+_(?P<day>\d{4}-\d{2}-\d{2}))\.nc$"
)
_PLACE: Final = ("latitude", "longitude")
_LIST: Final = frozenset({"index", *_PLACE})
_KNOWN: Final = _LIST | frozenset(RETRIEVALS)
_LONGEST_DAYS: Final = 31
_OFF_CENTRE: Final = 0.3


@dataclass(frozen=True, slots=True)
class SmapPoints:
    """Reader of SMAP point lists.

    Parameters
    ----------
    retrieval : {"soil_moisture", "soil_moisture_dca"}
        Which of the two retrievals becomes ``sm``.
    """

    retrieval: str = RETRIEVALS[0]

    def __post_init__(self) -> None:
        if self.retrieval not in RETRIEVALS:
            raise UsageError(f"the retrieval is one of {RETRIEVALS}, got '{self.retrieval}'")

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "SMAP-36km-points"

    @property
    def title(self) -> str:
        """What the source is."""
        return "SMAP radiometer soil moisture, 36 km, points pooled over a window of days"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a point list by its variables; the window comes from the name."""
        if sniff(head(path)) is not Format.HDF5:
            return None
        match = _NAME.match(name)
        names = variables_of(path)
        # a window without a retrieval was written with nothing but an index of length zero
        if "index" not in names or not names <= _KNOWN or (not match and not names >= _LIST):
            return None
        if not match:
            raise RefusedInput(
                "is a list of SMAP points whose name does not say its window of days: "
                "it should be called SMAP_YYYYMMDD_YYYYMMDD.nc or, of one day, SMAP_PLACE_YYYY-MM-DD.nc"
            )
        return Identity(self.source, name.removesuffix(".nc"), _window(match))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield one raster of ``sm`` on the smallest window of ``M36`` around the points."""
        with netcdf(path) as file:
            if self.retrieval not in file.names or file.shape("index") == (0,):
                raise RefusedInput("holds no retrieval at all: its list of points is empty")
            if not file.names >= _LIST:
                raise RefusedInput(f"lacks {', '.join(sorted(_LIST - file.names))}")
            values, latitudes, longitudes = _points(file, self.retrieval)
        if not np.isfinite(values).any():
            raise RefusedInput(f"holds no retrieval at all: {len(values)} points without a value")
        window, rows, columns = _cells(latitudes, longitudes)
        mean = _mean(within_range(values, variable("sm")), rows, columns, window.shape)
        yield Raster.good(variable("sm"), window, mean, identity.period)


def _window(match: re.Match[str]) -> Period:
    try:
        first = parse_day(match["day"] or match["first"])
        last = parse_day(match["day"] or match["last"])
    except UsageError as error:
        raise RefusedInput(f"has an impossible day in its name: {error}") from error
    if not 0 <= (last - first) / DAY < _LONGEST_DAYS:
        raise RefusedInput(f"has a name that says a window from {first} to {last}: check the name")
    return Period.of_days(first, last)


def _points(file: NetCdf, retrieval: str) -> tuple[NDArray[np.float64], ...]:
    arrays = tuple(file.values(name) for name in (retrieval, *_PLACE))
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        raise RefusedInput("its retrievals and coordinates differ in length")
    return arrays


def _cells(
    latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]
) -> tuple[Grid, NDArray[np.intp], NDArray[np.intp]]:
    if not (np.isfinite(latitudes).all() and np.isfinite(longitudes).all()):
        raise RefusedInput("has points without coordinates")
    if (abs(latitudes) > 90).any() or (abs(longitudes) > 180).any():  # noqa: PLR2004 - degrees
        raise RefusedInput("has points with impossible coordinates")
    whole = grid("M36")
    rows, columns, inside = whole.locate(longitudes, latitudes)
    if not inside.all():
        raise RefusedInput(f"has {int((~inside).sum())} points outside the 36 km grid")
    far = _off_centre(whole, longitudes, latitudes).max()
    if far > _OFF_CENTRE:
        raise RefusedInput(
            f"has points {far:.2f} cells beside the centres of the 36 km grid: of another grid"
        )
    top, left = int(rows.min()), int(columns.min())
    window = whole.window(slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1))
    return window, rows - top, columns - left


def _off_centre(
    whole: Grid, longitudes: NDArray[np.float64], latitudes: NDArray[np.float64]
) -> NDArray[Any]:
    transformer = Transformer.from_crs("EPSG:4326", str(whole.crs), always_xy=True)
    x, y = transformer.transform(longitudes, latitudes)
    column, row = ~whole.transform * (np.asarray(x), np.asarray(y))
    far: NDArray[Any] = np.maximum(abs(column % 1 - 0.5), abs(row % 1 - 0.5))
    return far


def _mean(
    values: NDArray[np.floating],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Average the finite values of each cell; NaN where there is none."""
    some = np.isfinite(values)
    cell = np.ravel_multi_index((rows[some], columns[some]), shape)
    size = shape[0] * shape[1]
    count = np.bincount(cell, minlength=size)
    total = np.bincount(cell, weights=values[some], minlength=size)
    mean = np.full(size, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean.reshape(shape)


READER: Final = SmapPoints()
