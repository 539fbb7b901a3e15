"""Tiny SMAP granules in the structure of the provider: a global field with a few cells, and a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pyproj import Transformer

from smcatalog.core.grids import grid

SPL3SMP_NAME = "SMAP_L3_SM_P_20200102_R19240_001.h5"
SPL3SMP_E_NAME = "SMAP_L3_SM_P_E_20200102_R19240_001.h5"
SPL4SMGP_NAME = "SMAP_L4_SM_gph_20200102T223000_Vv7032_001.h5"
SPL2SMP_NAME = "SMAP_L2_SM_P_26272_D_20200102T215805_R18290_001.h5"
AM, PM = "Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data_PM"
HALF = "Soil_Moisture_Retrieval_Data"
FILL, FILL_FLAGS = -9999.0, 65534


@dataclass(frozen=True)
class Cell:
    """A cell of a grid as a granule shows it."""

    row: int
    column: int
    sm: float = 0.2
    quality: int = 0
    surface: int = 0
    others: dict[str, float] = field(default_factory=dict)


CELLS = (Cell(80, 760, 0.21), Cell(81, 762, 0.32, quality=1, surface=0b11))


@cache
def degrees(base: str = "M36") -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes of the rows and longitudes of the columns."""
    x, y = grid(base).centres()
    back = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    return (
        np.asarray(back.transform(np.zeros_like(y), y)[1]),
        np.asarray(back.transform(x, np.zeros_like(x))[0]),
    )


def columns(cells: tuple[Cell, ...], base: str = "M36") -> dict[str, np.ndarray]:
    """Return the datasets of some cells, as lists."""
    latitude, longitude = degrees(base)
    rows, cols = (np.array([getattr(c, k) for c in cells], "u2") for k in ("row", "column"))
    found = {
        "latitude": latitude[rows].astype("f4"),
        "longitude": longitude[cols].astype("f4"),
        "EASE_row_index": rows,
        "EASE_column_index": cols,
        "soil_moisture": np.array([c.sm for c in cells], "f4"),
        "retrieval_qual_flag": np.array([c.quality for c in cells], "u2"),
        "surface_flag": np.array([c.surface for c in cells], "u2"),
    }
    for name in {name for c in cells for name in c.others}:
        kind = "u2" if "flag" in name else "f4"
        found[name] = np.array([c.others.get(name, FILL) for c in cells], kind)
    return found


def _describe(data: h5py.Dataset, name: str) -> None:
    if not name.startswith(("latitude", "longitude")):
        data.attrs["_FillValue"] = data.dtype.type(_fill(data.dtype))
    if name.startswith("soil_moisture"):
        data.attrs["units"] = np.bytes_("cm**3/cm**3")


def _fill(dtype: np.dtype) -> float:
    return FILL_FLAGS if dtype == "u2" else FILL


def _field(group: h5py.Group, name: str, base: str, at: Any, values: np.ndarray) -> h5py.Dataset:
    """Write a global field that holds values at some cells only."""
    data = group.create_dataset(
        name, grid(base).shape, values.dtype, chunks=(58, 241), compression="gzip",
        fillvalue=_fill(values.dtype),
    )  # fmt: skip
    rows, cols = at
    if isinstance(rows, slice):
        data[rows, cols] = values
    else:
        for row, column, value in zip(rows, cols, values, strict=True):
            data[row, column] = value
    _describe(data, name)
    return data


def _metadata(file: h5py.File, groups: dict[str, dict[str, Any]]) -> None:
    for name, attributes in groups.items():
        file.create_group(f"Metadata/{name}").attrs.update(attributes)


def spl3smp(
    path: Path,
    am: tuple[Cell, ...] = CELLS,
    pm: tuple[Cell, ...] = (Cell(80, 761, 0.25),),
    *,
    name: str | None = SPL3SMP_NAME,
    begin: str = "2020-01-02T00:00:00.000Z",
    end: str = "2020-01-02T23:59:59.999Z",
    short_name: str = "SPL3SMP",
    base: str = "M36",
) -> Path:
    """Write a daily composite; without any metadata when ``name`` is None."""
    with h5py.File(path, "w") as file:
        if name is not None:
            _metadata(file, {
                "DatasetIdentification": {"fileName": name, "shortName": short_name},
                "Extent": {"rangeBeginningDateTime": begin, "rangeEndingDateTime": end},
            })  # fmt: skip
        for group, suffix, cells in ((AM, "", am), (PM, "_pm", pm)):
            place = file.create_group(group)
            at = [c.row for c in cells], [c.column for c in cells]
            for key, values in columns(cells, base).items():
                _field(place, key + suffix, base, at, values)
    return path


ENHANCED_CELLS = (Cell(640, 3060, 0.21), Cell(642, 3061, 0.32, quality=1, surface=0b11))


def spl3smp_e(path: Path, **given: Any) -> Path:
    """Write a daily composite of 9 km, as `spl3smp` does."""
    own = {
        "am": ENHANCED_CELLS, "pm": (Cell(641, 3060, 0.25),), "name": SPL3SMP_E_NAME,
        "short_name": "SPL3SMP_E", "base": "M09",
    }  # fmt: skip
    return spl3smp(path, **own | given)


def spl4smgp(
    path: Path,
    surface: tuple[Cell, ...] = ENHANCED_CELLS,
    rootzone: tuple[Cell, ...] = ENHANCED_CELLS[:1],
    *,
    name: str | None = SPL4SMGP_NAME,
    begin: str = "2020-01-02T21:00:00.000000Z",
    end: str = "2020-01-03T00:00:00.000000Z",
    seconds: float | None = 631276264.184,
    short_name: str = "SPL4SMGP",
) -> Path:
    """Write three hours of the model; without metadata when ``name`` is None, without a field of no cells."""
    latitude, longitude = (np.asarray(d, "f4") for d in degrees("M09"))
    with h5py.File(path, "w") as file:
        if name is not None:
            _metadata(file, {
                "DatasetIdentification": {"fileName": f"/mnt/out/{name}", "shortName": short_name},
                "Extent": {"rangeBeginningDateTime": begin, "rangeEndingDateTime": end},
            })  # fmt: skip
        if seconds is not None:
            time = file.create_dataset("time", data=np.array([seconds]))
            time.attrs["units"] = np.bytes_("seconds since 2000-01-01 11:58:55.816")
        # coordinates around the cells only: all of them take seconds
        part = slice(600, 700), slice(3000, 3100)
        shape = (100, 100)
        for key, values in (
            ("cell_lat", latitude[part[0], None]),
            ("cell_lon", longitude[None, part[1]]),
        ):
            _field(file, key, "M09", part, np.broadcast_to(values, shape))
        group = file.create_group("Geophysical_Data")
        _field(group, "surface_temp", "M09", part, np.full(shape, 280, "f4"))
        for key, cells in (("sm_surface", surface), ("sm_rootzone", rootzone)):
            if cells:
                at = [c.row for c in cells], [c.column for c in cells]
                data = _field(group, key, "M09", at, np.array([c.sm for c in cells], "f4"))
                data.attrs["units"] = np.bytes_("m3 m-3")
    return path


def spl2smp(
    path: Path,
    cells: tuple[Cell, ...] = CELLS,
    *,
    name: str = SPL2SMP_NAME,
    begin: str = "2020-01-02T21:58:05.100Z",
    end: str = "2020-01-02T22:51:26.500Z",
    direction: str = "Descending",
    short_name: str = "SPL2SMP",
) -> Path:
    """Write a half orbit; an empty text leaves its attribute out."""
    groups = {
        "DatasetIdentification": {"fileName": name, "shortName": short_name},
        "Extent": {"rangeBeginningDateTime": begin, "rangeEndingDateTime": end},
        "OrbitMeasuredLocation": {"orbitDirection": direction},
    }
    with h5py.File(path, "w") as file:
        _metadata(file, {k: {a: t for a, t in v.items() if t} for k, v in groups.items()})
        place = file.create_group(HALF)
        for key, values in columns(cells).items():
            _describe(place.create_dataset(key, data=values), key)
    return path
