"""What came in: granules, the layers made of them, and what was refused."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Key, Now, Sha256

__all__ = ["Granule", "Layer", "LayerGranule", "Quarantine"]


class Granule(Base):
    """One file of a source, known by source, provider's name and checksum."""

    __tablename__ = "granules"
    __table_args__ = (
        UniqueConstraint("source", "name", "sha256"),
        CheckConstraint("(start_time IS NULL) = (end_time IS NULL)", name="period_whole"),
        CheckConstraint("start_time < end_time", name="period_forward"),
        CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_reason IS NULL)", name="withdrawn_reason"
        ),
        Index("ix_granules_source_subject", "source", "subject"),
        {"comment": "Granules: one file of a source each; identity is source, name and checksum"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    source: Mapped[str] = mapped_column(comment="Product family")
    name: Mapped[str] = mapped_column(comment="Name of the granule as its provider gave it")
    subject: Mapped[str] = mapped_column(
        comment="What stays the same when the provider produces it anew"
    )
    production: Mapped[str] = mapped_column(
        comment="Release or time of production; the later text is newer; empty if there is none"
    )
    delivered_as: Mapped[str] = mapped_column(comment="File name under which it came first")
    sha256: Mapped[Sha256] = mapped_column(index=True, comment="Checksum of the file")
    size: Mapped[int] = mapped_column(BigInteger, comment="Bytes")
    start_time: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="First instant covered; null for static data"
    )
    end_time: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="First instant no longer covered"
    )
    ingested_at: Mapped[Now] = mapped_column(comment="When it was ingested")
    withdrawn_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="When it was withdrawn; null if it was not"
    )
    withdrawn_reason: Mapped[str | None] = mapped_column(
        comment="Why it was withdrawn; null if it was not"
    )


class Layer(Base):
    """One variable of one source on one grid for one period, as a file in the store."""

    __tablename__ = "layers"
    __table_args__ = (
        CheckConstraint("(start_time IS NULL) = (end_time IS NULL)", name="period_whole"),
        CheckConstraint("(start_time IS NULL) = (day IS NULL)", name="day_with_period"),
        CheckConstraint("start_time < end_time", name="period_forward"),
        Index(
            "uq_layers_live",
            "source",
            "variable",
            "grid",
            "start_time",
            "end_time",
            unique=True,
            postgresql_where="superseded_at IS NULL",
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_layers_source_variable_day", "source", "variable", "day"),
        Index(
            "ix_layers_live_time",
            "source",
            "variable",
            text("tstzrange(start_time, end_time)"),
            postgresql_using="gist",
            postgresql_where="superseded_at IS NULL",
        ),
        {"comment": "Layers: one variable on one grid for one day or period, or static"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    source: Mapped[str] = mapped_column(comment="Product family of its granules")
    variable: Mapped[str] = mapped_column(comment="Canonical name of the variable")
    grid: Mapped[str] = mapped_column(comment="Name of the grid, windows included")
    day: Mapped[date | None] = mapped_column(
        Date, comment="Day it is dated by, the middle of its period; null when static"
    )
    start_time: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="First instant covered; null when static"
    )
    end_time: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="First instant no longer covered"
    )
    key: Mapped[str] = mapped_column(comment="Key of the file in the store")
    sha256: Mapped[Sha256] = mapped_column(comment="Checksum of the file")
    size: Mapped[int] = mapped_column(BigInteger, comment="Bytes of the file")
    created_at: Mapped[Now] = mapped_column(comment="When it was recorded")
    superseded_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="When another layer took its place; null while in use"
    )


class LayerGranule(Base):
    """Which granules a layer was made of."""

    __tablename__ = "layer_granules"
    __table_args__ = {"comment": "Lineage: which granules a layer was made of"}  # noqa: RUF012

    layer_id: Mapped[int] = mapped_column(
        ForeignKey(Layer.id), primary_key=True, comment="The layer"
    )
    granule_id: Mapped[int] = mapped_column(
        ForeignKey(Granule.id), primary_key=True, index=True, comment="A granule it was made of"
    )


class Quarantine(Base):
    """A file that was refused, with the reason."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("name", "sha256", postgresql_nulls_not_distinct=True),
        Index("ix_quarantine_open", "source", postgresql_where="resolved_at IS NULL"),
        {"comment": "Files that were refused, and why"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    name: Mapped[str] = mapped_column(comment="Name under which it was delivered")
    sha256: Mapped[str | None] = mapped_column(
        comment="Checksum of the file; null when it could not be read at all"
    )
    size: Mapped[int | None] = mapped_column(BigInteger, comment="Bytes, when known")
    source: Mapped[str | None] = mapped_column(comment="Product family, when it was recognised")
    start_time: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="First instant it would have covered, when known"
    )
    end_time: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="First instant no longer covered, when known"
    )
    reason: Mapped[str] = mapped_column(comment="What is wrong with it")
    first_seen: Mapped[Now] = mapped_column(comment="When it was refused first")
    resolved_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True),
        comment="When a good file of that name came in; null while it stands",
    )
