"""SMAP soil moisture made finer by MODIS temperatures, 1 km: NSIDC-0779, Fang et al. (2022).

GeoTIFFs of the globe, or cut out of it, on the EASE-Grid 2.0 of 1 km (``NSIDC-0779_EASE2_G1km_SMAP_SM_DS_20200102.tif``), with two
bands: retrievals of the southward pass at six in the morning, and of the northward one at six in the evening, in m3 m-3. A cut
may carry its region's name behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from ingest.checks import within_range
from ingest.fields import held_part
from ingest.geotiff import check_band, check_projection, geotiff, read_band
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from ingest.windows import ease_window
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period, parse_day
from smcatalog.core.variables import variable

__all__ = ["READER", "Smap1km"]

_NAME = re.compile(r"^NSIDC-0779_EASE2_G1km_SMAP_SM_DS_(?P<day>\d{8})(?:_[\w-]+)?\.tif$")
_BASE: Final = "M01"
_BANDS: Final = ("sm_am", "sm_pm")
_FILL: Final = -9999.0
_BLOCK: Final = 1200
"""Cells along the edges of what is read at once; blocks end at whole multiples of it in the global grid."""
_MOST: Final = 14_616 * 34_704


@dataclass(frozen=True, slots=True)
class Smap1km:
    """Reader of the daily GeoTIFFs."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "SMAP-1km"

    @property
    def title(self) -> str:
        """What the source is."""
        return "SMAP soil moisture downscaled to 1 km with MODIS, NSIDC-0779, Fang et al. (2022)"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a GeoTIFF by its name; the day stands there alone.

        Raises
        ------
        RefusedInput
            When the name says no day.
        """
        match = _NAME.match(name)
        if match is None or sniff(head(path)) is not Format.TIFF:
            return None
        try:
            day = parse_day(match["day"])
        except UsageError as error:
            raise RefusedInput(f"has an impossible day in its name: {error}") from error
        return Identity(self.source, name.removesuffix(".tif"), Period.of_day(day))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield ``sm_am`` and ``sm_pm`` block by block, as far as there is anything in them.

        Raises
        ------
        RefusedInput
            When its cells are not those of the grid, or it holds nothing.
        """
        empty = True
        with geotiff(path) as file:
            check_band(file, most=_MOST, bands=len(_BANDS))
            corner, step = check_projection(file, "EPSG:6933")
            where = ease_window(corner, step, (file.height, file.width), _BASE)
            for rows in _cuts(where.row, where.shape[0]):
                for columns in _cuts(where.column, where.shape[1]):
                    block = where.window(rows, columns)
                    for band, name in enumerate(_BANDS, 1):
                        values = read_band(file, rows, columns, band=band)
                        values[values == _FILL] = np.nan
                        part = held_part(block, np.isfinite(values))
                        if part is None:
                            continue
                        empty = False
                        found = within_range(values[part], variable(name))
                        yield Raster.good(
                            variable(name), block.window(*part), found, identity.period
                        )
        if empty:
            raise RefusedInput("holds no soil moisture at all: nothing but fill")


def _cuts(start: int, count: int) -> list[slice]:
    """Return the parts of an axis that begins at a cell of the global grid."""
    first = -start % _BLOCK
    edges = sorted({0, *range(first, count, _BLOCK), count})
    return [slice(a, b) for a, b in pairwise(edges)]


READER: Final = Smap1km()
