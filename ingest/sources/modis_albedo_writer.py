"""MCD43A3, MCD43C3 and MCD43D58 of the simulated world: albedo of each day on tiles, 0.05° and 30″.

The global files hold the part of the globe around the region, as a subset order would deliver it, with its true
corners: whole ones, 1.9 GB unpacked at 30″, would take most of a simulation's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.albedo import AFTER, BEFORE, AlbedoDays, Retrieval
from ingest.world.eos import Granule
from ingest.world.hdf4eos import Attribute, Field, write_granule
from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.tiles import TileView, tile_views
from ingest.world.writer import MakeWriter
from smcatalog.core.grids import Grid
from smcatalog.resample.geometry import fractional_coordinates

__all__ = ["BAND7", "GLOBE", "TILE", "GlobeWriter", "TileWriter"]

_LEVEL: Final = 1
_STEPS: Final = 1000
_FILL: Final = 32767
_NONE: Final = 255
_NOISE: Final = 0.008
_COARSE_NOISE: Final = 0.003
"""Of a cell of 0.05°, the mean of a hundred pixels whose errors are not all their own."""
_TILE_PIXELS: Final = 2400
_TITLE: Final = "MODIS/Terra+Aqua BRDF/Albedo"
_SCALED: Final[tuple[Attribute, ...]] = (
    ("scale_factor", 1 / _STEPS), ("add_offset", 0.0), ("scale_factor_err", 0.0),
    ("add_offset_err", 0.0), ("calibrated_nt", 5),
)  # fmt: skip
_MADE_LATER: Final = timedelta(days=AFTER + 1)


class TileWriter:
    """Writes an MCD43A3 for each day and tile where albedo could be made."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land, self._folder = land, folder
        self._views = tile_views(land, _TILE_PIXELS)
        self._days = AlbedoDays()

    def day(self, state: DayState) -> None:
        """Take a day; write the one whose 16 it completes."""
        self._write(self._days.take(state))

    def end(self) -> None:
        """Write the last days, of the views that there are."""
        self._write(self._days.end())

    def _write(self, retrievals: Iterator[Retrieval]) -> None:
        for found in retrievals:
            for view in self._views:
                made = view.nearest(found.made)
                if made.any():
                    granule = partial(
                        Granule, "MCD43A3", f"{_TITLE} Daily L3 Global 500m SIN Grid", "MOD_Grid_BRDF",
                        "Albedo", (view.horizontal, view.vertical), size=_TILE_PIXELS,
                    )  # fmt: skip
                    fields = self._fields(view, found, made)
                    share = float(made.sum()) / _TILE_PIXELS**2
                    write_granule(self._folder, _dated(granule, found.day, share), fields, _LEVEL)

    def _fields(self, view: TileView, found: Retrieval, made: NDArray[np.bool_]) -> list[Field]:
        rng = self._land.generator("MCD43A3", found.day, view.name)
        noise = np.float32(_NOISE) * rng.standard_normal((2, len(view.pixels)), np.float32)
        full = view.nearest(found.full)
        fields = []
        for name, values, error in (
            ("Albedo_BSA_shortwave", found.black, noise[0]),
            ("Albedo_WSA_Band7", found.band7, noise[1]),
            ("Albedo_WSA_shortwave", found.white, noise[0]),
        ):
            stored = _stored(view.smooth(values) + error, made)
            fields.append(_albedo_field(name, view.whole(stored, _FILL, np.int16)))
        quality = np.where(made, np.where(full, 0, 1), _NONE)
        for band in ("Band7", "shortwave"):
            name = f"BRDF_Albedo_Band_Mandatory_Quality_{band}"
            whole = view.whole(quality, _NONE, np.uint8)
            fields.append(_flag_field(name, whole, "class flag", 254))
        return fields


class GlobeWriter:
    """Writes the part of a global product around the region for each day.

    Parameters
    ----------
    product : {"MCD43C3", "MCD43D58"}
        The provider's short name.
    """

    def __init__(self, land: Landscape, folder: Path, *, product: str) -> None:
        self._land, self._folder, self._product = land, folder, product
        per_degree = 20 if product == "MCD43C3" else 120
        whole = Grid.latlon(-180, 90, 1 / per_degree, (180 * per_degree, 360 * per_degree))
        self._window = whole.crop(land.grid.bbox())
        self._view = _CellView(self._window, land.grid)
        self._days = AlbedoDays()

    def day(self, state: DayState) -> None:
        """Take a day; write the one whose 16 it completes."""
        self._write(self._days.take(state))

    def end(self) -> None:
        """Write the last days, of the views that there are."""
        self._write(self._days.end())

    def _write(self, retrievals: Iterator[Retrieval]) -> None:
        coarse = self._product == "MCD43C3"
        grid, title = (
            ("MCD_CMG_BRDF_0.05Deg", f"{_TITLE} Daily L3 Global 0.05Deg CMG") if coarse
            else ("MCD_CMG_BRDF_30Arc Second", f"{_TITLE} White Sky Albedo Band7 Daily L3 Global 30ArcSec CMG")
        )  # fmt: skip
        for found in retrievals:
            share = self._view.mean(found.made)
            made = share >= 0.5  # noqa: PLR2004 - half of the cell
            if made.any():
                granule = partial(
                    Granule, self._product, title, grid, "Albedo", None, window=self._window
                )
                rng = self._land.generator(self._product, found.day)
                size = np.float32(_COARSE_NOISE if coarse else _NOISE)
                noise = size * rng.standard_normal(made.shape, np.float32)
                fields = (
                    self._coarse_fields(found, share, noise) if coarse
                    else [_albedo_field(
                        "BRDF_Albedo_WSA_Band7",
                        _stored(self._view.mean(found.band7, found.made) + noise, made),
                    )]
                )  # fmt: skip
                filled = _dated(granule, found.day, float(made.mean()))
                write_granule(self._folder, filled, fields, _LEVEL)

    def _coarse_fields(
        self, found: Retrieval, share: NDArray[Any], noise: NDArray[Any]
    ) -> list[Field]:
        made, full = share >= 0.5, self._view.mean(found.full)  # noqa: PLR2004 - half of the cell
        quality = np.select([full >= 0.99, full >= 0.75, full > 0], [0, 1, 2], 3)  # noqa: PLR2004 - of the cell
        percent = np.rint(100 * np.nan_to_num(self._view.mean(found.snow)))
        flags = (
            ("BRDF_Quality", quality, 4),
            ("Percent_Snow", percent, 100),
        )
        fields = [
            _albedo_field(name, _stored(self._view.mean(values, found.made) + noise, made))
            for name, values in (
                ("Albedo_BSA_shortwave", found.black),
                ("Albedo_WSA_shortwave", found.white),
            )
        ]
        for name, values, highest in flags:
            stored = np.where(made, values, _NONE).astype(np.uint8)
            fields.append(
                _flag_field(name, stored, "percent" if highest > _WORST else "class", highest)
            )
        return fields


_WORST: Final = 5


class _CellView:
    """Means of the state's cells in the cells of a grid of degrees, or the nearest where it is finer."""

    def __init__(self, window: Grid, state: Grid) -> None:
        self._shape = window.shape
        rows, columns = np.broadcast_arrays(*fractional_coordinates(state, window))
        row, column = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
        self._cells = (row * window.shape[1] + column).ravel()
        size = window.shape[0] * window.shape[1]
        self._count = np.bincount(self._cells, minlength=size)
        back_row, back_column = np.broadcast_arrays(*fractional_coordinates(window, state))
        height, width = state.shape
        inside = (back_row >= 0) & (back_row < height) & (back_column >= 0) & (back_column < width)
        nearest = np.floor(back_row).clip(0, height - 1) * width
        nearest = nearest + np.floor(back_column).clip(0, width - 1)
        self._nearest = nearest.astype(np.int64).ravel()
        self._inside = inside.ravel()

    def mean(
        self, field: NDArray[Any], where: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Return the mean of a field of the state in each cell, NaN outside the region."""
        weight = np.ones(field.size, np.float32) if where is None else where.ravel().astype("f4")
        size = len(self._count)
        total = np.bincount(self._cells, weight * field.ravel(), size)
        counted = np.bincount(self._cells, weight, size)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / counted
        # cells that hold no centre of the state's cells
        alone = (self._count == 0) & self._inside
        mean[alone] = field.ravel()[self._nearest[alone]]
        mean[~self._inside] = np.nan
        return mean.reshape(self._shape).astype(np.float32)


def _dated(granule: Any, day: date, share: float) -> Granule:
    """Complete a granule: made of the days around its own, a day after the last of them."""
    filled: Granule = granule(
        first=day - timedelta(days=BEFORE),
        last=day + timedelta(days=AFTER),
        day=day,
        produced=datetime.combine(day + _MADE_LATER, time(), UTC),
        day_night="Day",
        cloudy=0.0,
        missing=1.0 - share,
    )
    return filled


def _stored(values: NDArray[Any], made: NDArray[np.bool_]) -> NDArray[np.int16]:
    steps = np.rint(np.nan_to_num(values).clip(0, 1) * _STEPS)
    return np.where(made, steps, _FILL).astype(np.int16)


def _albedo_field(name: str, stored: NDArray[np.int16]) -> Field:
    return Field(name, stored, [
        ("long_name", name), ("units", "albedo, no units"), ("valid_range", (0, 32766)),
        ("_FillValue", _FILL), *_SCALED,
    ])  # fmt: skip


def _flag_field(name: str, stored: NDArray[np.uint8], unit: str, highest: int) -> Field:
    return Field(name, stored, [
        ("long_name", name), ("units", unit), ("valid_range", (0, highest)), ("_FillValue", _NONE),
    ])  # fmt: skip


TILE: Final[MakeWriter] = TileWriter
GLOBE: Final[MakeWriter] = partial(GlobeWriter, product="MCD43C3")
BAND7: Final[MakeWriter] = partial(GlobeWriter, product="MCD43D58")
