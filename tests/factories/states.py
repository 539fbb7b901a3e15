"""What a home holds, to see whether a second run changed anything."""

from __future__ import annotations

from smcatalog.core.fingerprint import sha256_file
from tests.factories.commands import Place
from tests.fixtures.databases import Database

TABLES = (
    "granules", "layers", "layer_granules", "stations", "sensors", "observations", "product_versions",
    "models", "maps", "map_files", "map_layers", "announcements", "quarantine",
)  # fmt: skip


def rows(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM smcatalog.{table}").fetchone()[0]
            for table in TABLES
        }


def files(place: Place) -> dict[str, tuple[str, int]]:
    """Checksum and time of every file under the store, temporary ones included."""
    return {
        str(path.relative_to(place.store)): (sha256_file(path), path.stat().st_mtime_ns)
        for path in sorted(place.store.rglob("*"))
        if path.is_file()
    }


def final_state(place: Place, database: Database) -> dict[str, object]:
    """All that must not depend on how often the work was cut off."""
    with database.connect() as connection:
        maps = connection.execute(
            """
            SELECT m.day, m.item_id, m.revision, m.status, m.superseded_at IS NULL, m.fingerprint, f.kind, f.sha256
            FROM smcatalog.maps m JOIN smcatalog.map_files f ON f.map_id = m.id ORDER BY m.day, f.kind
            """
        ).fetchall()
        items = connection.execute(
            "SELECT id, content #- '{properties,created}' FROM pgstac.items ORDER BY id"
        ).fetchall()
    return {
        "rows": rows(database),
        "maps": maps,
        "items": items,
        "files": {name: mark for name, (mark, _) in files(place).items()},
    }
