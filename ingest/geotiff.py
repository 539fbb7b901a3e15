"""Single-band GeoTIFFs as arrays on named grids."""

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

from ingest.refusal import DAMAGE, refusing
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import Grid

__all__ = ["MOST_PIXELS", "check_band", "geotiff", "grid_of", "read_band"]

MOST_PIXELS: Final = 200_000_000
"""Pixels of a file that is read whole."""

_BROKEN: Final = "is a broken or truncated GeoTIFF"
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
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"):
        with warnings.catch_warnings(), refusing(_BROKEN, _FAULTS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            file = rasterio.open(path, driver="GTiff")
        with file:
            yield file


def check_band(file: Any) -> None:
    """Check that an open file has one band, a place on Earth and a size that can be read.

    Raises
    ------
    RefusedInput
        Saying what is missing.
    """
    with refusing(_BROKEN, _FAULTS):
        if file.count != 1:
            raise RefusedInput(f"has {file.count} bands, expected one")
        if file.crs is None:
            raise RefusedInput("has no coordinate reference system: write it with gdal_edit -a_srs")
        if file.transform == Affine.identity():
            raise RefusedInput("has no georeference: write it with gdal_edit -a_ullr")
        if file.width * file.height > MOST_PIXELS:
            raise RefusedInput(
                f"has {file.width * file.height / 1e6:.0f} million pixels, more than "
                f"{MOST_PIXELS / 1e6:.0f}: cut it into tiles, for example with gdal_retile.py"
            )
        if np.dtype(file.dtypes[0]).kind not in "iuf":
            raise RefusedInput(f"holds {file.dtypes[0]}, not plain numbers")


def grid_of(file: Any) -> Grid:
    """Return the grid of an open file, row 0 northernmost.

    Degree grids (EPSG:4326) get the name that `Grid.latlon` gives; others one made of reference
    system, corner, cell and shape.

    Raises
    ------
    RefusedInput
        When the raster is turned, mirrored or not on Earth.
    """
    t = file.transform
    if max(abs(t.b), abs(t.d)) > _TURN * max(abs(t.a), abs(t.e)):
        raise RefusedInput("is turned against its coordinate axes: warp it first (gdalwarp)")
    if not np.isfinite([*t]).all() or t.a <= 0 or t.e == 0:
        raise RefusedInput(
            "has columns that do not run from west to east: warp it first (gdalwarp)"
        )
    dx, dy = round(t.a, 12), round(abs(t.e), 12)
    rows, columns = file.height, file.width
    west, north = t.c, t.f if t.e < 0 else t.f + rows * t.e
    with refusing("has an unknown coordinate reference system", _FAULTS):
        epsg = file.crs.to_epsg()
    if epsg == 4326:  # noqa: PLR2004 - WGS 84
        south, east = north - rows * dy, west + columns * dx
        if west < -180 - dx or east > 180 + dx or south < -90 - dy or north > 90 + dy:
            raise RefusedInput(
                f"reaches from {west:g} to {east:g} degrees east and {south:g} to {north:g} north: "
                "not on Earth, or counted from 0 to 360"
            )
        return Grid.latlon(round(west, 10), round(north, 10), (dx, dy), (rows, columns))
    with refusing("has an unknown coordinate reference system", _FAULTS):
        wkt = file.crs.to_wkt()
        name = f"EPSG:{epsg}" if epsg else f"CRS:{hashlib.sha256(wkt.encode()).hexdigest()[:12]}"
        crs = CRS(name if epsg else wkt)
    numbers = ",".join(repr(round(x, 6)).removesuffix(".0") for x in (west, north, dx, dy))
    return Grid(
        f"{name}({numbers},{columns},{rows})",
        GeoBox((rows, columns), Affine(dx, 0, west, 0, -dy, north), crs),
    )


def read_band(file: Any) -> NDArray[np.float32]:
    """Read the band of an open file.

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
    with refusing(_BROKEN, _FAULTS):
        band = file.read(1, masked=True)
        scale, offset = file.scales[0], file.offsets[0]
        upwards = file.transform.e > 0
    wide = np.float32 if band.dtype.itemsize <= 2 or band.dtype.kind == "f" else np.float64  # noqa: PLR2004
    values = np.ma.getdata(band).astype(wide)
    with np.errstate(invalid="ignore"):
        values[np.ma.getmaskarray(band) | ~(np.abs(values) < _FILL)] = np.nan
    if (scale, offset) != (1.0, 0.0):
        values = values * scale + offset
    return (values[::-1] if upwards else values).astype(np.float32)
