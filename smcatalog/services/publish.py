"""Publishing a map: files first, then one short transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.encoding import AssetKind, asset_kinds, file_stem
from smcatalog.core.grids import Grid
from smcatalog.core.maps import MapFile, PublishedMap
from smcatalog.core.stations import Depth
from smcatalog.core.threads import thread_count
from smcatalog.database.announcements import Kind, announce
from smcatalog.database.damage import damaged_maps, note_repaired
from smcatalog.database.engine import transaction
from smcatalog.database.maps import NewMap, live_maps, load_map, lock_day, record_map
from smcatalog.products import Definition
from smcatalog.services.workspace import Workspace
from smcatalog.stac.collections import CollectionInfo, build_collection
from smcatalog.stac.items import build_item
from smcatalog.stac.pgstac import ensure_year_partition, upsert_collection, upsert_item
from smcatalog.store import CogBand, Store, validate_cog, write_cog

__all__ = ["announce_collection", "publish", "write_map_files"]


def announce_collection(connection: Connection, definition: Definition) -> bool:
    """Write a product's collection to the catalogue; say whether anything was written."""
    info = CollectionInfo(
        product=definition.name,
        title=definition.title,
        description=definition.description,
        bbox=definition.output_grid().bbox(),
        first=definition.first_day,
        last=definition.last_day,
        grid=definition.output_grid(),
        depths=definition.depths,
        keywords=("soil moisture", "downscaling", "1 km", definition.coarse.source),
        license=definition.license,
        citation=definition.citation or None,
    )
    return upsert_collection(connection, build_collection(info))


def write_map_files(
    store: Store,
    work: Path,
    definition: Definition,
    day: date,
    grid: Grid,
    stacks: dict[str, NDArray[np.integer]],
) -> tuple[MapFile, ...]:
    """Write the files of a map to the store, several at a time.

    Parameters
    ----------
    stacks : dict of ndarray of int, shape (depth, rows, columns)
        Stored values by the name of the `AssetKind`.
    """

    def write(kind: AssetKind) -> MapFile:
        return _write_file(store, work, definition, day, grid, kind, stacks[kind.name])

    kinds = asset_kinds()
    # to share out the waiting for disk and network: GDAL has threads of its own for the rest
    with ThreadPoolExecutor(min(thread_count(), len(kinds)), thread_name_prefix="write") as pool:
        return tuple(pool.map(write, kinds))


def _write_file(
    store: Store,
    work: Path,
    definition: Definition,
    day: date,
    grid: Grid,
    kind: AssetKind,
    stack: NDArray[np.integer],
) -> MapFile:
    bands = [
        CogBand(values, _band_name(kind, depth), kind.scale, 0.0, kind.unit)
        for values, depth in zip(stack, definition.depths, strict=True)
    ]
    stored = store.add(
        f"maps/{definition.name}/{day:%Y}/{file_stem(definition.name, day, kind.name)}",
        ".tif",
        lambda path: write_cog(path, bands, grid, nodata=kind.nodata, resampling=kind.resampling),
        work=work,
        check=validate_cog,
    )
    return MapFile(kind.name, stored.key, stored.sha256, stored.size)


def _band_name(kind: AssetKind, depth: Depth) -> str:
    return f"{kind.name} {depth}"


def publish(
    workspace: Workspace,
    definition: Definition,
    new: NewMap,
    *,
    now: datetime | None = None,
    also: Callable[[Connection, PublishedMap], None] = lambda _, __: None,
) -> PublishedMap | None:
    """Publish a map whose files are in the store.

    One transaction records map, files and lineage, deprecates the item that it replaces, writes
    the new item and announces both.

    Parameters
    ----------
    now : datetime, optional
        The present, for tests.
    also : callable, optional
        Called in the transaction, with the map: what belongs to it happens with it or not at all.

    Returns
    -------
    PublishedMap or None
        None when the same map is published already: by another worker in the meantime, or before and only
        files of it were lost.
    """
    ensure_year_partition(workspace.engine, definition.name, new.period)
    published_at = now or datetime.now(UTC)

    def work(connection: Connection) -> PublishedMap | None:
        day = new.period.day
        lock_day(connection, new.version.product_id, day)
        live = live_maps(connection, new.version.product_id, day, day).get(day)
        note_repaired(connection, [(file.key, file.sha256) for file in new.files])
        if (
            live is not None
            and live.fingerprint == new.fingerprint
            # a map that lost files and whose inputs now give other bytes can only be replaced
            and live.item_id not in damaged_maps(connection, new.version.product_id)
        ):
            return None
        map_id, predecessor = record_map(connection, new, published_at)
        kinds = [kind.name for kind in asset_kinds()]
        for key in _in_order(predecessor, map_id):
            published = load_map(connection, key, kinds)
            upsert_item(connection, build_item(published))
        events = [(Kind.NEW, map_id)]
        if live is not None:
            # after the new one, which it names; one that was withdrawn has been announced as that
            events.append((Kind.SUPERSEDED, live.id))
        also(connection, published)
        announce(connection, events)
        return published

    return transaction(workspace.engine, work)


def _in_order(predecessor: int | None, new: int) -> Sequence[int]:
    return (new,) if predecessor is None else (predecessor, new)
