"""Small HDF5-EOS granules of VIIRS: a window of a tile, written with the bare library and without our writers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tests.factories.modis import texts

VNP13A2_NAME = "VNP13A2.A2020001.h18v05.002.2020018120000.h5"
GROUP = "HDFEOS/GRIDS/VIIRS_Grid_16Day_VI_1km/Data Fields"
FILLS = {"NDVI": [-15000, -13000], "EVI": [-15000, -13000], "VI Quality": [65535],
         "pixel reliability": [-4, -1]}  # fmt: skip


def vi(
    path: Path,
    ndvi: np.ndarray | None = None,
    *,
    rank: np.ndarray | int = 0,
    quality: np.ndarray | int = 1 << 11,
    left_out: tuple[str, ...] = (),
    name: str = VNP13A2_NAME,
    scale: float = 0.0001,
    days: int = 16,
    group: str = GROUP,
    **statements: object,
) -> Path:
    """Write a VNP13A2; ``ndvi`` as stored, -15000 or -13000 for none; EVI is half of it."""
    ndvi = np.full((6, 8), 5000, np.int16) if ndvi is None else np.asarray(ndvi, np.int16)
    layers = {
        "NDVI": ndvi,
        "EVI": np.where(ndvi <= -13000, ndvi, ndvi // 2).astype(np.int16),
        "VI Quality": np.broadcast_to(np.asarray(quality, np.uint16), ndvi.shape),
        "pixel reliability": np.broadcast_to(np.asarray(rank, np.int8), ndvi.shape),
    }
    structure, core = texts(name, ndvi.shape, days, **statements)
    with h5py.File(path, "w") as file:
        for short, values in layers.items():
            if short in left_out:
                continue
            # checksums, so that damage to the values is noticed
            data = file.create_dataset(
                f"{group}/1 km 16 days {short}", data=values, fletcher32=True
            )
            data.attrs["_FillValue"] = np.array(FILLS[short], values.dtype)
            if short in {"NDVI", "EVI"}:
                data.attrs["scale_factor"] = np.array([scale])
        information = file.create_group("HDFEOS INFORMATION")
        for title, text in (("StructMetadata.0", structure), ("CoreMetadata.0", core)):
            if text:
                stated = text.replace("Projection=GCTP", "Projection=HE5_GCTP")
                information[title] = np.bytes_(stated)
    return path
