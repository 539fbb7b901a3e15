"""Zones in the database: what is in use, and how a new delivery takes its place."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select, text, update

from smcatalog.core.errors import NotFoundError
from smcatalog.core.zones import Zone, ZoneSet
from smcatalog.database import models
from smcatalog.database.models import Granule, Layer, LayerGranule

__all__ = ["record_zones", "zones_of"]

_ROWS: Final = models.Zone
_INSERT: Final = """
    INSERT INTO smcatalog.zones (zone_set, number, label, geometry, mended, granule_id)
    VALUES (:zone_set, :number, :label, ST_GeomFromWKB(:wkb, 4326), :mended, :granule)
"""


def record_zones(connection: Connection, zones: ZoneSet, granule_id: int) -> int:
    """Record a set of zones and return how many are new: all of them, or none.

    What an earlier delivery said of the set, its rasters included, is superseded. A delivery of the
    same content changes nothing. The set's layers of this granule are recorded before.
    """
    # two deliveries of a set at once go one after the other, also the first two
    connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtext(f"smcatalog.zones {zones.name}")))
    )
    kept = select(LayerGranule.layer_id).where(LayerGranule.granule_id == granule_id)
    source = select(Granule.source).where(Granule.id == granule_id).scalar_subquery()
    now = func.clock_timestamp()
    connection.execute(
        update(Layer)
        .where(Layer.source == source, Layer.superseded_at.is_(None), Layer.id.not_in(kept))
        .values(superseded_at=now)
    )
    if _live(connection, zones.name) == zones.zones:
        return 0
    connection.execute(
        update(_ROWS)
        .where(_ROWS.zone_set == zones.name, _ROWS.superseded_at.is_(None))
        .values(superseded_at=now)
    )
    rows = [
        {"zone_set": zones.name, "granule": granule_id}
        | {"number": z.number, "label": z.label, "wkb": z.wkb, "mended": z.mended}
        for z in zones.zones
    ]
    connection.execute(text(_INSERT), rows)
    return len(rows)


def _live(connection: Connection, name: str) -> tuple[Zone, ...]:
    rows = connection.execute(
        select(_ROWS.number, _ROWS.label, func.ST_AsBinary(_ROWS.geometry, "NDR"), _ROWS.mended)
        .where(_ROWS.zone_set == name, _ROWS.superseded_at.is_(None))
        .order_by(_ROWS.number)
    )
    return tuple(Zone(number, label, bytes(wkb), mended) for number, label, wkb, mended in rows)


def zones_of(connection: Connection, name: str) -> ZoneSet:
    """Return the zones in use of a set.

    Raises
    ------
    NotFoundError
        When there is no such set; the message lists those that are.
    """
    if found := _live(connection, name):
        return ZoneSet(name, found)
    names = connection.scalars(
        select(_ROWS.zone_set)
        .where(_ROWS.superseded_at.is_(None))
        .distinct()
        .order_by(_ROWS.zone_set)
    )
    listed = ", ".join(names) or "none: ingest a GeoPackage or shapefile of zones"
    raise NotFoundError(f"no set of zones is called '{name}'; there are {listed}")
