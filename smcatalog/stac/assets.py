"""What items and collections say of a map's files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from smcatalog.core.encoding import AssetKind, Quality, asset_kinds
from smcatalog.core.grids import Grid
from smcatalog.core.stations import Depth
from smcatalog.stac.footprint import mean_resolution

__all__ = [
    "CLASSIFICATION",
    "FILE",
    "MEDIA_TYPE",
    "PROJECTION",
    "RASTER",
    "SCIENTIFIC",
    "VERSION",
    "asset_fields",
    "band_name",
    "projection_fields",
]

_EXTENSIONS: Final = "https://stac-extensions.github.io"
PROJECTION: Final = f"{_EXTENSIONS}/projection/v2.0.0/schema.json"
RASTER: Final = f"{_EXTENSIONS}/raster/v2.0.0/schema.json"
FILE: Final = f"{_EXTENSIONS}/file/v2.1.0/schema.json"
CLASSIFICATION: Final = f"{_EXTENSIONS}/classification/v2.0.0/schema.json"
VERSION: Final = f"{_EXTENSIONS}/version/v1.2.0/schema.json"
SCIENTIFIC: Final = f"{_EXTENSIONS}/scientific/v1.0.0/schema.json"

MEDIA_TYPE: Final = "image/tiff; application=geotiff; profile=cloud-optimized"

_ROLES: Final[dict[str, list[str]]] = {
    "soil_moisture": ["data"],
    "uncertainty": ["data", "uncertainty"],
    # A mask is a form of metadata, and an asset that marks several kinds of unusable pixels names
    # each of them (STAC best practices, "Asset Roles").
    "quality": ["metadata", "data-mask", "snow-ice", "land-water"],
}


def _centimetres(metres: float) -> str:
    return f"{round(metres * 100, 4):g}".replace(".", "p")


def band_name(kind: AssetKind, depth: Depth) -> str:
    """Return the name of a band, which is unique in the item.

    Examples
    --------
    >>> from smcatalog.core.encoding import asset_kinds
    >>> [band_name(kind, Depth(0.0, 0.05)) for kind in asset_kinds()]
    ['sm_0_5cm', 'sm_0_5cm_uncertainty', 'sm_0_5cm_quality']
    """
    name = f"sm_{_centimetres(depth.top)}_{_centimetres(depth.bottom)}cm"
    return name if kind.name == "soil_moisture" else f"{name}_{kind.name}"


def _bitfields() -> list[dict[str, Any]]:
    return [
        {
            "name": flag.name.lower(),
            "description": flag.description,
            "offset": flag.value.bit_length() - 1,
            "length": 1,
            "classes": [{"value": 0, "name": "no"}, {"value": 1, "name": "yes"}],
        }
        for flag in Quality
        if flag.name is not None
    ]


def _band(kind: AssetKind, depth: Depth, resolution: float) -> dict[str, Any]:
    # Everything stands in the band, also what all bands share: odc-stac reads only there.
    band: dict[str, Any] = {
        "name": band_name(kind, depth),
        "data_type": kind.dtype,
        "nodata": kind.nodata,
        "unit": kind.unit,
        "description": f"{kind.title}, {depth}",
        "smcatalog:depth": [float(depth.top), float(depth.bottom)],
        "raster:sampling": "area",
        "raster:spatial_resolution": resolution,
    }
    if kind.name == "quality":
        band["classification:bitfields"] = _bitfields()
    else:
        band["raster:scale"] = kind.scale
        band["raster:offset"] = 0.0
    return band


def asset_fields(grid: Grid, depths: Sequence[Depth]) -> dict[str, dict[str, Any]]:
    """Return what is the same for every map on a grid: an asset's fields, by asset key.

    Each file has one band a depth, in the order of ``depths``.
    ``smcatalog:depth`` is the band's depth interval, top and bottom, in metres below ground.
    """
    resolution = mean_resolution(grid)
    return {
        kind.name: {
            "title": kind.title,
            "type": MEDIA_TYPE,
            "roles": list(_ROLES[kind.name]),
            "bands": [_band(kind, depth, resolution) for depth in depths],
        }
        for kind in asset_kinds()
    }


def projection_fields(grid: Grid) -> dict[str, Any]:
    """Return the projection extension's fields (v2) of a grid."""
    fields: dict[str, Any] = {
        "proj:code": f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else None,
        "proj:shape": list(grid.shape),
        "proj:transform": [float(value) for value in grid.transform[:6]],
    }
    if fields["proj:code"] is None:
        fields["proj:wkt2"] = grid.crs.to_wkt()
    return fields
