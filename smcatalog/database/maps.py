"""Maps in the database: recorded once, superseded, never changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from smcatalog.core.grids import grid
from smcatalog.core.maps import MapFile as MapFileValue
from smcatalog.core.maps import MapStatus, PublishedMap, item_id
from smcatalog.core.stations import Depth
from smcatalog.core.time import Period
from smcatalog.database.models import Map, MapFile, MapLayer, Model, Product, ProductVersion
from smcatalog.database.products import ModelRecord, ProductVersionRecord

__all__ = ["LiveMap", "NewMap", "live_maps", "load_map", "lock_day", "record_map"]


@dataclass(frozen=True, slots=True)
class LiveMap:
    """The map of a day that is not superseded."""

    id: int
    item_id: str
    version: int
    revision: int
    fingerprint: str
    status: str


@dataclass(frozen=True, slots=True)
class NewMap:
    """A map whose files are in the store and that is to be published.

    Parameters
    ----------
    version : ProductVersionRecord
        The product version.
    period : Period
        What it covers.
    grid : str
        Name of its grid.
    status : MapStatus
        Provisional or final.
    fingerprint : str
        Of all inputs, parameters and the algorithm's version.
    algorithm : str
        Version of the algorithms that made it.
    inputs_fingerprint : str
        Of its period and layers alone.
    model : ModelRecord
        What made it.
    files : tuple of MapFile
        Its files.
    coarse, covariates : tuple of int
        Keys of the layers it was made of.
    """

    version: ProductVersionRecord
    period: Period
    grid: str
    status: MapStatus
    fingerprint: str
    algorithm: str
    inputs_fingerprint: str
    model: ModelRecord
    files: tuple[MapFileValue, ...]
    coarse: tuple[int, ...]
    covariates: tuple[int, ...]


def live_maps(
    connection: Connection, product_id: int, first: date | None = None, last: date | None = None
) -> dict[date, LiveMap]:
    """Return a product's maps that are not superseded, by day."""
    query = (
        select(
            Map.day,
            Map.id,
            Map.item_id,
            ProductVersion.number,
            Map.revision,
            Map.fingerprint,
            Map.status,
        )
        .join(ProductVersion, ProductVersion.id == Map.product_version_id)
        .where(Map.product_id == product_id, Map.superseded_at.is_(None))
        .order_by(Map.day)
    )
    if first is not None:
        query = query.where(Map.day >= first)
    if last is not None:
        query = query.where(Map.day <= last)
    return {row[0]: LiveMap(*row[1:]) for row in connection.execute(query)}


def lock_day(connection: Connection, product_id: int, day: date) -> None:
    """Hold other publishers of the same product and day off until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('smcatalog.maps:' || :product), :day)"),
        {"product": str(product_id), "day": day.toordinal()},
    )


def record_map(
    connection: Connection, new: NewMap, published_at: datetime
) -> tuple[int, int | None]:
    """Record a map, its files and lineage; the live map of its day is superseded.

    The caller holds `lock_day`.

    Returns
    -------
    map_id : int
        Key of the new map.
    predecessor_id : int or None
        Key of the map that it replaces.
    """
    day = new.period.day
    map_id = connection.execute(
        text("SELECT nextval(pg_get_serial_sequence('smcatalog.maps', 'id'))")
    ).scalar_one()
    predecessor: int | None = connection.scalar(
        update(Map)
        .where(
            Map.product_id == new.version.product_id, Map.day == day, Map.superseded_at.is_(None)
        )
        .values(superseded_at=published_at, superseded_by=map_id)
        .returning(Map.id)
    )
    revisions = connection.scalar(
        select(func.max(Map.revision)).where(
            Map.product_version_id == new.version.id, Map.day == day
        )
    )
    revision = (revisions or 0) + 1
    connection.execute(
        insert(Map).values(
            id=map_id,
            product_id=new.version.product_id,
            product_version_id=new.version.id,
            day=day,
            start_time=new.period.start,
            end_time=new.period.end,
            revision=revision,
            item_id=item_id(new.version.name, new.period, new.version.number, revision),
            grid=new.grid,
            status=new.status.value,
            fingerprint=new.fingerprint,
            algorithm=new.algorithm,
            inputs_fingerprint=new.inputs_fingerprint,
            model_id=new.model.id,
            published_at=published_at,
        )
    )
    connection.execute(
        insert(MapFile),
        [
            {"map_id": map_id, "kind": f.kind, "key": f.key, "sha256": f.sha256, "size": f.size}
            for f in new.files
        ],
    )
    connection.execute(
        insert(MapLayer),
        [*_lineage(map_id, new.coarse, "coarse"), *_lineage(map_id, new.covariates, "covariate")],
    )
    return map_id, predecessor


def _lineage(map_id: int, layers: Iterable[int], role: str) -> list[dict[str, Any]]:
    return [{"map_id": map_id, "layer_id": layer, "role": role} for layer in layers]


def load_map(connection: Connection, map_id: int, kinds: Sequence[str]) -> PublishedMap:
    """Return a published map as a value.

    Parameters
    ----------
    map_id : int
        Its key.
    kinds : sequence of str
        The order in which its files are wanted.
    """
    row = connection.execute(
        select(
            *Map.__table__.columns,
            ProductVersion.number,
            ProductVersion.definition,
            Product.name,
            Model.fingerprint.label("model_fingerprint"),
        )
        .join(ProductVersion, ProductVersion.id == Map.product_version_id)
        .join(Product, Product.id == Map.product_id)
        .join(Model, Model.id == Map.model_id)
        .where(Map.id == map_id)
    )
    columns = row.mappings().one()
    files = {
        f.kind: MapFileValue(f.kind, f.key, f.sha256, f.size)
        for f in connection.execute(
            select(MapFile.kind, MapFile.key, MapFile.sha256, MapFile.size).where(
                MapFile.map_id == map_id
            )
        )
    }
    return PublishedMap(
        product=columns["name"],
        version=columns["number"],
        revision=columns["revision"],
        period=Period(columns["start_time"], columns["end_time"]),
        grid=grid(columns["grid"]),
        depths=tuple(Depth(d["top"], d["bottom"]) for d in columns["definition"]["depths"]),
        files=tuple(files[kind] for kind in kinds),
        status=MapStatus(columns["status"]),
        fingerprint=columns["fingerprint"],
        model=columns["model_fingerprint"],
        published_at=columns["published_at"],
        predecessor=_neighbour(connection, Map.superseded_by == map_id),
        successor=_neighbour(connection, Map.id == columns["superseded_by"])
        if columns["superseded_by"] is not None
        else None,
    )


def _neighbour(connection: Connection, condition: Any) -> str | None:
    found: str | None = connection.scalar(select(Map.item_id).where(condition))
    return found
