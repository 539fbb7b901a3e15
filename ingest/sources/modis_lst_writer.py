"""MOD11A1 of the simulated world: surface temperature where no cloud hides it, as Terra would deliver it.

Retrieval errors: 0.7 K under clear sky; beside clouds, where the cloud mask misses thin edges, a part of the
pixels is colder and twice as uncertain, and flagged so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.eos import Granule
from ingest.world.hdf4eos import Attribute, Field, write_granule
from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.tiles import PIXELS, Overpass, TileView, overpass, tile_views

__all__ = ["WRITER", "LstWriter"]

_PRODUCT: Final = "MOD11A1"
_LEVEL: Final = 1
_STEP: Final = 0.02
_NOISE: Final = 0.7
_EDGE_NOISE: Final = 1.4
_EDGE_BIAS: Final = -0.6
_EDGE_CELLS: Final = 2
_EDGE_SHARE: Final = 0.6
"""Share of the pixels beside clouds that are of other quality."""
_GOOD, _EDGE, _CLOUD, _OTHER = 0, 0b01000001, 0b10, 0b11
"""QC bytes: good; other quality with an error up to 2 K; not produced for clouds, or other reasons."""
_WHOLE_CLEAR: Final = 2000
_DAY: Final = Overpass(10.5, ascending=False)
_NIGHT: Final = Overpass(22.5, ascending=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One overpass over a tile's pixels, as stored, each of shape (n,)."""

    lst: NDArray[np.uint16]
    quality: NDArray[np.uint8]
    hour: NDArray[np.uint8]
    angle: NDArray[np.uint8]
    clear: NDArray[np.uint16]

    @property
    def made(self) -> NDArray[np.bool_]:
        """Where there is a value."""
        return self.lst > 0


class LstWriter:
    """Writes a granule for each day and tile that has a clear pixel."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._land = land
        self._views = tile_views(land)
        green = land.cover / 0.92
        bands = (0.966 + 0.020 * green, 0.971 + 0.015 * green)
        self._emissivity = {
            view.name: [np.rint((view.smooth(band) - 0.49) / 0.002) for band in bands]
            for view in self._views
        }

    def day(self, state: DayState) -> None:
        """Write the day's granules."""
        for view in self._views:
            rng = self._land.generator(_PRODUCT, state.day, view.name)
            day = _observe(view, state, _DAY, state.lst_day, state.cloud_day, rng)
            night = _observe(view, state, _NIGHT, state.lst_night, state.cloud_night, rng)
            if day.made.any() or night.made.any():
                self._write(state, view, day, night)

    def end(self) -> None:
        """Do nothing: each day is complete by itself."""

    def _write(self, state: DayState, view: TileView, day: _Seen, night: _Seen) -> None:
        cloudy = float((day.quality == _CLOUD).sum()) / PIXELS**2
        made = float(day.made.sum()) / PIXELS**2
        good = float((day.quality == _GOOD).sum()) / PIXELS**2
        shares = {"GOODQUALITY": good, "OTHERQUALITY": made - good, "NOTPRODUCEDCLOUD": cloudy,
                  "NOTPRODUCEDOTHER": 1.0 - made - cloudy}  # fmt: skip
        granule = Granule(
            product=_PRODUCT,
            title="MODIS/Terra Land Surface Temperature/Emissivity Daily L3 Global 1km SIN Grid",
            grid="MODIS_Grid_Daily_1km_LST",
            parameter="MOD 1KM L3 LST",
            tile=(view.horizontal, view.vertical),
            first=state.day,
            last=state.day,
            produced=datetime.combine(state.day + timedelta(days=1), time(), UTC),
            day_night="Both",
            cloudy=cloudy,
            missing=1.0 - made - cloudy,
            extra=[
                *((f"QAPERCENT{name}", f"{100 * share:.0f}") for name, share in shares.items()),
                *((f"QAFRACTION{name}", f"{share:.7f}") for name, share in shares.items()),
            ],
        )
        either = day.made | night.made
        emissivity = (np.where(either, band, 0) for band in self._emissivity[view.name])
        fields = [
            *_overpass_fields(view, day, "Day", "daytime"),
            *_overpass_fields(view, night, "Night", "nighttime"),
            *(
                _emissivity_field(view, values, n)
                for values, n in zip(emissivity, (31, 32), strict=True)
            ),
            _clear_field(view, day, "day", "day"),
            _clear_field(view, night, "night", "nit"),
        ]
        write_granule(self._folder, granule, fields, _LEVEL)


def _observe(
    view: TileView,
    state: DayState,
    which: Overpass,
    lst: NDArray[np.float32],
    cloud: NDArray[np.bool_],
    rng: np.random.Generator,
) -> _Seen:
    """Return what the radiometer makes of an overpass."""
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    n = len(view.pixels)
    noise = rng.standard_normal(n, np.float32)
    chance = rng.random(n, np.float32)
    look = overpass(view, state.day, which)
    hidden = view.nearest(cloud)
    edge = view.nearest(binary_dilation(cloud, iterations=_EDGE_CELLS)) & (chance < _EDGE_SHARE)
    error = np.where(edge, _EDGE_BIAS + _EDGE_NOISE * noise, _NOISE * noise)
    made = look.seen & ~hidden
    quality = np.where(edge, _EDGE, _GOOD)
    quality[~made] = np.where(look.seen, _CLOUD, _OTHER)[~made]
    clear = np.where(edge, 300 + chance / _EDGE_SHARE * 1600, _WHOLE_CLEAR)
    return _Seen(
        lst=np.where(made, np.rint((view.smooth(lst) + error) / _STEP), 0).astype(np.uint16),
        quality=quality.astype(np.uint8),
        hour=np.where(made, np.rint(look.hour * 10) % 240, 255).astype(np.uint8),
        angle=np.where(made, np.rint(look.zenith) + 65, 255).clip(0, 255).astype(np.uint8),
        clear=np.where(made, clear, 0).astype(np.uint16),
    )


def _scaled(scale: float, offset: float = 0.0) -> list[Attribute]:
    offsets: list[Attribute] = [("add_offset", offset)] if offset else []
    return [
        ("scale_factor", scale), *offsets, ("scale_factor_err", 0.0), ("add_offset_err", 0.0),
        ("calibrated_nt", 5),
    ]  # fmt: skip


def _overpass_fields(view: TileView, seen: _Seen, which: str, when: str) -> list[Field]:
    def field(name: str, values: NDArray[Any], fill: int, attributes: Sequence[Attribute]) -> Field:
        return Field(name, view.whole(values, fill, values.dtype.type), attributes)

    return [
        field(f"LST_{which}_1km", seen.lst, 0, [
            ("long_name", f"Daily {when} 1km grid Land-surface Temperature"),
            ("units", "K"), ("Number Type", "uint16"), ("valid_range", (7500, 65535)),
            ("_FillValue", 0), ("LST", "LST data * scale_factor"), *_scaled(_STEP),
        ]),
        field(f"QC_{which}", seen.quality, _OTHER, [
            ("long_name", f"Quality control for {when} LST and emissivity"),
            ("Number Type", "uint8"), ("valid_range", (0, 255)), ("_FillValue", "NA\0"),
        ]),
        field(f"{which}_view_time", seen.hour, 255, [
            ("long_name", f"Time of {when} Land-surface Temperature observation"),
            ("units", "hrs"), ("Number Type", "uint8"), ("valid_range", (0, 240)),
            ("_FillValue", 255), ("View_time", "View_time data * scale_factor"), *_scaled(0.1),
        ]),
        field(f"{which}_view_angl", seen.angle, 255, [
            ("long_name", f"View zenith angle of {when} Land-surface Temperature"),
            ("units", "deg"), ("Number Type", "uint8"), ("valid_range", (0, 130)),
            ("_FillValue", 255), ("View_angle", "View_angle data * scale_factor + add_offset"),
            *_scaled(1.0, -65.0),
        ]),
    ]  # fmt: skip


def _emissivity_field(view: TileView, values: NDArray[Any], band: int) -> Field:
    return Field(f"Emis_{band}", view.whole(values, 0, np.uint8), [
        ("long_name", f"Band {band} emissivity"), ("Number Type", "uint8"),
        ("valid_range", (1, 255)), ("_FillValue", 0),
        (f"Emis_{band}", f"Emis_{band} data * scale_factor + add_offset"), *_scaled(0.002, 0.49),
    ])  # fmt: skip


def _clear_field(view: TileView, seen: _Seen, which: str, short: str) -> Field:
    return Field(f"Clear_{which}_cov", view.whole(seen.clear, 0, np.uint16), [
        ("long_name", f"{which} clear-sky coverage"), ("Number Type", "uint16"),
        ("valid_range", (1, 65535)), ("_FillValue", 0),
        (f"{which} clear_sky_cov", f"{short}_clear_sky_cov data * scale_factor"), *_scaled(0.0005),
    ])  # fmt: skip


WRITER: Final = LstWriter
