"""Products, their versions and their models in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from smcatalog.core.errors import NotFoundError
from smcatalog.core.fingerprint import canonical_json
from smcatalog.database.models import Map, Model, Product, ProductVersion
from smcatalog.database.plan import InputReach, declare_inputs, has_inputs

__all__ = [
    "ModelRecord",
    "ProductVersionRecord",
    "activate_product",
    "active_products",
    "find_product",
    "is_active",
    "live_versions",
    "model_by_fingerprint",
    "model_by_id",
    "planned_algorithm",
    "product_version",
    "record_model",
    "set_planned_algorithm",
    "version_definition",
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


def activate_product(
    connection: Connection,
    *,
    name: str,
    title: str,
    definition: dict[str, Any],
    recipe_fingerprint: str,
    training_until: date,
    inputs: Sequence[InputReach],
) -> ProductVersionRecord:
    """Return the version of a product that a recipe is, as the active one.

    It is recorded now if no version has that recipe, with the next number. Words, the span of days and policies
    are no part of the recipe: they are brought up to date.
    """
    known = _find_version(connection, name, recipe_fingerprint)
    if known is not None and is_active(connection, name, definition):
        return known
    connection.execute(
        upsert(Product)
        .values(name=name, title=title)
        .on_conflict_do_update(index_elements=["name"], set_={"title": title})
    )
    product_id = connection.execute(
        select(Product.id).where(Product.name == name).with_for_update()
    ).scalar_one()
    known = _find_version(connection, name, recipe_fingerprint)
    if known is None:
        known = _new_version(
            connection, product_id, name, definition, recipe_fingerprint, training_until
        )
    active = connection.scalar(
        select(ProductVersion.id).where(
            ProductVersion.product_id == product_id, ProductVersion.active
        )
    )
    connection.execute(
        update(ProductVersion)
        .where(ProductVersion.product_id == product_id, ProductVersion.id != known.id)
        .values(active=False)
    )
    connection.execute(
        update(ProductVersion)
        .where(ProductVersion.id == known.id)
        .values(active=True, definition=definition)
    )
    if active != known.id or not has_inputs(connection, known.id):
        declare_inputs(connection, known.id, inputs)
    return known


def is_active(connection: Connection, name: str, definition: dict[str, Any]) -> bool:
    """Say whether a definition is that of the version of its product that is planned and made."""
    row = connection.execute(
        select(ProductVersion.id, ProductVersion.definition)
        .join(Product, Product.id == ProductVersion.product_id)
        .where(Product.name == name, ProductVersion.active)
    ).one_or_none()
    if row is None or canonical_json(row.definition) != canonical_json(definition):
        return False
    return has_inputs(connection, row.id)


def _new_version(
    connection: Connection,
    product_id: int,
    name: str,
    definition: dict[str, Any],
    recipe_fingerprint: str,
    training_until: date,
) -> ProductVersionRecord:
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
    return ProductVersionRecord(version_id, product_id, name, number)


def active_products(connection: Connection) -> list[tuple[ProductVersionRecord, dict[str, Any]]]:
    """Return the active versions of all products with their definitions, in the order of names."""
    rows = connection.execute(
        select(
            ProductVersion.id,
            ProductVersion.product_id,
            Product.name,
            ProductVersion.number,
            ProductVersion.definition,
        )
        .join(Product, Product.id == ProductVersion.product_id)
        .where(ProductVersion.active)
        .order_by(Product.name)
    )
    return [(ProductVersionRecord(*row[:4]), row.definition) for row in rows]


def planned_algorithm(connection: Connection, version_id: int) -> str:
    """Return the version of the algorithms that a product version was planned for last."""
    return connection.execute(
        select(ProductVersion.algorithm).where(ProductVersion.id == version_id)
    ).scalar_one()


def set_planned_algorithm(connection: Connection, version_id: int, algorithm: str) -> None:
    """Record the version of the algorithms that a product version is planned for."""
    connection.execute(
        update(ProductVersion).where(ProductVersion.id == version_id).values(algorithm=algorithm)
    )


def live_versions(
    connection: Connection, product_id: int
) -> Mapping[str, tuple[int, str, dict[str, Any]]]:
    """Return version, algorithms and definition of the maps in force by item.

    Only of maps that another version or other algorithms than the active ones made: the others need
    no explanation.
    """
    rows = connection.execute(
        select(Map.item_id, ProductVersion.id, ProductVersion.number, Map.algorithm)
        .join(ProductVersion, ProductVersion.id == Map.product_version_id)
        .where(
            Map.product_id == product_id,
            Map.superseded_at.is_(None),
            or_(~ProductVersion.active, Map.algorithm != ProductVersion.algorithm),
        )
    ).all()
    definitions: dict[int, dict[str, Any]] = {
        row.id: row.definition
        for row in connection.execute(
            select(ProductVersion.id, ProductVersion.definition).where(
                ProductVersion.id.in_({row.id for row in rows})
            )
        )
    }
    return {row.item_id: (row.number, row.algorithm, definitions[row.id]) for row in rows}


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


def version_definition(connection: Connection, version_id: int) -> dict[str, Any]:
    """Return the definition of a product version, as plain values."""
    found: dict[str, Any] = connection.execute(
        select(ProductVersion.definition).where(ProductVersion.id == version_id)
    ).scalar_one()
    return found


_MODEL: Final = (
    Model.id,
    Model.fingerprint,
    Model.method,
    Model.key,
    Model.sha256,
    Model.n_samples,
    Model.samples_fingerprint,
    Model.scores,
)


def model_by_id(connection: Connection, model_id: int) -> ModelRecord:
    """Return a model."""
    return ModelRecord(*connection.execute(select(*_MODEL).where(Model.id == model_id)).one())


def model_by_fingerprint(
    connection: Connection, partition_id: int, fingerprint: str
) -> ModelRecord | None:
    """Return the model of a partition that has a fingerprint; None when it was not fitted yet."""
    row = connection.execute(
        select(*_MODEL).where(Model.partition_id == partition_id, Model.fingerprint == fingerprint)
    ).one_or_none()
    return ModelRecord(*row) if row else None


def record_model(connection: Connection, partition_id: int, model: dict[str, Any]) -> ModelRecord:
    """Record a fitted model; the one that has its fingerprint already stays what it is.

    Parameters
    ----------
    model : dict
        Columns of the model: fingerprint, samples_fingerprint, n_samples, method, scores, key, sha256,
        borrowed_from.
    """
    connection.execute(
        upsert(Model)
        .values(partition_id=partition_id, **model)
        .on_conflict_do_nothing(index_elements=["partition_id", "fingerprint"])
    )
    found = model_by_fingerprint(connection, partition_id, model["fingerprint"])
    if found is None:
        raise NotFoundError(f"the model {model['fingerprint']} vanished while it was recorded")
    return found
