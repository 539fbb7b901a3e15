"""Cloud Optimized GeoTIFFs: written by GDAL's own driver, checked, read by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window

from smcatalog.core.blocks import TILE
from smcatalog.core.errors import StoreError
from smcatalog.core.grids import Grid
from smcatalog.core.threads import thread_count

__all__ = ["CogBand", "read_cog", "validate_cog", "write_cog"]

Compression = Literal["DEFLATE", "ZSTD"]

_LEVELS: Final[dict[Compression, int]] = {"DEFLATE": 6, "ZSTD": 1}


@dataclass(frozen=True, slots=True, eq=False)
class CogBand:
    """One band of a file.

    Parameters
    ----------
    values : ndarray of int, shape (rows, columns)
        Stored values.
    description : str
        Name of the band.
    scale, offset : float
        ``value = stored * scale + offset``.
    unit : str
        Unit of the value.
    """

    values: NDArray[np.integer]
    description: str
    scale: float = 1.0
    offset: float = 0.0
    unit: str = "1"


def write_cog(
    path: Path,
    bands: Sequence[CogBand],
    grid: Grid,
    *,
    nodata: int,
    resampling: str,
    compression: Compression = "DEFLATE",
    overviews: bool = True,
) -> None:
    """Write bands of one type as a Cloud Optimized GeoTIFF.

    The same content gives the same bytes, whatever the number of threads.

    Parameters
    ----------
    path : Path
        Where to write.
    bands : sequence of CogBand
        All of one type and of the grid's shape.
    grid : Grid
        Their geometry.
    nodata : int
        Stored value that means *no value*, for all bands.
    resampling : str
        How overviews are made: ``average``, ``nearest``, ``mode``.
    compression : {"DEFLATE", "ZSTD"}
        Every client reads the first, browsers included; the second is three times faster to write
        and smaller, for files that only this catalogue and GDAL read.
    overviews : bool
        Whether there are coarser copies inside, for those who look at it from afar.

    Raises
    ------
    StoreError
        When bands and grid do not fit together, GDAL refuses, or what can be read again is not what was
        written.
    """
    stack = _stack(bands, grid)
    count, height, width = stack.shape
    profile: dict[str, Any] = {
        "driver": "COG",
        "width": width,
        "height": height,
        "count": count,
        "dtype": stack.dtype.name,
        "crs": grid.crs.to_wkt() if grid.crs.epsg is None else f"EPSG:{grid.crs.epsg}",
        "transform": grid.transform,
        "nodata": nodata,
        "compress": compression,
        "level": _LEVELS[compression],
        "predictor": "YES",
        "blocksize": TILE,
        "overview_resampling": resampling,
        "overviews": "AUTO" if overviews else "NONE",
        "bigtiff": "IF_SAFER",
        "num_threads": thread_count(),
    }
    try:
        with rasterio.open(path, "w", **profile) as out:
            out.write(stack)
            out.descriptions = [band.description for band in bands]
            out.scales = [band.scale for band in bands]
            out.offsets = [band.offset for band in bands]
            out.units = [band.unit for band in bands]
        whole = _holds(path, stack)
    except (RasterioIOError, RasterioError) as error:
        raise StoreError(f"cannot write {path.name}: {error}") from error
    if not whole:
        raise StoreError(f"cannot write {path.name}: what was read again is not what was written")


def _holds(path: Path, stack: NDArray[np.integer]) -> bool:
    """Read a file again; say whether it holds the values that were written.

    GDAL says nothing of a disk that became full while it closed a file: blocks that are missing then
    read as no value.
    """
    with rasterio.open(path) as source:
        if not np.array_equal(source.read(), stack):
            return False
        levels = len(source.overviews(1))
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as smaller:
            smaller.read()
    return True


def _stack(bands: Sequence[CogBand], grid: Grid) -> NDArray[np.integer]:
    if not bands:
        raise StoreError("a file needs at least one band")
    shapes = {band.values.shape for band in bands}
    types = {band.values.dtype for band in bands}
    if shapes != {grid.shape} or len(types) != 1:
        raise StoreError(
            f"bands of shapes {shapes} and types {types} do not fit the grid {grid.name} {grid.shape}"
        )
    return np.stack([band.values for band in bands])


def validate_cog(path: Path, *, overviews: bool = True) -> None:
    """Reopen a file and check that it is a valid Cloud Optimized GeoTIFF.

    Parameters
    ----------
    overviews : bool
        Whether a large one must have overviews, which the format recommends.

    Raises
    ------
    StoreError
        When it is not; the message says why.
    """
    from rio_cogeo.cogeo import cog_validate  # noqa: PLC0415 - slow to import

    try:
        valid, errors, problems = cog_validate(path, strict=overviews, quiet=True)
    except RasterioError as error:
        raise StoreError(f"{path.name} cannot be reopened after writing: {error}") from error
    if not valid:
        raise StoreError(f"{path.name} is not a valid COG: {'; '.join([*errors, *problems])}")


def read_cog(
    path: Path | str,
    *,
    rows: slice = slice(None),
    columns: slice = slice(None),
    bands: Sequence[int] | None = None,
) -> NDArray[Any]:
    """Read stored values of a window.

    Parameters
    ----------
    path : Path or str
        A file of the store, as `Store.address` names it.
    rows, columns : slice
        The window, in pixels; all by default.
    bands : sequence of int, optional
        From 1; all by default.

    Returns
    -------
    ndarray, shape (bands, rows, columns)
        As stored, unscaled.

    Raises
    ------
    StoreError
        When the file is missing or damaged.
    """
    try:
        with rasterio.open(path) as source:
            # rasterio warns of it; to make an error of a warning is not for one thread among several
            if source.transform == Affine.identity():
                raise StoreError(f"cannot read {Path(path).name} in the store: it has no place")
            r0, r1, _ = rows.indices(source.height)
            c0, c1, _ = columns.indices(source.width)
            window = Window(c0, r0, c1 - c0, r1 - r0)
            stored: NDArray[Any] = source.read(
                list(bands) if bands is not None else None, window=window
            )
    except (RasterioError, NotGeoreferencedWarning) as error:
        raise StoreError(f"cannot read {Path(path).name} in the store: {error}") from error
    return stored
