"""MOD13A2 of the simulated world: vegetation indices of 16 days, the greenest clear view of each pixel.

Composites begin on days 1, 17, … 353 of the year and last 16 days each, so that the last one of a year
reaches into the next. One that the simulation does not cover whole is made of the days there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.hdf4eos import Attribute, Field, Granule, write_granule
from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.tiles import PIXELS, Overpass, TileView, overpass, tile_views

__all__ = ["WRITER", "ViWriter", "composites"]

_PRODUCT: Final = "MOD13A2"
_LEVEL: Final = 5
_DAYS: Final = 16
_LAST_START: Final = 353
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


def composites(day: date) -> list[date]:
    """Return the first days of the composites that hold a day: two in the first days of a year."""
    found = []
    for year in (day.year - 1, day.year):
        for first in range(1, _LAST_START + 1, _DAYS):
            start = date(year, 1, 1) + timedelta(days=first - 1)
            if start <= day < start + timedelta(days=_DAYS):
                found.append(start)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Views:
    """A tile's pixels on a day, each array of shape (n,)."""

    score: NDArray[np.float32]
    ndvi: NDArray[np.float32]
    evi: NDArray[np.float32]
    rank: NDArray[np.int8]
    zenith: NDArray[np.float32]


class _Composite:
    """The best views of a tile's pixels so far."""

    def __init__(self, size: int) -> None:
        self.score = np.full(size, -np.inf, np.float32)
        self.ndvi, self.evi, self.zenith = (np.zeros(size, np.float32) for _ in range(3))
        self.rank = np.full(size, -1, np.int8)
        self.day = np.zeros(size, np.int16)

    def take(self, views: _Views, day: date) -> None:
        """Take a day's views where they are better."""
        better = views.score > self.score
        for name in ("score", "ndvi", "evi", "rank", "zenith"):
            getattr(self, name)[better] = getattr(views, name)[better]
        self.day[better] = day.timetuple().tm_yday


class ViWriter:
    """Writes a granule for each composite and tile that has a clear view."""

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._folder = folder
        self._land = land
        self._views = tile_views(land)
        self._open: dict[date, list[_Composite]] = {}

    def day(self, state: DayState) -> None:
        """Take a day; write the composites that end with it."""
        for first in composites(state.day):
            self._open.setdefault(first, [_Composite(len(view.pixels)) for view in self._views])
        for number, view in enumerate(self._views):
            seen = _observe(view, state, self._land.generator(_PRODUCT, state.day, view.name))
            for first in composites(state.day):
                self._open[first][number].take(seen, state.day)
        for first in [first for first in self._open if _last(first) <= state.day]:
            self._write(first)

    def end(self) -> None:
        """Write the composites that the simulation leaves incomplete."""
        for first in sorted(self._open):
            self._write(first)

    def _write(self, first: date) -> None:
        for view, composite in zip(self._views, self._open.pop(first), strict=True):
            clear = (composite.rank >= _GOOD) & (composite.rank < _CLOUDY)
            if clear.any():
                cloudy = float((composite.rank == _CLOUDY).sum()) / PIXELS**2
                granule = Granule(
                    product=_PRODUCT,
                    title="MODIS/Terra Vegetation Indices 16-Day L3 Global 1km SIN Grid",
                    grid="MODIS_Grid_16DAY_1km_VI",
                    parameter="1 km 16 days NDVI",
                    tile=(view.horizontal, view.vertical),
                    first=first,
                    last=_last(first),
                    produced=datetime.combine(_last(first) + timedelta(days=1), time(), UTC),
                    day_night="Day",
                    cloudy=cloudy,
                    missing=1.0 - float((composite.rank >= _GOOD).sum()) / PIXELS**2,
                )
                water = view.nearest(self._land.water)
                fields = list(_fields(view, composite, water, first))
                write_granule(self._folder, granule, fields, _LEVEL)


def _last(first: date) -> date:
    return first + timedelta(days=_DAYS - 1)


def _observe(view: TileView, state: DayState, rng: np.random.Generator) -> _Views:
    """Return what the radiometer sees of a tile's pixels on a day."""
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    noise = rng.standard_normal((3, len(view.pixels)), np.float32)
    look = overpass(view, state.day, _PASS)
    cloudy = view.nearest(state.cloud_day)
    edge = view.nearest(binary_dilation(state.cloud_day, iterations=_EDGE_CELLS)) & ~cloudy
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
    score[~look.seen] = -np.inf
    return _Views(score, ndvi, evi, rank, look.zenith)


def _scaled(steps: float) -> list[Attribute]:
    return [("scale_factor", steps), ("scale_factor_err", 0.0), ("add_offset", 0.0),
            ("add_offset_err", 0.0), ("calibrated_nt", 5)]  # fmt: skip


def _fields(
    view: TileView, best: _Composite, water: NDArray[np.bool_], first: date
) -> Iterator[Field]:
    """Yield the product's data sets in its order."""
    seen = best.rank >= _GOOD

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

    for short, values in (("NDVI", best.ndvi), ("EVI", best.evi)):
        index = (values * _STEPS).clip(-2000, _STEPS)
        yield field(short, short, index, -3000, (-2000, _STEPS), _scaled(float(_STEPS)))
    quality = _VI_QUALITY[best.rank.clip(_GOOD)] | np.where(water, _INLAND_WATER, _LAND) << 11
    yield field(
        "VI Quality", "bit field", quality, 65535, (0, 65534), [("Legend", _BITS)], np.uint16
    )
    nir = 0.12 + 0.30 * best.ndvi.clip(0)
    red = nir * (1 - best.ndvi) / (1 + best.ndvi)
    bands: dict[str, NDArray[Any]] = {
        "red": red,
        "NIR": nir,
        "blue": 0.5 * red,
        "MIR": 0.30 - 0.22 * best.ndvi.clip(0),
    }
    for band, reflectance in bands.items():
        stored = (reflectance * _STEPS).clip(0, _STEPS)
        legend: list[Attribute] = [("Legend", _MIR)] if band == "MIR" else []
        more = [*legend, *_scaled(float(_STEPS))]
        yield field(f"{band} reflectance", "reflectance", stored, -1000, (0, _STEPS), more)
    zenith = np.abs(best.zenith)
    sun = _sun_zenith(view.latitude, first + timedelta(days=_DAYS // 2))
    for short, angle, fill, lowest in (
        ("view zenith angle", zenith, -10_000, 0),
        ("sun zenith angle", sun, -10_000, 0),
        ("relative azimuth angle", np.where(best.zenith < 0, -50.0, 130.0), -4000, -18_000),
    ):
        yield field(short, "degrees", angle * 100, fill, (lowest, 18_000), _scaled(100.0))
    yield field("composite day of the year", "Julian day of the year ", best.day, -1, (1, 366), [])
    yield field("pixel reliability", "rank", best.rank, -1, (0, 3), [("Legend", _RANKS)], np.int8)


def _sun_zenith(latitude: NDArray[np.float32], day: date) -> NDArray[np.float32]:
    """Return the sun's zenith angle at the overpass [degrees]."""
    turn = 2 * np.pi * (day.timetuple().tm_yday - 80) / 365.25
    declination = np.radians(23.44) * np.sin(turn)
    hour = np.radians(15.0 * (_PASS.hour - 12.0))
    phi = np.radians(latitude)
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    zenith: NDArray[np.float32] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return zenith


WRITER: Final = ViWriter
