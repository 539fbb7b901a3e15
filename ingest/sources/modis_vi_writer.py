"""MOD13A2 of the simulated world: vegetation indices of 16 days, the greenest clear view of each pixel.

Composites begin on days 1, 17, … 353 of the year and last 16 days each, see `ingest.world.composites`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.composites import Best, Composites, Finished, Views, sky, sun_zenith
from ingest.world.eos import Granule
from ingest.world.hdf4eos import Attribute, Field, scaled, write_granule
from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.tiles import PIXELS, Overpass, TileView, tile_views

__all__ = ["WRITER", "ViWriter"]

_PRODUCT: Final = "MOD13A2"
_LEVEL: Final = 5
_DAYS: Final = 16
_STEPS: Final = 10_000
_PASS: Final = Overpass(10.5, ascending=False)
_NOISE: Final = 0.010
_HAZE: Final = 0.03
"""Loss of NDVI beside clouds, where haze lies over the pixel; standard deviation of its half normal."""
_SNOW: Final = 3.0
"""Water in the pack from which the pixel counts as snow [mm]."""
_EDGE_CELLS: Final = 2
_CLOUDY_LOSS: Final = 4.0
"""Puts every cloudy view behind every clear one."""
_LAND, _INLAND_WATER = 1, 3

_GOOD, _MARGINAL, _SNOWY, _CLOUDY = range(4)
_VI_QUALITY: Final = np.array([
    0b00 | 1 << 2 | 0b01 << 6,
    0b01 | 4 << 2 | 0b10 << 6 | 1 << 8,
    0b01 | 4 << 2 | 0b01 << 6 | 1 << 14,
    0b10 | 10 << 2 | 0b11 << 6 | 1 << 10,
], np.uint16)  # fmt: skip
"""Bits of *VI Quality* by rank: MODLAND, usefulness, aerosol, cloud beside, mixed cloud, snow."""
_RANKS: Final = (
    "\n\t Rank Keys: \n\t[-1] : Fill/No Data-Not Processed. \n\t [0] : Good data \n"
    "\t [1] : Marginal data \n\t [2] : Snow/Ice \n\t [3] : Cloudy \n"
)
_MIR: Final = "\n\t The MIR band is MODIS band 7 \n\t\t Bandwidth : 2105-2155 nm \n"
_BITS: Final = (
    "\n\t Bit Fields Description (Right to Left): \n\t[0-1] : MODLAND_QA \n\t[2-5] : VI usefulness \n"
    "\t[6-7] : Aerosol quantity \n\t[8] : Adjacent cloud detected \n\t[9] : Atmosphere BRDF correction \n"
    "\t[10] : Mixed clouds \n\t[11-13] : Land/Water Flag \n\t[14] : Possible snow/ice \n"
    "\t[15] : Possible shadow \n"
)


class ViWriter:
    """Writes a granule for each composite and tile that has a clear view."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._land = land
        self._views = tile_views(land)
        self._composites = Composites(self._views, _DAYS)

    def day(self, state: DayState) -> None:
        """Take a day; write the composites that end with it."""

        def see(view: TileView) -> Views:
            return _observe(view, state, self._land.generator(_PRODUCT, state.day, view.name))

        for finished in self._composites.day(state.day, see):
            self._write(finished)

    def end(self) -> None:
        """Write the composites that the simulation leaves incomplete."""
        for finished in self._composites.end():
            self._write(finished)

    def _write(self, finished: Finished) -> None:
        view, best = finished.view, finished.best
        seen = best.seen
        cloudy = seen & (best.fields["rank"] == _CLOUDY)
        if not (seen & ~cloudy).any():
            return
        granule = Granule(
            product=_PRODUCT,
            title="MODIS/Terra Vegetation Indices 16-Day L3 Global 1km SIN Grid",
            grid="MODIS_Grid_16DAY_1km_VI",
            parameter="1 km 16 days NDVI",
            tile=(view.horizontal, view.vertical),
            first=finished.first,
            last=finished.last,
            produced=finished.produced,
            day_night="Day",
            cloudy=float(cloudy.sum()) / PIXELS**2,
            missing=1.0 - float(seen.sum()) / PIXELS**2,
        )
        water = view.nearest(self._land.water)
        fields = list(_fields(view, best, water, finished.middle))
        write_granule(self._folder, granule, fields, _LEVEL)


def _observe(view: TileView, state: DayState, rng: np.random.Generator) -> Views:
    """Return what the radiometer sees of a tile's pixels on a day."""
    noise = rng.standard_normal((3, len(view.pixels)), np.float32)
    above = sky(view, state, _PASS, _EDGE_CELLS)
    cloudy, edge = above.cloudy, above.edge
    ndvi = view.smooth(state.ndvi) + _NOISE * noise[0]
    evi = view.smooth(state.evi) + _NOISE * noise[1]
    ndvi[edge] -= np.abs(_HAZE * noise[2, edge])
    thick = np.float32(0.5) + np.float32(0.1) * noise[2].clip(-3, 3)
    ndvi[cloudy] *= thick[cloudy]
    evi[cloudy] *= thick[cloudy]
    rank = np.full(len(ndvi), _GOOD, np.int8)
    rank[edge] = _MARGINAL
    rank[view.nearest(state.snow) >= _SNOW] = _SNOWY
    rank[cloudy] = _CLOUDY
    score = np.where(cloudy, ndvi - _CLOUDY_LOSS, ndvi)
    score[~above.seen] = -np.inf
    fields = {"ndvi": ndvi, "evi": evi, "rank": rank, "zenith": above.zenith}
    return Views(score, lambda at: {name: values[at] for name, values in fields.items()})


def _fields(view: TileView, best: Best, water: NDArray[np.bool_], middle: date) -> Iterator[Field]:
    """Yield the product's data sets in its order."""
    seen = best.seen
    ndvi, evi, rank = (best.fields[name] for name in ("ndvi", "evi", "rank"))

    def field(
        short: str, unit: str, values: NDArray[Any], fill: int, bounds: tuple[int, int],
        more: list[Attribute], dtype: type[np.integer] = np.int16,
    ) -> Field:  # fmt: skip
        name = f"1 km 16 days {short}"
        stored = np.where(seen, np.rint(values), fill)
        attributes: list[Attribute] = [
            ("long_name", name), ("units", unit), ("valid_range", bounds), ("_FillValue", fill),
        ]  # fmt: skip
        return Field(name, view.whole(stored, fill, dtype), [*attributes, *more])

    for short, values in (("NDVI", ndvi), ("EVI", evi)):
        index = (values * _STEPS).clip(-2000, _STEPS)
        yield field(short, short, index, -3000, (-2000, _STEPS), scaled(float(_STEPS)))
    quality = _VI_QUALITY[rank] | np.where(water, _INLAND_WATER, _LAND) << 11
    yield field(
        "VI Quality", "bit field", quality, 65535, (0, 65534), [("Legend", _BITS)], np.uint16
    )
    nir = 0.12 + 0.30 * ndvi.clip(0)
    red = nir * (1 - ndvi) / (1 + ndvi)
    bands: dict[str, NDArray[Any]] = {
        "red": red,
        "NIR": nir,
        "blue": 0.5 * red,
        "MIR": 0.30 - 0.22 * ndvi.clip(0),
    }
    for band, reflectance in bands.items():
        stored = (reflectance * _STEPS).clip(0, _STEPS)
        legend: list[Attribute] = [("Legend", _MIR)] if band == "MIR" else []
        more = [*legend, *scaled(float(_STEPS))]
        yield field(f"{band} reflectance", "reflectance", stored, -1000, (0, _STEPS), more)
    zenith = best.fields["zenith"]
    sun = sun_zenith(view.latitude, middle, _PASS.hour)
    for short, angle, fill, lowest in (
        ("view zenith angle", np.abs(zenith), -10_000, 0),
        ("sun zenith angle", sun, -10_000, 0),
        ("relative azimuth angle", np.where(zenith < 0, -50.0, 130.0), -4000, -18_000),
    ):
        yield field(short, "degrees", angle * 100, fill, (lowest, 18_000), scaled(100.0))
    yield field("composite day of the year", "Julian day of the year ", best.day, -1, (1, 366), [])
    yield field("pixel reliability", "rank", rank, -1, (0, 3), [("Legend", _RANKS)], np.int8)


WRITER: Final = ViWriter
