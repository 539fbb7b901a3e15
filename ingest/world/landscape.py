"""The ground of the simulated world: relief, soil, cover, and what never changes with the day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.noise import field, generator
from ingest.world.presets import Preset
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import EASE2_GRIDS, Grid
from smcatalog.resample.geometry import transformer

__all__ = ["Array", "Ground", "Landscape", "landscape"]

Array = NDArray[np.float32]

_METRES_PER_DEGREE: Final = 111_320.0
_SMALLEST_KM: Final = 50.0
_LARGEST_KM: Final = 2000.0


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Relief and soil of the world, at any place and any resolution.

    Parameters
    ----------
    preset : Preset
        What the region is like.
    seed : int
        Which of its worlds.
    """

    preset: Preset
    seed: int

    def elevation(self, grid: Grid) -> NDArray[np.float64]:
        """Return the height at the cells' centres [m], shape (rows, columns)."""
        x, y = _places(grid)
        p = self.preset
        broad = field(self.seed, "relief", x, y, longest=240.0, shortest=12.0, roughness=0.55)
        fine = field(self.seed, "hills", x, y, longest=8.0, shortest=0.4, roughness=0.5)
        # mountains stand on plains: squashed below, stretched above, and rough where they are high
        shape = np.logaddexp(0.0, 1.8 * broad)
        return p.lowland + p.relief * (1.15 * shape + 0.16 * fine * np.minimum(shape, 2.0))

    def texture(self, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return sand and clay by weight at the cells' centres, shape (rows, columns) each.

        Silt is the rest.
        """
        x, y = _places(grid)
        p = self.preset
        patches = field(self.seed, "sand", x, y, longest=90.0, shortest=1.0, roughness=0.62)
        other = field(self.seed, "clay", x, y, longest=60.0, shortest=1.0, roughness=0.6)
        # additive log-ratios, so that fractions stay fractions
        silt = 1.0 - p.sand - p.clay
        to_sand = np.log(p.sand / silt) + 0.75 * patches
        to_clay = np.log(p.clay / silt) - 0.30 * patches + 0.40 * other
        whole = 1.0 + np.exp(to_sand) + np.exp(to_clay)
        return np.exp(to_sand) / whole, np.exp(to_clay) / whole


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """Everything that stays, on the 1 km grid of the state.

    Parameters
    ----------
    ground : Ground
        Relief and soil as functions of place.
    grid : Grid
        Window of ``M01``.
    elevation : ndarray of float32
        Mean height [m].
    sunward : ndarray of float32
        Sunshine on the slope relative to flat ground around noon [1].
    sand, clay : ndarray of float32
        Fractions by weight [1].
    porosity, capacity, wilting : ndarray of float32
        Water content at saturation, at field capacity and at the wilting point [m3 m-3].
    conductivity : ndarray of float32
        Of saturated soil [mm d-1].
    exponent : ndarray of float32
        b of Clapp and Hornberger's (1978) retention curve [1].
    cover : ndarray of float32
        NDVI that the natural or planted cover reaches with all the water it wants [1].
    woody, irrigated : ndarray of float32
        Shares of the cell under trees and under irrigation [1].
    water : ndarray of bool
        Open water.
    longitude, latitude : ndarray of float64, shape (columns,) and (rows,)
        Of the cells' centres [degrees].
    """

    ground: Ground
    grid: Grid
    elevation: Array
    sunward: Array
    sand: Array
    clay: Array
    porosity: Array
    capacity: Array
    wilting: Array
    conductivity: Array
    exponent: Array
    cover: Array
    woody: Array
    irrigated: Array
    water: NDArray[np.bool_]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]

    @property
    def preset(self) -> Preset:
        """What the region is like."""
        return self.ground.preset

    @property
    def seed(self) -> int:
        """Which of the region's worlds."""
        return self.ground.seed

    def generator(self, *keys: object) -> np.random.Generator:
        """Return the random generator of a purpose; the same for the same keys."""
        return generator(self.seed, *keys)

    def utc_hour(self, solar_hour: float) -> float:
        """Return the hour of the UTC day, 0…24, of a local solar hour at the middle of the region."""
        return (solar_hour - self.preset.centre[0] / 15.0) % 24.0


def landscape(preset: Preset, seed: int, size_km: float) -> Landscape:
    """Make the landscape around a preset's centre.

    Parameters
    ----------
    size_km : float
        Length of the region's edges [km].

    Raises
    ------
    UsageError
        When the size is not between 50 and 2000 km.
    """
    if not _SMALLEST_KM <= size_km <= _LARGEST_KM:
        raise UsageError(
            f"the region's edge must be {_SMALLEST_KM:g} to {_LARGEST_KM:g} km long, got {size_km:g}"
        )
    grid = _region(preset, size_km)
    ground = Ground(preset, seed)
    elevation = ground.elevation(grid)
    sand, clay = ground.texture(grid)
    x, y = _places(grid)
    longitude, latitude = _degrees(grid)
    northward, _ = np.gradient(elevation, y * 1000.0, x * 1000.0)
    # Cosby et al. (1984), table 4: texture in percent
    porosity = (48.9 - 12.6 * sand) / 100
    exponent = 2.91 + 15.9 * clay
    suction = 10.0 * 10 ** (1.88 - 1.31 * sand)  # [mm]
    conductivity = 25.4 * 24.0 * 10 ** (-0.60 + 1.26 * sand - 0.64 * clay)
    capacity = porosity * (suction / 3400.0) ** (1 / exponent)  # at -33 kPa
    wilting = porosity * (suction / 153_000.0) ** (1 / exponent)  # at -1500 kPa
    height = (elevation - preset.lowland) / preset.relief
    low = 1.0 / (1.0 + np.exp(3.0 * (height - 0.9)))
    patches = field(seed, "cover", x, y, longest=80.0, shortest=1.5, roughness=0.7)
    water = _share(
        field(seed, "lakes", x, y, longest=30.0, shortest=1.0, roughness=0.5) + 2.5 * low,
        preset.water,
    )
    trees = field(seed, "forest", x, y, longest=50.0, shortest=1.5, roughness=0.65)
    woody = _soft_share(trees + 0.9 * height, preset.forest) * ~water
    fields = field(seed, "fields", x, y, longest=36.0, shortest=1.5, roughness=0.6)
    open_land = fields + 2.0 * low - 4.0 * woody - 4.0 * water
    irrigated = _soft_share(open_land, preset.irrigated) * ~water * (1 - woody)
    natural = preset.green * (1.0 + 0.16 * patches - 0.25 * (sand - preset.sand) / 0.25)
    cover = np.clip(natural + (0.88 - natural) * np.maximum(woody, irrigated), 0.08, 0.92)
    sunward = np.clip(1.0 + 0.9 * np.sign(latitude.mean()) * northward, 0.6, 1.4)
    arrays = {
        "elevation": elevation, "sunward": sunward, "sand": sand, "clay": clay,
        "porosity": porosity, "capacity": capacity, "wilting": wilting,
        "conductivity": conductivity, "exponent": exponent,
        "cover": cover, "woody": woody, "irrigated": irrigated,
    }  # fmt: skip
    return Landscape(
        ground=ground, grid=grid, water=water, longitude=longitude, latitude=latitude,
        **{name: values.astype(np.float32) for name, values in arrays.items()},
    )  # fmt: skip


def _region(preset: Preset, size_km: float) -> Grid:
    """Return whole cells of 36 km around the centre, so that no coarse cell is half simulated."""
    lon, lat = preset.centre
    half = size_km / 2 * 1000.0
    dlat = half / _METRES_PER_DEGREE
    dlon = half / (_METRES_PER_DEGREE * np.cos(np.radians(lat)))
    coarse = EASE2_GRIDS["M36"].crop((lon - dlon, lat - dlat, lon + dlon, lat + dlat))
    (rows, columns), n = coarse.shape, 36
    first, left = coarse.row * n, coarse.column * n
    return EASE2_GRIDS["M01"].window(
        slice(first, first + rows * n), slice(left, left + columns * n)
    )


def _places(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cells' centres on the plane of the world [km]: that of EASE-Grid 2.0."""
    x, y = grid.centres()
    if grid.crs.epsg != _EASE2:
        if grid.crs.epsg != _DEGREES:
            raise UsageError(f"the world's ground is not made on {grid.name}: use degrees or M01")
        to_plane = transformer(grid, EASE2_GRIDS["M01"])
        x = np.asarray(to_plane.transform(x, np.full_like(x, y.mean()))[0])
        y = np.asarray(to_plane.transform(np.full_like(y, grid.centres()[0][0]), y)[1])
    return x / 1000.0, y / 1000.0


_EASE2: Final = 6933
_DEGREES: Final = 4326


def _degrees(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = grid.centres()
    to_degrees = transformer(grid, Grid.latlon(-180, 90, 1.0, (180, 360)))
    longitude = np.asarray(to_degrees.transform(x, np.full_like(x, y[0]))[0])
    latitude = np.asarray(to_degrees.transform(np.full_like(y, x[0]), y)[1])
    return longitude, latitude


def _share(values: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Mark the highest values so that about ``share`` of a normal field is marked."""
    if share <= 0:
        return np.zeros(values.shape, bool)
    return values > np.quantile(values, 1.0 - share)


def _soft_share(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return shares of cells, 0…1, whose mean over the region is about ``share``."""
    if share <= 0:
        return np.zeros(values.shape)
    middle = np.quantile(values, 1.0 - share)
    return 1.0 / (1.0 + np.exp(-(values - middle) / 0.12))
