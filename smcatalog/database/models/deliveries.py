"""Files that were delivered to the inbox."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Now

__all__ = ["Delivery"]


class Delivery(Base):
    """A file of the inbox that was taken in, as it lay there."""

    __tablename__ = "deliveries"
    __table_args__ = {"comment": "Files of the inbox that were ingested or refused"}  # noqa: RUF012

    path: Mapped[str] = mapped_column(primary_key=True, comment="Where the file lay")
    size: Mapped[int] = mapped_column(BigInteger, comment="Bytes")
    modified_ns: Mapped[int] = mapped_column(
        BigInteger, comment="When it was changed last, nanoseconds since 1970"
    )
    ingested_at: Mapped[Now] = mapped_column(comment="When it was ingested or refused")
