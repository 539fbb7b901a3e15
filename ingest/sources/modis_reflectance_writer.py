"""MOD09A1 of the simulated world: surface reflectance of 8 days at 500 m, the clearest view of each pixel.

Errors: of the bands 3 % and a floor that grows towards the blue; near clouds haze brightens the short
wavelengths and shadows darken all of them, and most of these pixels are flagged so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.composites import Best, Composites, Finished, Views, sky, sun_zenith
from ingest.world.eos import Granule
from ingest.world.hdf4eos import Attribute, Field, scaled, write_granule
from ingest.world.landscape import Landscape
from ingest.world.reflectance import BANDS, reflectances
from ingest.world.state import DayState
from ingest.world.tiles import PIXELS, Overpass, TileView, tile_views

__all__ = ["WRITER", "ReflectanceWriter"]

_PRODUCT: Final = "MOD09A1"
_LEVEL: Final = 1
_DAYS: Final = 8
_SIZE: Final = 2 * PIXELS
_PASS: Final = Overpass(10.5, ascending=False)
_STEP: Final = 0.0001
_LOWEST, _HIGHEST, _FILL = -100, 16_000, -28_672
_EDGE_CELLS: Final = 2
_SNOW: Final = 3.0
"""Water in the pack from which the pixel counts as snow [mm]."""

_ERROR: Final = 0.03
"""Standard deviation relative to the reflectance."""
_FLOOR: Final = dict(zip(BANDS, (0.003, 0.003, 0.005, 0.004, 0.003, 0.003, 0.003), strict=True))
"""Standard deviation over black ground."""
_HAZE: Final = dict(zip(BANDS, (0.02, 0.01, 0.04, 0.03, 0.005, 0.0, 0.0), strict=True))
"""What haze adds near clouds; standard deviation of its half normal."""
_SHADED: Final = 0.30
"""Share of the pixels near clouds that lie in a shadow."""
_SHADE: Final = 0.7
"""What a shadow leaves of the reflectance."""
_CLOUD: Final = 0.55
"""Reflectance of what hides the surface."""

_CLEAR, _EDGE, _CLOUDY = range(3)
_LOW_AEROSOL, _AVERAGE_AEROSOL = 1 << 6, 2 << 6
_STATE: Final = np.array([
    _LOW_AEROSOL, _AVERAGE_AEROSOL | 1 << 13, 0b01 | _AVERAGE_AEROSOL | 1 << 10,
], np.uint16)  # fmt: skip
"""State flags by condition: aerosol, beside a cloud, cloudy by both masks."""
_SHADOW_FLAG: Final = 1 << 2
_SNOW_FLAGS: Final = 1 << 12 | 1 << 15
_LAND_FLAG, _INLAND_WATER_FLAG = 1 << 3, 3 << 3
_CORRECTED: Final = 1 << 30
"""Quality: the atmosphere is corrected, all bands ideal; bit 0 says less than that."""


class ReflectanceWriter:
    """Writes a granule for each composite and tile that has a clear view."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._land = land
        self._composites = Composites(tile_views(land, _SIZE), _DAYS)

    def day(self, state: DayState) -> None:
        """Take a day; write the composites that end with it."""
        bands = reflectances(state, _PASS.hour)
        for finished in self._composites.day(state.day, lambda view: _observe(view, state, bands)):
            self._write(finished)

    def end(self) -> None:
        """Write the composites that the simulation leaves incomplete."""
        for finished in self._composites.end():
            self._write(finished)

    def _write(self, finished: Finished) -> None:
        view, best = finished.view, finished.best
        seen = best.seen
        cloudy = seen & (best.fields["condition"] == _CLOUDY)
        if not (seen & ~cloudy).any():
            return
        granule = Granule(
            product=_PRODUCT,
            title="MODIS/Terra Surface Reflectance 8-Day L3 Global 500m SIN Grid",
            grid="MOD_Grid_500m_Surface_Reflectance",
            parameter="MOD09A1",
            tile=(view.horizontal, view.vertical),
            first=finished.first,
            last=finished.last,
            produced=finished.produced,
            day_night="Day",
            cloudy=float(cloudy.sum()) / _SIZE**2,
            missing=1.0 - float(seen.sum()) / _SIZE**2,
            size=_SIZE,
        )
        rng = self._land.generator(_PRODUCT, finished.first, view.name)
        shaded = (best.fields["condition"] == _EDGE) & (rng.random(len(seen)) < _SHADED)
        fields = [
            *_bands(view, best, shaded, rng),
            _quality(view, best),
            *_angles(finished),
            _state(view, best, shaded, view.nearest(self._land.water)),
            _days(view, best),
        ]
        write_granule(self._folder, granule, fields, _LEVEL)


def _observe(view: TileView, state: DayState, bands: Mapping[str, NDArray[np.float32]]) -> Views:
    """Return what the radiometer sees of a tile's pixels on a day; its errors come later."""
    above = sky(view, state, _PASS, _EDGE_CELLS)
    condition = np.full(len(view.pixels), _CLEAR, np.uint8)
    condition[above.edge] = _EDGE
    condition[above.cloudy] = _CLOUDY
    # the clearest, and of these the one from straight above
    score = np.asarray(-condition.astype(np.float32) - np.abs(above.zenith) / 100.0, np.float32)
    score[~above.seen] = -np.inf
    snowy = view.nearest(state.snow >= _SNOW)

    def fields(at: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        others = {"condition": condition, "snowy": snowy, "zenith": above.zenith}
        return view.smooths(bands, at) | {name: field[at] for name, field in others.items()}

    return Views(score, fields)


def _field(
    view: TileView, best: Best, name: str, values: NDArray[Any], fill: int,
    attributes: list[Attribute], dtype: type[np.integer],
) -> Field:  # fmt: skip
    """Lay values into the tile; fill where there was no view."""
    stored = np.where(best.seen, values, fill)
    return Field(name, view.whole(stored, fill, dtype), [("_FillValue", fill), *attributes])


def _bands(
    view: TileView, best: Best, shaded: NDArray[np.bool_], rng: np.random.Generator
) -> list[Field]:
    condition = best.fields["condition"]
    haze = np.where(condition == _EDGE, np.abs(rng.standard_normal(len(shaded), np.float32)), 0.0)
    thick = np.where(condition == _CLOUDY, np.float32(0.8), np.float32(0.0))
    found = []
    for number, band in enumerate(BANDS, 1):
        values = best.fields[band]
        noise = rng.standard_normal(len(values), np.float32)
        values = values + noise * (_FLOOR[band] + _ERROR * values) + _HAZE[band] * haze
        values = np.where(shaded, _SHADE * values, values)
        values = (1 - thick) * values + thick * _CLOUD
        stored = np.rint(values / _STEP).clip(_LOWEST, _HIGHEST)
        found.append(_field(view, best, f"sur_refl_b{number:02d}", stored, _FILL, [
            ("long_name", f"Surface_reflectance_for_band_{number}"), ("units", "reflectance"),
            ("valid_range", (_LOWEST, _HIGHEST)), *scaled(_STEP),
        ], np.int16))  # fmt: skip
    return found


def _quality(view: TileView, best: Best) -> Field:
    values = _CORRECTED | (best.fields["condition"] != _CLEAR).astype(np.int64)
    return _field(view, best, "sur_refl_qc_500m", values, 0xFFFFFFFF, [
        ("long_name", "Surface_reflectance_500m_quality_control_flags"), ("units", "bit field"),
        ("valid_range", (0, 4_294_966_531)), ("QA bitmap index", _QUALITY_BITS),
    ], np.uint32)  # fmt: skip


def _state(
    view: TileView, best: Best, shaded: NDArray[np.bool_], water: NDArray[np.bool_]
) -> Field:
    values = _STATE[best.fields["condition"]] | np.where(water, _INLAND_WATER_FLAG, _LAND_FLAG)
    values |= np.where(shaded, _SHADOW_FLAG, 0) | np.where(best.fields["snowy"], _SNOW_FLAGS, 0)
    return _field(view, best, "sur_refl_state_500m", values, 65_535, [
        ("long_name", "Surface_reflectance_500m_state_flags"), ("units", "bit field"),
        ("valid_range", (0, 57_343)), ("QA bitmap index", _STATE_BITS),
    ], np.uint16)  # fmt: skip


def _angles(finished: Finished) -> list[Field]:
    view, best = finished.view, finished.best
    zenith = best.fields["zenith"]
    angles = (
        ("szen", "Solar_zenith", sun_zenith(view.latitude, finished.middle, _PASS.hour), 0),
        ("vzen", "View_zenith", np.abs(zenith), 0),
        ("raz", "Relative_azimuth", np.where(zenith < 0, -50.0, 130.0), -18_000),
    )
    return [
        _field(view, best, f"sur_refl_{short}", np.rint(100 * angle), 0, [
            ("long_name", name), ("units", "degree"), ("valid_range", (lowest, 18_000)),
            *scaled(0.01),
        ], np.int16)
        for short, name, angle, lowest in angles
    ]  # fmt: skip


def _days(view: TileView, best: Best) -> Field:
    return _field(view, best, "sur_refl_day_of_year", best.day, 65_535, [
        ("long_name", "Surface_reflectance_day_of_year"), ("units", "Julian day"),
        ("valid_range", (1, 366)),
    ], np.uint16)  # fmt: skip


_QUALITY_BITS: Final = (
    "\n\tBits from the highest (31) to the lowest (0):\n"
    "\t31     adjacency correction performed\n\t30     atmospheric correction performed\n"
    "\t2-29   quality of the bands 1 to 7, four bits each from the lowest; 0000 highest quality\n"
    "\t0-1    00 ideal, 01 less than ideal, 10 not produced for clouds, 11 for other reasons\n"
)
_STATE_BITS: Final = (
    "\n\tBits from the highest (15) to the lowest (0):\n"
    "\t15     internal snow mask\n\t14     salt pan\n\t13     pixel is adjacent to cloud\n"
    "\t12     MOD35 snow/ice flag\n\t11     internal fire algorithm flag\n"
    "\t10     internal cloud algorithm flag\n\t8-9    cirrus: none, small, average, high\n"
    "\t6-7    aerosol: climatology, low, average, high\n\t3-5    land/water flag; 001 land\n"
    "\t2      cloud shadow\n\t0-1    clear, cloudy, mixed, not set and assumed clear\n"
)

WRITER: Final = ReflectanceWriter
