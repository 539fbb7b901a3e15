"""Files that were found missing or damaged, until a good one stands there again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from smcatalog.database.models import (
    DamagedFile,
    Granule,
    Layer,
    LayerGranule,
    Map,
    MapFile,
    Model,
    Partition,
)

__all__ = [
    "damaged_maps",
    "damaged_partitions",
    "invalidate_map",
    "is_damaged",
    "note_damage",
    "note_repaired",
    "undamaged",
]

_OPEN: Final = DamagedFile.repaired_at.is_(None)


def note_damage(connection: Connection, key: str, sha256: str, reason: str) -> bool:
    """Note that a file is missing or damaged and is to be made again.

    Returns
    -------
    bool
        Whether that is new; what is noted already stays as it is.
    """
    statement = insert(DamagedFile).values(key=key, sha256=sha256, reason=reason)
    changes = {
        "sha256": sha256,
        "reason": reason,
        "found_at": func.clock_timestamp(),
        "repaired_at": None,
    }
    known = connection.scalar(
        statement.on_conflict_do_update(
            index_elements=[DamagedFile.key],
            set_=changes,
            where=DamagedFile.repaired_at.is_not(None),
        ).returning(DamagedFile.key)
    )
    return known is not None


def invalidate_map(
    connection: Connection, map_id: int, reason: str, keys: Collection[str] | None = None
) -> int:
    """Note files of a map as damaged, so that the next produce makes it again.

    A live map is made under the same keys. When the same bytes come, its rows and item stay as they
    are; when others come, as after a change of a library, it is published as a new revision.

    Parameters
    ----------
    map_id : int
        Its key.
    reason : str
        What was found.
    keys : collection of str, optional
        Which of its files; all by default.

    Returns
    -------
    int
        How many files were not noted yet.
    """
    files = connection.execute(select(MapFile.key, MapFile.sha256).where(MapFile.map_id == map_id))
    return sum(
        note_damage(connection, key, sha256, reason)
        for key, sha256 in files.all()
        if keys is None or key in keys
    )


def note_repaired(connection: Connection, files: Iterable[tuple[str, str]]) -> int:
    """Note that good files stand under these keys; return how many were damaged.

    Parameters
    ----------
    files : iterable of (key, sha256)
        As written or as found.
    """
    written = list(files)
    if not written:
        return 0
    return connection.execute(
        update(DamagedFile)
        .where(tuple_(DamagedFile.key, DamagedFile.sha256).in_(written), _OPEN)
        .values(repaired_at=func.clock_timestamp())
    ).rowcount


def is_damaged(connection: Connection, key: str) -> bool:
    """Say whether a file is noted as missing or damaged."""
    found = select(DamagedFile.key).where(DamagedFile.key == key, _OPEN)
    return connection.scalar(select(found.exists())) is True


def damaged_maps(connection: Connection, product_id: int) -> dict[str, str]:
    """Return which live maps of a product have damaged files: the reason by item identifier."""
    rows = connection.execute(
        select(Map.item_id, func.min(MapFile.key + ": " + DamagedFile.reason))
        .join(MapFile, MapFile.map_id == Map.id)
        .join(DamagedFile, DamagedFile.key == MapFile.key)
        .where(Map.product_id == product_id, Map.superseded_at.is_(None), _OPEN)
        .group_by(Map.item_id)
    )
    return {row[0]: row[1] for row in rows}


def damaged_partitions(connection: Connection, product_version_id: int) -> list[str]:
    """Return the partitions of a product version whose model in force has a damaged file."""
    return list(
        connection.scalars(
            select(Partition.period)
            .join(Model, Model.id == Partition.model_id)
            .join(DamagedFile, DamagedFile.key == Model.key)
            .where(Partition.product_version_id == product_version_id, _OPEN)
            .order_by(Partition.period)
        )
    )


def undamaged() -> ColumnElement[bool]:
    """Return a condition on granules: no file of a layer of theirs is to be made again."""
    damaged = (
        select(LayerGranule.granule_id)
        .join(Layer, Layer.id == LayerGranule.layer_id)
        .join(DamagedFile, DamagedFile.key == Layer.key)
        .where(_OPEN)
    )
    return Granule.id.not_in(damaged)
