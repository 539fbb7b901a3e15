"""Single-band rasters that GDAL opens, GeoTIFFs above all, as arrays on named grids."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from ingest.places import check_on_earth
from ingest.refusal import DAMAGE, refusing
from ingest.tiff import check_whole
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid

__all__ = [
    "MOST_PIXELS",
    "check_band",
    "check_projection",
    "geotiff",
    "grid_of",
    "opened",
    "read_band",
]

MOST_PIXELS: Final = 200_000_000
"""Pixels of a file that is read whole."""

_TITLES: Final = {"GTiff": "GeoTIFF", "AAIGrid": "Esri ASCII grid", "EHdr": "Esri BIL raster"}
"""GDAL's names of formats, and people's."""
_BESIDE: Final = frozenset({"EHdr"})
"""Formats of several files."""
_OPTIONS: Final = {"AAIGrid": {"DATATYPE": "Float32"}}
"""What GDAL is told; of text it would guess whole numbers from the first ones, and read ``nan`` as nought."""
_FAULTS: Final = (*DAMAGE, RasterioError, CPLE_BaseError)
_FILL: Final = 1e30
"""Beyond this any value is fill: writers differ in the last digits of float32's lowest number."""
_TURN: Final = 1e-9


@contextmanager
def geotiff(path: Path) -> Iterator[Any]:
    """Open a GeoTIFF for the length of a block; nothing beside the file is looked at.

    Raises
    ------
    RefusedInput
        When it is none, or broken.
    """
    with opened(path, "GTiff") as file:
        yield file


@contextmanager
def opened(path: Path, driver: str) -> Iterator[Any]:
    """Open a raster of one format for the length of a block.

    Parameters
    ----------
    driver : {"GTiff", "AAIGrid", "EHdr"}
        GDAL's name of the format. Only the last consists of several files, whose names may be in any case.

    Raises
    ------
    RefusedInput
        When it is none, or broken.
    """
    hidden = "FALSE" if driver in _BESIDE else "EMPTY_DIR"
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=hidden, GDAL_PAM_ENABLED="NO"):
        with warnings.catch_warnings(), refusing(_broken(driver), _FAULTS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            if driver == "GTiff":
                check_whole(path)
            file = rasterio.open(path, driver=driver, **_OPTIONS.get(driver, {}))
        with file:
            yield file


def _broken(driver: str) -> str:
    return f"is a broken or truncated {_TITLES[driver]}"


def check_band(
    file: Any, *, crs: str | None = None, most: int | None = None, bands: int = 1
) -> None:
    """Check that an open file has its bands, a place on Earth and a size that can be read.

    Parameters
    ----------
    crs : str, optional
        Reference system of files that do not say theirs.
    most : int, optional
        Pixels that can be read; default: those of a file that is read whole.
    bands : int
        How many it has.

    Raises
    ------
    RefusedInput
        Saying what is missing.
    """
    most = MOST_PIXELS if most is None else most
    with refusing(_broken(file.driver), _FAULTS):
        if file.count != bands:
            raise RefusedInput(f"has {file.count} bands, expected {'one' if bands == 1 else bands}")
        if file.crs is None and crs is None:
            raise RefusedInput("has no coordinate reference system: write it with gdal_edit -a_srs")
        if file.transform == Affine.identity():
            raise RefusedInput("has no georeference: write it with gdal_edit -a_ullr")
        if file.width * file.height > most:
            raise RefusedInput(
                f"has {file.width * file.height / 1e6:.0f} million pixels, more than "
                f"{most / 1e6:.0f}: cut it into tiles, for example with gdal_retile.py"
            )
        if np.dtype(file.dtypes[0]).kind not in "iuf":
            raise RefusedInput(f"holds {file.dtypes[0]}, not plain numbers")


def grid_of(file: Any, *, crs: str | None = None) -> Grid:
    """Return the grid of an open file, row 0 northernmost.

    Degree grids (EPSG:4326) get the name that `Grid.latlon` gives; others one made of reference
    system, corner, cell and shape.

    Parameters
    ----------
    crs : str, optional
        Reference system of files that do not say theirs.

    Raises
    ------
    RefusedInput
        When the raster is turned, mirrored or not on Earth.
    """
    t = file.transform
    _check_axes(t)
    dx, dy = round(t.a, 12), round(abs(t.e), 12)
    rows, columns = file.height, file.width
    west, north = t.c, t.f if t.e < 0 else t.f + rows * t.e
    with refusing("has an unknown coordinate reference system", _FAULTS):
        told = file.crs or rasterio.CRS.from_user_input(crs)
        epsg = told.to_epsg()
    if epsg == 4326:  # noqa: PLR2004 - WGS 84
        grid = Grid.latlon(round(west, 10), round(north, 10), (dx, dy), (rows, columns))
        check_on_earth(grid)
        return grid
    with refusing("has an unknown coordinate reference system", _FAULTS):
        wkt = told.to_wkt()
        name = f"EPSG:{epsg}" if epsg else f"CRS:{hashlib.sha256(wkt.encode()).hexdigest()[:12]}"
        box = GeoBox(
            (rows, columns), Affine(dx, 0, west, 0, -dy, north), CRS(name if epsg else wkt)
        )
    numbers = ",".join(repr(round(x, 6)).removesuffix(".0") for x in (west, north, dx, dy))
    grid = Grid(f"{name}({numbers},{columns},{rows})", box)
    check_on_earth(grid)
    return grid


def _check_axes(t: Affine) -> None:
    if max(abs(t.b), abs(t.d)) > _TURN * max(abs(t.a), abs(t.e)):
        raise RefusedInput("is turned against its coordinate axes: warp it first (gdalwarp)")
    if not np.isfinite([*t]).all() or t.a <= 0 or t.e == 0:
        raise RefusedInput(
            "has columns that do not run from west to east: warp it first (gdalwarp)"
        )


def read_band(
    file: Any, rows: slice = slice(None), columns: slice = slice(None), *, band: int = 1
) -> NDArray[np.float32]:
    """Read a band of an open file, or a part of it.

    Parameters
    ----------
    rows, columns : slice
        Of the grid, row 0 northernmost; default: all.
    band : int
        Its number, from 1 on.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        Row 0 northernmost; the file's own scale and offset applied; NaN where the file says
        nodata, holds no finite number or float32's lowest.

    Raises
    ------
    RefusedInput
        When the data is damaged or cut off.
    """
    with refusing(_broken(file.driver), _FAULTS):
        upwards = file.transform.e > 0
        first, last, _ = rows.indices(file.height)
        left, right, _ = columns.indices(file.width)
        if upwards:
            first, last = file.height - last, file.height - first
        window = Window(left, first, right - left, last - first)
        read = file.read(band, masked=True, window=window)
        scale, offset = file.scales[band - 1], file.offsets[band - 1]
    wide = np.float32 if read.dtype.itemsize <= 2 or read.dtype.kind == "f" else np.float64  # noqa: PLR2004
    values = np.ma.getdata(read).astype(wide)
    with np.errstate(invalid="ignore"):
        values[np.ma.getmaskarray(read) | ~(np.abs(values) < _FILL)] = np.nan
    if scale == 0 or not np.isfinite([scale, offset]).all():
        raise RefusedInput(
            f"declares a scale factor of {scale:g} and an offset of {offset:g}: damaged, or written wrongly; "
            "set them with gdal_edit -scale -offset"
        )
    if (scale, offset) != (1.0, 0.0):
        values = values * scale + offset
    return (values[::-1] if upwards else values).astype(np.float32)


def check_projection(file: Any, crs: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return west and north edge, width and height of cells of a raster in one reference system, row 0 northernmost.

    Parameters
    ----------
    crs : str
        The only one that it may be in.

    Raises
    ------
    RefusedInput
        When it is in another one, turned or mirrored.
    """
    with refusing("has an unknown coordinate reference system", _FAULTS):
        wanted = rasterio.CRS.from_user_input(crs)
        if file.crs != wanted and file.crs.to_epsg() != wanted.to_epsg():
            raise RefusedInput(
                f"is in {file.crs.to_string()[:60]}, expected {crs}: fetch it as its provider delivers it"
            )
    t = file.transform
    _check_axes(t)
    north = t.f if t.e < 0 else t.f + file.height * t.e
    return (t.c, north), (t.a, abs(t.e))
