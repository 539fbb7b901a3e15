"""Tiny SMAP granules in the structure of the provider: a global field with a few cells, and a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pyproj import Transformer

from smcatalog.core.grids import grid

SPL3SMP_NAME = "SMAP_L3_SM_P_20200102_R19240_001.h5"
SPL2SMP_NAME = "SMAP_L2_SM_P_26272_D_20200102T215805_R18290_001.h5"
AM, PM = "Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data_PM"
HALF = "Soil_Moisture_Retrieval_Data"
FILL, FILL_FLAGS = -9999.0, 65534


@dataclass(frozen=True)
class Cell:
    """A cell of the 36 km grid as a granule shows it."""

    row: int
    column: int
    sm: float = 0.2
    quality: int = 0
    surface: int = 0
    others: dict[str, float] = field(default_factory=dict)


CELLS = (Cell(80, 760, 0.21), Cell(81, 762, 0.32, quality=1, surface=0b11))


def degrees() -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes of the rows and longitudes of the columns."""
    x, y = grid("M36").centres()
    back = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True)
    return (
        np.asarray(back.transform(np.zeros_like(y), y)[1]),
        np.asarray(back.transform(x, np.zeros_like(x))[0]),
    )


def columns(cells: tuple[Cell, ...]) -> dict[str, np.ndarray]:
    """Return the datasets of some cells, as lists."""
    latitude, longitude = degrees()
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


def _write(group: h5py.Group, name: str, values: np.ndarray) -> None:
    data = group.create_dataset(
        name, data=values, chunks=(1, values.shape[1]) if values.ndim == 2 else None,
        compression="gzip" if values.ndim == 2 else None,
    )  # fmt: skip
    if not name.startswith(("latitude", "longitude")):
        data.attrs["_FillValue"] = values.dtype.type(FILL_FLAGS if values.dtype == "u2" else FILL)
    if name.startswith("soil_moisture"):
        data.attrs["units"] = np.bytes_("cm**3/cm**3")


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
            for key, values in columns(cells).items():
                whole = np.full(
                    grid("M36").shape, FILL_FLAGS if values.dtype == "u2" else FILL, values.dtype
                )
                whole[[c.row for c in cells], [c.column for c in cells]] = values
                _write(place, key + suffix, whole)
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
            _write(place, key, values)
    return path
