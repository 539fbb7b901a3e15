"""What is to be made: the days of products, what they would be made of, and what changed since."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Date, DateTime, ForeignKey, Index, Integer, String, false
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Key, Now
from smcatalog.database.models.outputs import Product, ProductVersion

__all__ = ["PlanChange", "PlanDay", "ProductInput", "ReprocessRequest"]


class ProductInput(Base):
    """What an active product version reads: whose layers make its days worth a look."""

    __tablename__ = "product_inputs"
    __table_args__ = (
        Index("ix_product_inputs_source_variable", "source", "variable"),
        {"comment": "Inputs of the active product versions, and how far in time they are read"},
    )

    product_version_id: Mapped[int] = mapped_column(
        ForeignKey(ProductVersion.id), primary_key=True, comment="The product version"
    )
    source: Mapped[str] = mapped_column(primary_key=True, comment="Product family of the layers")
    variable: Mapped[str] = mapped_column(primary_key=True, comment="Variable of the layers")
    reach_days: Mapped[int] = mapped_column(
        Integer, comment="Days after its end that a layer is still read"
    )
    reach_before: Mapped[int] = mapped_column(
        Integer, server_default="0", comment="Days before its begin that a layer is read already"
    )
    everywhere: Mapped[bool] = mapped_column(
        server_default=false(), comment="Whether a layer may change any day"
    )
    leading: Mapped[bool] = mapped_column(
        server_default=false(), comment="Whether there is no map of a day without it"
    )


class PlanChange(Base):
    """A layer came or went that a product reads, and nobody has looked yet at what follows."""

    __tablename__ = "plan_changes"
    __table_args__ = {"comment": "Changes of layers whose consequences are still to be planned"}  # noqa: RUF012

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    product_version_id: Mapped[int] = mapped_column(
        ForeignKey(ProductVersion.id), index=True, comment="The product version that reads it"
    )
    first_day: Mapped[date | None] = mapped_column(
        Date, comment="First day that may change; null when any may"
    )
    last_day: Mapped[date | None] = mapped_column(Date, comment="Last day that may change")
    layer_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="The layer that came or went; null when the product itself is new"
    )
    noted_at: Mapped[Now] = mapped_column(comment="When it happened")


class PlanDay(Base):
    """What a map of a day would be made of now."""

    __tablename__ = "plan_days"
    __table_args__ = (
        Index("ix_plan_days_partition", "product_version_id", "partition"),
        Index(
            "ix_plan_days_open",
            "product_version_id",
            "day",
            postgresql_where="settled IS DISTINCT FROM changes",
        ),
        {"comment": "Days of products and the fingerprints of what they would be made of now"},
    )

    product_version_id: Mapped[int] = mapped_column(
        ForeignKey(ProductVersion.id), primary_key=True, comment="The product version"
    )
    day: Mapped[date] = mapped_column(
        Date, primary_key=True, comment="Day that the map is dated by"
    )
    start_time: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), comment="First instant that the map covers"
    )
    end_time: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), comment="First instant no longer covered"
    )
    partition: Mapped[str] = mapped_column(comment="Name of the partition that the day lies in")
    inputs_fingerprint: Mapped[str | None] = mapped_column(
        String(64), comment="Fingerprint of the layers of the map; null when some are missing"
    )
    training_fingerprint: Mapped[str | None] = mapped_column(
        String(64),
        comment="Fingerprint of the layers that teach; null when the day teaches nothing",
    )
    missing: Mapped[str | None] = mapped_column(
        comment="Inputs without a layer; null when there are all"
    )
    closes_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), comment="When the map becomes final"
    )
    causes: Mapped[list[Any] | None] = mapped_column(
        JSONB, comment="Granules that changed its inputs since the map in force was made"
    )
    changes: Mapped[int] = mapped_column(
        BigInteger,
        server_default="0",
        comment="How often something that its state follows from changed",
    )
    settled: Mapped[int | None] = mapped_column(
        BigInteger,
        comment="This count when its map was last found current and final; null if it never was",
    )


class ReprocessRequest(Base):
    """Days that an operator lists to be made again."""

    __tablename__ = "reprocess_requests"
    __table_args__ = {  # noqa: RUF012
        "comment": "Days listed to be made again, for products whose policy asks for a list"
    }

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    product_id: Mapped[int] = mapped_column(
        ForeignKey(Product.id), index=True, comment="The product"
    )
    first_day: Mapped[date] = mapped_column(Date, comment="First day listed")
    last_day: Mapped[date] = mapped_column(Date, comment="Last day listed")
    requested_at: Mapped[Now] = mapped_column(comment="When; maps published later are not meant")
