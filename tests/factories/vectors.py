"""GeoPackages and shapefiles of zones."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

TERRAIN_NAME = "Terrain zones.gpkg"
BASINS_NAME = "basins.shp"


def squares(
    count: int = 3, west: float = 105.0, south: float = 37.0, edge: float = 0.1
) -> list[Any]:
    """Return squares side by side from west to east, in degrees."""
    return [
        shapely.box(west + i * edge, south, west + (i + 1) * edge, south + edge)
        for i in range(count)
    ]


def zones(
    path: Path,
    geometries: Sequence[Any] | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    *,
    crs: str | None = "EPSG:4326",
    kind: str = "Unknown",
    layer: str = "zones",
    append: bool = False,
) -> Path:
    """Write polygons with columns ``zone`` and ``name``, if none are given, as the suffix says."""
    from pyogrio import raw

    geometries = squares() if geometries is None else geometries
    if columns is None:
        numbers = range(1, len(geometries) + 1)
        columns = {"zone": [*numbers], "name": [f"zone {'abcdefgh'[n % 8]}" for n in numbers]}
    shapefile = path.suffix.lower() == ".shp"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        raw.write(
            path,
            np.array([None if g is None else shapely.to_wkb(g) for g in geometries], object),
            field_data=[_array(values) for values in columns.values()],
            fields=np.array(list(columns)),
            geometry_type="Polygon" if shapefile and kind == "Unknown" else kind,
            crs=crs,
            driver="ESRI Shapefile" if shapefile else "GPKG",
            layer=None if shapefile else layer,
            append=append,
            encoding="UTF-8",
        )
    return path


def _array(values: Sequence[Any]) -> np.ndarray:
    found = np.array(values)
    return found if found.dtype.kind in "if" else np.array(values, object)
