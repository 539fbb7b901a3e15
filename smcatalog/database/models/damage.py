"""Files of the store that were found missing or damaged."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Now, Sha256

__all__ = ["DamagedFile"]


class DamagedFile(Base):
    """A file that is to be made again under its key."""

    __tablename__ = "damaged_files"
    __table_args__ = (
        CheckConstraint("found_at <= repaired_at", name="repaired_later"),
        Index("ix_damaged_files_open", "key", postgresql_where="repaired_at IS NULL"),
        {"comment": "Files that were found missing or damaged and are to be made again"},
    )

    key: Mapped[str] = mapped_column(primary_key=True, comment="Key of the file in the store")
    sha256: Mapped[Sha256] = mapped_column(comment="Checksum that the file should have")
    found_at: Mapped[Now] = mapped_column(comment="When it was found so")
    reason: Mapped[str] = mapped_column(comment="What was found")
    repaired_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True),
        comment="When a good file stood there again; null while it is to be made",
    )
