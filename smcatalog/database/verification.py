"""What the catalogue says there should be: files by key, maps beside their items, layers' lineage.

Listings may be of any length and their reader slow, as it hashes files in between. They come from cursors
that outlive their transaction: the server keeps the sorted rows on its disk, no transaction stays
open that would hold back its cleaning up, and a page at a time is in memory here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, text

from smcatalog.core.errors import DatabaseUnavailable

__all__ = [
    "ListedMap",
    "LostLayer",
    "RecordedFile",
    "Reference",
    "is_recorded",
    "listed_maps",
    "lost_layers",
    "products_without_collection",
    "recorded_files",
    "references",
    "sample_of_keys",
    "supersede_layer",
]

_PAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file that the catalogue names.

    Parameters
    ----------
    key : str
        Its key in the store.
    sha256 : str
        Its checksum.
    size : int or None
        Bytes, where they were recorded.
    kind : str
        ``maps``, ``layers`` or ``models``.
    noted : bool
        Whether it stands in the list of damaged files that are to be made again.
    """

    key: str
    sha256: str
    size: int | None
    kind: str
    noted: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """What names a file.

    Parameters
    ----------
    kind : str
        ``maps``, ``layers`` or ``models``.
    id : int
        Its key in the database.
    label : str
        For a person: the map's item, the layer with its granules, the model's product and partition.
    live : bool
        Whether it is in force: not superseded; of models, of the newest version of its product.
    product : str or None
        Name of the product of a map or model.
    delivered_as : tuple of str
        File names under which the granules of a layer came.
    """

    kind: str
    id: int
    label: str
    live: bool
    product: str | None = None
    delivered_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedMap:
    """A map, or an item, or a map with its item.

    Parameters
    ----------
    product : str
        Name of the product, also of the collection.
    item_id : str
        Identifier of the item.
    map_id : int or None
        Key of the map; None when only the item is there.
    files : int
        How many of the wanted kinds of files the map has.
    product_id : int or None
        Key of the product.
    day : date or None
        Day that the map is dated by.
    present : bool
        Whether the item is there.
    """

    product: str
    item_id: str
    map_id: int | None
    files: int
    product_id: int | None
    day: date | None
    present: bool


@dataclass(frozen=True, slots=True)
class LostLayer:
    """A live layer that should not be live, or whose origin nobody knows.

    Parameters
    ----------
    id : int
        Its key in the database.
    key : str
        Key of its file.
    label : str
        For a person.
    granules : tuple of str
        Names of its granules; empty when there is none.
    """

    id: int
    key: str
    label: str
    granules: tuple[str, ...]


_LAYER: Final = (
    "l.source || ' ' || l.variable || coalesce(' of ' || l.day::text, '') || ' on ' || l.grid"
)
_FILES: Final = {
    "maps": """
        SELECT f.key, f.sha256, f.size, 'maps' AS kind
        FROM smcatalog.map_files f
        JOIN smcatalog.maps m ON m.id = f.map_id
        JOIN smcatalog.products p ON p.id = m.product_id
        WHERE %(product)s::text IS NULL OR p.name = %(product)s
    """,
    "layers": "SELECT key, sha256, size, 'layers' FROM smcatalog.layers",
    "models": """
        SELECT d.key, d.sha256, NULL::bigint, 'models'
        FROM smcatalog.models d
        JOIN smcatalog.partitions a ON a.id = d.partition_id
        JOIN smcatalog.product_versions v ON v.id = a.product_version_id
        JOIN smcatalog.products p ON p.id = v.product_id
        WHERE %(product)s::text IS NULL OR p.name = %(product)s
    """,
}
_MAPS: Final = """
    SELECT coalesce(m.product, i.collection), coalesce(m.item_id, i.id), m.id, coalesce(m.files, 0),
           m.product_id, m.day, i.id IS NOT NULL
    FROM (
        SELECT p.name AS product, m.product_id, m.item_id, m.id, m.day,
               (SELECT count(*) FROM smcatalog.map_files f
                WHERE f.map_id = m.id AND f.kind = ANY (%(kinds)s)) AS files
        FROM smcatalog.maps m
        JOIN smcatalog.products p ON p.id = m.product_id
        WHERE %(product)s::text IS NULL OR p.name = %(product)s
    ) m
    FULL JOIN (
        SELECT i.collection, i.id
        FROM pgstac.items i
        WHERE i.collection IN (SELECT name FROM smcatalog.products)
          AND (%(product)s::text IS NULL OR i.collection = %(product)s)
    ) i ON i.collection = m.product AND i.id = m.item_id
    ORDER BY coalesce(m.product, i.collection) COLLATE "C", coalesce(m.item_id, i.id) COLLATE "C"
"""


def recorded_files(
    engine: Engine, kinds: Sequence[str], product: str | None = None
) -> Iterator[RecordedFile]:
    """Iterate over the files that the catalogue names, as of now, sorted by key as the store sorts.

    Parameters
    ----------
    kinds : sequence of str
        Of ``maps``, ``layers``, ``models``.
    product : str, optional
        Only this product's maps and models.

    Raises
    ------
    DatabaseUnavailable
        When the database goes away or has not our schema.
    """
    union = " UNION ALL ".join(_FILES[kind] for kind in kinds)
    query = f"""
        SELECT r.key, r.sha256, max(r.size), min(r.kind), d.key IS NOT NULL
        FROM ({union}) r (key, sha256, size, kind)
        LEFT JOIN smcatalog.damaged_files d ON d.key = r.key AND d.repaired_at IS NULL
        GROUP BY r.key, r.sha256, d.key
        ORDER BY r.key COLLATE "C", r.sha256 COLLATE "C"
    """  # noqa: S608 - constants of this module
    for row in _pages(engine, query, {"product": product}):
        yield RecordedFile(*row)


def listed_maps(
    engine: Engine, kinds: Sequence[str], product: str | None = None
) -> Iterator[ListedMap]:
    """Iterate over all maps and all items of our products' collections, as of now, matched.

    Parameters
    ----------
    kinds : sequence of str
        Kinds of files that a map has.
    product : str, optional
        Only this product's.

    Raises
    ------
    DatabaseUnavailable
        When the database goes away or has not our schema.
    """
    for row in _pages(engine, _MAPS, {"kinds": list(kinds), "product": product}):
        yield ListedMap(*row)


def _pages(engine: Engine, query: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with engine.connect() as connection:
        driver: psycopg.Connection[Any] | None = connection.connection.driver_connection
        if driver is None:
            raise DatabaseUnavailable("The database has closed the connection: try again.")
        try:
            with driver.cursor(name="smcatalog_verification", withhold=True) as cursor:
                cursor.execute(query.encode(), values)
                driver.commit()
                while rows := cursor.fetchmany(_PAGE):
                    driver.commit()
                    yield from rows
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"The database's content could not be read ({str(error).strip()}): look at its log, "
                "run `smcatalog db upgrade` and try again."
            ) from error


def references(connection: Connection, key: str, most: int = 5) -> list[Reference]:
    """Return what names a file, those in force first; of each kind not more than ``most``."""
    maps = connection.execute(
        text("""
            SELECT m.id, m.item_id, m.superseded_at IS NULL, p.name
            FROM smcatalog.map_files f
            JOIN smcatalog.maps m ON m.id = f.map_id
            JOIN smcatalog.products p ON p.id = m.product_id
            WHERE f.key = :key ORDER BY 3 DESC, m.id DESC LIMIT :most
        """),
        {"key": key, "most": most},
    )
    found = [Reference("maps", i, f"map {item}", live, product) for i, item, live, product in maps]
    layers = connection.execute(
        text(f"""
            SELECT l.id, {_LAYER}, l.superseded_at IS NULL,
                   coalesce(array_agg(DISTINCT g.delivered_as) FILTER (WHERE g.id IS NOT NULL), '{{}}')
            FROM smcatalog.layers l
            LEFT JOIN smcatalog.layer_granules k ON k.layer_id = l.id
            LEFT JOIN smcatalog.granules g ON g.id = k.granule_id
            WHERE l.key = :key GROUP BY l.id ORDER BY 3 DESC, l.id DESC LIMIT :most
        """),  # noqa: S608 - a constant of this module
        {"key": key, "most": most},
    )
    found += [
        Reference("layers", i, f"layer {label}", live, delivered_as=tuple(names))
        for i, label, live, names in layers
    ]
    models = connection.execute(
        text("""
            SELECT d.id, p.name || ' v' || v.number || ' ' || a.period || ' ' || a.zone, p.name,
                   v.number = (SELECT max(n.number) FROM smcatalog.product_versions n
                               WHERE n.product_id = v.product_id)
            FROM smcatalog.models d
            JOIN smcatalog.partitions a ON a.id = d.partition_id
            JOIN smcatalog.product_versions v ON v.id = a.product_version_id
            JOIN smcatalog.products p ON p.id = v.product_id
            WHERE d.key = :key ORDER BY 4 DESC, d.id DESC LIMIT :most
        """),
        {"key": key, "most": most},
    )
    found += [Reference("models", i, f"model {label}", live, p) for i, label, p, live in models]
    return found


def is_recorded(connection: Connection, key: str) -> bool:
    """Say whether the catalogue names a file."""
    found: bool = connection.execute(
        text("""
            SELECT EXISTS (SELECT FROM smcatalog.map_files WHERE key = :key)
                OR EXISTS (SELECT FROM smcatalog.layers WHERE key = :key)
                OR EXISTS (SELECT FROM smcatalog.models WHERE key = :key)
        """),
        {"key": key},
    ).scalar_one()
    return found


def sample_of_keys(connection: Connection, most: int = 100) -> list[str]:
    """Return some keys that the catalogue names: empty only when it names none."""
    rows = connection.scalars(
        text("""
            (SELECT key FROM smcatalog.map_files LIMIT :most)
            UNION ALL (SELECT key FROM smcatalog.layers LIMIT :most)
            UNION ALL (SELECT key FROM smcatalog.models LIMIT :most)
        """),
        {"most": most},
    )
    return list(rows)


def lost_layers(connection: Connection, *, outdated: bool, most: int) -> list[LostLayer]:
    """Return layers without a granule, or live ones of which only outdated granules are known.

    Parameters
    ----------
    outdated : bool
        Which of the two. A granule is outdated when a newer production of it is recorded.
    most : int
        How many at most, in the order of their keys.
    """
    newer = """
        SELECT FROM smcatalog.granules n
        WHERE n.source = g.source AND n.subject = g.subject AND n.production > g.production
    """
    condition = f"l.superseded_at IS NULL AND bool_and(EXISTS ({newer}))"
    rows = connection.execute(
        text(f"""
            SELECT l.id, l.key, {_LAYER}, coalesce(array_agg(g.name) FILTER (WHERE g.id IS NOT NULL), '{{}}')
            FROM smcatalog.layers l
            LEFT JOIN smcatalog.layer_granules k ON k.layer_id = l.id
            LEFT JOIN smcatalog.granules g ON g.id = k.granule_id
            GROUP BY l.id
            HAVING {"count(g.id) > 0 AND " + condition if outdated else "count(g.id) = 0"}
            ORDER BY l.id LIMIT :most
        """),  # noqa: S608 - constants of this module
        {"most": most},
    )
    return [LostLayer(row[0], row[1], row[2], tuple(row[3])) for row in rows]


def supersede_layer(connection: Connection, layer_id: int) -> None:
    """Take a layer out of force."""
    connection.execute(
        text("""
            UPDATE smcatalog.layers SET superseded_at = clock_timestamp()
            WHERE id = :id AND superseded_at IS NULL
        """),
        {"id": layer_id},
    )


def products_without_collection(
    connection: Connection, product: str | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Return name and newest definition of products with maps whose collection is missing."""
    rows = connection.execute(
        text("""
            SELECT DISTINCT ON (p.name) p.name, v.definition
            FROM smcatalog.products p
            JOIN smcatalog.product_versions v ON v.product_id = p.id
            WHERE EXISTS (SELECT FROM smcatalog.maps m WHERE m.product_id = p.id)
              AND NOT EXISTS (SELECT FROM pgstac.collections c WHERE c.id = p.name)
              AND (CAST(:product AS text) IS NULL OR p.name = :product)
            ORDER BY p.name, v.number DESC
        """),
        {"product": product},
    )
    return [(name, definition) for name, definition in rows]
