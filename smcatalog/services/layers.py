"""Layers in the store: rasters of inputs as COGs of two bands, value and quality."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import julian
from smcatalog.core.variables import LAYER_NODATA, variable
from smcatalog.database.inputs import LayerRecord, NewLayer
from smcatalog.resample import overlap, regrid
from smcatalog.store import CogBand, Store, validate_cog, write_cog

__all__ = ["read_layer", "write_layer"]


def write_layer(store: Store, work: Path, source: str, raster: Raster) -> NewLayer:
    """Write a raster to the store as a layer; nothing is recorded in the database.

    Parameters
    ----------
    work : Path
        Folder for temporary files, from `Store.work`.
    source : str
        Product family that the raster comes from.
    raster : Raster
        On the grid on which the layer is kept.
    """
    kind = raster.variable
    day = raster.period and raster.period.day
    slug = re.sub(r"[^A-Za-z0-9-]+", "-", source)
    folder = f"{day:%Y}" if day else "static"
    name = f"{slug}_{kind.name}_{julian(day) if day else 'static'}"
    bands = (
        CogBand(kind.encode(raster.values), kind.name, kind.scale, kind.offset, kind.unit),
        CogBand(raster.quality, "quality"),
    )
    stored = store.add(
        f"layers/{slug}/{kind.name}/{folder}/{name}",
        ".tif",
        lambda path: write_cog(
            path,
            bands,
            raster.grid,
            nodata=LAYER_NODATA,
            resampling="nearest",  # the second band holds bits
            compression="ZSTD",
            overviews=False,  # windows are read at full resolution, by us alone
        ),
        work=work,
        check=partial(validate_cog, overviews=False),
    )
    return NewLayer(
        source, kind.name, raster.grid.name, raster.period, stored.key, stored.sha256, stored.size
    )


def read_layer(store: Store, layer: LayerRecord, target: Grid) -> Raster:
    """Read a layer onto a grid; of a layer on the same base grid only the shared window is read.

    Raises
    ------
    StoreError
        When the layer's file is missing or damaged.
    """
    whole = grid(layer.grid)
    kind = variable(layer.variable)
    window: Grid = whole
    rows, columns = slice(None), slice(None)
    if whole.base == target.base:
        shared = overlap(whole, target)
        if shared is None:
            empty = np.full(target.shape, np.nan, np.float32)
            return Raster.good(kind, target, empty, layer.period)
        (rows, columns), _ = shared
        window = whole.window(rows, columns)
    stored, quality = store.read(layer.key, rows=rows, columns=columns)
    raster = Raster(kind, window, kind.decode(stored), quality, layer.period)
    return regrid(raster, target)
