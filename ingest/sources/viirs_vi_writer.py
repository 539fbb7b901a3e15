"""VNP13A2 of the simulated world: vegetation indices of 16 days by VIIRS, in the early afternoon.

The indices are computed of reflectances with their errors, as the provider does; near clouds haze brightens
the short wavelengths. The greenest clear view of each pixel is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest import indices
from ingest.world.composites import Best, Composites, Finished, Views, sky, sun_zenith
from ingest.world.eos import Granule, Instrument
from ingest.world.hdf5eos import Field, write_granule
from ingest.world.landscape import Landscape
from ingest.world.reflectance import reflectances
from ingest.world.state import DayState
from ingest.world.tiles import PIXELS, Overpass, TileView, tile_views

__all__ = ["WRITER", "ViirsViWriter"]

_PRODUCT: Final = "VNP13A2"
_DAYS: Final = 16
_STEPS: Final = 10_000
_PASS: Final = Overpass(13.5, ascending=True)
_VIIRS: Final = Instrument(
    name="VIIRS",
    title="Visible Infrared Imaging Radiometer Suite",
    platform="SUOMI-NPP",
    version="002",
    suffix=".h5",
)
_BANDS: Final = {
    "red": "red", "NIR": "nir", "blue": "blue", "green": "green",
    "SWIR1": "swir_1240", "SWIR2": "swir_1640", "SWIR3": "swir_2130",
}  # fmt: skip
"""The provider's names, and the bands of the model that lie nearby."""
_ERROR: Final = 0.02
_FLOOR: Final = 0.002
"""Standard deviation of a reflectance: relative to it, and over black ground."""
_HAZE: Final = {"red": 0.015, "NIR": 0.008, "blue": 0.03, "green": 0.02}
"""What haze adds near clouds; standard deviation of its half normal."""
_CLOUD: Final = 0.5
_SNOW: Final = 3.0
"""Water in the pack from which the pixel counts as snow [mm]."""
_EDGE_CELLS: Final = 2

_CLEAR, _EDGE, _CLOUDY = range(3)
_OBLIQUE: Final = (20.0, 40.0)
"""View zenith angles [degrees] from which a clear view is no longer excellent, and no longer good."""
_MARGINAL, _SHADOW, _SNOWY_RANK, _CLOUD_RANK = 3, 7, 8, 9
_NO_DATA, _WATER_FILL = -15_000, -13_000
_VI_QUALITY: Final = np.array([
    0b00 | 1 << 2 | 0b01 << 6,
    0b01 | 4 << 2 | 0b10 << 6 | 1 << 8,
    0b10 | 10 << 2 | 0b11 << 6 | 1 << 10,
], np.uint16)  # fmt: skip
"""Bits of *VI Quality* by condition: MODLAND, usefulness, aerosol, cloud beside, mixed cloud."""
_POSSIBLE_SNOW: Final = 1 << 14
_LAND, _INLAND_WATER = 1, 3


class ViirsViWriter:
    """Writes a granule for each composite and tile that has a clear view."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._land = land
        self._composites = Composites(tile_views(land), _DAYS)

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
        cloudy = best.seen & (best.fields["condition"] == _CLOUDY)
        if not (best.seen & ~cloudy).any():
            return
        granule = Granule(
            product=_PRODUCT,
            title="VIIRS/NPP Vegetation Indices 16-Day L3 Global 1km SIN Grid",
            grid="VIIRS_Grid_16Day_VI_1km",
            parameter="1 km 16 days NDVI",
            tile=(view.horizontal, view.vertical),
            first=finished.first,
            last=finished.last,
            produced=finished.produced,
            day_night="Day",
            cloudy=float(cloudy.sum()) / PIXELS**2,
            missing=1.0 - float(best.seen.sum()) / PIXELS**2,
            instrument=_VIIRS,
        )
        rng = self._land.generator(_PRODUCT, finished.first, view.name)
        water = view.nearest(self._land.water)
        write_granule(self._folder, granule, _fields(finished, water, rng))


def _observe(view: TileView, state: DayState, bands: Mapping[str, NDArray[np.float32]]) -> Views:
    """Return what the radiometer sees of a tile's pixels on a day; its errors come later."""
    above = sky(view, state, _PASS, _EDGE_CELLS)
    condition = np.full(len(view.pixels), _CLEAR, np.uint8)
    condition[above.edge] = _EDGE
    condition[above.cloudy] = _CLOUDY
    score = view.smooth(state.ndvi)
    score[above.edge] -= np.float32(0.1)
    score[above.cloudy] -= np.float32(4.0)  # behind every clear view
    score[~above.seen] = -np.inf
    snowy = view.nearest(state.snow >= _SNOW)

    def fields(at: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        others = {"condition": condition, "snowy": snowy, "zenith": above.zenith}
        return view.smooths(bands, at) | {name: field[at] for name, field in others.items()}

    return Views(score, fields)


def _reflectances(best: Best, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return the bands as they are measured, by the provider's names."""
    condition = best.fields["condition"]
    n = len(condition)
    haze = np.where(condition == _EDGE, np.abs(rng.standard_normal(n, np.float32)), np.float32(0))
    found = {}
    for name, band in _BANDS.items():
        values = best.fields[band]
        values = values + rng.standard_normal(n, np.float32) * (_FLOOR + _ERROR * values)
        values = values + np.float32(_HAZE.get(name, 0.0)) * haze
        values = np.where(condition == _CLOUDY, 0.3 * values + 0.7 * _CLOUD, values)
        found[name] = values.clip(0.001, 1.0).astype(np.float32)
    return found


def _ranks(best: Best, rng: np.random.Generator) -> NDArray[np.int8]:
    condition = best.fields["condition"]
    rank = np.digitize(np.abs(best.fields["zenith"]), _OBLIQUE)
    edge = condition == _EDGE
    rank[edge] = rng.integers(_MARGINAL, _SHADOW + 1, int(edge.sum()))
    rank[best.fields["snowy"]] = _SNOWY_RANK
    rank[condition == _CLOUDY] = _CLOUD_RANK
    return np.asarray(rank, np.int8)


def _fields(finished: Finished, water: NDArray[np.bool_], rng: np.random.Generator) -> list[Field]:
    """Return the product's data sets in its order."""
    view, best = finished.view, finished.best
    bands, rank = _reflectances(best, rng), _ranks(best, rng)

    def field(
        short: str, unit: str, values: NDArray[Any], fills: tuple[int, ...], bounds: tuple[int, int],
        scale: float = 0.0, dtype: type[np.integer] = np.int16,
    ) -> Field:  # fmt: skip
        name = f"1 km 16 days {short}"
        fill = -1 if -1 in fills else fills[0]
        stored = np.where(best.seen, np.rint(values), fill)
        attributes: dict[str, Any] = {"long_name": name, "units": unit, "valid_range": bounds}
        if scale:
            attributes |= {"scale_factor": scale, "scale_factor_err": 0.0, "add_offset": 0.0,
                           "add_offset_err": 0.0, "calibrated_nt": 5}  # fmt: skip
        return Field(name, view.whole(stored, fill, dtype), fill, fills, attributes)

    red, nir = bands["red"], bands["NIR"]
    two_bands = 2.5 * (nir - red) / (nir + 2.4 * red + 1)
    evi = indices.evi(red, nir, bands["blue"])
    computed = {
        "NDVI": indices.ndvi(red, nir),
        "EVI": np.where(np.isfinite(evi), evi, two_bands),  # as the product does over snow
        "EVI2": two_bands,
    }
    flags = _VI_QUALITY[best.fields["condition"]] | np.where(water, _INLAND_WATER, _LAND) << 11
    flags = flags | np.where(best.fields["snowy"], _POSSIBLE_SNOW, 0)
    zenith = best.fields["zenith"]
    angles = {
        "view zenith angle": (np.abs(zenith), 0),
        "sun zenith angle": (sun_zenith(view.latitude, finished.middle, _PASS.hour), 0),
        "relative azimuth angle": (np.where(zenith < 0, -50.0, 130.0), -18_000),
    }
    return [
        *(field(name, name, _STEPS * index, (_NO_DATA, _WATER_FILL), (-_STEPS, _STEPS), 1 / _STEPS)
          for name, index in computed.items()),
        field("VI Quality", "bit field", flags, (65_535,), (0, 65_534), dtype=np.uint16),
        *(field(f"{name} reflectance", "reflectance", _STEPS * values, (-1000,), (0, _STEPS), 1 / _STEPS)
          for name, values in bands.items()),
        *(field(name, "degrees", 100 * angle, (-20_000,), (lowest, 18_000), 0.01)
          for name, (angle, lowest) in angles.items()),
        field("composite day of the year", "Julian day of the year ", best.day, (-1,), (1, 366)),
        field("pixel reliability", "rank", rank, (-4, -1), (0, 11), dtype=np.int8),
    ]  # fmt: skip


WRITER: Final = ViirsViWriter
