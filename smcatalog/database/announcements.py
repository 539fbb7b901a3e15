"""Announcements: what became of maps, told by the transaction that did it.

Each announcement is a row and, when its transaction commits, a NOTIFY. The rows' keys are in the order of the commits: whoever
announces holds a lock from the first key to its commit, so a reader that has seen a key never meets a smaller one
later. PostgreSQL lets transactions that notify commit one after the other anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, text

__all__ = [
    "CHANNEL",
    "Announcement",
    "Kind",
    "Receiver",
    "abandon",
    "announce",
    "announced",
    "count_waiting",
    "last_announcement",
    "mark_delivered",
    "receiver",
    "save_receiver",
    "waiting",
]

CHANNEL: Final = "smcatalog_items"
"""Channel of the NOTIFY; its payload is JSON: id, kind, product, day and item_id."""


class Kind(StrEnum):
    """What became of a map."""

    NEW = "new"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What became of a map.

    Parameters
    ----------
    id : int
        Its place in the order in which announcements were committed; not all numbers are used.
    kind : Kind
        New, superseded or withdrawn.
    product : str
        Name of the product, also of its STAC collection.
    version, revision : int
        Of the map.
    day : date
        Day that the map is dated by.
    item_id : str
        The map's item.
    status : str
        Provisional or final.
    successor : str or None
        Item of the map that took its place, when it was superseded.
    withdrawn_reason : str or None
        Why, when it was withdrawn.
    happened_at : datetime
        When the map was published, superseded or withdrawn; UTC.
    """

    id: int
    kind: Kind
    product: str
    version: int
    revision: int
    day: date
    item_id: str
    status: str
    successor: str | None
    withdrawn_reason: str | None
    happened_at: datetime


@dataclass(frozen=True, slots=True)
class Receiver:
    """How deliveries to a receiver go.

    Parameters
    ----------
    failures : int
        Attempts in a row that failed.
    next_attempt_at : datetime or None
        No attempt before.
    last_error : str or None
        What went wrong at the last attempt.
    stopped_at : datetime or None
        When it said that it is gone for good.
    """

    failures: int = 0
    next_attempt_at: datetime | None = None
    last_error: str | None = None
    stopped_at: datetime | None = None


_COLUMNS: Final = (
    "id, kind, product, version, revision, day, item_id, status, successor, withdrawn_reason, "
    "happened_at"
)
_WAITING: Final = "delivered_at IS NULL AND abandoned_at IS NULL"


def announce(connection: Connection, events: Sequence[tuple[Kind, int]]) -> None:
    """Announce what the caller's transaction has done to maps; nothing is told unless it commits.

    Call it last: until the commit no other transaction can announce anything.

    Parameters
    ----------
    events : sequence of (Kind, int)
        What became of which map (its key), in the order in which it is to be told. A map is
        announced once in each kind.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('smcatalog.announcements'))"))
    statement = text("""
        WITH announced AS (
            INSERT INTO smcatalog.announcements (kind, map_id) VALUES (:kind, :map)
            RETURNING id, kind, map_id
        )
        SELECT pg_notify(:channel, json_build_object(
            'id', a.id, 'kind', a.kind, 'product', p.name, 'day', m.day, 'item_id', m.item_id)::text)
        FROM announced a
        JOIN smcatalog.maps m ON m.id = a.map_id
        JOIN smcatalog.products p ON p.id = m.product_id
    """)
    for kind, map_id in events:
        connection.execute(statement, {"kind": kind.value, "map": map_id, "channel": CHANNEL})


def announced(
    connection: Connection,
    *,
    after: int = 0,
    since: datetime | None = None,
    limit: int | None = None,
    newest: bool = False,
) -> list[Announcement]:
    """Return announcements in their order.

    Parameters
    ----------
    after : int
        Only those with a greater key.
    since : datetime, optional
        Only those announced then or later.
    limit : int, optional
        At most so many.
    newest : bool
        Whether the limit leaves the newest ones, not the oldest.
    """
    order = "DESC" if newest else "ASC"
    query = text(f"""
        SELECT {_COLUMNS} FROM views.announcements
        WHERE id > :after AND (CAST(:since AS timestamptz) IS NULL OR announced_at >= :since)
        ORDER BY id {order} LIMIT :limit
    """)  # noqa: S608 - put together from constants
    rows = connection.execute(query, {"after": after, "since": since, "limit": limit})
    found = [_announcement(tuple(row)) for row in rows]
    return found[::-1] if newest else found


def _announcement(row: tuple[object, ...]) -> Announcement:
    number, kind, *rest = row
    return Announcement(number, Kind(kind), *rest)  # type: ignore[arg-type] # as the view's columns


def last_announcement(connection: Connection) -> int:
    """Return the key of the newest announcement; 0 when there is none."""
    found: int = connection.execute(
        text("SELECT coalesce(max(id), 0) FROM smcatalog.announcements")
    ).scalar_one()
    return found


def waiting(connection: Connection, limit: int) -> list[Announcement]:
    """Return the oldest announcements that were neither delivered nor abandoned, in their order."""
    query = text(f"""
        SELECT {_COLUMNS} FROM views.announcements WHERE {_WAITING} ORDER BY id LIMIT :limit
    """)  # noqa: S608 - put together from constants
    rows = connection.execute(query, {"limit": limit})
    return [_announcement(tuple(row)) for row in rows]


def count_waiting(connection: Connection) -> int:
    """Return how many announcements were neither delivered nor abandoned."""
    query = f"SELECT count(*) FROM smcatalog.announcements WHERE {_WAITING}"  # noqa: S608 - constants
    found: int = connection.execute(text(query)).scalar_one()
    return found


def mark_delivered(connection: Connection, ids: Iterable[int], now: datetime) -> None:
    """Record that the webhook's receiver took announcements."""
    connection.execute(
        text("UPDATE smcatalog.announcements SET delivered_at = :now WHERE id = ANY (:ids)"),
        {"now": now, "ids": list(ids)},
    )


def abandon(connection: Connection, now: datetime, age: timedelta, reason: str) -> int:
    """Give up what has waited for longer than ``age``, and return how many these are."""
    done = connection.execute(
        text(f"""
            UPDATE smcatalog.announcements SET abandoned_at = :now, abandoned_reason = :reason
            WHERE {_WAITING} AND announced_at < :before
        """),  # noqa: S608 - put together from constants
        {"now": now, "reason": reason, "before": now - age},
    )
    return done.rowcount


def receiver(connection: Connection, address_sha256: str) -> Receiver:
    """Return how deliveries to a receiver went; one that was never met has failed at nothing."""
    row = connection.execute(
        text("""
            SELECT failures, next_attempt_at, last_error, stopped_at FROM smcatalog.webhooks
            WHERE address_sha256 = :address
        """),
        {"address": address_sha256},
    ).one_or_none()
    return Receiver(*row) if row else Receiver()


def save_receiver(connection: Connection, address_sha256: str, state: Receiver) -> None:
    """Record how deliveries to a receiver go."""
    connection.execute(
        text("""
            INSERT INTO smcatalog.webhooks (address_sha256, failures, next_attempt_at, last_error, stopped_at)
            VALUES (:address, :failures, :next, :error, :stopped)
            ON CONFLICT (address_sha256) DO UPDATE SET
                failures = excluded.failures, next_attempt_at = excluded.next_attempt_at,
                last_error = excluded.last_error, stopped_at = excluded.stopped_at
        """),
        {
            "address": address_sha256,
            "failures": state.failures,
            "next": state.next_attempt_at,
            "error": state.last_error,
            "stopped": state.stopped_at,
        },
    )
