"""What the tests of tiled granules share: through the readers, on the state's grid, as GDAL sees them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from ingest.granules import examine, read
from ingest.world.landscape import Landscape
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.resample import area_weights, layer_grid, overlap
from tests.factories import granules as make


def rasters(path: Path, delivered: str | None = None) -> dict[str, Raster]:
    """Read a granule's rasters by variable, in their order."""
    granule = examine(make.candidate(path, delivered))
    return {raster.variable.name: raster for raster in read(granule)}


def reason(path: Path, delivered: str | None = None) -> str:
    """Return why a granule is refused."""
    with pytest.raises(RefusedInput) as caught:
        rasters(path, delivered)
    return caught.value.reason


def near(raster: Raster, land: Landscape) -> Raster:
    """Cut a tile to the pixels around the region: the rest holds nothing, and weights of it take long."""
    window = raster.grid.crop(land.grid.bbox())
    shared = overlap(raster.grid, window)
    assert shared is not None
    part = shared[0]
    return replace(raster, grid=window, values=raster.values[part], quality=raster.quality[part])


def on_state(raster: Raster, land: Landscape) -> np.ndarray:
    """Bring a tile's values to the state's grid."""
    raster = near(raster, land)
    target = layer_grid(raster.grid)
    mean, _ = area_weights(raster.grid, target).mean(raster.values)
    shared = overlap(target, land.grid)
    assert shared is not None
    return mean[shared[0]]


def half(land: Landscape) -> np.ndarray:
    """True in the western half."""
    rows, columns = land.grid.shape
    return np.broadcast_to(np.arange(columns) < columns // 2, (rows, columns))


def inside(values: np.ndarray) -> np.ndarray:
    """Leave the rim out, where cells are covered in part."""
    return values[2:-2, 2:-2]


@dataclass(frozen=True)
class GdalField:
    """A field as GDAL opens it."""

    values: np.ndarray
    transform: Affine
    dtype: str
    nodata: float | None
    wkt: str | None


def gdal_field(path: Path, grid: str, field: str, out: Path) -> GdalField:
    """Read a field of an HDF4-EOS granule with the system's GDAL, through a GeoTIFF at ``out``."""
    return gdal_subset(f'HDF4_EOS:EOS_GRID:"{path}":{grid}:"{field}"', out, "HDF4Image")


def gdal_subset(subset: str, out: Path, driver: str) -> GdalField:
    """Read what GDAL calls a subdataset; skip where it has no such driver."""
    program = shutil.which("gdal_translate")
    if program is None or driver.encode() not in subprocess.check_output([program, "--formats"]):
        pytest.skip(f"there is no gdal_translate with a driver {driver}: install the system's GDAL")
    subprocess.run([program, "-q", subset, str(out)], check=True)
    names = {
        "uint8": "Byte",
        "int8": "Int8",
        "int16": "Int16",
        "uint16": "UInt16",
        "uint32": "UInt32",
    }
    with rasterio.open(out) as file:
        wkt = file.crs.to_wkt() if file.crs else None
        return GdalField(file.read(1), file.transform, names[file.dtypes[0]], file.nodata, wkt)


def data_sets(path: Path) -> dict[str, tuple]:
    """Return type, shape, attributes and dimensions of all data sets of an HDF4 file, in order."""
    from pyhdf.SD import SD

    file = SD(str(path))
    found = {}
    for name, (_, shape, kind, index) in file.datasets().items():
        data = file.select(index)
        attributes = data.attributes(full=True)
        ordered = sorted(attributes.items(), key=lambda item: item[1][1])
        # legends are prose, and the provider's text
        prose = {"Legend", "QA bitmap index"}
        told = [(key, value[0], value[2]) for key, value in ordered if key not in prose]
        found[name] = (kind, tuple(shape), told, [data.dim(axis).info()[0] for axis in (0, 1)])
    file.end()
    return found
