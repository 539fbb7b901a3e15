"""MYD21A1N of the simulated world: surface temperature of the night where no cloud hides it, as Aqua would deliver it.

The ground has cooled since the evening as the air above it has. Retrieval errors: 0.9 K under clear sky; beside
clouds a part of the pixels is colder and twice as uncertain, and flagged so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.eos import Granule, Instrument
from ingest.world.hdf4eos import Attribute, Field, scaled, write_granule
from ingest.world.landscape import Array, Landscape
from ingest.world.state import DayState
from ingest.world.tiles import PIXELS, Overpass, TileView, overpass, tile_views
from ingest.world.writer import MakeWriter

__all__ = ["WRITER", "NightWriter", "at_night"]

_PRODUCT: Final = "MYD21A1N"
_LEVEL: Final = 1
_STEP: Final = 0.02
_NOISE, _EDGE_NOISE, _EDGE_BIAS = 0.9, 1.8, -0.8
_EDGE_CELLS: Final = 2
_EDGE_SHARE: Final = 0.6
"""Share of the pixels beside clouds that are of other quality."""
_EVENING: Final = 22.5
"""Local solar time of the state's temperature at night."""
_PASS: Final = Overpass(1.5, ascending=False)
_GOOD: Final = 0b11 << 14
"""Error below 1 K."""
_EDGE: Final = 0b01 | 0b10 << 4
"""Unreliable, near a cloud, error above 2 K."""
_CLOUD, _OTHER = 0b10 | 0b11 << 4, 0b11


def at_night(state: DayState) -> Array:
    """Return the surface temperature at the time of the pass [K]."""
    hours = (state.land.utc_hour(_PASS.hour), state.land.utc_hour(_EVENING))
    now, evening = (state.air_temperature(hour) for hour in hours)
    result: Array = (state.lst_night + (now - evening)).astype(np.float32)
    return result


class NightWriter:
    """Writes a granule for each day and tile that has a clear pixel."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land, self._folder = land, folder
        self._views = tile_views(land)

    def day(self, state: DayState) -> None:
        """Write the day's granules."""
        from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

        surface = at_night(state)
        near = binary_dilation(state.cloud_night, iterations=_EDGE_CELLS)
        for view in self._views:
            rng = self._land.generator(_PRODUCT, state.day, view.name)
            noise = rng.standard_normal(len(view.pixels), np.float32)
            chance = rng.random(len(view.pixels), np.float32)
            look = overpass(view, state.day, _PASS)
            hidden = view.nearest(state.cloud_night)
            edge = view.nearest(near) & (chance < _EDGE_SHARE)
            made = look.seen & ~hidden
            if not made.any():
                continue
            error = np.where(edge, _EDGE_BIAS + _EDGE_NOISE * noise, _NOISE * noise)
            stored = np.where(made, np.rint((view.smooth(surface) + error) / _STEP), 0)
            words = np.where(
                made, np.where(edge, _EDGE, _GOOD), np.where(look.seen, _CLOUD, _OTHER)
            )
            fields = [
                _field(view, "LST_1KM", stored, 0, np.uint16, [
                    ("long_name", "Daily 1km Land-surface Temperature"), ("units", "K"),
                    ("valid_range", (7500, 65535)), ("_FillValue", 0), *scaled(_STEP),
                ]),
                _field(view, "QC", words, _OTHER, np.uint16, [
                    ("long_name", "Daily QC for LST and emissivity"), ("units", "n/a"),
                    ("valid_range", (0, 65535)),
                ]),
                _field(view, "View_Angle", np.where(made, np.rint(look.zenith) + 65, 255), 255, np.uint8, [
                    ("long_name", "View zenith angle"), ("units", "deg"), ("valid_range", (0, 130)),
                    ("_FillValue", 255), ("scale_factor", 1.0), ("add_offset", -65.0),
                ]),
                _field(view, "View_Time", np.where(made, np.rint(look.hour * 10) % 240, 255), 255, np.uint8, [
                    ("long_name", "Time of observation"), ("units", "hrs"), ("valid_range", (0, 240)),
                    ("_FillValue", 255), *scaled(0.1),
                ]),
            ]  # fmt: skip
            cloudy = float((look.seen & hidden).sum()) / PIXELS**2
            missing = 1.0 - cloudy - float(made.sum()) / PIXELS**2
            write_granule(self._folder, _granule(view, state, cloudy, missing), fields, _LEVEL)

    def end(self) -> None:
        """Do nothing: each night is complete by itself."""


def _granule(view: TileView, state: DayState, cloudy: float, missing: float) -> Granule:
    return Granule(
        product=_PRODUCT,
        title="MODIS/Aqua Land Surface Temperature/3-Band Emissivity Daily L3 Global 1km SIN Grid Night",
        grid="MODIS_Grid_Daily_1km_LST21",
        parameter="LST_1KM",
        tile=(view.horizontal, view.vertical),
        first=state.day,
        last=state.day,
        produced=datetime.combine(state.day + timedelta(days=1), time(), UTC),
        day_night="Night",
        cloudy=cloudy,
        missing=missing,
        instrument=Instrument(platform="Aqua"),
    )


def _field(
    view: TileView, name: str, values: NDArray[Any], fill: int, dtype: type[np.integer],
    attributes: Sequence[Attribute],
) -> Field:  # fmt: skip
    return Field(name, view.whole(values, fill, dtype), attributes)


WRITER: Final[MakeWriter] = NightWriter
