"""MOD15A2H of the simulated world: leaf area and absorbed light of 8 days at 500 m, at the greenest clear view.

Errors: as of the NDVI that the retrieval rests on; near clouds, where the backup algorithm steps in, more than
twice as large and too low. Open water and barren ground have no retrieval, as in the real product.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.composites import Best, Composites, Finished, Views, sky
from ingest.world.eos import Granule
from ingest.world.hdf4eos import Field, write_granule
from ingest.world.landscape import Landscape
from ingest.world.reflectance import absorbed, leaf_area
from ingest.world.state import DayState
from ingest.world.tiles import PIXELS, Overpass, TileView, tile_views

__all__ = ["WRITER", "LaiWriter"]

_PRODUCT: Final = "MOD15A2H"
_LEVEL: Final = 1
_DAYS: Final = 8
_SIZE: Final = 2 * PIXELS
_PASS: Final = Overpass(10.5, ascending=False)
_EDGE_CELLS: Final = 2
_SNOW: Final = 3.0
"""Water in the pack from which the pixel counts as snow [mm]."""
_NOISE: Final = 0.02
_BACKUP_NOISE: Final = 0.05
_BACKUP_BIAS: Final = -0.04
"""Of the NDVI behind the retrieval, by the main and by the backup algorithm."""
_SATURATED: Final = 5.0
"""Leaf area from which light tells no more of it."""
_HIGHEST: Final = 100
_FILL, _WATER, _BARREN, _NO_DEVIATION = 255, 254, 253, 248
_BARREN_COVER: Final = 0.12
"""NDVI that the ground reaches at best where it is mapped as barren."""

_CLEAR, _EDGE, _CLOUDY = range(3)
_MAIN, _SATURATION, _BACKUP, _NOT_PRODUCED = 0, 1 << 5, 3 << 5 | 1, 4 << 5 | 1
"""Quality bytes: which algorithm, and bit 0 for all but the main one."""
_MIXED: Final = 0b10 << 3
_CLOUDS: Final = 0b01 << 3
_BIOME: Final = 1 << 7
_FRESH_WATER: Final = 0b10
_SNOWY: Final = 1 << 2
_AEROSOL: Final = 1 << 3
_INTERNAL_CLOUD: Final = 1 << 5


class LaiWriter:
    """Writes a granule for each composite and tile that has a retrieval."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._land = land
        self._composites = Composites(tile_views(land, _SIZE), _DAYS)

    def day(self, state: DayState) -> None:
        """Take a day; write the composites that end with it."""
        for finished in self._composites.day(state.day, lambda view: _observe(view, state)):
            self._write(finished)

    def end(self) -> None:
        """Write the composites that the simulation leaves incomplete."""
        for finished in self._composites.end():
            self._write(finished)

    def _write(self, finished: Finished) -> None:
        view, best = finished.view, finished.best
        water = view.nearest(self._land.water)
        barren = view.nearest(self._land.cover) <= _BARREN_COVER
        cloudy = best.seen & (best.fields["condition"] == _CLOUDY)
        made = best.seen & ~cloudy & ~water & ~barren
        if not made.any():
            return
        granule = Granule(
            product=_PRODUCT,
            title="MODIS/Terra Gridded 500M Leaf Area Index LAI and FPAR 8-Day L4 Global",
            grid="MOD_Grid_MOD15A2H",
            parameter="MOD15A2H",
            tile=(view.horizontal, view.vertical),
            first=finished.first,
            last=finished.last,
            produced=finished.produced,
            day_night="Day",
            cloudy=float(cloudy.sum()) / _SIZE**2,
            missing=1.0 - float(made.sum()) / _SIZE**2,
            size=_SIZE,
        )
        kind = np.where(water, _WATER, np.where(barren, _BARREN, _FILL))
        rng = self._land.generator(_PRODUCT, finished.first, view.name)
        write_granule(self._folder, granule, _fields(view, best, made, kind, rng), _LEVEL)


def _observe(view: TileView, state: DayState) -> Views:
    """Return what the radiometer sees of a tile's pixels on a day; its errors come later."""
    above = sky(view, state, _PASS, _EDGE_CELLS)
    condition = np.full(len(view.pixels), _CLEAR, np.uint8)
    condition[above.edge] = _EDGE
    condition[above.cloudy] = _CLOUDY
    ndvi = view.smooth(state.ndvi)
    # the main algorithm before the backup, and of one kind the greenest
    score = ndvi - 2 * condition.astype(np.float32)
    score[~above.seen] = -np.inf
    fields: dict[str, NDArray[Any]] = {
        "condition": condition,
        "ndvi": ndvi,
        "snowy": view.nearest(state.snow >= _SNOW),
    }
    return Views(score, lambda at: {name: values[at] for name, values in fields.items()})


def _fields(
    view: TileView,
    best: Best,
    made: NDArray[np.bool_],
    kind: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[Field]:
    """Return the product's data sets in its order."""
    condition, snowy = best.fields["condition"], best.fields["snowy"]
    backup = condition == _EDGE
    noise = rng.standard_normal(len(made), np.float32)
    error = np.where(backup, _BACKUP_BIAS + _BACKUP_NOISE * noise, _NOISE * noise)
    ndvi = best.fields["ndvi"] + error.astype(np.float32)
    lai, fapar = leaf_area(ndvi), absorbed(ndvi)
    quality = np.where(lai > _SATURATED, _SATURATION, _MAIN)
    quality[backup] = _BACKUP | _MIXED
    quality[~made] = _NOT_PRODUCED
    quality[condition == _CLOUDY] |= _CLOUDS
    extra = np.where(kind == _WATER, _FRESH_WATER, 0) | np.where(snowy, _SNOWY, 0) | _BIOME
    extra |= np.where(backup, _AEROSOL, 0) | np.where(condition == _CLOUDY, _INTERNAL_CLOUD, 0)
    fapar_spread = np.where(backup, _NO_DEVIATION, np.rint(100 * 1.2 * _NOISE))
    lai_spread = np.where(backup, _NO_DEVIATION, np.rint(10 * (0.1 + 0.1 * lai)))

    def field(name: str, title: str, values: NDArray[Any], unit: str, step: float) -> Field:
        stored = np.where(made, values, kind)
        return Field(name, view.whole(np.where(best.seen, stored, _FILL), _FILL, np.uint8), [
            ("long_name", f"{_PRODUCT} MODIS/Terra Gridded 500M {title} (8-day composite)"),
            ("units", unit), ("valid_range", (0, _HIGHEST)), ("_FillValue", _FILL),
            ("scale_factor", step), ("scale_factor_err", 0.0), ("add_offset", 0.0),
            ("add_offset_err", 0.0), ("calibrated_nt", 21),
        ])  # fmt: skip

    def flags(name: str, title: str, values: NDArray[Any]) -> Field:
        stored = np.where(best.seen, values, _FILL)
        return Field(name, view.whole(stored, _FILL, np.uint8), [
            ("long_name", f"{_PRODUCT} MODIS/Terra {title} (8-day composite)"),
            ("units", "class-flag"), ("valid_range", (0, 254)), ("_FillValue", _FILL),
        ])  # fmt: skip

    percent, tenths = (
        np.rint(n * values).clip(0, _HIGHEST) for n, values in ((100, fapar), (10, lai))
    )
    return [
        field("Fpar_500m", "FPAR", percent, "Percent", 0.01),
        field("Lai_500m", "LAI", tenths, "m^2/m^2", 0.1),
        flags("FparLai_QC", "QC for FPAR and LAI", quality),
        flags("FparExtra_QC", "pass-through QC for FPAR and LAI", extra),
        field("FparStdDev_500m", "standard deviation of FPAR", fapar_spread, "Percent", 0.01),
        field("LaiStdDev_500m", "standard deviation of LAI", lai_spread, "m^2/m^2", 0.1),
    ]


WRITER: Final = LaiWriter
