"""The queue's schema: what procrastinate ships, installed into a schema of its own.

Procrastinate ships its schema whole, for an empty database, and as migrations, for one that has an
older schema. Which migrations a database has stands in a table beside its own, so that a later
procrastinate adds what is missing and an older one leaves a newer schema alone.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from smcatalog.core.errors import DatabaseUnavailable

__all__ = ["INSTALLED", "SCHEMA", "newest", "pending", "prepare", "record", "seal"]

SCHEMA: Final = "procrastinate"
INSTALLED: Final = "installed_migrations"
"""Table of ours in that schema: the migrations that it has."""


@cache
def _folder() -> Path:
    # found without importing the package, which is slow and not needed for a look
    found = find_spec(SCHEMA)
    if found is None or found.origin is None:
        raise DatabaseUnavailable(
            "The package procrastinate, which brings the queue's schema, is missing: install the "
            "project's packages again."
        )
    return Path(found.origin).parent / "sql"


@cache
def _migrations() -> tuple[str, ...]:
    """Return the names of all migrations in the order in which they are meant to run."""
    names = sorted(path.stem for path in _folder().joinpath("migrations").glob("*.sql"))
    if not names:
        raise DatabaseUnavailable(
            f"The package procrastinate brings no migrations in {_folder()}: install the version "
            "that the project names."
        )
    return tuple(names)


def newest() -> str:
    """Return the name of the newest migration of the installed procrastinate."""
    return _migrations()[-1]


def pending(found: str | None) -> list[tuple[str, str]]:
    """Return what a database lacks: names of migrations with their SQL, in order.

    Parameters
    ----------
    found : str or None
        The newest migration that the database has; None when it has no queue. Then the whole
        schema comes at once, under the name of the newest migration.

    Raises
    ------
    DatabaseUnavailable
        When the database's queue is newer than the installed procrastinate.
    """
    if found is None:
        return [(newest(), _folder().joinpath("schema.sql").read_text(encoding="utf-8"))]
    if found > newest():
        raise DatabaseUnavailable(
            f"The database's queue has procrastinate's migration {found}; the newest one here is "
            f"{newest()}: install a newer smcatalog, or use another database."
        )
    migrations = _folder() / "migrations"
    return [
        (name, migrations.joinpath(f"{name}.sql").read_text(encoding="utf-8"))
        for name in _migrations()
        if name > found
    ]


def prepare() -> str:
    """Return SQL that makes the schema and our table in it, and leads the transaction there."""
    return f"""
        CREATE SCHEMA IF NOT EXISTS {SCHEMA};
        CREATE TABLE IF NOT EXISTS {SCHEMA}.{INSTALLED} (
            name text PRIMARY KEY,
            installed_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        COMMENT ON TABLE {SCHEMA}.{INSTALLED} IS
            'Migrations of procrastinate that smcatalog installed; the newest name counts';
        SET LOCAL search_path = {SCHEMA};
    """


def record(name: str) -> str:
    """Return SQL that notes a migration, one of `pending`."""
    return f"INSERT INTO {SCHEMA}.{INSTALLED} (name) VALUES ('{name}')"  # noqa: S608 - a file's name


def seal() -> str:
    """Return SQL that ties the queue's functions to its schema and adds an index of ours.

    They name their tables without a schema. With a search path of their own they, and the triggers
    among them, work in every transaction, so that jobs can be enqueued in the one that makes them
    needed.
    """
    return f"""
        DO $$
        DECLARE routine regprocedure;
        BEGIN
            FOR routine IN
                SELECT p.oid FROM pg_proc p WHERE p.pronamespace = '{SCHEMA}'::regnamespace
            LOOP
                EXECUTE format(
                    'ALTER FUNCTION %s SET search_path = {SCHEMA}, pg_temp', routine);
                EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', routine);
                -- A queue is full one hour and empty the next, and statistics come late: without them
                -- fetching sorted all that waits, where the index leads to the first at once.
                IF routine::text LIKE '%fetch_job%' THEN
                    EXECUTE format('ALTER FUNCTION %s SET enable_sort = off', routine);
                    EXECUTE format('ALTER FUNCTION %s SET enable_bitmapscan = off', routine);
                END IF;
            END LOOP;
        END $$;
        -- fetching asks of every waiting job whether another one with its lock goes first
        CREATE INDEX IF NOT EXISTS smcatalog_jobs_lock
            ON {SCHEMA}.procrastinate_jobs (lock, priority DESC, id)
            WHERE status IN ('todo', 'doing') AND lock IS NOT NULL;
    """  # noqa: S608 - constants of this module
