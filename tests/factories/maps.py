"""Small maps for tests: real COGs in a store folder, and the values that describe them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.shutil import copy as copy_raster

from smcatalog.core.encoding import NODATA, AssetKind, asset_kinds, encode, file_stem
from smcatalog.core.grids import Grid, grid
from smcatalog.core.maps import MapFile, MapStatus, PublishedMap
from smcatalog.core.stations import Depth
from smcatalog.core.time import Period, julian

GRID = grid("M01").crop((146.0, -35.0, 146.5, -34.5))
DEPTHS = (Depth(0.0, 0.05),)
PUBLISHED_AT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def soil_moisture(on: Grid, day: date, bands: int = 1) -> np.ndarray:
    """Return a field within 0.05…0.45 m³ m⁻³ that differs from day to day, with a corner missing."""
    rows, columns = on.shape
    y, x = np.mgrid[0:rows, 0:columns]
    phase = day.timetuple().tm_yday / 58.0
    field = 0.25 + 0.2 * np.sin(x / 9.0 + phase) * np.cos(y / 7.0)
    field[:3, :5] = np.nan
    return np.stack([field / (band + 1) for band in range(bands)])


def _stored(kind: AssetKind, field: np.ndarray) -> np.ndarray:
    if kind.name == "quality":
        return np.where(np.isnan(field), kind.nodata, 1).astype(kind.dtype)
    values = field if kind.name == "soil_moisture" else field * 0.1
    return np.asarray(encode(values))


def write_cog(path: Path, kind: AssetKind, values: np.ndarray, on: Grid) -> None:
    """Write stored values as a COG with GDAL's own driver."""
    profile = {
        "driver": "MEM",
        "dtype": kind.dtype,
        "count": values.shape[0],
        "height": on.shape[0],
        "width": on.shape[1],
        "crs": str(on.crs),
        "transform": on.transform,
        "nodata": kind.nodata,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open("source", "w", **profile) as source:
        source.write(values)
        if kind.name != "quality":
            source.scales = (kind.scale,) * values.shape[0]
            source.units = (kind.unit,) * values.shape[0]
        copy_raster(
            source,
            path,
            driver="COG",
            COMPRESS="DEFLATE",
            BLOCKSIZE="128",
            OVERVIEW_RESAMPLING=Resampling[kind.resampling].name,
        )


def describe(
    product: str,
    period: Period,
    files: tuple[MapFile, ...],
    *,
    on: Grid = GRID,
    depths: tuple[Depth, ...] = DEPTHS,
) -> PublishedMap:
    """Return a first, final map with these files."""
    return PublishedMap(
        product=product,
        version=1,
        revision=1,
        period=period,
        grid=on,
        depths=depths,
        files=files,
        status=MapStatus.FINAL,
        fingerprint=hashlib.sha256(f"inputs {product} {period}".encode()).hexdigest(),
        model=hashlib.sha256(f"model {product}".encode()).hexdigest(),
        published_at=PUBLISHED_AT,
    )


def window(day: date) -> Period:
    """Return the three days around a day."""
    return Period.of_days(day - timedelta(1), day + timedelta(1))


def described_map(
    product: str = "testmap",
    day: date = date(2018, 8, 2),
    *,
    on: Grid = GRID,
    depths: tuple[Depth, ...] = DEPTHS,
) -> PublishedMap:
    """Return a map that exists as a value only, without files on disk."""
    files = []
    for kind in asset_kinds():
        sha256 = hashlib.sha256(f"{product} {day} {kind.name}".encode()).hexdigest()
        files.append(MapFile(kind.name, _key(product, day, kind.name, sha256), sha256, 4321))
    return describe(product, window(day), tuple(files), on=on, depths=depths)


def _key(product: str, day: date, kind: str, sha256: str) -> str:
    return f"maps/{product}/v1/{julian(day)[:4]}/{file_stem(product, day, kind)}_{sha256[:16]}.tif"


def stored_map(
    root: Path,
    product: str = "testmap",
    day: date = date(2018, 8, 2),
    *,
    on: Grid = GRID,
    depths: tuple[Depth, ...] = DEPTHS,
) -> PublishedMap:
    """Write a map's COGs into a store folder and return the map."""
    field = soil_moisture(on, day, len(depths))
    files = []
    for kind in asset_kinds():
        temporary = root / f".{product}_{day}_{kind.name}.tmp"
        write_cog(temporary, kind, _stored(kind, field), on)
        content = temporary.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        key = _key(product, day, kind.name, sha256)
        target = root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(target)
        files.append(MapFile(kind.name, key, sha256, len(content)))
    return describe(product, window(day), tuple(files), on=on, depths=depths)


def replaced(old: PublishedMap) -> tuple[PublishedMap, PublishedMap]:
    """Return a map as it stands once replaced, and the revision that replaces it."""
    new = replace(old, revision=old.revision + 1, predecessor=old.item_id)
    return replace(old, successor=new.item_id), new


def stored_values(root: Path, published: PublishedMap, kind: str) -> np.ndarray:
    """Read the stored integers of one of a map's files."""
    (file,) = (file for file in published.files if file.kind == kind)
    with rasterio.open(root / file.key) as source:
        return source.read()


__all__ = [
    "DEPTHS",
    "GRID",
    "NODATA",
    "PUBLISHED_AT",
    "describe",
    "described_map",
    "replaced",
    "soil_moisture",
    "stored_map",
    "stored_values",
    "window",
    "write_cog",
]
