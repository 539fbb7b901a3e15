"""The plan in the database: what changed, what days would be made of, which models are in force."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from smcatalog.core.time import Period
from smcatalog.database.models import (
    Layer,
    PlanChange,
    PlanDay,
    ProductInput,
    ReprocessRequest,
)

__all__ = [
    "Changes",
    "InputReach",
    "StoredDay",
    "changed_products",
    "count_states",
    "day_states",
    "declare_inputs",
    "extent_of",
    "has_inputs",
    "list_days",
    "lock_plan",
    "note_everything",
    "open_states",
    "stored_days",
    "take_changes",
    "write_days",
]

_NAMED: Final = 1000
"""Changed layers of which each is remembered as a cause; of more the causes tell nobody anything."""
_NEAR: Final = 16
"""Days around an open one that are looked at with it, so that few spans are asked for."""


@dataclass(frozen=True, slots=True)
class InputReach:
    """What a product reads of a source.

    Parameters
    ----------
    source, variable : str
        Whose layers.
    reach_days : int
        How many days after its end a layer is still read.
    reach_before : int
        How many days before its begin it is read already.
    everywhere : bool
        Whether a layer may change any day.
    leading : bool
        Whether there is no map of a day without it.
    """

    source: str
    variable: str
    reach_days: int
    reach_before: int
    everywhere: bool
    leading: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of layers that were taken to be planned.

    Parameters
    ----------
    whole : bool
        Whether any day may be changed.
    spans : tuple of (date, date)
        Days that may be, first and last included; apart and in the order of time.
    layers : frozenset of int
        Layers that came or went; empty where they are too many to name.
    """

    whole: bool
    spans: tuple[tuple[date, date], ...]
    layers: frozenset[int]


@dataclass(frozen=True, slots=True)
class StoredDay:
    """What a map of a day would be made of.

    Parameters
    ----------
    period : Period
        What the map covers.
    partition : str
        Name of the partition that the day lies in.
    inputs, training : str or None
        Fingerprints of the layers of the map and of those that teach.
    missing : str or None
        Inputs without a layer.
    closes_at : datetime
        When the map becomes final.
    """

    period: Period
    partition: str
    inputs: str | None
    training: str | None
    missing: str | None
    closes_at: datetime


def lock_plan(connection: Connection, version_id: int) -> None:
    """Hold other planners of a product version off until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('smcatalog.plan'), :version)"),
        {"version": version_id},
    )


def declare_inputs(connection: Connection, version_id: int, inputs: Iterable[InputReach]) -> None:
    """Say what a product version reads, in place of all other versions of its product.

    From the end of the transaction on, every layer that comes or goes leaves a note for it.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('smcatalog.product_inputs'))"))
    siblings = text("""
        SELECT o.id FROM smcatalog.product_versions o
        JOIN smcatalog.product_versions v ON v.product_id = o.product_id WHERE v.id = :version
    """)
    known = list(connection.scalars(siblings, {"version": version_id}))
    for table in (ProductInput, PlanChange):
        connection.execute(delete(table).where(table.product_version_id.in_(known)))
    connection.execute(
        insert(ProductInput),
        [
            {
                "product_version_id": version_id,
                "source": i.source,
                "variable": i.variable,
                "reach_days": i.reach_days,
                "reach_before": i.reach_before,
                "everywhere": i.everywhere,
                "leading": i.leading,
            }
            for i in inputs
        ],
    )
    note_everything(connection, version_id)


def has_inputs(connection: Connection, version_id: int) -> bool:
    """Say whether it was declared what a product version reads."""
    asked = select(ProductInput.source).where(ProductInput.product_version_id == version_id)
    return connection.scalar(select(asked.exists())) is True


def note_everything(connection: Connection, version_id: int) -> None:
    """Note that any day of a product version may be changed."""
    connection.execute(insert(PlanChange).values(product_version_id=version_id))


def take_changes(connection: Connection, version_id: int) -> Changes:
    """Take the notes of a product version; they come back when the transaction fails.

    A note that another transaction has not committed yet is left for the next time.
    """
    row = connection.execute(
        text("""
            WITH taken AS (
                DELETE FROM smcatalog.plan_changes WHERE product_version_id = :version
                RETURNING first_day, last_day, layer_id
            )
            SELECT coalesce(bool_or(first_day IS NULL), false) AS whole,
                   (SELECT coalesce(array_agg(ARRAY[lower(r), upper(r) - 1] ORDER BY r), '{}')
                    FROM unnest(
                        (SELECT range_agg(daterange(first_day, last_day, '[]')) FROM taken
                         WHERE first_day IS NOT NULL)
                    ) r) AS spans,
                   CASE WHEN count(layer_id) <= :named THEN array_agg(DISTINCT layer_id) END AS layers
            FROM taken
        """),
        {"version": version_id, "named": _NAMED},
    ).one()
    layers = frozenset(layer for layer in row.layers or () if layer is not None)
    return Changes(row.whole, tuple((first, last) for first, last in row.spans), layers)


def changed_products(connection: Connection) -> list[str]:
    """Return the products that have notes to be taken, in the order of names."""
    return list(
        connection.scalars(
            text("""
                SELECT p.name FROM smcatalog.products p
                JOIN smcatalog.product_versions v ON v.product_id = p.id AND v.active
                WHERE EXISTS (
                    SELECT FROM smcatalog.plan_changes c WHERE c.product_version_id = v.id
                )
                ORDER BY p.name
            """)
        )
    )


def extent_of(
    connection: Connection, version_id: int, wanted: Collection[tuple[str, str]]
) -> tuple[date, date] | None:
    """Return the first and last day of the layers of some sources and of the days planned before."""
    listed = [{"source": source, "variable": name} for source, name in wanted]
    ends = [
        connection.execute(
            select(func.min(Layer.start_time), func.max(Layer.end_time)).where(
                Layer.source == pair["source"],
                Layer.variable == pair["variable"],
                Layer.superseded_at.is_(None),
            )
        ).one()
        for pair in listed
    ]
    ends.append(
        connection.execute(
            select(func.min(PlanDay.start_time), func.max(PlanDay.end_time)).where(
                PlanDay.product_version_id == version_id
            )
        ).one()
    )
    begins = [first for first, _ in ends if first is not None]
    closes = [last for _, last in ends if last is not None]
    return (min(begins).date(), max(closes).date()) if begins and closes else None


def stored_days(
    connection: Connection, version_id: int, first: date, last: date
) -> dict[date, StoredDay]:
    """Return the planned days of a product version from one day to another, both included."""
    rows = connection.execute(
        select(PlanDay).where(
            PlanDay.product_version_id == version_id, PlanDay.day.between(first, last)
        )
    )
    return {
        row.day: StoredDay(
            Period(row.start_time, row.end_time),
            row.partition,
            row.inputs_fingerprint,
            row.training_fingerprint,
            row.missing,
            row.closes_at,
        )
        for row in rows
    }


def write_days(
    connection: Connection,
    version_id: int,
    days: Mapping[date, tuple[StoredDay, list[Any] | None]],
    gone: Collection[date],
) -> None:
    """Write planned days with the causes of their change, and remove those that are none any more."""
    if gone:
        connection.execute(
            delete(PlanDay).where(
                PlanDay.product_version_id == version_id, PlanDay.day.in_(list(gone))
            )
        )
    if not days:
        return
    statement = upsert(PlanDay)
    keys = ("product_version_id", "day")
    changed = {
        c.name: statement.excluded[c.name]
        for c in PlanDay.__table__.columns
        if c.name not in (*keys, "changes", "settled")
    }
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=keys, set_={**changed, "changes": PlanDay.changes + 1}
        ),
        [
            {
                "product_version_id": version_id,
                "day": day,
                "start_time": one.period.start,
                "end_time": one.period.end,
                "partition": one.partition,
                "inputs_fingerprint": one.inputs,
                "training_fingerprint": one.training,
                "missing": one.missing,
                "closes_at": one.closes_at,
                "causes": causes,
            }
            for day, (one, causes) in days.items()
        ],
    )


def day_states(
    connection: Connection,
    version_id: int,
    instant: datetime,
    first: date | None = None,
    last: date | None = None,
) -> Sequence[Any]:
    """Return what is to be done about each day, in the order of time.

    Parameters
    ----------
    first, last : date, optional
        Days to ask for, both included.
    """
    return connection.execute(
        text("""
            SELECT s.* FROM smcatalog.day_states(
                :version, :instant, coalesce(CAST(:first AS date), '-infinity'),
                coalesce(CAST(:last AS date), 'infinity')
            ) s
            ORDER BY s.day, s.start_time, s.detail
        """),
        {"version": version_id, "instant": instant, "first": first, "last": last},
    ).all()


def open_states(connection: Connection, version_id: int, instant: datetime) -> Sequence[Any]:
    """Return what is to be done about all days that are not current, in the order of time.

    Only days are looked at that something happened to since they were found current and final; those that
    are so now are not looked at again until something does. However long the history, this costs what
    is open.

    Notes
    -----
    A day counts up with what its state follows from (`alembic`'s revision 0012); here the count that
    was seen is remembered. What changes it meanwhile leaves another count: the day stays open.
    """
    return connection.execute(
        text("""
            WITH open AS MATERIALIZED (
                SELECT d.day, d.changes FROM smcatalog.plan_days d
                WHERE d.product_version_id = :version AND d.settled IS DISTINCT FROM d.changes
            ), looked (day) AS (
                SELECT day FROM open
                UNION ALL
                SELECT m.day FROM smcatalog.maps m
                WHERE m.product_version_id = :version AND m.unplanned AND m.superseded_at IS NULL
                UNION ALL
                SELECT (u.start_time AT TIME ZONE 'UTC')::date + n
                FROM smcatalog.product_inputs i
                JOIN smcatalog.quarantine u ON u.source = i.source AND u.resolved_at IS NULL
                CROSS JOIN LATERAL generate_series(
                    0, (u.end_time AT TIME ZONE 'UTC')::date - (u.start_time AT TIME ZONE 'UTC')::date
                ) n
                WHERE i.product_version_id = :version AND i.leading
            ), spans AS (
                -- near ones are asked for together
                SELECT unnest(range_agg(daterange(day - :near, day + :near, '[]'))) AS span FROM looked
            ), states AS MATERIALIZED (
                SELECT s.* FROM spans CROSS JOIN LATERAL smcatalog.day_states(
                    :version, :instant, lower(span), upper(span) - 1) s
            ), settled AS (
                UPDATE smcatalog.plan_days d SET settled = open.changes
                FROM open JOIN states s ON s.day = open.day
                WHERE d.product_version_id = :version AND d.day = open.day
                  AND s.state = 'current' AND s.closes_at <= :instant
            )
            SELECT * FROM states s WHERE s.state <> 'current'
            ORDER BY s.day, s.start_time, s.detail
        """),
        {"version": version_id, "instant": instant, "near": _NEAR},
    ).all()


def count_states(connection: Connection, instant: datetime) -> dict[str, dict[str, int]]:
    """Return the number of days by state, by active product."""
    rows = connection.execute(
        text("""
            SELECT p.name, s.state, count(*) AS days
            FROM smcatalog.product_versions v
            JOIN smcatalog.products p ON p.id = v.product_id
            CROSS JOIN LATERAL smcatalog.day_states(v.id, :instant) s
            WHERE v.active GROUP BY p.name, s.state ORDER BY p.name, s.state
        """),
        {"instant": instant},
    )
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        counts.setdefault(row.name, {})[row.state] = row.days
    return counts


def list_days(connection: Connection, product_id: int, first: date, last: date) -> None:
    """List days of a product to be made again."""
    connection.execute(
        insert(ReprocessRequest).values(product_id=product_id, first_day=first, last_day=last)
    )
