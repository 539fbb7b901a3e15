"""Small granules of albedo and land cover, written with the bare library and without our writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.factories import modis

MCD43A3_NAME = "MCD43A3.A2020009.h18v05.061.2020018081500.hdf"
MCD43C3_NAME = "MCD43C3.A2020009.061.2020018081500.hdf"
MCD43D58_NAME = "MCD43D58.A2020009.061.2020018081500.hdf"
MCD12Q1_NAME = "MCD12Q1.A2019001.h18v05.061.2020300120000.hdf"
FILL = 32767

_Data = dict[str, tuple[np.ndarray, dict[str, object]]]


def _scaled(values: np.ndarray, scale: float) -> tuple[np.ndarray, dict[str, object]]:
    return np.asarray(values, np.int16), {"_FillValue": FILL, "scale_factor": scale}


def _flags(
    values: np.ndarray | int, shape: tuple[int, ...]
) -> tuple[np.ndarray, dict[str, object]]:
    return np.broadcast_to(np.asarray(values, np.uint8), shape).copy(), {"_FillValue": 255}


def tile(
    path: Path,
    black: np.ndarray | None = None,
    white: np.ndarray | None = None,
    *,
    qc: np.ndarray | int = 0,
    band7: bool = True,
    scale: float = 0.001,
    name: str = MCD43A3_NAME,
    **statements: object,
) -> Path:
    """Write an MCD43A3; albedos as stored, band 7 is half of the white-sky one."""
    black = np.full((6, 8), 180, np.int16) if black is None else np.asarray(black, np.int16)
    white = np.where(black == FILL, FILL, black + 20) if white is None else np.asarray(white)
    data: _Data = {
        "Albedo_BSA_shortwave": _scaled(black, scale),
        "Albedo_WSA_shortwave": _scaled(white, scale),
        "BRDF_Albedo_Band_Mandatory_Quality_shortwave": _flags(qc, black.shape),
    }
    if band7:
        data["Albedo_WSA_Band7"] = _scaled(np.where(white == FILL, FILL, white // 2), scale)
        data["BRDF_Albedo_Band_Mandatory_Quality_Band7"] = _flags(qc, black.shape)
    wanted = {"days": 16, "lead": 8, "pixels": 2400} | statements
    return modis.write(path, data, name=name, **wanted)


def degrees(
    corner: tuple[float, float], shape: tuple[int, int], per_degree: int, *, packed: bool = True
) -> str:
    """Return the text of a grid in degrees whose upper left corner is (longitude, latitude)."""
    (x0, y0), (rows, columns) = corner, shape
    x1, y1 = x0 + columns / per_degree, y0 - rows / per_degree

    def written(angle: float) -> str:
        if not packed:
            return f"{angle:.6f}"
        seconds = round(abs(angle) * 3600)
        sign = "-" if angle < 0 else ""
        return f"{sign}{seconds // 3600}{seconds // 60 % 60:03d}{seconds % 60:03d}.000000"

    return (
        'GROUP=GridStructure\n\tGROUP=GRID_1\n\t\tGridName="MCD_CMG"\n'
        f"\t\tXDim={columns}\n\t\tYDim={rows}\n"
        f"\t\tUpperLeftPointMtrs=({written(x0)},{written(y0)})\n"
        f"\t\tLowerRightMtrs=({written(x1)},{written(y1)})\n"
        "\t\tProjection=GCTP_GEO\n\tEND_GROUP=GRID_1\nEND_GROUP=GridStructure\nEND\n"
    )


def globe(
    path: Path,
    black: np.ndarray | None = None,
    *,
    qc: np.ndarray | int = 0,
    snow: np.ndarray | int = 0,
    corner: tuple[float, float] = (104.5, 38.0),
    packed: bool = True,
    name: str = MCD43C3_NAME,
    **statements: object,
) -> Path:
    """Write an MCD43C3 of a part of the globe; white-sky albedo is 0.020 above the black-sky one."""
    black = np.full((6, 8), 180, np.int16) if black is None else np.asarray(black, np.int16)
    data: _Data = {
        "Albedo_BSA_shortwave": _scaled(black, 0.001),
        "Albedo_WSA_shortwave": _scaled(np.where(black == FILL, FILL, black + 20), 0.001),
        "BRDF_Quality": _flags(qc, black.shape),
        "Percent_Snow": _flags(snow, black.shape),
    }
    structure = degrees(corner, black.shape, 20, packed=packed)
    wanted = {"days": 16, "lead": 8, "structure": structure} | statements
    return modis.write(path, data, name=name, **wanted)


def band7(
    path: Path,
    stored: np.ndarray | None = None,
    *,
    corner: tuple[float, float] = (104.5, 38.0),
    field: str = "BRDF_Albedo_WSA_Band7",
    name: str = MCD43D58_NAME,
    **statements: object,
) -> Path:
    """Write an MCD43D58 of a part of the globe."""
    stored = np.full((6, 8), 150, np.int16) if stored is None else np.asarray(stored, np.int16)
    structure = degrees(corner, stored.shape, 120)
    wanted = {"days": 16, "lead": 8, "structure": structure} | statements
    return modis.write(path, {field: _scaled(stored, 0.001)}, name=name, **wanted)


def land_cover(
    path: Path,
    pft: np.ndarray | None = None,
    *,
    qc: np.ndarray | int = 0,
    left_out: tuple[str, ...] = (),
    days: int = 365,
    name: str = MCD12Q1_NAME,
    **statements: object,
) -> Path:
    """Write an MCD12Q1 of a year; the class of the IGBP is always grassland (10)."""
    pft = np.full((6, 8), 6, np.uint8) if pft is None else np.asarray(pft, np.uint8)
    data: _Data = {
        "LC_Type1": _flags(np.where(pft == 255, 255, 10), pft.shape),
        "LC_Type5": _flags(pft, pft.shape),
        "QC": _flags(qc, pft.shape),
    }
    for title in left_out:
        del data[title]
    return modis.write(path, data, name=name, days=days, **{"pixels": 2400} | statements)
