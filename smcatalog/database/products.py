"""Products, their versions and their models in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from smcatalog.core.errors import NotFoundError
from smcatalog.core.time import Period
from smcatalog.database.models import Model, Partition, Product, ProductVersion

__all__ = [
    "ModelRecord",
    "ProductVersionRecord",
    "find_model",
    "find_product",
    "model_fingerprints",
    "product_version",
    "record_model",
    "register_product",
]


@dataclass(frozen=True, slots=True)
class ProductVersionRecord:
    """A product version that the database knows."""

    id: int
    product_id: int
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A fitted model.

    Parameters
    ----------
    id : int
        Its key in the database.
    fingerprint : str
        Of its samples' layers, method, parameters and version.
    method : str
        Registered name of the method.
    key, sha256 : str
        Its file in the store and that file's checksum.
    n_samples : int
        Number of samples that it learned from.
    samples_fingerprint : str
        Of these samples.
    scores : dict
        Against the coarse product, and importances.
    """

    id: int
    fingerprint: str
    method: str
    key: str
    sha256: str
    n_samples: int
    samples_fingerprint: str
    scores: dict[str, Any]


def register_product(
    connection: Connection,
    *,
    name: str,
    title: str,
    definition: dict[str, Any],
    recipe_fingerprint: str,
    training_until: date,
) -> tuple[ProductVersionRecord, bool]:
    """Return the version of a product that a recipe is, made now if it is new.

    Returns
    -------
    version : ProductVersionRecord
        The one with this recipe; the next number when no version has it.
    written : bool
        Whether anything was recorded.
    """
    known = _find_version(connection, name, recipe_fingerprint)
    if known is not None:
        return known, False
    connection.execute(
        upsert(Product)
        .values(name=name, title=title)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    product_id = connection.execute(
        select(Product.id).where(Product.name == name).with_for_update()
    ).scalar_one()
    known = _find_version(connection, name, recipe_fingerprint)
    if known is not None:
        return known, False
    last = connection.scalar(
        select(func.max(ProductVersion.number)).where(ProductVersion.product_id == product_id)
    )
    number = (last or 0) + 1
    version_id = connection.execute(
        insert(ProductVersion)
        .values(
            product_id=product_id,
            number=number,
            definition=definition,
            fingerprint=recipe_fingerprint,
            training_until=training_until,
        )
        .returning(ProductVersion.id)
    ).scalar_one()
    return ProductVersionRecord(version_id, product_id, name, number), True


def _find_version(
    connection: Connection, name: str, recipe_fingerprint: str
) -> ProductVersionRecord | None:
    row = connection.execute(
        select(ProductVersion.id, ProductVersion.product_id, ProductVersion.number)
        .join(Product, Product.id == ProductVersion.product_id)
        .where(Product.name == name, ProductVersion.fingerprint == recipe_fingerprint)
    ).one_or_none()
    return ProductVersionRecord(row.id, row.product_id, name, row.number) if row else None


def find_product(connection: Connection, name: str) -> int | None:
    """Return the key of a product, or None when it was never produced here."""
    found: int | None = connection.scalar(select(Product.id).where(Product.name == name))
    return found


def product_version(connection: Connection, name: str) -> ProductVersionRecord:
    """Return the newest version of a product.

    Raises
    ------
    NotFoundError
        When no product is called so in this database.
    """
    row = connection.execute(
        select(ProductVersion.id, ProductVersion.product_id, ProductVersion.number)
        .join(Product, Product.id == ProductVersion.product_id)
        .where(Product.name == name)
        .order_by(ProductVersion.number.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"no map of a product '{name}' was ever made here: run 'smcatalog produce {name}'"
        )
    return ProductVersionRecord(row.id, row.product_id, name, row.number)


def find_model(
    connection: Connection, version: ProductVersionRecord, *fingerprints: str
) -> ModelRecord | None:
    """Return the model that has one of the fingerprints, or None when it was not fitted yet."""
    row = connection.execute(
        select(
            Model.id,
            Model.fingerprint,
            Model.method,
            Model.key,
            Model.sha256,
            Model.n_samples,
            Model.samples_fingerprint,
            Model.scores,
        )
        .join(Partition, Partition.id == Model.partition_id)
        .where(Partition.product_version_id == version.id, Model.fingerprint.in_(fingerprints))
    ).first()
    return ModelRecord(*row) if row else None


def model_fingerprints(connection: Connection, product_id: int) -> set[str]:
    """Return the fingerprints of all models of a product's versions."""
    rows = connection.scalars(
        select(Model.fingerprint)
        .join(Partition, Partition.id == Model.partition_id)
        .join(ProductVersion, ProductVersion.id == Partition.product_version_id)
        .where(ProductVersion.product_id == product_id)
    )
    return set(rows)


def record_model(
    connection: Connection,
    version: ProductVersionRecord,
    *,
    label: tuple[str, str],
    period: Period,
    model: dict[str, Any],
) -> ModelRecord:
    """Record a fitted model and its partition.

    Parameters
    ----------
    label : (str, str)
        Names of the partition's period and zone.
    period : Period
        Span of the samples.
    model : dict
        Columns of the model: fingerprint, samples_fingerprint, n_samples, method, scores, key, sha256.
    """
    partition_id = connection.execute(
        upsert(Partition)
        .values(
            product_version_id=version.id,
            period=label[0],
            zone=label[1],
            start_time=period.start,
            end_time=period.end,
        )
        .on_conflict_do_update(
            index_elements=["product_version_id", "period", "zone"],
            set_={"start_time": period.start, "end_time": period.end},
        )
        .returning(Partition.id)
    ).scalar_one()
    connection.execute(
        upsert(Model)
        .values(partition_id=partition_id, **model)
        .on_conflict_do_nothing(index_elements=["partition_id", "fingerprint"])
    )
    found = find_model(connection, version, model["fingerprint"])
    if found is None:
        raise NotFoundError(f"the model {model['fingerprint']} vanished while it was recorded")
    return found
