"""Writing HDF5-EOS grids as the VIIRS land products are delivered.

The layout is HDF-EOS 5: data sets in ``HDFEOS/GRIDS/NAME/Data Fields`` and the texts of the granule in
``HDFEOS INFORMATION``. The same call gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from ingest.world.eos import Granule, archive, core
from ingest.world.writer import delivery

__all__ = ["Field", "write_granule"]

_RADIUS: Final = 6371007.181
_LEVEL: Final = 5
_TYPES: Final = {
    np.dtype(np.int8): "H5T_NATIVE_SCHAR",
    np.dtype(np.int16): "H5T_NATIVE_SHORT",
    np.dtype(np.uint16): "H5T_NATIVE_USHORT",
}


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One data set of a grid.

    Parameters
    ----------
    name : str
        As the provider calls it.
    values : ndarray of integer, shape (rows, columns)
        As they are stored.
    fill : int
        Where there is no value.
    fills : sequence of int
        All kinds of *no value*, in the provider's order.
    attributes : mapping of str to text, number or numbers
        Beside the fills.
    """

    name: str
    values: NDArray[Any]
    fill: int
    fills: Sequence[int]
    attributes: Mapping[str, str | float | Sequence[int]]


def write_granule(folder: Path, granule: Granule, fields: Sequence[Field]) -> Path:
    """Write a granule under the provider's name.

    Parameters
    ----------
    folder : Path
        Where to; made when it is not there.
    granule : Granule
        What it is; of a tile.
    fields : sequence of Field
        Its data, all of the tile's shape.

    Returns
    -------
    Path
        The file.
    """
    path = folder / granule.name
    with delivery(path) as temporary, h5py.File(temporary, "w") as file:
        _write_attributes(file, granule)
        file.create_group("HDFEOS/ADDITIONAL/FILE_ATTRIBUTES")
        grid = file.create_group(f"HDFEOS/GRIDS/{granule.grid}")
        _write_axes(grid, granule)
        data = grid.create_group("Data Fields")
        for field in fields:
            _write_field(data, grid, field)
        _write_projection(data)
        texts = file.create_group("HDFEOS INFORMATION")
        texts.attrs["HDFEOSVersion"] = np.bytes_("HDFEOS_5.1.16")
        for name, text in (
            ("StructMetadata.0", _structure(granule, fields)),
            ("CoreMetadata.0", core(granule)),
            ("ArchiveMetadata.0", archive(granule)),
        ):
            texts.create_dataset(name, data=np.bytes_(text), track_times=False)
    return path


def _write_attributes(file: h5py.File, granule: Granule) -> None:
    told = {
        "ShortName": granule.product,
        "LongName": granule.title,
        "LocalGranuleID": granule.name,
        "VersionID": granule.instrument.version,
        "DayNightFlag": granule.day_night,
        "PlatformShortName": granule.instrument.platform,
        "SensorShortname": granule.instrument.name,
        "RangeBeginningDate": f"{granule.first}",
        "RangeBeginningTime": "00:00:00.000000",
        "RangeEndingDate": f"{granule.last}",
        "RangeEndingTime": "23:59:59.000000",
        "ProductionTime": f"{granule.produced:%Y-%m-%d %H:%M:%S}.000",
        "ProcessingCenter": "simulated: no satellite has seen this",
        "Conventions": "CF-1.6",
    }
    if granule.tile is not None:
        h, v = granule.tile
        told |= {
            "HORIZONTALTILENUMBER": f"{h:02d}",
            "VERTICALTILENUMBER": f"{v:02d}",
            "TileID": f"51{h:03d}{v:03d}",
        }
    for name, text in sorted(told.items()):
        file.attrs[name] = np.bytes_(text)


def _write_axes(grid: h5py.Group, granule: Granule) -> None:
    """Write the upper left corners of the pixels, as the provider does."""
    t, (rows, columns) = granule.where.transform, granule.where.shape
    for name, axis, places in (
        ("XDim", "x", t.c + t.a * np.arange(columns)),
        ("YDim", "y", t.f + t.e * np.arange(rows)),
    ):
        scale = grid.create_dataset(name, data=places, track_times=False)
        scale.make_scale(name)
        scale.attrs["standard_name"] = np.bytes_(f"projection_{axis}_coordinate")
        scale.attrs["long_name"] = np.bytes_(f"{axis} coordinate of projection")
        scale.attrs["units"] = np.bytes_("m")


def _write_field(data: h5py.Group, grid: h5py.Group, field: Field) -> None:
    rows, columns = field.values.shape
    stored = data.create_dataset(
        field.name, (rows, columns), field.values.dtype, chunks=(1, columns), compression="gzip",
        compression_opts=_LEVEL, fillvalue=field.fill, track_times=False,
    )  # fmt: skip
    # rows of nothing but fill need not be stored
    held = np.flatnonzero((field.values != field.fill).any(axis=1))
    if held.size:
        part = slice(int(held[0]), int(held[-1]) + 1)
        stored[part] = field.values[part]
    kind = field.values.dtype
    stored.attrs["_FillValue"] = np.array(field.fills, kind)
    for name, value in field.attributes.items():
        stored.attrs[name] = _attribute(name, value, kind)
    stored.attrs["grid_mapping"] = np.array(["Projection"], "S")
    for axis, name in enumerate(("YDim", "XDim")):
        stored.dims[axis].attach_scale(grid[name])


def _attribute(name: str, value: str | float | Sequence[int], kind: np.dtype[Any]) -> NDArray[Any]:
    if isinstance(value, str):
        return np.array([value], "S")
    if name == "calibrated_nt":
        return np.array([value], np.int32)
    return np.array([value], float) if isinstance(value, float) else np.array(value, kind)


def _write_projection(data: h5py.Group) -> None:
    mapping = data.create_dataset("Projection", (1,), np.int32, track_times=False)
    mapping.attrs["grid_mapping_name"] = np.bytes_("sinusoidal")
    mapping.attrs["earth_radius"] = np.array([_RADIUS])
    for name in ("longitude_of_central_meridian", "false_easting", "false_northing"):
        mapping.attrs[name] = np.array([0.0])


def _structure(granule: Granule, fields: Sequence[Field]) -> str:
    """Return the text that describes the grid."""
    (rows, columns), t = granule.where.shape, granule.where.transform
    x1, y1 = t * (columns, rows)
    data: list[str] = []
    for number, field in enumerate(fields, 1):
        data += [
            f"\t\t\tOBJECT=DataField_{number}",
            f'\t\t\t\tDataFieldName="{field.name}"',
            f"\t\t\t\tDataType={_TYPES[field.values.dtype]}",
            '\t\t\t\tDimList=("YDim","XDim")',
            '\t\t\t\tMaxdimList=("YDim","XDim")',
            "\t\t\t\tCompressionType=HE5_HDFE_COMP_DEFLATE",
            f"\t\t\t\tDeflateLevel={_LEVEL}",
            f"\t\t\tEND_OBJECT=DataField_{number}",
        ]
    lines = [
        "GROUP=SwathStructure",
        "END_GROUP=SwathStructure",
        "GROUP=GridStructure",
        "\tGROUP=GRID_1",
        f'\t\tGridName="{granule.grid}"',
        f"\t\tXDim={columns}",
        f"\t\tYDim={rows}",
        f"\t\tUpperLeftPointMtrs=({t.c:.6f},{t.f:.6f})",
        f"\t\tLowerRightMtrs=({x1:.6f},{y1:.6f})",
        "\t\tProjection=HE5_GCTP_SNSOID",
        f"\t\tProjParams=({_RADIUS:.6f},0,0,0,0,0,0,0,0,0,0,0,0)",
        "\t\tSphereCode=-1",
        "\t\tGROUP=Dimension",
        "\t\tEND_GROUP=Dimension",
        "\t\tGROUP=DataField",
        *data,
        "\t\tEND_GROUP=DataField",
        "\t\tGROUP=MergedFields",
        "\t\tEND_GROUP=MergedFields",
        "\tEND_GROUP=GRID_1",
        "END_GROUP=GridStructure",
        *(f"{end}={kind}Structure" for kind in ("Point", "Za") for end in ("GROUP", "END_GROUP")),
        "END",
        "",
    ]
    return "\n".join(lines)
