"""Writing HDF4-EOS grids as the MODIS land products are delivered.

The layout is HDF-EOS 2: scientific data sets, the Vgroups that make a grid of them, and the texts
``StructMetadata.0``, ``CoreMetadata.0`` and ``ArchiveMetadata.0``. The same call gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.world.writer import delivery
from smcatalog.core.grids import Grid, sinusoidal_tile
from smcatalog.core.time import julian
from smcatalog.resample.geometry import transformer

__all__ = ["Attribute", "Field", "Granule", "write_granule"]

_CHAR, _FLOAT64, _INT32 = 4, 6, 24
_TYPES: Final = {
    np.dtype(np.int8): (20, "INT8"),
    np.dtype(np.uint8): (21, "UINT8"),
    np.dtype(np.int16): (22, "INT16"),
    np.dtype(np.uint16): (23, "UINT16"),
}
_DEFLATE: Final = 4
_DATA_SET: Final = 720
_VERSION: Final = "061"

Attribute = tuple[str, str | float | int | Sequence[int]]
"""Name and value: text, a real number, or integers of the field's own type."""


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


@dataclass(frozen=True, slots=True)
class Granule:
    """What a granule says of itself.

    Parameters
    ----------
    product, title : str
        Short and long name of the product.
    grid : str
        Name of its grid.
    parameter : str
        What it measures.
    tile : (int, int)
        Horizontal and vertical number.
    first, last : date
        Days covered.
    produced : datetime
        When the provider would have made it.
    day_night : str
        ``Day`` or ``Both``.
    cloudy, missing : float
        Shares of the tile's pixels without a value because of clouds, and for other reasons.
    extra : sequence of (str, str)
        Additional attributes.
    """

    product: str
    title: str
    grid: str
    parameter: str
    tile: tuple[int, int]
    first: date
    last: date
    produced: datetime
    day_night: str
    cloudy: float
    missing: float
    extra: Sequence[tuple[str, str]] = ()

    @property
    def name(self) -> str:
        """File name, as the provider's."""
        h, v = self.tile
        return (
            f"{self.product}.A{julian(self.first)}.h{h:02d}v{v:02d}.{_VERSION}."
            f"{self.produced:%Y%j%H%M%S}.hdf"
        )


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
        ("CoreMetadata.0", _core(granule)),
        ("ArchiveMetadata.0", _archive(granule)),
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
    where = sinusoidal_tile(*granule.tile)
    (rows, columns), t = where.shape, where.transform
    x1, y1 = t * (columns, rows)
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
        f"\t\tUpperLeftPointMtrs=({t.c:.6f},{t.f:.6f})",
        f"\t\tLowerRightMtrs=({x1:.6f},{y1:.6f})",
        "\t\tProjection=GCTP_SNSOID",
        "\t\tProjParams=(6371007.181000,0,0,0,0,0,0,0,0,0,0,0,0)",
        "\t\tSphereCode=-1",
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


_Lines = list[str]


def _entry(name: str, value: str | int, number: int = 0) -> _Lines:
    """Return an object with its value: numbers plain, texts in quotes, lists as they are."""
    quoted = value if isinstance(value, int) or value.startswith("(") else f'"{value}"'
    count = value.count(",") + 1 if isinstance(value, str) and value.startswith("(") else 1
    inner = [f"NUM_VAL              = {count}", f"VALUE                = {quoted}"]
    if number:
        inner.insert(0, f'CLASS                = "{number}"')
    return _block("OBJECT", name, inner)


def _block(kind: str, name: str, lines: _Lines, number: int = 0) -> _Lines:
    head = f"{kind:<22} = {name}"
    inner = [f'CLASS                = "{number}"', *lines] if number else lines
    return [head, *(f"  {line}" for line in inner), f"{'END_' + kind:<22} = {name}"]


def _core(granule: Granule) -> str:
    """Return the inventory of the granule."""
    parameter = _block("OBJECT", "MEASUREDPARAMETERCONTAINER", [
        *_entry("PARAMETERNAME", granule.parameter, 1),
        *_block("GROUP", "QAFLAGS", [
            *_entry("AUTOMATICQUALITYFLAG", "Passed", 1),
            *_entry("SCIENCEQUALITYFLAG", "Not Investigated", 1),
        ], 1),
        *_block("GROUP", "QASTATS", [
            *_entry("QAPERCENTMISSINGDATA", round(100 * granule.missing), 1),
            *_entry("QAPERCENTOUTOFBOUNDSDATA", 0, 1),
            *_entry("QAPERCENTCLOUDCOVER", round(100 * granule.cloudy), 1),
            *_entry("QAPERCENTINTERPOLATEDDATA", 0, 1),
        ], 1),
    ], 1)  # fmt: skip
    h, v = granule.tile
    additional: _Lines = []
    named = [
        *granule.extra,
        ("HORIZONTALTILENUMBER", f"{h:02d}"),
        ("VERTICALTILENUMBER", f"{v:02d}"),
        ("TileID", f"51{h:03d}{v:03d}"),
    ]
    for number, (name, value) in enumerate(named, 1):
        additional += _block("OBJECT", "ADDITIONALATTRIBUTESCONTAINER", [
            *_entry("ADDITIONALATTRIBUTENAME", name, number),
            *_block("GROUP", "INFORMATIONCONTENT", _entry("PARAMETERVALUE", value, number), number),
        ], number)  # fmt: skip
    sensor = _block("OBJECT", "ASSOCIATEDPLATFORMINSTRUMENTSENSORCONTAINER", [
        *_entry("ASSOCIATEDSENSORSHORTNAME", "MODIS", 1),
        *_entry("ASSOCIATEDPLATFORMSHORTNAME", "Terra", 1),
        *_entry("ASSOCIATEDINSTRUMENTSHORTNAME", "MODIS", 1),
    ], 1)  # fmt: skip
    return _text("INVENTORYMETADATA", [
        *_block("GROUP", "ECSDATAGRANULE", [
            *_entry("LOCALGRANULEID", granule.name),
            *_entry("PRODUCTIONDATETIME", f"{granule.produced:%Y-%m-%dT%H:%M:%S}.000Z"),
            *_entry("DAYNIGHTFLAG", granule.day_night),
            *_entry("REPROCESSINGACTUAL", "processed once"),
            *_entry("LOCALVERSIONID", "simulated"),
            *_entry("REPROCESSINGPLANNED", "no further update anticipated"),
        ]),
        *_block("GROUP", "MEASUREDPARAMETER", parameter),
        *_block("GROUP", "COLLECTIONDESCRIPTIONCLASS", [
            *_entry("VERSIONID", int(_VERSION)), *_entry("SHORTNAME", granule.product),
        ]),
        *_block("GROUP", "INPUTGRANULE", _entry("INPUTPOINTER", "a simulated world")),
        *_block("GROUP", "SPATIALDOMAINCONTAINER", _ring(granule)),
        *_block("GROUP", "RANGEDATETIME", [
            *_entry("RANGEENDINGDATE", f"{granule.last}"),
            *_entry("RANGEENDINGTIME", "23:59:59"),
            *_entry("RANGEBEGINNINGDATE", f"{granule.first}"),
            *_entry("RANGEBEGINNINGTIME", "00:00:00"),
        ]),
        *_block("GROUP", "PGEVERSIONCLASS", _entry("PGEVERSION", "simulated")),
        *_block("GROUP", "ASSOCIATEDPLATFORMINSTRUMENTSENSOR", sensor),
        *_block("GROUP", "ADDITIONALATTRIBUTES", additional),
    ])  # fmt: skip


def _ring(granule: Granule) -> _Lines:
    """Return the corners of the tile, clockwise from the upper left one, in degrees."""
    where = sinusoidal_tile(*granule.tile)
    rows, columns = where.shape
    corners = [where.transform * at for at in ((0, 0), (columns, 0), (columns, rows), (0, rows))]
    to_degrees = transformer(where, Grid.latlon(-180, 90, 1.0, (180, 360)))
    longitude, latitude = to_degrees.transform(*np.transpose(corners))

    def listed(values: NDArray[np.float64]) -> str:
        return "(" + ", ".join(f"{value:.10f}" for value in values) + ")"

    ring = _block("GROUP", "GRINGPOINT", [
        *_entry("GRINGPOINTLONGITUDE", listed(longitude), 1),
        *_entry("GRINGPOINTLATITUDE", listed(latitude), 1),
        *_entry("GRINGPOINTSEQUENCENO", "(1, 2, 3, 4)", 1),
    ], 1) + _block("GROUP", "GRING", _entry("EXCLUSIONGRINGFLAG", "N", 1), 1)  # fmt: skip
    polygon = _block("GROUP", "GPOLYGON", _block("OBJECT", "GPOLYGONCONTAINER", ring, 1))
    return _block("GROUP", "HORIZONTALSPATIALDOMAINCONTAINER", polygon)


def _archive(granule: Granule) -> str:
    """Return what the provider keeps beside the inventory."""
    h, v = granule.tile
    return _text("ARCHIVEDMETADATA", [
        *_block("GROUP", "TILEINFO", [
            *_entry("HORIZONTALTILENUMBER", f"{h:02d}"), *_entry("VERTICALTILENUMBER", f"{v:02d}"),
        ]),
        *_block("GROUP", "PROJECT", [
            *_entry("LONGNAME", granule.title),
            *_entry("INSTRUMENTNAME", "Moderate-Resolution Imaging SpectroRadiometer"),
            *_entry("PROCESSINGCENTER", "simulated: no satellite has seen this"),
        ]),
    ])  # fmt: skip


def _text(name: str, lines: _Lines) -> str:
    whole = _block("GROUP", name, ["GROUPTYPE            = MASTERGROUP", *lines])
    return "\n".join(["", *whole, "", "END", ""])
