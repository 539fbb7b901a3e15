"""Terrain zones of the simulated world as a GeoPackage: five steps of smoothed elevation, as polygons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import gaussian_filter

from ingest.world.landscape import Landscape
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter, delivery

__all__ = ["WRITER", "ZonesWriter", "terrain_zones"]

_LABELS: Final = ("lowest land", "low land", "middle heights", "high land", "highest land")
_SMOOTH: Final = 3.0
"""Cells: zones are drawn by hand or by a coarse model, not along every hill."""
_DRAWN: Final = "2000-02-11T00:00:00Z"
"""Time of change in the file: the same bytes at every run."""


class ZonesWriter:
    """Writes the zones at once; the ground never changes.

    Parameters
    ----------
    land : Landscape
        What is divided.
    folder : Path
        Where ``terrain-<preset>.gpkg`` goes.
    """

    def __init__(self, land: Landscape, folder: Path) -> None:
        from pyogrio import raw  # noqa: PLC0415 - slow to load

        zones = terrain_zones(land)
        found: dict[int, list[shapely.Polygon]] = {}
        for outline, number in shapes(zones, transform=land.grid.transform):
            found.setdefault(int(number), []).append(shapely.Polygon(*_rings(outline)))
        numbers = sorted(found)
        areas = [shapely.to_wkb(shapely.normalize(shapely.MultiPolygon(found[n]))) for n in numbers]
        name = f"terrain-{land.preset.name}"
        with delivery(folder / f"{name}.gpkg") as path, _dated():
            raw.write(
                path,
                np.array(areas, object),
                field_data=[
                    np.array(numbers, np.int32),
                    np.array([_LABELS[n - 1] for n in numbers], object),
                ],
                fields=np.array(["zone", "name"]),
                layer=name,
                driver="GPKG",
                geometry_type="MultiPolygon",
                crs=str(land.grid.crs),
                encoding="UTF-8",
                VERSION="1.3",  # newer ones make older versions of GDAL warn
            )

    def day(self, state: DayState) -> None:
        """Do nothing: the ground has no days."""

    def end(self) -> None:
        """Do nothing: all is written."""


def _rings(outline: dict[str, Any]) -> tuple[Any, list[Any]]:
    shell, *holes = outline["coordinates"]
    return shell, holes


def terrain_zones(land: Landscape) -> NDArray[np.uint8]:
    """Return the number of each cell's zone, from 1 for the lowest fifth to 5 for the highest."""
    smooth = gaussian_filter(land.elevation.astype(np.float64), _SMOOTH, mode="nearest")
    steps = np.quantile(smooth, np.linspace(0, 1, len(_LABELS) + 1)[1:-1])
    numbers: NDArray[np.uint8] = (np.digitize(smooth, steps) + 1).astype(np.uint8)
    return numbers


@contextmanager
def _dated() -> Iterator[None]:
    """Let files that are written inside the block say a time of ours."""
    from pyogrio import set_gdal_config_options  # noqa: PLC0415 - slow to load

    set_gdal_config_options({"OGR_CURRENT_DATE": _DRAWN})
    try:
        yield
    finally:
        set_gdal_config_options({"OGR_CURRENT_DATE": None})


WRITER: Final[MakeWriter] = ZonesWriter
