"""The declarative base and the column types that recur."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from sqlalchemy import BigInteger, DateTime, Identity, MetaData, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

__all__ = ["SCHEMA", "Base", "Instant", "Key", "Now", "Sha256"]

SCHEMA: Final = "smcatalog"
"""Schema of all tables of the project; pgstac and the queue have their own."""

Key = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
"""A surrogate key made by the database."""

Sha256 = Annotated[str, mapped_column(String(64))]
"""A SHA-256 in hexadecimal."""

Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
"""An instant, stored in UTC."""

Now = Annotated[
    datetime, mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
]
"""The instant at which the row was written."""


class Base(DeclarativeBase):
    """Base of all models."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map = {dict[str, Any]: JSONB}  # noqa: RUF012 - SQLAlchemy's own protocol
