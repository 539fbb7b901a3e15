"""Granules that were withdrawn: what goes with them, what comes back in their place, and what is known of them.

A granule is *current* when it is not withdrawn and no later production of its subject is there that is not withdrawn
either. What is in force are layers of current granules. Nothing is deleted: a withdrawn granule keeps its row, so that
it is known when it is delivered again, and its layers keep theirs, so that maps made of them keep their lineage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.database.inputs import GranuleRecord

__all__ = [
    "GranuleWithdrawal",
    "lock_subject",
    "withdraw_granule",
    "withdrawn_files",
    "withdrawn_reason",
]


@dataclass(frozen=True, slots=True)
class GranuleWithdrawal:
    """What withdrawing granules did.

    Parameters
    ----------
    source, name : str
        Product family and the provider's name.
    reason : str
        Why.
    granules : int
        How many were withdrawn: a name may have been delivered with several contents. 0 when all
        of them were withdrawn before.
    superseded : int
        Layers that were in force and are not any more.
    restored : int
        Layers of what was there before that are in force again.
    maps : tuple of str
        Items of the live maps that were made of the superseded layers.
    """

    source: str
    name: str
    reason: str
    granules: int
    superseded: int
    restored: int
    maps: tuple[str, ...]


_CURRENT: Final = """
    g.withdrawn_at IS NULL AND NOT EXISTS (
        SELECT FROM smcatalog.granules newer
        WHERE newer.source = g.source AND newer.subject = g.subject
          AND newer.production > g.production AND newer.withdrawn_at IS NULL
    )
"""


def lock_subject(connection: Connection, source: str, subject: str) -> None:
    """Hold others who record or withdraw productions of the same subject off until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('smcatalog.granules'), hashtext(:subject))"),
        {"subject": f"{source} {subject}"},
    )


def withdraw_granule(
    connection: Connection, source: str, name: str, reason: str, now: datetime
) -> GranuleWithdrawal:
    """Withdraw a granule: its layers go out of force, those of the production before come back.

    A layer that a current granule made as well stays. One that comes back is a new row of the same
    file, with the lineage of the old one. Doing it again changes nothing.

    Raises
    ------
    NotFoundError
        When no granule is called so.
    UsageError
        When zones in use came with it: they have no earlier production to go back to.
    """
    rows = connection.execute(
        text("""
            SELECT id, subject FROM smcatalog.granules WHERE source = :source AND name = :name
            ORDER BY id
        """),
        {"source": source, "name": name},
    ).all()
    if not rows:
        raise NotFoundError(
            f"no granule of {source} is called '{name}': 'smcatalog granules list --source {source}' shows them"
        )
    subjects = sorted({row.subject for row in rows})
    for subject in subjects:
        lock_subject(connection, source, subject)
    ids = [row.id for row in rows]
    _refuse_zones(connection, ids, name)
    done = connection.execute(
        text("""
            UPDATE smcatalog.granules SET withdrawn_at = :now, withdrawn_reason = :reason
            WHERE id = ANY (:ids) AND withdrawn_at IS NULL
        """),
        {"ids": ids, "now": now, "reason": reason},
    )
    superseded = _supersede(connection, ids)
    restored = _restore(connection, source, subjects, superseded)
    return GranuleWithdrawal(
        source,
        name,
        reason,
        granules=done.rowcount,
        superseded=len(superseded),
        restored=restored,
        maps=_live_maps_of(connection, superseded),
    )


def _refuse_zones(connection: Connection, ids: list[int], name: str) -> None:
    query = text("""
        SELECT min(zone_set) FROM smcatalog.zones WHERE granule_id = ANY (:ids) AND superseded_at IS NULL
    """)
    if zone_set := connection.scalar(query, {"ids": ids}):
        raise UsageError(
            f"the zones '{zone_set}' in use came with {name}: ingest another delivery of the set, which takes "
            "their place"
        )


def _supersede(connection: Connection, ids: list[int]) -> list[int]:
    """Supersede the live layers of granules that no current granule made, and return their keys."""
    query = text(f"""
        UPDATE smcatalog.layers l SET superseded_at = clock_timestamp()
        WHERE l.superseded_at IS NULL
          AND l.id IN (SELECT layer_id FROM smcatalog.layer_granules WHERE granule_id = ANY (:ids))
          AND NOT EXISTS (
              SELECT FROM smcatalog.layer_granules k JOIN smcatalog.granules g ON g.id = k.granule_id
              WHERE k.layer_id = l.id AND {_CURRENT}
          )
        RETURNING l.id
    """)  # noqa: S608 - put together from constants
    return sorted(connection.scalars(query, {"ids": ids}))


def _restore(
    connection: Connection, source: str, subjects: list[str], superseded: list[int]
) -> int:
    """Bring back into force what current granules made, where nothing is in force now.

    Looked at are the withdrawn granules' subjects, whose earlier production may have had other windows and
    so other places, and the places that fell empty, where a granule of another subject may have been before.
    """
    query = text(f"""
        WITH wanted AS (
            SELECT l.id, g.id AS granule_id, g.production, true AS own
            FROM smcatalog.granules g
            JOIN smcatalog.layer_granules k ON k.granule_id = g.id
            JOIN smcatalog.layers l ON l.id = k.layer_id
            WHERE g.source = :source AND g.subject = ANY (:subjects) AND {_CURRENT}
            UNION ALL
            SELECT l.id, g.id, '', false
            FROM smcatalog.layers f
            JOIN smcatalog.layers l ON l.source = f.source AND l.variable = f.variable
                AND l.day IS NOT DISTINCT FROM f.day AND l.grid = f.grid
                AND l.start_time IS NOT DISTINCT FROM f.start_time
                AND l.end_time IS NOT DISTINCT FROM f.end_time
            JOIN smcatalog.layer_granules k ON k.layer_id = l.id
            JOIN smcatalog.granules g ON g.id = k.granule_id
            WHERE f.id = ANY (:superseded) AND {_CURRENT}
        )
        SELECT DISTINCT ON (l.source, l.variable, l.grid, l.start_time, l.end_time) l.id
        FROM wanted w JOIN smcatalog.layers l ON l.id = w.id
        WHERE NOT EXISTS (
            SELECT FROM smcatalog.layers o
            WHERE o.superseded_at IS NULL AND o.source = l.source AND o.variable = l.variable
              AND o.grid = l.grid AND o.start_time IS NOT DISTINCT FROM l.start_time
              AND o.end_time IS NOT DISTINCT FROM l.end_time
        )
        ORDER BY l.source, l.variable, l.grid, l.start_time, l.end_time,
                 w.own DESC, w.production DESC, w.granule_id DESC, l.id DESC
    """)  # noqa: S608 - put together from constants
    arguments = {"source": source, "subjects": subjects, "superseded": superseded}
    found = sorted(connection.scalars(query, arguments))
    for layer_id in found:
        connection.execute(_AGAIN, {"layer": layer_id})
    return len(found)


_AGAIN: Final = text("""
    WITH again AS (
        INSERT INTO smcatalog.layers (source, variable, grid, day, start_time, end_time, key, sha256, size)
        SELECT source, variable, grid, day, start_time, end_time, key, sha256, size
        FROM smcatalog.layers WHERE id = :layer
        RETURNING id
    )
    INSERT INTO smcatalog.layer_granules (layer_id, granule_id)
    SELECT a.id, g.id
    FROM again a
    CROSS JOIN smcatalog.layer_granules k
    JOIN smcatalog.granules g ON g.id = k.granule_id
    WHERE k.layer_id = :layer AND g.withdrawn_at IS NULL
""")


def _live_maps_of(connection: Connection, layers: list[int]) -> tuple[str, ...]:
    query = text("""
        SELECT DISTINCT m.item_id FROM smcatalog.map_layers c
        JOIN smcatalog.maps m ON m.id = c.map_id AND m.superseded_at IS NULL
        WHERE c.layer_id = ANY (:layers) ORDER BY 1
    """)
    return tuple(connection.scalars(query, {"layers": layers}))


def withdrawn_files(connection: Connection, names: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return why granules were withdrawn, by file name and checksum, of those that came under some file names."""
    query = text("""
        SELECT delivered_as, sha256, withdrawn_reason FROM smcatalog.granules
        WHERE withdrawn_at IS NOT NULL AND delivered_as = ANY (:names)
    """)
    rows = connection.execute(query, {"names": sorted(set(names))})
    return {(row.delivered_as, row.sha256): row.withdrawn_reason for row in rows}


def withdrawn_reason(connection: Connection, granule: GranuleRecord) -> str | None:
    """Return why a granule was withdrawn; None when it was not."""
    found: Any = connection.scalar(
        text("""
            SELECT withdrawn_reason FROM smcatalog.granules
            WHERE source = :source AND name = :name AND sha256 = :sha256
        """),
        {"source": granule.source, "name": granule.name, "sha256": granule.sha256},
    )
    return None if found is None else str(found)
