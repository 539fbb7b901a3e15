"""Small HDF4-EOS granules: a window of a tile, written with the bare library and without our writers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np

TILE = 1111950.5196666666
CODES = {"int8": 20, "uint8": 21, "int16": 22, "uint16": 23, "uint32": 25}
FILLS = {"NDVI": -3000, "EVI": -3000, "pixel reliability": -1, "VI Quality": 65535}

MOD11A1_NAME = "MOD11A1.A2020001.h18v05.061.2020002081500.hdf"
MOD13A2_NAME = "MOD13A2.A2020001.h18v05.061.2020018120000.hdf"
MOD15A2H_NAME = "MOD15A2H.A2020001.h18v05.061.2020010070000.hdf"
MOD09A1_NAME = "MOD09A1.A2020001.h18v05.061.2020010060000.hdf"
MYD21A1N_NAME = "MYD21A1N.A2020001.h18v05.061.2020002081500.hdf"
MCD43A4_NAME = "MCD43A4.A2020009.h18v05.061.2020018081500.hdf"
MYD11A1_NAME = MOD11A1_NAME.replace("MOD", "MYD")
MYD13A2_NAME = MOD13A2_NAME.replace("MOD13A2.A2020001", "MYD13A2.A2020009")


def _object(name: str, value: str) -> str:
    return f'OBJECT = {name}\n NUM_VAL = 1\n VALUE = "{value}"\nEND_OBJECT = {name}\n'


def _additional(name: str, value: str) -> str:
    return (
        f"OBJECT = ADDITIONALATTRIBUTESCONTAINER\n{_object('ADDITIONALATTRIBUTENAME', name)}"
        f"GROUP = INFORMATIONCONTENT\n{_object('PARAMETERVALUE', value)}"
        "END_GROUP = INFORMATIONCONTENT\nEND_OBJECT = ADDITIONALATTRIBUTESCONTAINER\n"
    )


def write(
    path: Path,
    data: Mapping[str, tuple[np.ndarray, Mapping[str, object]]],
    *,
    name: str,
    days: int,
    tile: tuple[int, int] | None = None,
    corner: tuple[float, float] | None = None,
    product: str | None = None,
    core: str | None = None,
    structure: str | None = None,
    pixels: int = 1200,
    lead: int = 0,
) -> Path:
    """Write data sets and what the file says of itself; every statement can be overridden.

    See `texts` for the statements.
    """
    from pyhdf.SD import SD, SDC

    shape = next(iter(data.values()))[0].shape
    structure, core = texts(
        name, shape, days, tile=tile, corner=corner, product=product, core=core,
        structure=structure, pixels=pixels, lead=lead,
    )  # fmt: skip
    file = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    for title, (values, attributes) in data.items():
        kind = CODES[values.dtype.name]
        stored = file.create(title, kind, values.shape)
        stored.setcompress(4, 1)
        for key, value in attributes.items():
            code = 4 if isinstance(value, str) else 6 if isinstance(value, float) else kind
            stored.attr(key).set(code, value)
        stored[:] = values
        stored.endaccess()
    for title, text in (("StructMetadata.0", structure), ("CoreMetadata.0", core)):
        if text:
            # the provider's texts end in zeros
            file.attr(title).set(SDC.CHAR, text + "\0\0")
    file.end()
    return path


def texts(
    name: str,
    shape: tuple[int, int],
    days: int,
    *,
    tile: tuple[int, int] | None = None,
    corner: tuple[float, float] | None = None,
    product: str | None = None,
    core: str | None = None,
    structure: str | None = None,
    pixels: int = 1200,
    lead: int = 0,
) -> tuple[str, str]:
    """Return what a granule says of its grid and of itself.

    ``name`` is the LOCALGRANULEID, and product, day and tile follow from it. ``corner`` counts
    pixels from the tile's upper left corner: x, y. ``pixels`` lie along a tile's edge.
    Days begin ``lead`` before the name's. A name without a tile needs its own ``structure``.
    """
    parts = name.split(".")
    first = date(int(parts[1][1:5]), 1, 1) + timedelta(days=int(parts[1][5:]) - 1)
    first -= timedelta(days=lead)
    place = (int(parts[2][1:3]), int(parts[2][4:])) if parts[2].startswith("h") else (0, 0)
    h, v = tile or place
    rows, columns = shape
    x, y = corner or (0.0, 0.0)
    cell = TILE / pixels
    left, top = (place[0] - 18) * TILE + x * cell, (9 - place[1]) * TILE - y * cell
    if structure is None:
        structure = (
            'GROUP=GridStructure\n\tGROUP=GRID_1\n\t\tGridName="grid"\n'
            f"\t\tXDim={columns}\n\t\tYDim={rows}\n\t\tUpperLeftPointMtrs=({left:.6f},{top:.6f})\n"
            f"\t\tLowerRightMtrs=({left + columns * cell:.6f},{top - rows * cell:.6f})\n"
            "\t\tProjection=GCTP_SNSOID\n\t\tProjParams=(6371007.181000,0,0,0,0)\n"
            "\tEND_GROUP=GRID_1\nEND_GROUP=GridStructure\nEND\n"
        )
    if core is None:
        core = (
            _object("LOCALGRANULEID", name)
            + _object("SHORTNAME", product or parts[0])
            + 'OBJECT = INPUTPOINTER\n NUM_VAL = 2\n VALUE = ("a", "\n  OBJECT = b")\nEND_OBJECT = INPUTPOINTER\n'
            + _object("RANGEENDINGDATE", str(first + timedelta(days=days - 1)))
            + _object("RANGEBEGINNINGDATE", str(first))
            + _additional("HORIZONTALTILENUMBER", f"{h:02d}")
            + _additional("VERTICALTILENUMBER", f"{v:02d}")
        )
    return structure, core


def lst(
    path: Path,
    day: np.ndarray | None = None,
    night: np.ndarray | None = None,
    *,
    qc: np.ndarray | int = 0,
    name: str = MOD11A1_NAME,
    scale: float = 0.02,
    days: int = 1,
    **statements: object,
) -> Path:
    """Write a MOD11A1; ``day`` and ``night`` as stored, 0 for none."""
    day = np.full((6, 8), 15000, np.uint16) if day is None else np.asarray(day, np.uint16)
    night = day if night is None else np.asarray(night, np.uint16)
    data = {}
    for which, values in (("Day", day), ("Night", night)):
        data[f"LST_{which}_1km"] = (values, {"_FillValue": 0, "scale_factor": scale})
        flags = np.broadcast_to(np.asarray(qc, np.uint8), values.shape).copy()
        data[f"QC_{which}"] = (flags, {"_FillValue": "NA\0"})
    return write(path, data, name=name, days=days, **statements)


def vi(
    path: Path,
    ndvi: np.ndarray | None = None,
    *,
    rank: np.ndarray | int = 0,
    quality: np.ndarray | int = 1 << 11,
    evi: bool = True,
    name: str = MOD13A2_NAME,
    scale: float = 10000.0,
    **statements: object,
) -> Path:
    """Write a MOD13A2; ``ndvi`` as stored, -3000 for none; EVI is half of it."""
    ndvi = np.full((6, 8), 5000, np.int16) if ndvi is None else np.asarray(ndvi, np.int16)
    layers = {"NDVI": ndvi}
    if evi:
        layers["EVI"] = np.where(ndvi == -3000, -3000, ndvi // 2).astype(np.int16)
    layers["VI Quality"] = np.broadcast_to(np.asarray(quality, np.uint16), ndvi.shape).copy()
    layers["pixel reliability"] = np.broadcast_to(np.asarray(rank, np.int8), ndvi.shape).copy()
    data = {}
    for short, values in layers.items():
        attributes: dict[str, object] = {"_FillValue": FILLS[short]}
        if short in {"NDVI", "EVI"}:
            attributes["scale_factor"] = scale
        data[f"1 km 16 days {short}"] = (values, attributes)
    return write(path, data, name=name, days=16, **statements)


def lai(
    path: Path,
    stored: np.ndarray | None = None,
    *,
    qc: np.ndarray | int = 0,
    extra: np.ndarray | int = 0,
    name: str = MOD15A2H_NAME,
    scale: float = 0.1,
    days: int = 8,
    **statements: object,
) -> Path:
    """Write a MOD15A2H; ``stored`` tenths of leaf area, from 249 on for none; FPAR is the same number."""
    stored = np.full((6, 8), 25, np.uint8) if stored is None else np.asarray(stored, np.uint8)
    data: dict[str, tuple[np.ndarray, dict[str, object]]] = {
        "Fpar_500m": (stored, {"_FillValue": 255, "scale_factor": 0.01}),
        "Lai_500m": (stored, {"_FillValue": 255, "scale_factor": scale}),
    }
    for title, value in (("FparLai_QC", qc), ("FparExtra_QC", extra)):
        flags = np.broadcast_to(np.asarray(value, np.uint8), stored.shape).copy()
        data[title] = (flags, {"_FillValue": 255})
    return write(path, data, name=name, days=days, **{"pixels": 2400} | statements)


BANDS = (1000, 3000, 500, 800, 2800, 2000, 1500)
"""Reflectances of the seven bands in ten-thousandths: a half green surface."""
LAND = 1 << 3


def reflectance(
    path: Path,
    bands: dict[int, np.ndarray] | None = None,
    *,
    state: np.ndarray | int = LAND,
    qc: np.ndarray | int = 1 << 30,
    left_out: tuple[int, ...] = (),
    name: str = MOD09A1_NAME,
    scale: float = 0.0001,
    days: int = 8,
    **statements: object,
) -> Path:
    """Write a MOD09A1; ``bands`` by number as stored, -28672 for none, the others from `BANDS`."""
    bands = bands or {}
    shape = next((np.shape(values) for values in bands.values()), (6, 8))
    data: dict[str, tuple[np.ndarray, dict[str, object]]] = {}
    for number, value in enumerate(BANDS, 1):
        values = np.broadcast_to(np.asarray(bands.get(number, value), np.int16), shape).copy()
        data[f"sur_refl_b{number:02d}"] = (values, {"_FillValue": -28672, "scale_factor": scale})
    flags = np.broadcast_to(np.asarray(qc, np.uint32), shape).copy()
    data["sur_refl_qc_500m"] = (flags, {})
    flags = np.broadcast_to(np.asarray(state, np.uint16), shape).copy()
    data["sur_refl_state_500m"] = (flags, {"_FillValue": 65535})
    for number in left_out:
        del data[f"sur_refl_b{number:02d}"]
    return write(path, data, name=name, days=days, **{"pixels": 2400} | statements)


def night(
    path: Path,
    stored: np.ndarray | None = None,
    *,
    qc: np.ndarray | int = 0,
    name: str = MYD21A1N_NAME,
    scale: float = 0.02,
    days: int = 1,
    **statements: object,
) -> Path:
    """Write a MYD21A1N; ``stored`` steps of 0.02 K, 0 for none."""
    stored = np.full((6, 8), 14000, np.uint16) if stored is None else np.asarray(stored, np.uint16)
    flags = np.broadcast_to(np.asarray(qc, np.uint16), stored.shape).copy()
    hour = np.full(stored.shape, 14, np.uint8)
    data: dict[str, tuple[np.ndarray, dict[str, object]]] = {
        "LST_1KM": (stored, {"_FillValue": 0, "scale_factor": scale}),
        "QC": (flags, {}),
        "View_Time": (hour, {"_FillValue": 255, "scale_factor": 0.1}),
    }
    return write(path, data, name=name, days=days, **statements)


def nadir(
    path: Path,
    bands: dict[int, np.ndarray] | None = None,
    *,
    qc: dict[int, np.ndarray | int] | None = None,
    left_out: tuple[int, ...] = (),
    name: str = MCD43A4_NAME,
    scale: float = 0.0001,
    **statements: object,
) -> Path:
    """Write an MCD43A4; ``bands`` by number as stored, 32767 for none, the others from `BANDS`."""
    bands, qc = bands or {}, qc or {}
    shape = next((np.shape(values) for values in bands.values()), (6, 8))
    data: dict[str, tuple[np.ndarray, dict[str, object]]] = {}
    for number, value in enumerate(BANDS, 1):
        if number in left_out:
            continue
        values = np.broadcast_to(np.asarray(bands.get(number, value), np.int16), shape).copy()
        data[f"Nadir_Reflectance_Band{number}"] = (
            values,
            {"_FillValue": 32767, "scale_factor": scale},
        )
        flags = np.broadcast_to(np.asarray(qc.get(number, 0), np.uint8), shape).copy()
        data[f"BRDF_Albedo_Band_Mandatory_Quality_Band{number}"] = (flags, {"_FillValue": 255})
    wanted = {"days": 16, "lead": 8, "pixels": 2400} | statements
    return write(path, data, name=name, **wanted)
