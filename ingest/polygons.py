"""Polygons in degrees: brought there from other systems, made valid, united and checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely import MultiPolygon, Polygon
from shapely.errors import ShapelyError

from ingest.refusal import DAMAGE, refusing
from smcatalog.core.errors import RefusedInput
from smcatalog.core.zones import Zone

__all__ = ["as_wkb", "checked_zone", "moved", "polygons", "to_degrees", "united"]

_DEGREES: Final = CRS.from_epsg(4326)
_EDGE_M: Final = 10_000.0
"""Longest edge that is brought to degrees as it is: then it leaves the straight line by less than 5 m."""
_FARTHEST_M: Final = 1e8
"""No map's coordinates are larger; damaged ones are, and would be divided into edges without end."""
_ROUNDING: Final = 1e-6
"""Degrees by which files overstep ±180 and ±90 for want of digits."""
_DOUBT: Final = 0.01
"""Share of its area that a polygon may gain or lose by being made valid."""
_HALF_TURN: Final = 180.0
_FAULTS: Final = (*DAMAGE, ShapelyError)
_POLYGON, _MULTIPOLYGON = 3, 6


def polygons(wkb: Iterable[bytes | None]) -> NDArray[Any]:
    """Return features' geometries, each a Polygon or MultiPolygon in two dimensions.

    Raises
    ------
    RefusedInput
        When one is missing, damaged, empty or something else.
    """
    given = np.array([*wkb], object)
    if missing := sum(one is None for one in given):
        raise RefusedInput(f"{missing} of its {len(given)} features have no polygon")
    with refusing("holds a damaged polygon", _FAULTS):
        found = shapely.force_2d(shapely.from_wkb(given))
    kinds = shapely.get_type_id(found)
    if others := sorted({g.geom_type for g in found[~np.isin(kinds, (_POLYGON, _MULTIPOLYGON))]}):
        raise RefusedInput(f"holds {' and '.join(others)} features, and zones are polygons")
    if shapely.is_empty(found).any():
        raise RefusedInput("holds a polygon without a point")
    return np.asarray(found, object)


def to_degrees(geometries: NDArray[Any], crs: CRS) -> NDArray[Any]:
    """Bring polygons to longitude and latitude (EPSG:4326).

    An edge is straight in the system it is delivered in: of a projection, edges are divided first so
    that none is longer than 10 km. Edges in degrees stay as they are.

    Parameters
    ----------
    geometries : ndarray of Polygon or MultiPolygon, shape (n,)
        In ``crs``, x and y or longitude and latitude.

    Raises
    ------
    RefusedInput
        When they do not lie on Earth there, or cross the 180th meridian.
    """
    if crs.is_projected:
        metres = crs.axis_info[0].unit_conversion_factor or 1.0
        corners = shapely.bounds(geometries)
        if not (np.abs(corners) * metres < _FARTHEST_M).all():
            raise RefusedInput(f"has coordinates that are nowhere on Earth in {crs.name}")
        geometries = shapely.segmentize(geometries, _EDGE_M / metres)
    if not crs.equals(_DEGREES, ignore_axis_order=True):
        there = Transformer.from_crs(crs, _DEGREES, always_xy=True)
        with refusing("holds a damaged polygon", _FAULTS):
            geometries = moved(geometries, there)
    _on_earth(geometries)
    if crs.is_projected and _jumps(geometries):
        raise RefusedInput(
            "has a polygon across the 180th meridian: cut it there first "
            "(ogr2ogr -wrapdateline -t_srs EPSG:4326)"
        )
    return np.asarray(shapely.transform(geometries, _clipped), object)


def moved(geometries: NDArray[Any], there: Transformer) -> NDArray[Any]:
    """Transform every corner of some geometries."""
    return np.asarray(
        shapely.transform(geometries, lambda places: np.column_stack(there.transform(*places.T))),
        object,
    )


def _clipped(places: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(places, (-180.0, -90.0), (180.0, 90.0))


def _on_earth(geometries: NDArray[Any]) -> None:
    west, south, east, north = shapely.bounds(geometries).T
    wide, high = _HALF_TURN + _ROUNDING, _HALF_TURN / 2 + _ROUNDING
    inside = (west >= -wide) & (east <= wide) & (south >= -high) & (north <= high)
    if not inside.all():  # NaN is not inside either
        worst = int(np.flatnonzero(~inside)[0])
        box = ", ".join(f"{edge:g}" for edge in shapely.bounds(geometries)[worst])
        raise RefusedInput(
            f"has a polygon that is not on Earth (west, south, east, north: {box}): expected -180 to 180 "
            "and -90 to 90 degrees; wrong coordinate system or damaged"
        )


def _jumps(geometries: NDArray[Any]) -> bool:
    rings = shapely.get_rings(shapely.get_parts(geometries))
    places, ring = shapely.get_coordinates(rings, return_index=True)
    return bool(((np.abs(np.diff(places[:, 0])) > _HALF_TURN) & (np.diff(ring) == 0)).any())


def united(geometries: Iterable[Any], what: str) -> tuple[MultiPolygon, bool]:
    """Unite polygons in degrees and make them valid.

    Parameters
    ----------
    what : str
        Whose they are, for messages.

    Returns
    -------
    geometry : MultiPolygon
        Valid, in normal form.
    mended : bool
        Whether one was not valid: a ring that touches itself, which some programs write and others
        refuse.

    Raises
    ------
    RefusedInput
        When one crosses itself so that its area is in doubt, or has none.
    """
    with refusing(f"holds a polygon of {what} that cannot be made valid", _FAULTS):
        parts = shapely.get_parts(np.array([*geometries], object))
        broken = ~shapely.is_valid(parts)
        sound = np.concatenate(
            [parts[~broken], *(shapely.get_parts(_mended(one, what)) for one in parts[broken])]
        )
        whole = shapely.union_all(sound) if len(sound) > 1 else sound[0]
        kept = [p for p in shapely.get_parts(whole) if isinstance(p, Polygon) and p.area > 0]
    if not kept:
        raise RefusedInput(f"{what} has no area")
    result = shapely.normalize(MultiPolygon(kept))
    return result, bool(broken.any())


def _mended(polygon: Polygon, what: str) -> Any:
    fault = shapely.is_valid_reason(polygon)
    valid = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    if not abs(valid.area - polygon.area) <= _DOUBT * polygon.area:
        raise RefusedInput(
            f"a polygon of {what} crosses itself ({fault}), so that its area is in doubt: repair it first "
            "(ogr2ogr -makevalid, and look at it)"
        )
    return valid


def as_wkb(geometry: MultiPolygon) -> bytes:
    """Return a geometry as `Zone.wkb` wants it."""
    return bytes(shapely.to_wkb(geometry, byte_order=1, output_dimension=2, flavor="iso"))


def checked_zone(zone: Zone) -> Zone:
    """Return a zone with a valid polygon on Earth.

    Raises
    ------
    RefusedInput
        When it has none and cannot be mended.
    """
    geometries = polygons([zone.wkb])
    _on_earth(geometries)
    if geometries[0].geom_type == "MultiPolygon" and shapely.is_valid(geometries[0]):
        if not shapely.area(geometries[0]) > 0:
            raise RefusedInput(f"zone {zone.number} has no area")
        return zone
    whole, mended = united(geometries, f"zone {zone.number}")
    return replace(zone, wkb=as_wkb(whole), mended=zone.mended or mended)
