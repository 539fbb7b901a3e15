"""Writing HDF4-EOS grids as the MODIS land products are delivered.

The layout is HDF-EOS 2: scientific data sets, the Vgroups that make a grid of them, and the texts
``StructMetadata.0``, ``CoreMetadata.0`` and ``ArchiveMetadata.0``. The same call gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.eos import Granule, archive, core
from ingest.world.writer import delivery

__all__ = ["Attribute", "Field", "scaled", "write_granule"]

_CHAR, _FLOAT64, _INT32 = 4, 6, 24
_TYPES: Final = {
    np.dtype(np.int8): (20, "INT8"),
    np.dtype(np.uint8): (21, "UINT8"),
    np.dtype(np.int16): (22, "INT16"),
    np.dtype(np.uint16): (23, "UINT16"),
    np.dtype(np.uint32): (25, "UINT32"),
}
_DEFLATE: Final = 4
_DATA_SET: Final = 720

Attribute = tuple[str, str | float | int | Sequence[int]]
"""Name and value: text, a real number, or integers of the field's own type."""


def scaled(factor: float) -> list[Attribute]:
    """Return the attributes of stored steps, as most of the products order them."""
    return [("scale_factor", factor), ("scale_factor_err", 0.0), ("add_offset", 0.0),
            ("add_offset_err", 0.0), ("calibrated_nt", 5)]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One data set of a grid.

    Parameters
    ----------
    name : str
        As the provider calls it.
    values : ndarray of integer, shape (rows, columns)
        As they are stored.
    attributes : sequence of Attribute
        In the provider's order.
    """

    name: str
    values: NDArray[Any]
    attributes: Sequence[Attribute]


def write_granule(folder: Path, granule: Granule, fields: Sequence[Field], level: int) -> Path:
    """Write a granule under the provider's name.

    Parameters
    ----------
    folder : Path
        Where to; made when it is not there.
    granule : Granule
        What it is.
    fields : sequence of Field
        Its data, all of the same shape.
    level : int
        Of the compression, 1 to 9.

    Returns
    -------
    Path
        The file.
    """
    path = folder / granule.name
    with delivery(path) as temporary, _within(temporary) as name:
        references = _write_data(name, granule, fields, level)
        _write_groups(name, granule.grid, references)
    return path


@contextmanager
def _within(path: Path) -> Iterator[str]:
    """Stand in a file's folder: the library writes the name it was called with into the file."""
    with chdir(path.parent):
        yield path.name


def _write_data(name: str, granule: Granule, fields: Sequence[Field], level: int) -> list[int]:
    from pyhdf.SD import SD, SDC  # noqa: PLC0415 - only writers of HDF4 need it

    file = SD(name, SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    references = []
    for field in fields:
        code, _ = _TYPES[field.values.dtype]
        data = file.create(field.name, code, field.values.shape)
        for axis, label in enumerate(("YDim", "XDim")):
            data.dim(axis).setname(f"{label}:{granule.grid}")
        data.setcompress(_DEFLATE, level)
        for title, value in field.attributes:
            _set(data, title, value, code)
        data[:] = field.values
        references.append(data.ref())
        data.endaccess()
    for title, text in (
        ("HDFEOSVersion", "HDFEOS_V2.19"),
        ("StructMetadata.0", _structure(granule, fields)),
        ("CoreMetadata.0", core(granule)),
        ("ArchiveMetadata.0", archive(granule)),
    ):
        file.attr(title).set(_CHAR, text)
    file.end()
    return references


def _set(data: Any, title: str, value: str | float | Sequence[int], code: int) -> None:
    if isinstance(value, str):
        data.attr(title).set(_CHAR, value)
    elif isinstance(value, float):
        data.attr(title).set(_FLOAT64, value)
    elif title == "calibrated_nt":
        data.attr(title).set(_INT32, value)
    else:
        data.attr(title).set(code, value if isinstance(value, int) else list(value))


def _write_groups(name: str, grid: str, references: Sequence[int]) -> None:
    """Make a grid of the data sets; without these groups no library sees its georeference."""
    # the two last attach the modules V and VS to a file
    from pyhdf import V as _v  # noqa: F401, N811, PLC0415
    from pyhdf.HDF import HC, HDF  # noqa: PLC0415

    file = HDF(name, HC.WRITE)
    groups = file.vgstart()
    whole, data, attributes = (
        groups.create(title) for title in (grid, "Data Fields", "Grid Attributes")
    )
    whole._class = "GRID"  # noqa: SLF001 - the library's public name of it
    data._class = attributes._class = "GRID Vgroup"  # noqa: SLF001
    for reference in references:
        data.add(_DATA_SET, reference)
    whole.insert(data)
    whole.insert(attributes)
    for group in (attributes, data, whole):
        group.detach()
    groups.end()
    file.close()


def _structure(granule: Granule, fields: Sequence[Field]) -> str:
    """Return the text that describes the grid."""
    (rows, columns), t = granule.where.shape, granule.where.transform
    corners = [t.c, t.f, *(t * (columns, rows))]
    x0, y0, x1, y1 = corners if granule.tile else map(_packed, corners)
    data = []
    for number, field in enumerate(fields, 1):
        data += [
            f"\t\t\tOBJECT=DataField_{number}",
            f'\t\t\t\tDataFieldName="{field.name}"',
            f"\t\t\t\tDataType=DFNT_{_TYPES[field.values.dtype][1]}",
            '\t\t\t\tDimList=("YDim","XDim")',
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
        f"\t\tUpperLeftPointMtrs=({x0:.6f},{y0:.6f})",
        f"\t\tLowerRightMtrs=({x1:.6f},{y1:.6f})",
        *(_SINUSOIDAL if granule.tile else ["\t\tProjection=GCTP_GEO"]),
        "\t\tGridOrigin=HDFE_GD_UL",
        "\t\tGROUP=Dimension",
        "\t\tEND_GROUP=Dimension",
        "\t\tGROUP=DataField",
        *data,
        "\t\tEND_GROUP=DataField",
        "\t\tGROUP=MergedFields",
        "\t\tEND_GROUP=MergedFields",
        "\tEND_GROUP=GRID_1",
        "END_GROUP=GridStructure",
        "GROUP=PointStructure",
        "END_GROUP=PointStructure",
        "END",
        "",
    ]
    return "\n".join(lines)


_SINUSOIDAL: Final = (
    "\t\tProjection=GCTP_SNSOID",
    "\t\tProjParams=(6371007.181000,0,0,0,0,0,0,0,0,0,0,0,0)",
    "\t\tSphereCode=-1",
)


def _packed(degrees: float) -> float:
    """Return an angle as ``DDDMMMSSS.SS``, as the standard wants degrees of a grid to be written."""
    seconds = round(abs(degrees) * 3600, 6)
    minutes, seconds = divmod(seconds, 60)
    return math.copysign((minutes // 60) * 1_000_000 + minutes % 60 * 1000 + seconds, degrees)
