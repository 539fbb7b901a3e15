"""What a simulated HDF-EOS granule says of itself; both generations carry the same texts.

The texts are ODL, the Object Description Language: ``CoreMetadata`` is the granule's entry in the
inventory, ``ArchiveMetadata`` what the provider keeps beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid, sinusoidal_tile
from smcatalog.core.time import julian
from smcatalog.resample.geometry import transformer

__all__ = ["Granule", "Instrument", "archive", "core"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """Who has looked, and how its granules are delivered.

    Parameters
    ----------
    name, title : str
        Short and long name of the instrument.
    platform : str
        Name of the satellite.
    version : str
        Collection of its products.
    suffix : str
        Of the files' names.
    """

    name: str = "MODIS"
    title: str = "Moderate-Resolution Imaging SpectroRadiometer"
    platform: str = "Terra"
    version: str = "061"
    suffix: str = ".hdf"


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
    tile : (int, int) or None
        Horizontal and vertical number; None for a product of the globe.
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
    size : {1200, 2400}
        Pixels along the tile's edge.
    day : date, optional
        That the name says; default: the first.
    window : Grid, optional
        In degrees: what a product of the globe holds.
    instrument : Instrument
        Who has looked.

    Raises
    ------
    UsageError
        When it is neither of a tile nor of a window.
    """

    product: str
    title: str
    grid: str
    parameter: str
    tile: tuple[int, int] | None
    first: date
    last: date
    produced: datetime
    day_night: str
    cloudy: float
    missing: float
    extra: Sequence[tuple[str, str]] = ()
    size: int = 1200
    day: date | None = None
    window: Grid | None = None
    instrument: Instrument = Instrument()

    @property
    def name(self) -> str:
        """File name, as the provider's."""
        tile = ".h{:02d}v{:02d}".format(*self.tile) if self.tile else ""
        return (
            f"{self.product}.A{julian(self.day or self.first)}{tile}.{self.instrument.version}."
            f"{self.produced:%Y%j%H%M%S}{self.instrument.suffix}"
        )

    @property
    def where(self) -> Grid:
        """Its grid."""
        if self.tile is not None:
            return sinusoidal_tile(*self.tile, self.size)
        if self.window is None:
            raise UsageError(
                f"{self.product} is of no tile: say which window of the globe it holds"
            )
        return self.window


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


def core(granule: Granule) -> str:
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
    additional: _Lines = []
    named = [*granule.extra]
    if granule.tile:
        h, v = granule.tile
        named += [
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
        *_entry("ASSOCIATEDSENSORSHORTNAME", granule.instrument.name, 1),
        *_entry("ASSOCIATEDPLATFORMSHORTNAME", granule.instrument.platform, 1),
        *_entry("ASSOCIATEDINSTRUMENTSHORTNAME", granule.instrument.name, 1),
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
            *_entry("VERSIONID", int(granule.instrument.version)), *_entry("SHORTNAME", granule.product),
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
    where = granule.where
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


def archive(granule: Granule) -> str:
    """Return what the provider keeps beside the inventory."""
    info: _Lines = []
    if granule.tile:
        h, v = granule.tile
        info = _block("GROUP", "TILEINFO", [
            *_entry("HORIZONTALTILENUMBER", f"{h:02d}"), *_entry("VERTICALTILENUMBER", f"{v:02d}"),
        ])  # fmt: skip
    return _text("ARCHIVEDMETADATA", [
        *info,
        *_block("GROUP", "PROJECT", [
            *_entry("LONGNAME", granule.title),
            *_entry("INSTRUMENTNAME", granule.instrument.title),
            *_entry("PROCESSINGCENTER", "simulated: no satellite has seen this"),
        ]),
    ])  # fmt: skip


def _text(name: str, lines: _Lines) -> str:
    whole = _block("GROUP", name, ["GROUPTYPE            = MASTERGROUP", *lines])
    return "\n".join(["", *whole, "", "END", ""])
