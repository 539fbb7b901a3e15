"""Zones as a raster: for each cell the zone that covers most of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from ingest.polygons import moved
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import EASE2_GRIDS, Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.variables import variable
from smcatalog.core.zones import ZoneSet
from smcatalog.resample.geometry import transformer

__all__ = ["zone_raster"]

_FINER: Final = 5
"""Sub-cells along a cell's edge. Their number in a cell is odd, so that no two zones share it evenly."""
_BLOCK: Final = (128, 256)
"""Rows and columns of cells that are worked on at a time."""
_EDGE: Final = 0.1
"""Longest edge in degrees that is projected as it is: it leaves the straight line by a few metres."""
_MOST_CELLS: Final = 1 << 26
"""Cells of the finest raster; it covers China twice, and the whole globe at three kilometres."""
_COVERED: Final = 0.5
_WHOLE: Final = 0.95
_DEGREES: Final = Grid.latlon(-180, 90, 1.0, (180, 360))


def zone_raster(zones: ZoneSet) -> Raster | None:
    """Return a set's numbers on the window of ``M01`` that it covers, or of ``M03`` if that is very large.

    A cell gets the zone that covers most of it (the lower number on a tie) when zones cover at least
    half of it; below 95 % it is marked as partly covered. Coverage is counted in 5 by 5 sub-cells; where
    zones overlap, the lower number counts.

    Parameters
    ----------
    zones : ZoneSet
        Valid polygons on Earth.

    Returns
    -------
    Raster or None
        None when no zone covers half of any cell.
    """
    grid = _window(zones)
    if grid is None:
        return None
    shapes = _projected(zones, grid)
    # the last one drawn stays: the lowest number
    numbers = np.array([zone.number for zone in zones.zones], np.uint16)[::-1]
    shapes = shapes[::-1]
    tree = shapely.STRtree(shapes)
    values = np.full(grid.shape, np.nan, np.float32)
    quality = np.zeros(grid.shape, np.uint16)
    for rows, columns in _blocks(grid):
        fine, box = _fine(grid, rows, columns)
        block = shapely.box(*box)
        met = np.sort(tree.query(block, predicate="intersects"))
        if len(met) == 1 and shapely.covers(shapes[met[0]], block):
            values[rows, columns] = numbers[met[0]]
            continue
        drawn = [
            (part, int(numbers[i]))
            for i in met
            for part in shapely.get_parts(shapely.clip_by_rect(shapes[i], *box))
            if part.geom_type == "Polygon" and not part.is_empty
        ]
        if not drawn:
            continue
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        burned = rasterize(
            drawn, (shape[0] * _FINER, shape[1] * _FINER), transform=fine, fill=0, dtype="uint16"
        )
        most, coverage = _most(burned, shape)
        known = coverage >= _COVERED
        values[rows, columns][known] = most[known]
        quality[rows, columns][known & (coverage < _WHOLE)] = InputQuality.PARTIAL_COVERAGE
    if np.isnan(values).all():
        return None
    return Raster(variable("zone"), grid, values, quality, None)


def _window(zones: ZoneSet) -> Grid | None:
    geometries = shapely.from_wkb([zone.wkb for zone in zones.zones])
    west, south, east, north = (float(edge) for edge in shapely.total_bounds(geometries))
    for base in ("M01", "M03"):
        try:
            window = EASE2_GRIDS[base].crop((west, south, east, north))
        except UsageError:  # beyond the grid's last parallel, 85 degrees
            return None
        rows, columns = window.shape
        if rows * columns <= _MOST_CELLS:
            break
    return window


def _projected(zones: ZoneSet, grid: Grid) -> NDArray[Any]:
    geometries = shapely.from_wkb([zone.wkb for zone in zones.zones])
    return moved(shapely.segmentize(geometries, _EDGE), transformer(_DEGREES, grid))


def _blocks(grid: Grid) -> Iterator[tuple[slice, slice]]:
    height, width = grid.shape
    for row in range(0, height, _BLOCK[0]):
        for column in range(0, width, _BLOCK[1]):
            yield (
                slice(row, min(row + _BLOCK[0], height)),
                slice(column, min(column + _BLOCK[1], width)),
            )


def _fine(
    grid: Grid, rows: slice, columns: slice
) -> tuple[Affine, tuple[float, float, float, float]]:
    """Return the map of a block's sub-cells and its box: x and y of the lower left and upper right."""
    corner = grid.transform * Affine.translation(columns.start, rows.start)
    left, top = corner * (0, 0)
    right, bottom = corner * (columns.stop - columns.start, rows.stop - rows.start)
    return corner * Affine.scale(1 / _FINER), (left, bottom, right, top)


def _most(
    burned: NDArray[np.uint16], shape: tuple[int, int]
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Return each cell's most frequent number but nought, and the share of sub-cells that have one.

    Parameters
    ----------
    burned : ndarray of uint16, shape (5 rows, 5 columns)
        Numbers of sub-cells; 0 where there is none.
    shape : (int, int)
        Rows and columns of cells.
    """
    most, least = (_over_cells(burned, shape, reduce) for reduce in (np.max, np.min))
    coverage = (most > 0).astype(np.float64)
    mixed = least != most
    if mixed.any():
        cells = burned.reshape(shape[0], _FINER, shape[1], _FINER)
        inside = np.sort(cells.transpose(0, 2, 1, 3)[mixed].reshape(-1, _FINER**2), axis=1)
        count = np.stack([(inside == inside[:, [i]]).sum(axis=1) for i in range(_FINER**2)], axis=1)
        count[inside == 0] = 0
        most[mixed] = inside[np.arange(len(inside)), count.argmax(axis=1)]
        coverage[mixed] = (inside > 0).mean(axis=1)
    return most, coverage


def _over_cells(
    burned: NDArray[np.uint16], shape: tuple[int, int], reduce: Callable[..., NDArray[np.uint16]]
) -> NDArray[np.uint16]:
    # over the rows first: one after the other they are contiguous
    flat = reduce(burned.reshape(shape[0], _FINER, -1), axis=1)
    return reduce(flat.reshape(*shape, _FINER), axis=2)
