"""Sentinel-1 of the simulated world: backscatter of the region every twelve days, calibrated, in UTM.

Bare soil echoes more the wetter it is, a canopy hides the soil and adds an echo of its own (the water-cloud
model of Attema and Ulaby 1978, with one layer), water and frozen ground echo little. Pixels are 200 m wide, as if many of the
provider's had been averaged: their speckle is that of so many looks. Scenes are at most 250 by 200 km.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery
from smcatalog.core.grids import Grid
from smcatalog.core.time import utc_midnight
from smcatalog.resample.geometry import fractional_coordinates, transformer

__all__ = ["WRITER", "Sentinel1Writer"]

_SOURCE: Final = "Sentinel-1"
_PIXEL: Final = 200.0
_SCENE: Final = (1000, 1250)
"""Most rows and columns of a scene."""
_REPEAT: Final = 12
_PHASE: Final = 0
"""Day of the cycle, counted from the year 1, on which the region is seen."""
_SOLAR_HOUR: Final = 18.0
_SECONDS: Final = 25
"""Between the beginnings of neighbouring scenes."""
_LAST_SECOND: Final = 86_399
"""Of the day: a scene belongs to the day that its state is of."""
_LOOKS: Final = 300
_FIRST_DAY: Final = date(2014, 10, 3)
_ORBITS_PER_DAY: Final = 175 / 12

_DRY_SOIL: Final = {"VV": -17.0, "VH": -25.0}
"""Echo of dry bare soil [dB]."""
_WETTING: Final = {"VV": 30.0, "VH": 22.0}
"""Growth with the water content [dB per m3 m-3]."""
_CANOPY: Final = {"VV": 0.055, "VH": 0.016}
"""Echo of a closed canopy [1]."""
_HIDING: Final = {"VV": 0.22, "VH": 0.28}
"""Two-way attenuation [Nepers per kg m-2 of water in the canopy]."""
_OPEN_WATER: Final = {"VV": -22.0, "VH": -30.0}
_FROZEN: Final = -5.0
"""What freezing takes off the soil's echo [dB]."""
_ROUGHNESS: Final = 1.0
"""Standard deviation between places of equal water [dB]."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A part of the region as one scene shows it.

    Parameters
    ----------
    number : int
        Its place in the order of acquisition.
    grid : Grid
        UTM.
    cells : ndarray of int32, shape of ``grid``
        Flat indices of the landscape's cells; -1 outside.
    """

    number: int
    grid: Grid
    cells: NDArray[np.int32]


class Sentinel1Writer:
    """Writes two files, VV and VH, of each scene of every twelfth day.

    Parameters
    ----------
    land : Landscape
        What is seen.
    folder : Path
        Where ``S1A_IW_GRDH_1SDV_…_Sigma0_VV.tif`` and its like go.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        self._land = land
        self._folder = folder
        self._scenes: list[_Scene] = []
        random = land.generator(_SOURCE, "roughness").standard_normal(land.grid.shape)
        self._rough = (_ROUGHNESS * random).astype(np.float32)

    def day(self, state: DayState) -> None:
        """Write the day's scenes, if there is a pass."""
        if state.day.toordinal() % _REPEAT != _PHASE:
            return
        # made at the first pass: many simulations are shorter than the cycle
        self._scenes = self._scenes or list(_scenes(self._land))
        for band in ("VV", "VH"):
            power = self._power(state, band)
            for scene in self._scenes:
                self._write(state, band, scene, power)

    def end(self) -> None:
        """Write nothing: each day is complete in itself."""

    def _power(self, state: DayState, band: str) -> NDArray[np.float32]:
        """Return sigma nought of the landscape's cells [1], without speckle."""
        wet = state.surface(self._land.utc_hour(_SOLAR_HOUR))
        soil = _DRY_SOIL[band] + _WETTING[band] * wet + self._rough + _FROZEN * state.frozen
        passed = np.exp(-_HIDING[band] * state.vegetation_water)
        power = _CANOPY[band] * (1 - passed) + passed * 10 ** (soil / 10)
        result: NDArray[np.float32] = np.where(
            self._land.water, 10 ** (_OPEN_WATER[band] / 10), power
        ).astype(np.float32)
        return result

    def _write(self, state: DayState, band: str, scene: _Scene, power: NDArray[np.float32]) -> None:
        rng = self._land.generator(_SOURCE, state.day, scene.number, band)
        # of so many looks the sum is normal
        speckle = rng.standard_normal(scene.grid.shape, np.float32) / np.float32(_LOOKS**0.5)
        values = power.ravel()[scene.cells] * (1 + speckle)
        values[scene.cells < 0] = 0.0
        rows, columns = scene.grid.shape
        name = _name(self._land, state.day, scene.number)
        with (
            delivery(self._folder / f"{name}_Sigma0_{band}.tif") as path,
            rasterio.open(
                path, "w", driver="GTiff", height=rows, width=columns, count=1, dtype="float32",
                crs=scene.grid.crs.wkt, transform=scene.grid.transform, nodata=0.0,
                compress="DEFLATE", zlevel=1,
            ) as out,
        ):  # fmt: skip
            out.write(_rounded(values), 1)


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut the last bits off, which are noise and would not compress: 12 of 23 are left."""
    bits = values.view(np.uint32) + np.uint32(1 << 10)
    rounded: NDArray[np.float32] = (bits & np.uint32(0xFFFFF800)).view(np.float32)
    return rounded


def _scenes(land: Landscape) -> Iterator[_Scene]:
    """Yield the scenes of a pass, from north to south and from west to east, in the middle's zone of UTM."""
    west, south, east, north = land.grid.bbox()
    zone = int(((west + east) / 2 + 180) // 6) + 1
    crs = CRS(f"EPSG:{(32600 if south + north >= 0 else 32700) + zone}")
    x, y = land.grid.centres()
    to_utm = transformer(land.grid, Grid("utm", GeoBox((1, 1), Affine.identity(), crs)))
    edge_x, edge_y = (
        np.concatenate(parts)
        for parts in (
            (x, x, np.full_like(y, x[0]), np.full_like(y, x[-1])),
            (np.full_like(x, y[0]), np.full_like(x, y[-1]), y, y),
        )
    )
    utm_x, utm_y = (np.asarray(axis) for axis in to_utm.transform(edge_x, edge_y))
    left, top = np.floor(utm_x.min() / _PIXEL) * _PIXEL, np.ceil(utm_y.max() / _PIXEL) * _PIXEL
    columns = int(np.ceil((utm_x.max() - left) / _PIXEL))
    rows = int(np.ceil((top - utm_y.min()) / _PIXEL))
    number = 0
    for row in range(0, rows, _SCENE[0]):
        for column in range(0, columns, _SCENE[1]):
            shape = min(_SCENE[0], rows - row), min(_SCENE[1], columns - column)
            corner = Affine(_PIXEL, 0, left + column * _PIXEL, 0, -_PIXEL, top - row * _PIXEL)
            grid = Grid(f"scene {number} of {land.grid.name}", GeoBox(shape, corner, crs))
            yield _Scene(number, grid, _cells(grid, land.grid))
            number += 1


def _cells(fine: Grid, state: Grid) -> NDArray[np.int32]:
    rows, columns = (np.floor(axis) for axis in fractional_coordinates(fine, state))
    height, width = state.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.where(inside, rows * width + columns, -1).astype(np.int32)


def _name(land: Landscape, day: date, number: int) -> str:
    seconds = int(land.utc_hour(_SOLAR_HOUR) * 3600) + number * _SECONDS
    start = utc_midnight(day) + timedelta(seconds=min(seconds, _LAST_SECOND - _SECONDS))
    orbit = 2650 + round((day - _FIRST_DAY).days * _ORBITS_PER_DAY)
    mark = (
        hashlib.sha256(f"{land.preset.name}{land.seed}{day}{number}".encode()).hexdigest().upper()
    )
    return (
        f"S1A_IW_GRDH_1SDV_{start:%Y%m%dT%H%M%S}_{start + timedelta(seconds=_SECONDS):%Y%m%dT%H%M%S}"
        f"_{max(orbit, 1):06d}_{mark[:6]}_{mark[6:10]}"
    )


WRITER: Final[MakeWriter] = Sentinel1Writer
