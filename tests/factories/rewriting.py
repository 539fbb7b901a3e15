"""Changing what stands in a valid file, whatever its format: data sets, their attributes, its texts.

The file stays a sound one of its format, so that only the change is wrong with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from scipy.io import netcdf_file

from ingest.sniff import Format, head, sniff
from tests.factories.modis import CODES

Attributes = dict[str, Any]
Change = Callable[[str, np.ndarray, Attributes], tuple[np.ndarray, Attributes] | None]
"""Takes name, values and attributes of a data set, returns new ones, or None: it is left out."""
Reword = Callable[[str, str], str | None]
"""Takes name and content of a text that describes the granule, returns the new one, or None."""

SCIENTIFIC = frozenset({Format.HDF4, Format.HDF5, Format.NETCDF3, Format.TIFF})
BAND = "band"
"""Stands for the data set of a GeoTIFF; its attributes are nodata, scale and the profile's."""


def same(name: str, values: np.ndarray, attributes: Attributes) -> tuple[np.ndarray, Attributes]:
    """Change no data set."""
    return values, attributes


def rewrite(path: Path, change: Change = same, reword: Reword | None = None) -> None:
    """Change a file in place."""
    kind = sniff(head(path))
    {
        Format.HDF4: _hdf4,
        Format.HDF5: _hdf5,
        Format.NETCDF3: _netcdf3,
        Format.TIFF: _tiff,
    }[kind](path, change, reword or (lambda _, text: text))


def _hdf4(path: Path, change: Change, reword: Reword) -> None:
    from pyhdf.SD import SD, SDC

    file = SD(str(path), SDC.READ)
    held = {}
    for name in file.datasets():
        data = file.select(name)
        held[name] = np.asarray(data.get()), data.attributes()
    texts = file.attributes()
    file.end()
    file = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    for name, (values, attributes) in held.items():
        changed = change(name, values, attributes)
        if changed is not None:
            _hdf4_data(file, name, *changed)
    for name, text in texts.items():
        new = reword(name, text)
        if new:
            file.attr(name).set(SDC.CHAR, new)
    file.end()


def _hdf4_data(file: Any, name: str, values: np.ndarray, attributes: Attributes) -> None:
    codes = CODES | {"float32": 5, "float64": 6, "bytes8": 4}
    kind = codes[values.dtype.name]
    stored = file.create(name, kind, values.shape)
    for key, value in attributes.items():
        code = 4 if isinstance(value, str) else 6 if isinstance(value, float) else kind
        stored.attr(key).set(code, value)
    if 0 not in values.shape:
        stored[:] = values
    stored.endaccess()


def _hdf5(path: Path, change: Change, reword: Reword) -> None:
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        _hdf5_texts(file, "", reword)
        for name in names:
            place = file[name]
            if "INFORMATION" in name and isinstance(place, h5py.Dataset):
                new = reword(name, place[()].decode())
                del file[name]
                if new:
                    file[name] = np.bytes_(new)
            elif isinstance(place, h5py.Dataset):
                if place.dtype.kind in "iuf":
                    _hdf5_data(file, place, name, change)
            else:
                _hdf5_texts(place, f"{name}/", reword)


def _hdf5_texts(place: h5py.Group, prefix: str, reword: Reword) -> None:
    """Reword a group's attributes."""
    for key, text in dict(place.attrs).items():
        if isinstance(text, str | bytes):
            new = reword(prefix + key, text.decode() if isinstance(text, bytes) else text)
            del place.attrs[key]
            if new is not None:
                place.attrs[key] = np.bytes_(new)


def _hdf5_data(file: h5py.File, data: h5py.Dataset, name: str, change: Change) -> None:
    # what the library itself keeps for dimensions is not the data set's own
    own = {k: v for k, v in data.attrs.items() if k not in {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}}  # fmt: skip
    scales = [[scale.name for scale in axis.values()] for axis in data.dims]
    values = data[()]
    changed = change(name, values, dict(own))
    if changed is None:
        _detach(file, data, scales)
        del file[name]
        return
    new, attributes = changed
    if new.dtype == data.dtype and new.shape == data.shape:
        if new is not values:
            data[...] = new
    else:
        _detach(file, data, scales)
        del file[name]
        data = file.create_dataset(name, data=new)
        for axis, listed in enumerate(scales[: new.ndim]):
            for scale in listed:
                if file[scale].shape == (new.shape[axis],):
                    data.dims[axis].attach_scale(file[scale])
    for key in own:
        if key in data.attrs:
            del data.attrs[key]
    data.attrs.update(attributes)


def _detach(file: h5py.File, data: h5py.Dataset, scales: list[list[str]]) -> None:
    """Let the coordinates of a data set that is deleted forget it."""
    for axis, listed in zip(data.dims, scales, strict=True):
        for scale in listed:
            axis.detach_scale(file[scale])


def _netcdf3(path: Path, change: Change, reword: Reword) -> None:
    with netcdf_file(path, "r", mmap=False, maskandscale=False) as file:
        held = {
            name: (v.dimensions, np.array(v.data), dict(v._attributes))
            for name, v in file.variables.items()
        }
    with netcdf_file(path, "w", version=2) as file:
        for name, (dimensions, values, attributes) in held.items():
            changed = change(name, values, attributes)
            if changed is None:
                continue
            new, kept = changed
            named = [
                dimension if file.dimensions.setdefault(dimension, length) == length else f"{dimension}_{name}"
                for dimension, length in zip(dimensions, new.shape, strict=True)
            ]  # fmt: skip
            for dimension, length in zip(named, new.shape, strict=True):
                if dimension not in file.dimensions or file.dimensions[dimension] != length:
                    file.createDimension(dimension, length)
                elif dimension not in file._dims:
                    file._dims.append(dimension)
            variable = file.createVariable(name, new.dtype.newbyteorder("="), tuple(named))
            variable[:] = new
            for key, value in kept.items():
                setattr(variable, key, value)


def _tiff(path: Path, change: Change, reword: Reword) -> None:
    with rasterio.open(path) as file:
        values, profile = (file.read(1) if file.count == 1 else file.read()), dict(file.profile)
        attributes = {"_FillValue": file.nodata, "scale_factor": file.scales[0], "add_offset": file.offsets[0]}  # fmt: skip
    changed = change(BAND, values, attributes | {"crs": profile["crs"], "transform": profile["transform"]})  # fmt: skip
    path.unlink()
    if changed is None:
        return
    new, attributes = changed
    bands = new if new.ndim == 3 else new[None]
    profile |= {
        "nodata": attributes["_FillValue"], "crs": attributes["crs"],
        "transform": attributes["transform"], "dtype": bands.dtype, "count": len(bands),
        "height": bands.shape[1], "width": bands.shape[2],
    }  # fmt: skip
    profile = {k: v for k, v in profile.items() if k not in {"blockxsize", "blockysize", "tiled"}}
    if profile["transform"] == Affine.identity():  # is left out, as GDAL does
        del profile["transform"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        file = rasterio.open(path, "w", **profile)
    with file:
        file.write(bands)
        if (attributes["scale_factor"], attributes["add_offset"]) != (1.0, 0.0):
            file.scales = [attributes["scale_factor"]] * len(bands)
            file.offsets = [attributes["add_offset"]] * len(bands)
