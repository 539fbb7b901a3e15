"""Bringing a tile of the sinusoidal grid to the base grid, day after day."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from smcatalog.bench.core import Contest, figure
from smcatalog.core.errors import SmcatalogError
from smcatalog.core.grids import Grid, sinusoidal_tile
from smcatalog.resample import area_weights, layer_grid

_TILE: Final = (26, 5)
_DAYS: Final = 30
_FILL: Final = 0
_CLOUD: Final = 30
"""Pixels along a cloud's edge; they divide a tile's."""
_COVER: Final = 0.4


@figure("tile", "area weights of a month of one tile beside gdalwarp -r average", repeats=2)
def tile(folder: Path) -> Contest:
    """Bring days of a tile to ``M01``; the reference warps the same numbers to the same window.

    Days hold random temperatures with clouds. Both sides make 32-bit means of them; ours in memory, with
    the weights, which are the same every day, once within the time; GDAL's from file to file without
    compression.

    Raises
    ------
    SmcatalogError
        When there is no ``gdalwarp``.
    """
    program = shutil.which("gdalwarp")
    if program is None:
        raise SmcatalogError("the figure 'tile' needs gdalwarp: install GDAL's programs (gdal-bin)")
    source = sinusoidal_tile(*_TILE)
    target = layer_grid(source)
    days = [_day(source, number) for number in range(_DAYS)]
    names = [_write(folder / f"day{number}.tif", source, day) for number, day in enumerate(days)]
    (rows, columns), t = target.shape, target.transform
    right, bottom = t * (columns, rows)
    window = ["-te", *map(repr, (t.c, bottom, right, t.f)), "-ts", str(columns), str(rows)]

    def ours() -> None:
        area_weights.cache_clear()
        weights = area_weights(source, target)
        for day in days:
            weights.mean(np.where(day == _FILL, np.nan, day.astype(np.float32) * np.float32(0.02)))

    def reference() -> None:
        for number, name in enumerate(names):
            out = folder / f"warped{number}.tif"
            out.unlink(missing_ok=True)
            command = [program, "-q", "-r", "average", "-ot", "Float32", "-t_srs", "EPSG:6933"]
            subprocess.run([*command, *window, str(name), str(out)], check=True)

    return Contest(ours, reference, f"{_DAYS} days of {source.shape[0]} x {source.shape[1]} pixels")


def _day(source: Grid, number: int) -> NDArray[np.uint16]:
    """Return temperatures as they are stored, without those under clouds."""
    rng = np.random.default_rng(number)
    stored = np.rint(rng.normal(15_000, 300, source.shape)).astype(np.uint16)
    rows, columns = (n // _CLOUD for n in source.shape)
    clouds = np.kron(rng.random((rows, columns)) < _COVER, np.ones((_CLOUD, _CLOUD), bool))
    stored[clouds] = _FILL
    return stored


def _write(path: Path, source: Grid, day: NDArray[np.uint16]) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=day.shape[0],
        width=day.shape[1],
        count=1,
        dtype="uint16",
        crs=source.crs.to_wkt(),
        transform=source.transform,
        nodata=_FILL,
    ) as file:
        file.write(day, 1)
    return path
