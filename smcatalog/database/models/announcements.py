"""What is told about maps, and whom it is told to."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Key, Now, Sha256
from smcatalog.database.models.outputs import Map

__all__ = ["Announcement", "Webhook"]


class Announcement(Base):
    """That a map is new, superseded or withdrawn; written in the transaction that makes it so."""

    __tablename__ = "announcements"
    __table_args__ = (
        UniqueConstraint("map_id", "kind"),
        CheckConstraint("kind IN ('new', 'superseded', 'withdrawn')", name="kind"),
        CheckConstraint("delivered_at IS NULL OR abandoned_at IS NULL", name="settled_once"),
        CheckConstraint(
            "(abandoned_at IS NULL) = (abandoned_reason IS NULL)", name="abandoned_reason"
        ),
        Index(
            "ix_announcements_waiting",
            "id",
            postgresql_where="delivered_at IS NULL AND abandoned_at IS NULL",
        ),
        Index("ix_announcements_announced_at", "announced_at"),
        {"comment": "Announcements of maps that are new, superseded or withdrawn"},
    )

    id: Mapped[Key] = mapped_column(
        comment="Its place in the order in which announcements were committed"
    )
    kind: Mapped[str] = mapped_column(comment="new, superseded or withdrawn")
    map_id: Mapped[int] = mapped_column(ForeignKey(Map.id), comment="The map")
    announced_at: Mapped[Now] = mapped_column(comment="When it was announced")
    delivered_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="When the webhook's receiver took it; null until then"
    )
    abandoned_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="When its delivery was given up; null if it was not"
    )
    abandoned_reason: Mapped[str | None] = mapped_column(comment="Why its delivery was given up")


class Webhook(Base):
    """How deliveries to a receiver go."""

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint("failures >= 0", name="failures"),
        {"comment": "Receivers of announcements, and how deliveries to them go"},
    )

    address_sha256: Mapped[Sha256] = mapped_column(
        primary_key=True, comment="SHA-256 of the receiver's address, which may be secret itself"
    )
    failures: Mapped[int] = mapped_column(Integer, comment="Attempts in a row that failed")
    next_attempt_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="No attempt before; null after a success"
    )
    last_error: Mapped[str | None] = mapped_column(
        comment="What went wrong at the last attempt; null after a success"
    )
    stopped_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True),
        comment="When the receiver said that it is gone for good; null while it is not",
    )
