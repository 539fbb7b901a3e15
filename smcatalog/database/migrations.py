"""Our schema's revisions: where they are, how they run, and whether models and database agree."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smcatalog.core.errors import DatabaseUnavailable

if TYPE_CHECKING:  # upgrade() must not load SQLAlchemy and alembic to find that nothing is to do
    from alembic.config import Config
    from sqlalchemy import Connection

__all__ = [
    "VERSION_TABLE",
    "configure_arguments",
    "differences",
    "head",
    "known",
    "migrate_down",
    "migrate_up",
]

SCHEMA: Final = "smcatalog"
VERSION_TABLE: Final = "alembic_version"

_REVISION = re.compile(r'^(revision|down_revision)\s*=\s*(?:"([^"]+)"|None)', re.MULTILINE)
_PARTITION = re.compile(r"^observations_\d{4}$")


def folder() -> Path:
    """Return the folder of the revisions: ``alembic/`` beside the package.

    Raises
    ------
    DatabaseUnavailable
        When the package was installed without it.
    """
    found = Path(__file__).resolve().parents[2] / "alembic"
    if not (found / "env.py").is_file():
        raise DatabaseUnavailable(
            f"The migrations are missing: there is no {found}. Install the project from its "
            "repository with `pip install --editable .`"
        )
    return found


@cache
def head() -> str:
    """Return the newest revision, read from the files without loading alembic.

    Raises
    ------
    DatabaseUnavailable
        When the revisions do not form one line.
    """
    replaced = known()
    newest = replaced.keys() - set(replaced.values())
    if len(newest) != 1:
        raise DatabaseUnavailable(
            f"The migrations in {folder()} have {len(newest)} newest revisions instead of one: "
            "merge them with `alembic merge`."
        )
    return newest.pop()


@cache
def known() -> dict[str, str]:
    """Return all revisions with the one that each follows, empty for the first."""
    found = {}
    for path in folder().joinpath("versions").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        names = {m[1]: m[2] or "" for m in _REVISION.finditer(text)}
        found[names["revision"]] = names["down_revision"]
    return found


def configure_arguments() -> dict[str, Any]:
    """Return what alembic has to know to see our schema and nothing else."""
    from smcatalog.database.models import Base  # noqa: PLC0415 - see above

    return {
        "target_metadata": Base.metadata,
        "version_table": VERSION_TABLE,
        "version_table_schema": SCHEMA,
        "include_schemas": True,
        "include_name": _is_ours,
        "include_object": _is_compared,
        "compare_type": True,
        "compare_server_default": True,
        "transaction_per_migration": False,
    }


def migrate_up(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a newer revision."""
    from alembic import command  # noqa: PLC0415 - see above

    command.upgrade(_config(connection), revision)


def migrate_down(connection: Connection, revision: str) -> None:
    """Bring the schema back to an older revision; ``base`` removes it."""
    from alembic import command  # noqa: PLC0415 - see above

    command.downgrade(_config(connection), revision)


def differences(connection: Connection) -> list[Any]:
    """Return what alembic would change to make the database what the models say."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - see above
    from alembic.migration import MigrationContext  # noqa: PLC0415 - see above

    arguments = configure_arguments()
    metadata = arguments.pop("target_metadata")
    context = MigrationContext.configure(connection, opts=arguments | {"target_metadata": metadata})
    return list(compare_metadata(context, metadata))


def _config(connection: Connection) -> Config:
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _is_ours(name: str | None, kind: str, parents: dict[str, Any]) -> bool:
    if kind == "schema":
        return name == SCHEMA
    if kind == "table":
        return (
            parents["schema_name"] == SCHEMA
            and name != VERSION_TABLE
            and not (name and _PARTITION.match(name))
        )
    return True


def _is_compared(_item: Any, name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
    """Leave spatial indexes out: GeoAlchemy2 makes them with the column, not as indexes."""
    return not (kind == "index" and reflected and str(name).startswith("idx_"))
