"""Writing a map's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from smcatalog.bench.core import Contest, figure
from smcatalog.core.encoding import NODATA, SCALE
from smcatalog.core.grids import grid
from smcatalog.store import CogBand, FolderStore, validate_cog, write_cog

_SIDE = 1850


@figure(
    "cog", "storing a map's file, checked and flushed, beside GDAL's COG driver alone", repeats=5
)
def cog(folder: Path) -> Contest:
    """Store 3.4 million pixels as an asset; the reference only lets GDAL write the same file."""
    where = grid("M01").window(slice(5000, 5000 + _SIDE), slice(20000, 20000 + _SIDE))
    axis = np.linspace(0, 12, _SIDE)
    noise = np.random.default_rng(1).normal(0, 100, where.shape)
    smooth = 2000 + 900 * np.sin(axis)[:, np.newaxis] * np.cos(axis)
    values = (smooth + noise).astype(np.int16)
    band = CogBand(values, "soil_moisture", SCALE, 0.0, "m3 m-3")
    store = FolderStore(folder / "store")

    def write(path: Path) -> None:
        write_cog(path, [band], where, nodata=NODATA, resampling="average")

    def ours() -> None:
        with store.work() as work:
            stored = store.add("maps/bench", ".tif", write, work=work, check=validate_cog)
        store.remove(stored.key)  # or the next one would be found there

    def reference() -> None:
        profile = {
            "driver": "COG",
            "height": _SIDE,
            "width": _SIDE,
            "count": 1,
            "dtype": "int16",
            "crs": where.crs.to_wkt(),
            "transform": where.transform,
            "nodata": NODATA,
            "compress": "DEFLATE",
            "predictor": "YES",
            "overview_resampling": "average",
        }
        with rasterio.open(folder / "reference.tif", "w", **profile) as out:
            out.write(values, 1)

    return Contest(ours, reference, f"{values.size / 1e6:.1f} M pixels")
