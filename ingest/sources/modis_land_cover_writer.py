"""MCD12Q1 of the simulated world: land cover of each year that the simulation touches.

A pixel has one class, drawn by what its square kilometre is made of. A map is never the ground: some pixels are
taken for grass, others each year.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.eos import Granule
from ingest.world.hdf4eos import Field, write_granule
from ingest.world.landscape import Landscape
from ingest.world.noise import field
from ingest.world.state import DayState
from ingest.world.tiles import TileView, tile_views
from ingest.world.writer import MakeWriter

__all__ = ["WRITER", "LandCoverWriter"]

_PRODUCT: Final = "MCD12Q1"
_PIXELS: Final = 2400
_LEVEL: Final = 1
_WATER, _NEEDLES, _LEAVES, _SHRUB, _GRASS, _CEREALS, _BROADLEAF_CROPS, _URBAN, _BARREN = (
    0, 1, 4, 5, 6, 7, 8, 9, 11
)  # fmt: skip
_IGBP: Final = np.array([17, 1, 2, 3, 4, 7, 10, 12, 12, 13, 15, 16], np.uint8)
"""Class of the IGBP of each functional type."""
_NONE: Final = 255
_MISTAKEN: Final = 0.04
_BACKFILLED: Final = 0.01
_BARE_COVER, _SHRUB_COVER = 0.25, 0.38
"""Greenness of natural cover below which ground is bare, or bears shrubs; above grows grass."""
_TOWN: Final = 2.4
"""Standard deviations from which on a place is a town: about 0.8 % of the land."""


class LandCoverWriter:
    """Writes a granule for each tile and year."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land, self._folder = land, folder
        self._views = tile_views(land, _PIXELS)
        self._written: set[int] = set()

    def day(self, state: DayState) -> None:
        """Write the maps of a day's year when it is a new one."""
        year = state.day.year
        if year in self._written:
            return
        self._written.add(year)
        for view in self._views:
            self._write(view, year)

    def end(self) -> None:
        """Do nothing: a year is written with its first day."""

    def _write(self, view: TileView, year: int) -> None:
        granule = Granule(
            product=_PRODUCT,
            title="MODIS/Terra+Aqua Land Cover Type Yearly L3 Global 500m SIN Grid",
            grid=_PRODUCT,
            parameter="Land Cover Type",
            tile=(view.horizontal, view.vertical),
            first=date(year, 1, 1),
            last=date(year, 12, 31),
            produced=datetime(year + 1, 7, 1, tzinfo=UTC),
            day_night="Both",
            cloudy=0.0,
            missing=1.0 - len(view.pixels) / _PIXELS**2,
            size=_PIXELS,
        )
        chance = self._land.generator(_PRODUCT, year, view.name).random(
            (2, len(view.pixels)), np.float32
        )
        types = _types(self._land, view)
        wet = types == _WATER
        types[(chance[0] < _MISTAKEN) & ~wet] = _GRASS
        quality = np.where(wet, 2, np.where(chance[1] < _BACKFILLED, 8, 0))
        fields = [
            _field(view, "LC_Type1", _IGBP[types], "class number", (1, 17)),
            _field(view, "LC_Type5", types, "class number", (0, 11)),
            _field(view, "QC", quality, "flags", (0, 10)),
            _field(view, "LW", np.where(wet, 1, 2), "class number", (1, 2)),
        ]
        write_granule(self._folder, granule, fields, _LEVEL)


def _types(land: Landscape, view: TileView) -> NDArray[np.int64]:
    """Return the functional type of each pixel, the same in all years."""
    x, y = (centres / 1000.0 for centres in land.grid.centres())
    towns = field(land.seed, "towns", x, y, longest=20.0, shortest=1.0, roughness=0.5)
    chance = land.generator(_PRODUCT, view.name).random((2, len(view.pixels)), np.float32)
    woody, irrigated = view.smooth(land.woody), view.smooth(land.irrigated)
    cover = view.nearest(land.cover)
    high = view.nearest(land.elevation) > land.preset.lowland + land.preset.relief
    # in a green cell of fields or trees the natural rest is green too: what it would bear is not known
    types = np.select([cover < _BARE_COVER, cover < _SHRUB_COVER], [_BARREN, _SHRUB], _GRASS)
    crops = np.where(chance[1] < 0.6, _CEREALS, _BROADLEAF_CROPS)  # noqa: PLR2004 - most crops are cereals
    types = np.where(chance[0] < woody + irrigated, crops, types)
    types = np.where(chance[0] < woody, np.where(high, _NEEDLES, _LEAVES), types)
    types = np.where(view.nearest(towns) > _TOWN, _URBAN, types)
    return np.where(view.nearest(land.water), _WATER, types)


def _field(
    view: TileView, name: str, values: NDArray[Any], unit: str, bounds: tuple[int, int]
) -> Field:
    return Field(name, view.whole(values, _NONE, np.uint8), [
        ("long_name", name), ("units", unit), ("valid_range", bounds), ("_FillValue", _NONE),
    ])  # fmt: skip


WRITER: Final[MakeWriter] = LandCoverWriter
