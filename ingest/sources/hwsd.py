"""Harmonized World Soil Database 1.2 (FAO, IIASA, ISRIC, ISSCAS, JRC): a map of units, and a table of their soils.

``hwsd.bil`` holds at 30 arc seconds the number of the mapping unit, 0 at sea, and says nothing without the table
``HWSD_DATA`` of the database ``HWSD.mdb``: exported, it lies beside the map as ``HWSD_DATA.csv``. A unit is made of
several components with shares of its area in percent. Its value is the mean of the components that have one, weighted by
share; water, rock, ice and towns have none. What is read is the topsoil, 0 to 30 cm: sand, silt and clay in percent of
weight, bulk density in kg dm-3 (``T_BULK_DENSITY``, in versions before 1.2 ``T_REF_BULK_DENSITY``).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import TOLERATED, within_range
from ingest.esri import beside, bil
from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, head, sniff
from ingest.windows import blocks, global_window
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable

__all__ = ["READER", "Hwsd"]

_NAME: Final = "hwsd.bil"
_TABLE: Final = "HWSD_DATA.csv"
_PER_DEGREE: Final = 120
_SEA: Final = 0
_NUMBERS: Final = 1 << 16
"""Mapping units are numbered with 16 bits."""

_TEXTURE: Final = (("sand", "t_sand"), ("silt", "t_silt"), ("clay", "t_clay"))
_DENSITIES: Final = ("t_bulk_density", "t_ref_bulk_density")
_SYMBOLS: Final = ("su_sym90", "su_sym85", "su_sym74")
_WATER: Final = "WR"
_PERCENT: Final = 0.01
_WHOLE, _SLACK = 100.0, 5.0
"""What sand, silt and clay add up to, and by how much rounding may miss it [percent]."""
_MOST_FRACTIONS: Final = 2.0
"""Sums up to this are of fractions."""
_KG_PER_M3: Final = 1000.0
_HALF: Final = 0.5

_EXPORT: Final = (
    "export the table HWSD_DATA of HWSD.mdb as CSV (mdb-export HWSD.mdb HWSD_DATA > HWSD_DATA.csv, or any office) "
    f"and deliver it with {_NAME} and hwsd.hdr in one folder or zip"
)


@dataclass(frozen=True, slots=True)
class Hwsd:
    """Reader of the map and its table."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "HWSD"

    @property
    def title(self) -> str:
        """What the source is."""
        return "Harmonized World Soil Database 1.2, topsoil (0-30 cm), 30 arc seconds"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise the map by its name: raw numbers say nothing themselves, header and table do on reading.

        Raises
        ------
        RefusedInput
            When it goes by another name, and its table would not be found.
        """
        lower = name.lower()
        if not (lower.endswith(".bil") and "hwsd" in lower):
            return None
        if sniff(head(path)) in {Format.HTML, Format.EMPTY}:
            return None  # told by the registry as what it is
        if lower.startswith("hwsd2"):
            raise RefusedInput("is HWSD 2, whose table is another; version 1.2 is read")
        if lower != _NAME:
            raise RefusedInput(
                f"is called {name}, and its table belongs to {_NAME}: put it into a folder of its own as "
                f"{_NAME}, with hwsd.hdr and {_TABLE}"
            )
        return Identity(self.source, name[: -len(".bil")])

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield ``sand``, ``silt``, ``clay`` and ``bulk_density`` of each block of 10 degrees that has soil.

        Where only a part of a unit has a value it is marked as of partial coverage, units of which the larger
        part is water as water.
        """
        place = beside(path, _TABLE)
        if place is None:
            raise RefusedInput(
                f"has no {_TABLE} beside it, without which its numbers say nothing: {_EXPORT}"
            )
        soils = _soils(_table(place))
        seen = unknown = 0
        empty = True
        with bil(path) as file:
            grid = _grid(file)
            for rows, columns in blocks(grid):
                units = _units(file, rows, columns)
                index = soils.index[units]
                seen += int((units != _SEA).sum())
                unknown += int(((index < 0) & (units != _SEA)).sum())
                for raster in soils.rasters(index, grid.window(rows, columns)):
                    empty = False
                    yield raster
        if unknown > TOLERATED * seen:
            raise RefusedInput(
                f"{unknown} of {seen} cells are of units that {_TABLE} does not have: the table is of "
                "another version or cut off, or the map's fill is another one"
            )
        if empty:
            raise RefusedInput("holds no soil at all: nothing but sea, water or rock")


def _grid(file: Any) -> Grid:
    """Return the window of the globe that a map covers.

    Raises
    ------
    RefusedInput
        When it is turned, shifted or not in degrees.
    """
    if file.crs is not None and not file.crs.is_geographic:
        raise RefusedInput(
            f"is in {file.crs.to_string()[:60]}, expected degrees (WGS 84) as it is delivered"
        )
    t = file.transform
    if t.b or t.d or t.a <= 0 or t.e >= 0:
        raise RefusedInput("has rows or columns that run another way: a damaged header")
    return global_window((t.c, t.f), (t.a, -t.e), (file.height, file.width), _PER_DEGREE)


def _units(file: Any, rows: slice, columns: slice) -> NDArray[np.int64]:
    """Return the units' numbers in a part of a map; what no number can be is -1, what the header calls none 0."""
    window = ((rows.start, rows.stop), (columns.start, columns.stop))
    with refusing("is damaged: it cannot be read to its end"):
        units: NDArray[np.int64] = file.read(1, window=window).astype(np.int64)
    if file.nodata is not None:
        units[units == int(file.nodata)] = _SEA
    units[(units < 0) | (units >= _NUMBERS)] = -1
    return units


@dataclass(frozen=True, slots=True, eq=False)
class _Soils:
    """Mapping units, each array with one more place at the end for units that are not there.

    Parameters
    ----------
    index : ndarray of int, shape (65537,)
        Place of each unit's number, -1 for none; the last is that of the number -1.
    values : dict of ndarray of float32
        Of each variable in its unit; NaN where no component has any.
    partial : dict of ndarray of bool
        Where not all of the unit's area has a value.
    water : ndarray of bool
        Units of which the larger part is water.
    """

    index: NDArray[np.intp]
    values: dict[str, NDArray[np.float32]]
    partial: dict[str, NDArray[np.bool_]]
    water: NDArray[np.bool_]

    def rasters(self, index: NDArray[np.intp], grid: Grid) -> Iterator[Raster]:
        """Yield the variables that have a value in a part of the map."""
        wet = np.where(self.water[index], np.uint16(InputQuality.WATER), np.uint16(0))
        for name, of_units in self.values.items():
            values = of_units[index]
            if np.isnan(values).all():
                continue
            quality = wet.copy()
            quality[self.partial[name][index]] |= np.uint16(InputQuality.PARTIAL_COVERAGE)
            yield Raster(variable(name), grid, values, quality, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The table's columns, a component in each row; NaN where there is no number."""

    unit: NDArray[np.int64]
    share: NDArray[np.float64]
    water: NDArray[np.bool_]
    values: dict[str, NDArray[np.floating]]


def _soils(table: _Table) -> _Soils:
    """Return the units' means over their components, weighted by share."""
    units, place = np.unique(table.unit, return_inverse=True)
    area = np.bincount(place, table.share)
    index = np.full(_NUMBERS + 1, -1, np.intp)
    index[units] = np.arange(len(units))
    values: dict[str, NDArray[np.float32]] = {}
    partial: dict[str, NDArray[np.bool_]] = {}
    for name, column in table.values.items():
        known = ~np.isnan(column)
        weight = np.bincount(place, table.share * known)
        total = np.bincount(place, np.where(known, column * table.share, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(weight > 0, total / weight, np.nan)
        values[name] = np.append(mean, np.nan).astype(np.float32)
        partial[name] = np.append((weight > 0) & (weight < area * (1 - 1e-9)), False)
    wet = np.bincount(place, table.share * table.water) > _HALF * area
    return _Soils(index, values, partial, np.append(wet, False))


def _table(path: Path) -> _Table:
    """Read the exported table.

    Raises
    ------
    RefusedInput
        When it is another one, cut off, damaged, or in another unit.
    """
    columns = _columns(path)
    missing = [
        name for name in ("mu_global", "share", *(c for _, c in _TEXTURE)) if name not in columns
    ]
    if missing:
        raise RefusedInput(
            f"{path.name} has no column {', '.join(missing).upper()}: not the table HWSD_DATA of version 1.2, or "
            f"exported without its header; {_EXPORT}"
        )
    unit, share = _numbers(columns, "mu_global"), _numbers(columns, "share")
    if not len(unit) or not ((unit >= 0) & (unit < _NUMBERS) & (unit == np.floor(unit))).all():
        raise RefusedInput(
            f"MU_GLOBAL of {path.name} is not a number from 0 to 65535 in every row: damaged"
        )
    if not ((share >= 0) & (share <= _WHOLE)).all():
        raise RefusedInput(f"SHARE of {path.name} is not a percentage in every row: damaged")
    values = _fractions({name: _numbers(columns, column) for name, column in _TEXTURE})
    density = next((name for name in _DENSITIES if name in columns), None)
    if density is not None:
        kg_per_m3 = _numbers(columns, density) * _KG_PER_M3
        values["bulk_density"] = within_range(kg_per_m3, variable("bulk_density"))
    symbols = [columns[name] for name in _SYMBOLS if name in columns]
    water = np.zeros(len(unit), bool)
    for column in symbols:
        water |= np.array([text.strip().upper() == _WATER for text in column], bool)
    return _Table(unit.astype(np.int64), share, water, values)


def _fractions(percent: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.floating]]:
    """Return sand, silt and clay as fractions, NaN where they do not make up a whole.

    Raises
    ------
    RefusedInput
        When more than a few do not.
    """
    whole = sum(percent.values(), np.zeros(1))
    known = whole[~np.isnan(whole)]
    if not len(known):
        raise RefusedInput(f"{_TABLE} has no row with sand, silt and clay: cut off or damaged")
    if np.median(known) < _MOST_FRACTIONS:
        raise RefusedInput(
            f"{_TABLE} holds fractions where percent belong (sand, silt and clay add up to "
            f"{np.median(known):g}): {_EXPORT}"
        )
    odd = abs(whole - _WHOLE) > _SLACK
    if odd.sum() > TOLERATED * len(known):
        raise RefusedInput(
            f"sand, silt and clay of {int(odd.sum())} of {len(known)} rows of {_TABLE} do not add up to 100 %: "
            "a damaged table"
        )
    return {
        name: within_range(np.where(odd, np.nan, values * _PERCENT), variable(name))
        for name, values in percent.items()
    }


def _columns(path: Path) -> dict[str, list[str]]:
    """Return the columns by their names in lower letters.

    Raises
    ------
    RefusedInput
        When it is no table or a row is not complete.
    """
    with (
        refusing(f"{path.name} is no CSV", (OSError, csv.Error, UnicodeError)),
        path.open(encoding="utf-8-sig", errors="replace", newline="") as stream,
    ):
        start = stream.readline()
        stream.seek(0)
        separator = max(",;\t", key=start.count)
        rows = csv.reader(stream, delimiter=separator)
        names = [name.strip().lower() for name in next(rows, [])]
        wanted = {"mu_global", "share", *(c for _, c in _TEXTURE), *_DENSITIES, *_SYMBOLS}
        used = [(name, i) for i, name in enumerate(names) if name in wanted]
        columns: dict[str, list[str]] = {name: [] for name, _ in used}
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                raise RefusedInput(
                    f"line {rows.line_num} of {path.name} has {len(row)} fields, its header {len(names)}: cut "
                    f"off or damaged; {_EXPORT}"
                )
            for name, i in used:
                columns[name].append(row[i])
    return columns


def _numbers(columns: dict[str, list[str]], name: str) -> NDArray[np.float64]:
    """Return a column of numbers, NaN where it is empty; an office may have written commas.

    Raises
    ------
    RefusedInput
        When it holds something else.
    """
    values = np.empty(len(columns[name]))
    for i, text in enumerate(columns[name]):
        try:
            values[i] = float(text.strip().replace(",", ".") or "nan")
        except ValueError as error:
            raise RefusedInput(
                f"{name.upper()} in row {i + 2} of {_TABLE} is {text[:20]!r}, not a number: damaged"
            ) from error
    return values


READER: Final = Hwsd()
