"""Granules and layers in the database: what is known, and how something new is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, String, and_, any_, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import aliased

from smcatalog.core.time import Period
from smcatalog.database.damage import undamaged
from smcatalog.database.models import Granule, Layer, LayerGranule, Quarantine

__all__ = [
    "GranuleRecord",
    "LayerRecord",
    "NewLayer",
    "Refusal",
    "granules_between",
    "is_outdated",
    "known_files",
    "last_end",
    "layers_of",
    "record_granule",
    "record_layer",
    "refuse",
    "resolve",
    "supersede_older",
]


@dataclass(frozen=True, slots=True)
class GranuleRecord:
    """A granule as it is to be recorded.

    Parameters
    ----------
    source, name : str
        Product family and the provider's name.
    delivered_as : str
        File name under which it came.
    sha256 : str
        Checksum of the file.
    size : int
        Bytes.
    period : Period or None
        What it covers; None for static data.
    subject : str
        What stays the same when the provider produces it anew; empty: the name itself.
    production : str
        Release or time of production; of one subject the later text is the newer granule.
    """

    source: str
    name: str
    delivered_as: str
    sha256: str
    size: int
    period: Period | None
    subject: str = ""
    production: str = ""


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer whose file is in the store and that is to be recorded."""

    source: str
    variable: str
    grid: str
    period: Period | None
    key: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, order=True)
class LayerRecord:
    """A layer that the database knows.

    Parameters
    ----------
    id : int
        Its key in the database.
    source, variable, grid : str
        What it is and on which grid.
    period : Period or None
        When it holds; None when it always does.
    key : str
        Its file in the store.
    sha256 : str
        Checksum of that file.
    """

    id: int
    source: str
    variable: str
    grid: str
    period: Period | None
    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was refused.

    Parameters
    ----------
    name : str
        Under which it was delivered.
    reason : str
        What is wrong with it.
    sha256 : str or None
        Checksum, when it could be read.
    size : int or None
        Bytes, when known.
    source : str or None
        Product family, when it was recognised.
    period : Period or None
        What it would have covered, when known.
    """

    name: str
    reason: str
    sha256: str | None = None
    size: int | None = None
    source: str | None = None
    period: Period | None = None


def _period(start: datetime | None, end: datetime | None) -> Period | None:
    return Period(start, end) if start is not None and end is not None else None


def known_files(connection: Connection, names: Iterable[str]) -> set[tuple[str, str]]:
    """Return file name and checksum of the recorded granules that came under some file names.

    One whose layers lost a file is left out: it is to be read again.
    """
    wanted = literal(sorted(set(names)), ARRAY(String))
    rows = connection.execute(
        select(Granule.delivered_as, Granule.sha256).where(
            Granule.delivered_as == any_(wanted), undamaged()
        )
    )
    return {(row.delivered_as, row.sha256) for row in rows}


def granules_between(
    connection: Connection, source: str, period: Period | None
) -> list[GranuleRecord]:
    """Return the recorded granules of a source that share an instant with a period, or all of them.

    One whose layers lost a file is left out: it is to be fetched again.
    """
    query = select(Granule).where(Granule.source == source, undamaged()).order_by(Granule.id)
    if period is not None:
        query = query.where(Granule.start_time < period.end, Granule.end_time > period.start)
    return [
        GranuleRecord(
            g.source, g.name, g.delivered_as, g.sha256, g.size, _period(g.start_time, g.end_time),
            g.subject, g.production,
        )
        for g in connection.execute(query)
    ]  # fmt: skip


def record_granule(connection: Connection, granule: GranuleRecord) -> int | None:
    """Record a granule and return its key; None when it was recorded before."""
    statement = (
        insert(Granule)
        .values(
            source=granule.source,
            name=granule.name,
            subject=granule.subject or granule.name,
            production=granule.production,
            delivered_as=granule.delivered_as,
            sha256=granule.sha256,
            size=granule.size,
            start_time=granule.period and granule.period.start,
            end_time=granule.period and granule.period.end,
        )
        .on_conflict_do_nothing()
        .returning(Granule.id)
    )
    key: int | None = connection.scalar(statement)
    return key


def is_outdated(connection: Connection, granule_id: int) -> bool:
    """Say whether a newer production of the same granule is recorded already and not withdrawn."""
    this, other = aliased(Granule), aliased(Granule)
    newer = (
        select(other.id)
        .join(this, and_(this.source == other.source, this.subject == other.subject))
        .where(
            this.id == granule_id,
            other.production > this.production,
            other.withdrawn_at.is_(None),
        )
    )
    return connection.scalar(select(newer.exists())) is True


def supersede_older(connection: Connection, granule_id: int) -> int:
    """Supersede the live layers of older productions of a granule and return how many they were.

    Those that the granule itself made again with the same content stay.
    """
    this, other = aliased(Granule), aliased(Granule)
    older = (
        select(LayerGranule.layer_id)
        .join(other, other.id == LayerGranule.granule_id)
        .join(this, and_(this.source == other.source, this.subject == other.subject))
        .where(this.id == granule_id, other.production < this.production)
    )
    kept = select(LayerGranule.layer_id).where(LayerGranule.granule_id == granule_id)
    done = connection.execute(
        update(Layer)
        .where(Layer.superseded_at.is_(None), Layer.id.in_(older), Layer.id.not_in(kept))
        .values(superseded_at=func.clock_timestamp())
    )
    return done.rowcount


def record_layer(
    connection: Connection, layer: NewLayer, granule_id: int, *, outdated: bool = False
) -> bool:
    """Record a layer made of a granule; a live layer of other content is superseded.

    Parameters
    ----------
    outdated : bool
        Whether a newer production of the granule is there: the layer is kept for lineage alone.

    Returns
    -------
    bool
        Whether the layer is new; a layer of the same content only gains a granule.
    """
    start = layer.period and layer.period.start
    end = layer.period and layer.period.end
    same_place = and_(
        Layer.source == layer.source,
        Layer.variable == layer.variable,
        Layer.grid == layer.grid,
        # the index answers these, and not IS NOT DISTINCT FROM
        Layer.start_time.is_(None) if start is None else Layer.start_time == start,
        Layer.end_time.is_(None) if end is None else Layer.end_time == end,
        Layer.superseded_at.is_(None),
    )
    live = connection.execute(
        select(Layer.id, Layer.sha256).where(same_place).with_for_update()
    ).one_or_none()
    if live is not None and live.sha256 == layer.sha256:
        _link(connection, live.id, granule_id)
        return False
    if live is not None and not outdated:
        connection.execute(
            update(Layer).where(Layer.id == live.id).values(superseded_at=func.clock_timestamp())
        )
    layer_id = connection.execute(
        insert(Layer)
        .values(
            source=layer.source,
            variable=layer.variable,
            grid=layer.grid,
            day=layer.period and layer.period.day,
            start_time=start,
            end_time=end,
            key=layer.key,
            sha256=layer.sha256,
            size=layer.size,
            superseded_at=func.clock_timestamp() if outdated else None,
        )
        .returning(Layer.id)
    ).scalar_one()
    _link(connection, layer_id, granule_id)
    return True


def _link(connection: Connection, layer_id: int, granule_id: int) -> None:
    connection.execute(
        insert(LayerGranule)
        .values(layer_id=layer_id, granule_id=granule_id)
        .on_conflict_do_nothing()
    )


_RECORD: Final = (
    Layer.id,
    Layer.source,
    Layer.variable,
    Layer.grid,
    Layer.start_time,
    Layer.end_time,
    Layer.key,
    Layer.sha256,
)


def _record(row: Any) -> LayerRecord:
    key, source, variable, grid, start, end, file, sha256 = row
    return LayerRecord(key, source, variable, grid, _period(start, end), file, sha256)


def layers_of(
    connection: Connection, wanted: Iterable[tuple[str, str]], span: Period | None = None
) -> dict[tuple[str, str], list[LayerRecord]]:
    """Return the live layers of some sources and variables, in the order of time.

    Parameters
    ----------
    wanted : iterable of (source, variable)
        What is looked for.
    span : Period, optional
        Only layers that share an instant with it, and static ones.
    """
    pairs = list(wanted)
    query = select(*_RECORD).where(
        tuple_(Layer.source, Layer.variable).in_(pairs), Layer.superseded_at.is_(None)
    )
    if span is not None:
        held = func.tstzrange(Layer.start_time, Layer.end_time)
        within = held.op("&&")(func.tstzrange(span.start, span.end))
        query = query.where(or_(Layer.start_time.is_(None), within))
    rows = connection.execute(query.order_by(Layer.start_time, Layer.grid))
    found: dict[tuple[str, str], list[LayerRecord]] = {pair: [] for pair in pairs}
    for row in rows:
        record = _record(row)
        found[record.source, record.variable].append(record)
    return found


def last_end(connection: Connection, source: str, name: str) -> datetime | None:
    """Return when the last live layer of a source and variable ends; None when there is none."""
    found: datetime | None = connection.scalar(
        select(func.max(Layer.end_time)).where(
            Layer.source == source, Layer.variable == name, Layer.superseded_at.is_(None)
        )
    )
    return found


def refuse(connection: Connection, refusals: Sequence[Refusal]) -> int:
    """Put files into quarantine and return how many are new there or have a new reason."""
    new = 0
    for refusal in refusals:
        values = {
            "name": refusal.name,
            "sha256": refusal.sha256,
            "size": refusal.size,
            "source": refusal.source,
            "start_time": refusal.period and refusal.period.start,
            "end_time": refusal.period and refusal.period.end,
            "reason": refusal.reason,
            "resolved_at": None,
        }
        changes = {k: v for k, v in values.items() if k not in {"name", "sha256"}}
        differs = or_(*(getattr(Quarantine, k).is_distinct_from(v) for k, v in changes.items()))
        statement = (
            insert(Quarantine)
            .values(values)
            .on_conflict_do_update(
                index_elements=[Quarantine.name, Quarantine.sha256], set_=changes, where=differs
            )
            .returning(Quarantine.id)
        )
        new += connection.scalar(statement) is not None
    return new


def resolve(connection: Connection, name: str) -> None:
    """Mark the refusals of a name as settled: a good file was delivered under it."""
    connection.execute(
        update(Quarantine)
        .where(Quarantine.name == name, Quarantine.resolved_at.is_(None))
        .values(resolved_at=func.clock_timestamp())
    )
