"""Soil maps as their providers write them, and Esri ASCII grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import netcdf_file

HWSD_NAME = "hwsd.bil"
CSDL_NAME = "SA.nc"
CSDL_DENSITY_NAME = "BD.nc"
COLUMNS = (
    "ID", "MU_GLOBAL", "MU_SOURCE1", "ISSOIL", "SHARE", "SEQ", "SU_SYM90", "T_SAND", "T_SILT", "T_CLAY",
    "T_REF_BULK_DENSITY", "T_BULK_DENSITY", "S_SAND",
)  # fmt: skip
Component = tuple[int, float, str, tuple[float, float, float] | None, float | None]
"""Unit, share, symbol, sand/silt/clay [%], bulk density [kg dm-3]."""
COMPONENTS: tuple[Component, ...] = (
    (11000, 60, "CMc", (50, 30, 20), 1.4),
    (11000, 30, "LVh", (20, 40, 40), 1.3),
    (11000, 10, "RK", None, None),
    (11001, 100, "ARh", (90, 5, 5), 1.6),
    (7001, 80, "WR", None, None),
    (7001, 20, "FLe", (40, 40, 20), 1.45),
    (6997, 100, "GG", None, None),
)
UNITS = np.array(
    [[11000, 11000, 11001, 0], [7001, 11001, 11001, 6997], [11001, 11000, 11000, 11001]]
)
"""Sample map: units above and the sea."""
ENDS = (4.5, 9.1, 16.6, 28.9, 49.3, 82.9, 138.3, 229.6)


def header(shape: tuple[int, int], west: float, north: float, **other: object) -> str:
    rows, columns = shape
    step = 0.00833333333333
    lines: dict[str, object] = {
        "BYTEORDER": "I", "LAYOUT": "BIL", "NROWS": rows, "NCOLS": columns, "NBANDS": 1, "NBITS": 16,
        "BANDROWBYTES": 2 * columns, "TOTALROWBYTES": 2 * columns,
        "ULXMAP": west + 1 / 240, "ULYMAP": north - 1 / 240, "XDIM": step, "YDIM": step,
    }  # fmt: skip
    return "".join(f"{key:<15}{value}\r\n" for key, value in (lines | other).items())


def table(
    components: Sequence[Component] = COMPONENTS, *, factor: float = 1.0, separator: str = ","
) -> str:
    """Return the table as the exporter writes it: text in quotes, what is not there empty."""
    lines = [separator.join(COLUMNS)]
    for i, (unit, share, symbol, soil, density) in enumerate(components, start=1):
        numbers = ["", "", ""] if soil is None else [f"{part * factor:g}" for part in soil]
        heavy = "" if density is None else f"{density:g}"
        fields = [i, unit, '"A, b"', int(soil is not None), f"{share:g}", 1, f'"{symbol}"']
        fields += [*numbers, "1.35" if heavy else "", heavy, "1"]
        lines.append(separator.join(map(str, fields)))
    return "\n".join(lines) + "\n"


def hwsd(
    path: Path,
    units: np.ndarray = UNITS,
    text: str | None = None,
    *,
    west: float = 105.0,
    north: float = 38.0,
    names: tuple[str, str] = ("hwsd.hdr", "HWSD_DATA.csv"),
    **other: object,
) -> Path:
    """Write map, header and table; ``other`` are lines of the header."""
    units = np.asarray(units)
    units.astype(">u2" if other.get("BYTEORDER") == "M" else "<u2").tofile(path)
    path.with_name(names[0]).write_text(header(units.shape, west, north, **other))
    path.with_name(names[1]).write_text(table() if text is None else text)
    return path


def csdl(
    path: Path,
    layers: np.ndarray | None = None,
    *,
    name: str | None = None,
    unit: str | None = None,
    depths: Sequence[float] = ENDS,
    depth_unit: str = "cm",
    fill: int | None = -999,
    latitudes: np.ndarray | None = None,
    longitudes: np.ndarray | None = None,
    dimensions: tuple[str, str, str] = ("depth", "lat", "lon"),
) -> Path:
    """Write a property as classic NetCDF; ``layers`` has the shape (depth, latitude, longitude)."""
    name = name or path.stem
    unit = unit or {"BD": "0.01g/cm3", "POR": "cm3/cm3"}.get(name, "% of weight")
    if layers is None:
        level, step = {"BD": (140, 1), "POR": (0.4, 0.01)}.get(name, (40, 1))
        layers = np.full((len(depths), 4, 5), level) + step * np.arange(len(depths))[:, None, None]
    _, rows, columns = layers.shape
    if latitudes is None:
        latitudes = 38 - (np.arange(rows) + 0.5) / 120
    if longitudes is None:
        longitudes = 105 + (np.arange(columns) + 0.5) / 120
    with netcdf_file(path, "w", version=2) as file:
        axes = zip(
            dimensions, (depths, latitudes, longitudes),
            (depth_unit, "degrees_north", "degrees_east"), strict=True,
        )  # fmt: skip
        for axis, values, axis_unit in axes:
            file.createDimension(axis, len(values))
            coordinate = file.createVariable(axis, "f4", (axis,))
            coordinate.units = axis_unit
            coordinate[:] = values
        data = file.createVariable(name, "f4" if layers.dtype.kind == "f" else "i2", dimensions)
        data.units = unit
        if fill is not None:
            data.missing_value = np.array(fill, data.data.dtype)
        data[:] = layers
    return path


def csdl_hdf5(path: Path, layers: np.ndarray, **attributes: Any) -> Path:
    """Write a property as NetCDF-4."""
    _, rows, columns = layers.shape
    axes = {
        "depth": (np.array(ENDS), "cm"),
        "lat": (38 - (np.arange(rows) + 0.5) / 120, "degrees_north"),
        "lon": (105 + (np.arange(columns) + 0.5) / 120, "degrees_east"),
    }
    with h5py.File(path, "w") as file:
        for name, (values, unit) in axes.items():
            file[name] = values
            file[name].make_scale(name)
            file[name].attrs["units"] = np.bytes_(unit)
        data = file.create_dataset(path.stem, data=layers)
        for i, name in enumerate(axes):
            data.dims[i].attach_scale(file[name])
        for key, value in attributes.items():
            data.attrs[key] = np.bytes_(value) if isinstance(value, str) else value
    return path


def ascii_grid(
    path: Path,
    values: np.ndarray | None = None,
    *,
    west: float = 105.0,
    south: float = 37.0,
    step: float = 1 / 120,
    nodata: str | None = "-9999",
) -> Path:
    """Write an Esri ASCII grid; row 0 is the northernmost."""
    values = 1200.0 + np.arange(20).reshape(4, 5) if values is None else np.asarray(values)
    rows, columns = values.shape
    lines = [f"ncols {columns}", f"nrows {rows}", f"xllcorner {west}", f"yllcorner {south}"]
    lines += [f"cellsize {step:.12f}"] + ([f"NODATA_value {nodata}"] if nodata else [])
    lines += [" ".join(f"{value:g}" for value in row) for row in values]
    path.write_text("\n".join(lines) + "\n")
    return path
