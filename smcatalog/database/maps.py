"""Maps in the database: recorded once, superseded, never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, text, update

from smcatalog.core.grids import grid
from smcatalog.core.maps import MapFile as MapFileValue
from smcatalog.core.maps import MapStatus, PublishedMap, item_id
from smcatalog.core.stations import Depth
from smcatalog.core.time import Period
from smcatalog.database.models import Map, MapFile, MapLayer, Model, Product, ProductVersion
from smcatalog.database.products import ModelRecord, ProductVersionRecord

__all__ = ["LiveMap", "NewMap", "live_maps", "load_map", "lock_day", "record_map", "withdraw_map"]


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

    A map of the day that was withdrawn last, and that nothing has replaced since, gets its successor. The
    caller holds `lock_day`. Should a clock run behind the one that dated the day's history, the map is
    dated by the end of that: of two maps of a day one begins no earlier than the other ends.

    Returns
    -------
    map_id : int
        Key of the new map.
    predecessor_id : int or None
        Key of the map that it replaces or, when the last one was withdrawn, follows.
    """
    day = new.period.day
    published_at = _not_before_history(connection, new.version.product_id, day, published_at)
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
    if predecessor is None:
        predecessor = connection.scalar(
            update(Map)
            .where(*_of_day(new.version.product_id, day), Map.superseded_by.is_(None))
            .values(superseded_by=map_id)
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


def withdraw_map(
    connection: Connection, product_id: int, day: date, reason: str, withdrawn_at: datetime
) -> int | None:
    """Take the live map of a day out of force, with nothing in its place.

    The caller holds `lock_day`.

    Returns
    -------
    int or None
        Key of the map; None when the day has none that is live.
    """
    found: int | None = connection.scalar(
        update(Map)
        .where(Map.product_id == product_id, Map.day == day, Map.superseded_at.is_(None))
        .values(
            superseded_at=_not_before_history(connection, product_id, day, withdrawn_at),
            withdrawn_reason=reason,
        )
        .returning(Map.id)
    )
    return found


def _of_day(product_id: int, day: date) -> tuple[ColumnElement[bool], ...]:
    """Return the condition for all maps of a product and day, in the form that their index answers."""
    versions = select(ProductVersion.id).where(ProductVersion.product_id == product_id)
    return Map.product_version_id.in_(versions), Map.day == day


def _not_before_history(
    connection: Connection, product_id: int, day: date, instant: datetime
) -> datetime:
    """Return an instant or, should a clock have gone wrong, the last one in the history of a day."""
    last: datetime | None = connection.scalar(
        select(func.max(func.greatest(Map.published_at, Map.superseded_at))).where(
            *_of_day(product_id, day)
        )
    )
    return instant if last is None else max(instant, last)


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
        withdrawn=columns["withdrawn_reason"],
    )


def bytes_of_items(connection: Connection, items: Collection[str]) -> int:
    """Return the size of the files of some items together."""
    total: int = connection.execute(
        select(func.coalesce(func.sum(MapFile.size), 0))
        .join(Map, Map.id == MapFile.map_id)
        .where(Map.item_id.in_(items))
    ).scalar_one()
    return int(total)


def _neighbour(connection: Connection, condition: Any) -> str | None:
    found: str | None = connection.scalar(select(Map.item_id).where(condition))
    return found
