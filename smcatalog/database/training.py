"""What models learn from and which are in force, in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from smcatalog.core.time import Period
from smcatalog.database.models import Model, Partition, PlanDay

__all__ = [
    "TrainedPartition",
    "Training",
    "first_partition",
    "lost_partitions",
    "model_scores",
    "put_model_in_force",
    "refuse_partition",
    "summarise_training",
    "trained_partitions",
    "training_days",
]

_ALL: Final = "all"
"""The one zone of a product without zones."""


@dataclass(frozen=True, slots=True)
class TrainedPartition:
    """A partition that has something to learn from.

    Parameters
    ----------
    id : int
        Its key.
    name : str
        Its period.
    days : int
        Days that teach.
    fingerprint : str
        Of the layers of these days.
    span : Period
        From the first to the last of them.
    model_id : int or None
        The model in force; None until one is fitted to these layers.
    refused : str or None
        Why it can have none.
    """

    id: int
    name: str
    days: int
    fingerprint: str
    span: Period
    model_id: int | None
    refused: str | None


def first_partition(connection: Connection, version_id: int) -> str | None:
    """Return the name of the first partition of a product version that has something to learn from."""
    found: str | None = connection.scalar(
        select(func.min(Partition.period)).where(
            Partition.product_version_id == version_id, Partition.training_days > 0
        )
    )
    return found


def trained_partitions(
    connection: Connection,
    version_id: int,
    until: str | None = None,
    most: int | None = None,
    names: Collection[str] | None = None,
) -> list[TrainedPartition]:
    """Return the partitions of a product version that have something to learn from, in the order of time.

    Parameters
    ----------
    until : str, optional
        Name of the last one.
    most : int, optional
        At most so many: the last ones.
    names : collection of str, optional
        Only those that are called so.
    """
    query = select(Partition).where(
        Partition.product_version_id == version_id, Partition.training_days > 0
    )
    if until is not None:
        query = query.where(Partition.period <= until)
    if names is not None:
        query = query.where(Partition.period.in_(names))
    rows = reversed(connection.execute(query.order_by(Partition.period.desc()).limit(most)).all())
    return [
        TrainedPartition(
            row.id,
            row.period,
            row.training_days,
            row.training_fingerprint,
            Period(row.start_time, row.end_time),
            row.model_id,
            row.refused,
        )
        for row in rows
    ]


def model_scores(connection: Connection, version_id: int) -> list[tuple[str, bool, dict[str, Any]]]:
    """Return of each partition with a model in force its name, whether the model stands in, and its scores.

    The scores are those of the samples (by `smcatalog.services.fit.score_method`), with the method's ``report``.
    """
    rows = connection.execute(
        select(Partition.period, Model.borrowed_from, Model.scores)
        .join(Model, Model.id == Partition.model_id)
        .where(Partition.product_version_id == version_id)
        .order_by(Partition.period)
    )
    return [(row.period, row.borrowed_from is not None, row.scores) for row in rows]


def training_days(connection: Connection, version_id: int, partition: str) -> list[date]:
    """Return the days that teach the model of a partition, in the order of time."""
    return list(
        connection.scalars(
            select(PlanDay.day)
            .where(
                PlanDay.product_version_id == version_id,
                PlanDay.partition == partition,
                PlanDay.training_fingerprint.is_not(None),
            )
            .order_by(PlanDay.day)
        )
    )


@dataclass(frozen=True, slots=True)
class Training:
    """What the model of a partition is to learn from.

    Parameters
    ----------
    partition_id : int
        Its key.
    name : str
        Its period.
    days : int
        Days that teach.
    fingerprint : str or None
        Of the layers of these days; None when there is no day.
    changed : bool
        Whether that is another one than before.
    began : bool
        Whether it had nothing to learn from before.
    """

    partition_id: int
    name: str
    days: int
    fingerprint: str | None
    changed: bool
    began: bool


def summarise_training(
    connection: Connection,
    version_id: int,
    partitions: Mapping[str, list[Any] | None],
) -> list[Training]:
    """Bring up to date what the models of some partitions are to learn from.

    Parameters
    ----------
    partitions : mapping of str to list or None
        Causes of the change by the partition's name.
    """
    rows = connection.execute(
        text("""
            SELECT w.name, count(d.day) AS days, min(d.start_time) AS first, max(d.end_time) AS last,
                   encode(sha256(convert_to(
                       string_agg(d.training_fingerprint, ',' ORDER BY d.day), 'UTF8'
                   )), 'hex') AS fingerprint
            FROM unnest(CAST(:names AS text[])) w(name)
            LEFT JOIN smcatalog.plan_days d
                   ON d.product_version_id = :version AND d.partition = w.name
                  AND d.training_fingerprint IS NOT NULL
            GROUP BY w.name ORDER BY w.name
        """),
        {"version": version_id, "names": sorted(partitions)},
    ).all()
    known = {
        row.period: row
        for row in connection.execute(
            select(Partition.period, Partition.training_days, Partition.training_fingerprint).where(
                Partition.product_version_id == version_id,
                Partition.zone == _ALL,
                Partition.period.in_(list(partitions)),
            )
        )
    }
    found = []
    for row in rows:
        before = known.get(row.name)
        if before is None and not row.days:
            continue
        changed = before is None or before.training_fingerprint != row.fingerprint
        values: dict[str, Any] = {
            "training_days": row.days,
            "training_fingerprint": row.fingerprint,
            **({"start_time": row.first, "end_time": row.last} if row.days else {}),
            **({"causes": partitions[row.name]} if changed else {}),
        }
        key = connection.execute(
            upsert(Partition)
            .values(product_version_id=version_id, period=row.name, zone=_ALL, **values)
            .on_conflict_do_update(
                index_elements=["product_version_id", "period", "zone"], set_=values
            )
            .returning(Partition.id)
            if row.days
            else update(Partition)
            .where(
                Partition.product_version_id == version_id,
                Partition.period == row.name,
                Partition.zone == _ALL,
            )
            .values(**values)
            .returning(Partition.id)
        ).scalar_one()
        began = bool(row.days) and (before is None or not before.training_days)
        found.append(Training(key, row.name, row.days, row.fingerprint, changed, began))
    return found


def lost_partitions(
    connection: Connection, version_id: int, changed: Sequence[Training], own: Mapping[str, str]
) -> None:
    """Take the models of partitions out of force that no longer fit what they are to learn from.

    These are the changed partitions' own, every model that stands in for another and came from one of
    them, and the refusals and stand-ins that a partition which now has samples may end.

    Parameters
    ----------
    changed : sequence of Training
        Partitions that are to learn from something else than before.
    own : mapping of str to str
        Fingerprint of the model of each by the partition's name: one that was fitted to the same before
        comes into force again.
    """
    if not changed:
        return
    began = [one.name for one in changed if one.began]
    connection.execute(
        text("""
            WITH RECURSIVE lost AS (
                SELECT id FROM smcatalog.models WHERE partition_id = ANY (:changed)
                UNION
                SELECT m.id FROM smcatalog.models m JOIN lost ON m.borrowed_from = lost.id
            )
            UPDATE smcatalog.partitions p SET model_id = NULL, refused = NULL
            WHERE p.product_version_id = :version
              AND (p.id = ANY (:changed)
                   OR p.model_id IN (SELECT id FROM lost)
                   OR p.refused IS NOT NULL
                   OR p.period > CAST(:began AS text) AND p.model_id IN (
                       SELECT m.id FROM smcatalog.models m WHERE m.borrowed_from IS NOT NULL))
        """),
        {
            "version": version_id,
            "changed": [one.partition_id for one in changed],
            "began": min(began) if began else None,
        },
    )
    for one in changed:
        connection.execute(
            update(Partition)
            .where(Partition.id == one.partition_id)
            .values(
                model_id=select(Model.id)
                .where(
                    Model.partition_id == one.partition_id, Model.fingerprint == own.get(one.name)
                )
                .scalar_subquery()
            )
        )


def put_model_in_force(
    connection: Connection, partition_id: int, model_id: int, fingerprint: str | None
) -> bool:
    """Put a model into force unless its partition is to learn from something else by now.

    Parameters
    ----------
    fingerprint : str or None
        Of what it learned from.
    """
    done = connection.execute(
        update(Partition)
        .where(
            Partition.id == partition_id,
            Partition.training_fingerprint.is_not_distinct_from(fingerprint),
        )
        .values(model_id=model_id, refused=None)
    )
    return bool(done.rowcount)


def refuse_partition(
    connection: Connection, partition_id: int, reason: str, fingerprint: str | None
) -> None:
    """Record why a partition can have no model, unless what it is to learn from changed."""
    connection.execute(
        update(Partition)
        .where(
            Partition.id == partition_id,
            Partition.training_fingerprint.is_not_distinct_from(fingerprint),
        )
        .values(refused=reason)
    )
