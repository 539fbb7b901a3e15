"""Zones: numbered areas of a set, as polygons."""

from __future__ import annotations

from datetime import datetime

from geoalchemy2 import Geometry, WKBElement
from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Key, Now
from smcatalog.database.models.inputs import Granule

__all__ = ["Zone"]


class Zone(Base):
    """One zone of a set, as one delivery drew it."""

    __tablename__ = "zones"
    __table_args__ = (
        CheckConstraint("number BETWEEN 1 AND 65534", name="number"),
        Index(
            "uq_zones_live",
            "zone_set",
            "number",
            unique=True,
            postgresql_where="superseded_at IS NULL",
        ),
        {"comment": "Zones: numbered areas of a set, as polygons"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    zone_set: Mapped[str] = mapped_column(comment="Name of the set")
    number: Mapped[int] = mapped_column(
        Integer, comment="Number within the set, also in the set's raster"
    )
    label: Mapped[str] = mapped_column(comment="Name for people")
    geometry: Mapped[WKBElement] = mapped_column(
        Geometry("MULTIPOLYGON", srid=4326, spatial_index=True), comment="Area, WGS 84"
    )
    mended: Mapped[bool] = mapped_column(
        comment="Whether the polygon was made valid: as delivered a ring of it touched itself"
    )
    granule_id: Mapped[int] = mapped_column(
        ForeignKey(Granule.id), index=True, comment="Granule that it came with first"
    )
    recorded_at: Mapped[Now] = mapped_column(comment="When it was recorded")
    superseded_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True),
        comment="When another delivery of the set took its place; null while in use",
    )
