"""MCD43A4 of the simulated world: reflectance seen from above, of each day on tiles of 500 m.

Files hold bands 1, 2, 6 and 7, those of NDVI and NMDI, as a subset order would deliver them. Errors: of each band
2 % and a floor, twice that where few views leave only a scaled model.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.albedo import AFTER, BEFORE, Combined, ViewDays
from ingest.world.eos import Granule
from ingest.world.hdf4eos import Field, scaled, write_granule
from ingest.world.landscape import Array, Landscape
from ingest.world.reflectance import reflectances
from ingest.world.state import DayState
from ingest.world.tiles import TileView, tile_views
from ingest.world.writer import MakeWriter

__all__ = ["WRITER", "NadirWriter"]

_PRODUCT: Final = "MCD43A4"
_LEVEL: Final = 1
_PIXELS: Final = 2400
_STEPS: Final = 10_000
_FILL: Final = 32767
_NONE: Final = 255
_BANDS: Final = {"red": 1, "nir": 2, "swir_1640": 6, "swir_2130": 7}
_HOUR: Final = 10.5
"""Local solar time of the views."""
_ERROR, _FLOOR = 0.02, 0.002
_DOUBTFUL: Final = 2.0
"""By which factor errors are larger where the model is only scaled."""


def _see(state: DayState) -> dict[str, Array]:
    seen = reflectances(state, _HOUR)
    return {band: seen[band] for band in _BANDS}


class NadirWriter:
    """Writes a granule for each day and tile where reflectances could be made."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land, self._folder = land, folder
        self._views = tile_views(land, _PIXELS)
        self._days = ViewDays(_see)

    def day(self, state: DayState) -> None:
        """Take a day; write the one whose 16 it completes."""
        self._write(self._days.take(state))

    def end(self) -> None:
        """Write the last days, of the views that there are."""
        self._write(self._days.end())

    def _write(self, combined: Iterator[Combined]) -> None:
        for found in combined:
            for view in self._views:
                made = view.nearest(found.made)
                if made.any():
                    granule = Granule(
                        product=_PRODUCT,
                        title="MODIS/Terra+Aqua Nadir BRDF-Adjusted Reflectance Daily L3 Global 500m SIN Grid",
                        grid="MOD_Grid_BRDF",
                        parameter="Nadir_BRDF-Adjusted_Reflectance",
                        tile=(view.horizontal, view.vertical),
                        first=found.day - timedelta(days=BEFORE),
                        last=found.day + timedelta(days=AFTER),
                        day=found.day,
                        produced=datetime.combine(
                            found.day + timedelta(days=AFTER + 1), time(), UTC
                        ),
                        day_night="Day",
                        cloudy=0.0,
                        missing=1.0 - float(made.sum()) / _PIXELS**2,
                        size=_PIXELS,
                    )
                    write_granule(self._folder, granule, self._fields(view, found, made), _LEVEL)

    def _fields(self, view: TileView, found: Combined, made: NDArray[np.bool_]) -> list[Field]:
        rng = self._land.generator(_PRODUCT, found.day, view.name)
        full = view.nearest(found.full)
        factor = np.where(full, np.float32(1), np.float32(_DOUBTFUL))
        fields = []
        for band, number in _BANDS.items():
            values = view.smooth(found.fields[band])
            noise = rng.standard_normal(len(values), np.float32) * factor
            values = values + noise * (_FLOOR + _ERROR * values)
            steps = np.rint(values * _STEPS).clip(0, _FILL - 1)
            stored = view.whole(np.where(made, steps, _FILL), _FILL, np.int16)
            fields.append(Field(f"Nadir_Reflectance_Band{number}", stored, [
                ("long_name", f"Nadir_Reflectance_Band{number}"), ("units", "reflectance, no units"),
                ("valid_range", (0, _FILL - 1)), ("_FillValue", _FILL), *scaled(1 / _STEPS),
            ]))  # fmt: skip
        quality = view.whole(np.where(made, np.where(full, 0, 1), _NONE), _NONE, np.uint8)
        for number in _BANDS.values():
            name = f"BRDF_Albedo_Band_Mandatory_Quality_Band{number}"
            fields.append(Field(name, quality, [
                ("long_name", name), ("units", "bit field"), ("valid_range", (0, 254)),
                ("_FillValue", _NONE),
            ]))  # fmt: skip
        return fields


WRITER: Final[MakeWriter] = NadirWriter
