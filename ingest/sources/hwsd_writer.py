"""Soil of the simulated world as HWSD 1.2 delivers it: a map of units, its header, and the table of their soils.

A unit stands for all soils whose sand and clay are within two percent, and mixes two of them with bare rock, so that their
mean is the unit's. Open water is a unit without soil.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.landscape import Landscape
from ingest.world.soil import around, bulk_density, survey, under_water
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import Grid

__all__ = ["WRITER", "HwsdWriter"]

_PER_DEGREE: Final = 120
_STEP: Final = 4
"""Percent of sand or clay between units."""
_FIRST: Final = 10_000
_LAKES: Final = 7001
_ACROSS: Final = 1 + 100 // _STEP
_SHARES: Final = (60, 30, 10)
"""Percent of a unit's area: the soil that it is named by, another one, rock."""
_COLUMNS: Final = (
    "ID", "MU_GLOBAL", "MU_SOURCE1", "ISSOIL", "SHARE", "SEQ", "SU_SYM74", "SU_SYM85", "SU_SYM90",
    "T_TEXTURE", "REF_DEPTH", "T_GRAVEL", "T_SAND", "T_SILT", "T_CLAY", "T_USDA_TEX_CLASS",
    "T_REF_BULK_DENSITY", "T_BULK_DENSITY",
)  # fmt: skip
_HEADER: Final = """\
BYTEORDER      I
LAYOUT         BIL
NROWS          {rows}
NCOLS          {columns}
NBANDS         1
NBITS          16
BANDROWBYTES   {bytes}
TOTALROWBYTES  {bytes}
ULXMAP         {x:.14f}
ULYMAP         {y:.14f}
XDIM           0.00833333333333
YDIM           0.00833333333333
"""


class HwsdWriter:
    """Writes map and table at once; soil never changes.

    Parameters
    ----------
    land : Landscape
        What is mapped, and 0.05° around it.
    folder : Path
        Where ``hwsd.bil``, ``hwsd.hdr`` and ``HWSD_DATA.csv`` go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        grid = around(land.grid.bbox(), _PER_DEGREE)
        units = _units(land, grid)
        with delivery(folder / "HWSD_DATA.csv") as path:
            path.write_text(_table(np.unique(units).tolist()), encoding="ascii", newline="")
        with delivery(folder / "hwsd.hdr") as path:
            path.write_text(_header(grid), encoding="ascii", newline="\r\n")
        with delivery(folder / "hwsd.bil") as path:
            units.astype("<u2").tofile(path)

    def day(self, state: DayState) -> None:
        """Do nothing: soil has no days."""

    def end(self) -> None:
        """Do nothing: all is written."""


def _header(grid: Grid) -> str:
    (x, *_), (y, *_) = grid.centres()
    rows, columns = grid.shape
    return _HEADER.format(rows=rows, columns=columns, bytes=2 * columns, x=x, y=y)


def _units(land: Landscape, grid: Grid) -> NDArray[np.int64]:
    found = survey(land, grid, "HWSD")
    sand, clay = (np.rint(found[name] * 100 / _STEP).astype(int) for name in ("sand", "clay"))
    # rounded both up they may make more than a whole
    clay = np.minimum(clay, 100 // _STEP - sand)
    units: NDArray[np.int64] = _FIRST + sand * _ACROSS + clay
    units[under_water(land, grid)] = _LAKES
    return units


def _table(units: list[int]) -> str:
    """Return the table as ``mdb-export`` writes it: text in quotes, what is not there empty."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(_COLUMNS)
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    rows = [row for unit in units for row in _components(unit)]
    for number, row in enumerate(rows, start=1):
        # csv quotes empty text, the exporter writes nothing
        writer.writerow([number, *row])
    return out.getvalue().replace('""', "")


def _components(unit: int) -> Iterator[list[str | int | float]]:
    if unit == _LAKES:
        yield _row(unit, 1, 100, "WR", None)
        return
    sand, clay = (_STEP * part for part in divmod(unit - _FIRST, _ACROSS))
    silt = 100 - sand - clay
    # twice as much of the first as of the second: their mean is the unit's
    more = 1 if min(sand - 2, clay - 1, silt) >= 0 else 0
    yield _row(unit, 1, _SHARES[0], "CMc", (sand + more, silt, clay - more))
    yield _row(unit, 2, _SHARES[1], "LVh", (sand - 2 * more, silt, clay + 2 * more))
    yield _row(unit, 3, _SHARES[2], "RK", None)


def _row(
    unit: int, place: int, share: int, symbol: str, soil: tuple[int, int, int] | None
) -> list[str | int | float]:
    row: list[str | int | float] = [
        unit,
        "SIM",
        int(soil is not None),
        share,
        place,
        "",
        "",
        symbol,
    ]
    if soil is None:
        return row + [""] * (len(_COLUMNS) - 1 - len(row))
    density = round(float(bulk_density(np.array(soil[0] / 100))) / 1000, 2)
    return [*row, 2, 100, 5, *soil, 9, density, density]


WRITER: Final[MakeWriter] = HwsdWriter
