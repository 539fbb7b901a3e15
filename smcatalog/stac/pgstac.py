"""Everything that speaks pgstac's SQL: collections, partitions, items.

How pgstac is used here:

- Collections are partitioned by year. pgstac files an item by its ``start_datetime``.
- Each partition carries a CHECK on ``datetime`` and ``end_datetime`` that pgstac widens when an item
  does not fit, under a lock that stops every reader until the transaction ends. A partition is
  therefore made beforehand, in a transaction of its own, with a CHECK wide enough for every item
  it will ever hold (`ensure_year_partition`); an upsert then takes row locks only.
- For the same reason ``update_partition_stats(partition)`` and ``update_collection_extents()``,
  which tighten these CHECKs to what is there, are never called; the setting
  ``update_collection_extent`` stays off (a collection's extent is what its product declares) and
  ``use_queue`` stays off (a queue that nobody drains would hold the CHECKs back). Upgrades say so to the
  database.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from smcatalog.core.errors import DatabaseUnavailable, NotFoundError
from smcatalog.core.time import Period
from smcatalog.core.versions import PGSTAC_VERSION

if TYPE_CHECKING:
    import pystac

__all__ = [
    "check_version",
    "delete_item",
    "ensure_year_partition",
    "get_item",
    "pgstac_version",
    "upsert_collection",
    "upsert_item",
]

_RETRIED: Final = frozenset({"55P03", "40P01", "40001", "42P01"})
"""Lock not available, deadlock, serialization failure: over when the other has finished. So is an
undefined table: pgstac swallows the lock timeout of its CREATE TABLE and misses the table later."""
_ATTEMPTS: Final = 8
_LOCK_TIMEOUT_MS: Final = 500


def pgstac_version(conn: Connection) -> str | None:
    """Return the version of the pgstac schema, or None where there is none."""
    if conn.execute(text("SELECT to_regclass('pgstac.migrations')")).scalar_one() is None:
        return None
    version = conn.execute(text("SELECT pgstac.get_version()")).scalar_one()
    return None if version is None else str(version)


def check_version(conn: Connection) -> None:
    """Check that the database has the pgstac schema that this code is written for.

    Raises
    ------
    DatabaseUnavailable
        When it has none or another.
    """
    found = pgstac_version(conn)
    if found != PGSTAC_VERSION:
        raise DatabaseUnavailable(
            f"the database has {'no pgstac schema' if found is None else f'pgstac {found}'}, "
            f"but pgstac {PGSTAC_VERSION} is needed: run 'smcatalog db upgrade'"
        )


def upsert_collection(conn: Connection, collection: pystac.Collection) -> bool:
    """Write a collection, partitioned by year, unless the same stands there already.

    Returns
    -------
    bool
        Whether anything was written.
    """
    content = collection.to_dict(include_self_link=False, transform_hrefs=False)
    document = {"id": collection.id, "content": json.dumps(content)}
    same = conn.execute(
        text("""
            SELECT content = CAST(:content AS jsonb) AND partition_trunc IS NOT DISTINCT FROM 'year'
            FROM pgstac.collections WHERE id = :id
        """),
        document,
    ).scalar_one_or_none()
    if same:
        return False
    conn.execute(text("SELECT pgstac.upsert_collection(CAST(:content AS jsonb))"), document)
    conn.execute(
        text("""
            UPDATE pgstac.collections SET partition_trunc = 'year'
            WHERE id = :id AND partition_trunc IS DISTINCT FROM 'year'
        """),
        document,
    )
    return True


def ensure_year_partition(engine: Engine, collection_id: str, period: Period) -> bool:
    """Make the partition that holds items of a period, in a short transaction of its own.

    Call it before the transaction that publishes. The partition's CHECK admits every item that
    begins in the year of ``period.start`` and ends by the end of the next year.

    Returns
    -------
    bool
        Whether it was made; False when it was there.

    Raises
    ------
    NotFoundError
        When there is no such collection.
    DatabaseUnavailable
        When readers or writers kept the table locked through all attempts.
    """
    year = period.start.year
    second = timedelta(microseconds=1)
    bounds = {
        "collection": collection_id,
        "first": datetime(year, 1, 1, tzinfo=UTC),
        "last": datetime(year + 1, 1, 1, tzinfo=UTC) - second,
        # Any later item that ended beyond would widen the CHECK under readers: far, not tight.
        "end": max(datetime(year + 2, 1, 1, tzinfo=UTC) - second, period.end),
    }
    for attempt in range(_ATTEMPTS):
        try:
            with engine.begin() as conn:
                # pgstac's catalogue functions find each other by the search path.
                conn.execute(text("SET LOCAL search_path = pgstac, public"))
                if _partition_fits(conn, bounds):
                    return False
                conn.execute(text(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}"))
                _make_partition(conn, bounds)
                return True
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _RETRIED:
                raise
            time.sleep(0.05 * 2**attempt)
    raise DatabaseUnavailable(
        f"the partition {year} of collection '{collection_id}' could not be made: other sessions "
        f"held the items locked through {_ATTEMPTS} attempts; see pg_stat_activity and try again"
    )


def _partition_fits(conn: Connection, bounds: dict[str, Any]) -> bool:
    known = conn.execute(
        text("SELECT EXISTS (SELECT FROM pgstac.collections WHERE id = :collection)"), bounds
    ).scalar_one()
    if not known:
        raise NotFoundError(
            f"there is no collection '{bounds['collection']}': publish the product's collection first"
        )
    return bool(
        conn.execute(
            text("""
                SELECT EXISTS (
                    -- the one that holds the year, not all: each is looked up in the catalogue
                    SELECT FROM pgstac.partition_name(:collection, CAST(:first AS timestamptz)) n
                    JOIN pgstac.partition_stats s ON s.partition = n.partition_name,
                        LATERAL pgstac.partition_catalog_meta(s.partition) m
                    WHERE s.collection = :collection
                        AND m.constraint_dtrange
                            @> tstzrange(CAST(:first AS timestamptz), :last, '[]')
                        AND m.constraint_edtrange
                            @> tstzrange(CAST(:first AS timestamptz), :end, '[]')
                )
            """),
            bounds,
        ).scalar_one()
    )


def _make_partition(conn: Connection, bounds: dict[str, Any]) -> None:
    conn.execute(
        text("""
            SELECT pgstac.check_partition(
                :collection,
                tstzrange(CAST(:first AS timestamptz), :last, '[]'),
                tstzrange(CAST(:first AS timestamptz), :end, '[]')
            )
        """),
        bounds,
    )


def upsert_item(conn: Connection, item: pystac.Item) -> None:
    """Write an item, inside the caller's transaction; writing the same again changes nothing.

    Milliseconds, and row locks only, once `ensure_year_partition` has made its partition.
    """
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    conn.execute(
        text("SELECT pgstac.upsert_item(CAST(:content AS jsonb))"), {"content": json.dumps(content)}
    )


def get_item(conn: Connection, collection_id: str, item_id: str) -> dict[str, Any] | None:
    """Return an item as it was written, or None when there is none."""
    item: dict[str, Any] | None = conn.execute(
        text("SELECT pgstac.get_item(:item, :collection)"),
        {"item": item_id, "collection": collection_id},
    ).scalar_one_or_none()
    return item


def delete_item(conn: Connection, collection_id: str, item_id: str) -> None:
    """Delete an item, inside the caller's transaction; one that is not there is no error."""
    if get_item(conn, collection_id, item_id) is None:
        return
    # unlike the others this function of pgstac finds its tables by the search path
    conn.execute(text("SET LOCAL search_path = pgstac, public"))
    conn.execute(
        text("SELECT pgstac.delete_item(:item, :collection)"),
        {"item": item_id, "collection": collection_id},
    )
