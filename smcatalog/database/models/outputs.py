"""What is made: products, their versions, partitions, models and maps."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Key, Now, Sha256
from smcatalog.database.models.inputs import Layer

__all__ = ["Map", "MapFile", "MapLayer", "Model", "Partition", "Product", "ProductVersion"]


class Product(Base):
    """A named family of maps: one STAC collection."""

    __tablename__ = "products"
    __table_args__ = {"comment": "Products: named families of maps, one STAC collection each"}  # noqa: RUF012

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    name: Mapped[str] = mapped_column(unique=True, comment="Name, also of the STAC collection")
    title: Mapped[str] = mapped_column(comment="Name for people")


class ProductVersion(Base):
    """A recipe, exactly as it was declared."""

    __tablename__ = "product_versions"
    __table_args__ = (
        UniqueConstraint("product_id", "number"),
        UniqueConstraint("product_id", "fingerprint"),
        UniqueConstraint("id", "product_id"),
        Index("uq_product_versions_active", "product_id", unique=True, postgresql_where="active"),
        CheckConstraint("number > 0", name="number"),
        {"comment": "Versions of products: a recipe each, exactly as declared"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id), comment="The product")
    number: Mapped[int] = mapped_column(SmallInteger, comment="1 for the first version")
    definition: Mapped[dict[str, Any]] = mapped_column(comment="The recipe")
    fingerprint: Mapped[Sha256] = mapped_column(comment="Fingerprint of the recipe")
    training_until: Mapped[date] = mapped_column(
        Date, comment="Training horizon: the last day that models may learn from"
    )
    created_at: Mapped[Now] = mapped_column(comment="When it was declared")
    active: Mapped[bool] = mapped_column(
        server_default=false(), comment="Whether it is the version that is planned and made"
    )
    algorithm: Mapped[str] = mapped_column(
        server_default="", comment="Version of the algorithms that it was planned for last"
    )


class Partition(Base):
    """The unit of fitting: a period and a zone of a product version."""

    __tablename__ = "partitions"
    __table_args__ = (
        UniqueConstraint("product_version_id", "period", "zone"),
        CheckConstraint("start_time < end_time", name="period_forward"),
        {"comment": "Partitions: the period and zone that one model is fitted for"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    product_version_id: Mapped[int] = mapped_column(
        ForeignKey(ProductVersion.id), comment="The product version"
    )
    period: Mapped[str] = mapped_column(comment="Name of the period, e.g. all or 2018001")
    zone: Mapped[str] = mapped_column(comment="Name of the zone, e.g. all")
    start_time: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), comment="First instant of the samples"
    )
    end_time: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), comment="First instant no longer in the samples"
    )
    training_days: Mapped[int] = mapped_column(
        Integer, server_default="0", comment="Days that its model learns from"
    )
    training_fingerprint: Mapped[str | None] = mapped_column(
        String(64), comment="Fingerprint of the layers of these days"
    )
    model_id: Mapped[int | None] = mapped_column(
        BigInteger,
        ForeignKey("smcatalog.models.id", use_alter=True),
        index=True,
        comment="The model in force; null until it is fitted to what it is to learn from now",
    )
    refused: Mapped[str | None] = mapped_column(
        comment="Why no model can be fitted; null when one can, or none was tried"
    )
    causes: Mapped[list[Any] | None] = mapped_column(
        JSONB, comment="Granules that changed last what its model learns from"
    )


class Model(Base):
    """What a method learned for a partition."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("partition_id", "fingerprint"),
        CheckConstraint("n_samples > 0", name="samples"),
        {"comment": "Models: what a method learned for a partition"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    partition_id: Mapped[int] = mapped_column(ForeignKey(Partition.id), comment="The partition")
    fingerprint: Mapped[Sha256] = mapped_column(
        comment="Fingerprint of samples, method, parameters and algorithm version"
    )
    samples_fingerprint: Mapped[Sha256] = mapped_column(comment="Fingerprint of the samples")
    n_samples: Mapped[int] = mapped_column(Integer, comment="Number of samples")
    method: Mapped[str] = mapped_column(comment="Registered name of the method")
    scores: Mapped[dict[str, Any]] = mapped_column(
        comment="Scores against the coarse product, by split, and importances"
    )
    key: Mapped[str] = mapped_column(comment="Key of the model's file in the store")
    sha256: Mapped[Sha256] = mapped_column(comment="Checksum of the model's file")
    created_at: Mapped[Now] = mapped_column(comment="When it was fitted")
    borrowed_from: Mapped[int | None] = mapped_column(
        ForeignKey("smcatalog.models.id"),
        index=True,
        comment="Model of an earlier partition that stands in, because samples were too few",
    )


class Map(Base):
    """A product version's map of one day, in one revision."""

    __tablename__ = "maps"
    __table_args__ = (
        ForeignKeyConstraint(
            ["product_version_id", "product_id"],
            [ProductVersion.id, ProductVersion.product_id],
        ),
        UniqueConstraint("product_version_id", "day", "revision"),
        Index(
            "uq_maps_live",
            "product_id",
            "day",
            unique=True,
            postgresql_where="superseded_at IS NULL",
        ),
        CheckConstraint("status IN ('provisional', 'final')", name="status"),
        CheckConstraint("start_time < end_time", name="period_forward"),
        CheckConstraint("published_at <= superseded_at", name="superseded_later"),
        CheckConstraint(
            "(superseded_at IS NULL) = (superseded_by IS NULL AND withdrawn_reason IS NULL)",
            name="superseded_by",
        ),
        # histories are lines: a map has one predecessor at most
        Index("uq_maps_superseded_by", "superseded_by", unique=True),
        Index(
            "ix_maps_unplanned",
            "product_version_id",
            "day",
            postgresql_where="unplanned AND superseded_at IS NULL",
        ),
        {"comment": "Maps: one product version, one day; never overwritten"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger,
        Identity(),  # not ALWAYS: the map it replaces names it before it is inserted
        primary_key=True,
        comment="Surrogate key",
    )
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id), comment="The product")
    product_version_id: Mapped[int] = mapped_column(BigInteger, comment="The product version")
    day: Mapped[date] = mapped_column(Date, comment="Day it is dated by, the middle of its period")
    start_time: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), comment="First instant covered"
    )
    end_time: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), comment="First instant no longer covered"
    )
    revision: Mapped[int] = mapped_column(SmallInteger, comment="1 when first published")
    item_id: Mapped[str] = mapped_column(unique=True, comment="Identifier of its STAC item")
    grid: Mapped[str] = mapped_column(comment="Name of its grid")
    status: Mapped[str] = mapped_column(comment="provisional or final")
    fingerprint: Mapped[Sha256] = mapped_column(
        comment="Fingerprint of all inputs, parameters and the algorithm's version"
    )
    algorithm: Mapped[str] = mapped_column(
        server_default="", comment="Version of the algorithms that made it"
    )
    inputs_fingerprint: Mapped[str] = mapped_column(
        server_default="", comment="Fingerprint of its period and layers alone"
    )
    model_id: Mapped[int] = mapped_column(
        ForeignKey(Model.id), index=True, comment="Model that made it"
    )
    published_at: Mapped[Now] = mapped_column(comment="When it was published")
    superseded_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True),
        comment="When another map took its place or it was withdrawn; null while it is live",
    )
    superseded_by: Mapped[int | None] = mapped_column(
        BigInteger,
        ForeignKey("smcatalog.maps.id", deferrable=True, initially="DEFERRED"),
        comment="The map that took its place; of a withdrawn one the next of its day, if there is any",
    )
    withdrawn_reason: Mapped[str | None] = mapped_column(
        comment="Why it was withdrawn; null if it was not"
    )
    unplanned: Mapped[bool] = mapped_column(
        server_default=false(),
        comment="Whether the plan of its product version lacks its day, for want of all inputs",
    )


class MapFile(Base):
    """One file of a map."""

    __tablename__ = "map_files"
    __table_args__ = {"comment": "Files that maps consist of"}  # noqa: RUF012

    map_id: Mapped[int] = mapped_column(ForeignKey(Map.id), primary_key=True, comment="The map")
    kind: Mapped[str] = mapped_column(
        primary_key=True, comment="soil_moisture, uncertainty or quality"
    )
    key: Mapped[str] = mapped_column(index=True, comment="Key of the file in the store")
    sha256: Mapped[Sha256] = mapped_column(comment="Checksum of the file")
    size: Mapped[int] = mapped_column(BigInteger, comment="Bytes of the file")


class MapLayer(Base):
    """Which layers a map was made of."""

    __tablename__ = "map_layers"
    __table_args__ = (
        CheckConstraint("role IN ('coarse', 'covariate')", name="role"),
        {"comment": "Lineage: which layers a map was made of"},
    )

    map_id: Mapped[int] = mapped_column(ForeignKey(Map.id), primary_key=True, comment="The map")
    layer_id: Mapped[int] = mapped_column(
        ForeignKey(Layer.id), primary_key=True, index=True, comment="A layer it was made of"
    )
    role: Mapped[str] = mapped_column(
        comment="coarse: the product that was downscaled; covariate: what it was downscaled with"
    )
