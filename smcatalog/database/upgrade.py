"""Installing and upgrading everything that the catalogue needs in its database.

In a fixed order: extensions, pgstac, the queue, roles, our schema with its views, grants, settings.
One look tells whether anything is to do, so that every start of a worker can afford to ask.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from smcatalog.core.errors import ConfigurationError, DatabaseUnavailable
from smcatalog.core.versions import PGSTAC_VERSION
from smcatalog.database import grants, migrations, queue_schema
from smcatalog.database.collisions import collision, pause

__all__ = ["UpgradeReport", "check", "downgrade", "make_roles", "upgrade"]

_EXTENSIONS: Final = ("postgis", "btree_gist", "unaccent")
_MINIMUM_SERVER: Final = 150000
_LOCK: Final = 7_236_018_441  # any number of ours: two upgrades of one database go one by one
_ATTEMPTS: Final = 12
_ALEMBIC: Final = threading.Lock()
"""Alembic keeps the migration that runs in names of its modules: one at a time in a process."""

_PGSTAC_ROLES: Final = """
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['pgstac_admin', 'pgstac_read', 'pgstac_ingest'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        IF NOT pg_has_role(current_user, name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', name);
        END IF;
    END LOOP;
END $$;
"""
"""pgstac grants its admin role to whoever installs it, and then acts as all three."""

_PGSTAC_ROLE_SETTINGS: Final = """
GRANT pgstac_admin TO CURRENT_USER;
GRANT pgstac_read TO pgstac_ingest;
ALTER ROLE pgstac_admin SET search_path TO pgstac, public;
ALTER ROLE pgstac_read SET search_path TO pgstac, public;
ALTER ROLE pgstac_ingest SET search_path TO pgstac, public;
"""
"""What pgstac's own script says of its roles beside the database's objects."""


@dataclass(frozen=True, slots=True)
class UpgradeReport:
    """What an upgrade did.

    Parameters
    ----------
    steps : tuple of str
        What was done, in order; empty when nothing was to do.
    revision : str
        Revision of our schema now.
    pgstac : str
        Version of pgstac's schema now.
    """

    steps: tuple[str, ...]
    revision: str
    pgstac: str

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.steps)


@dataclass(frozen=True, slots=True)
class _State:
    """What one look at the database found."""

    extensions: frozenset[str]
    pgstac: str | None
    queue: str | None
    revision: str | None
    roles: bool
    grants: bool
    settings: bool


def upgrade(url: str) -> UpgradeReport:
    """Install or upgrade everything in a database; do nothing when all is there.

    Roles, memberships and settings stand in catalogues that all databases of a server share, and
    PostgreSQL refuses the second of two sessions that change the same row of them. Each step is
    a transaction that is safe to repeat, so then the upgrade goes on from where it was.

    Parameters
    ----------
    url : str
        Of the database, for its owner: a superuser, or a role that may create roles where an
        administrator has installed PostGIS.

    Raises
    ------
    DatabaseUnavailable
        When no database answers, its server is too old, the role lacks a right, or its pgstac is
        newer than this version's; or when other sessions kept changing the same things.
    """
    steps: list[str] = []
    for attempt in range(_ATTEMPTS):
        try:
            with _connection(url) as connection:
                if not _is_done(_look(connection)):
                    connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
                    steps.extend(_install(connection, url, _look(connection)))
            return UpgradeReport(tuple(steps), migrations.head(), PGSTAC_VERSION)
        except Exception as error:
            met = collision(error)
            if met is None:
                raise
            if attempt == _ATTEMPTS - 1:
                raise DatabaseUnavailable(
                    "Other sessions kept changing the roles or settings of this database server "
                    f"({str(met).strip()}): wait until they have finished and run the upgrade "
                    "again; what is done so far stays."
                ) from error
        pause(attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def make_roles(url: str) -> None:
    """Make pgstac's roles and ours where they are missing, as what a dump holds is theirs.

    Raises
    ------
    DatabaseUnavailable
        When no database answers or the role may not create roles.
    """
    with _connection(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        with connection.transaction():
            _execute(connection, _PGSTAC_ROLES)
            _execute(connection, _PGSTAC_ROLE_SETTINGS)
            _execute(connection, grants.roles())


def downgrade(url: str, revision: str) -> None:
    """Bring our schema back to an older revision; ``base`` removes it with all that it holds.

    Extensions, pgstac, the queue and roles stay.

    Raises
    ------
    DatabaseUnavailable
        When no database answers or the role may not change the schema.
    """
    with _connection(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        _migrate(url, revision, down=True)


def check(url: str) -> None:
    """Compare the database with the models.

    Raises
    ------
    DatabaseUnavailable
        With the differences, or when the database is not at the newest revision.
    """
    from smcatalog.database.engine import schema_engine, translated_errors  # noqa: PLC0415 - slow

    with _connection(url) as connection:
        state = _look(connection)
    if not _is_done(state):
        raise DatabaseUnavailable(
            f"The database's schema is at {state.revision or 'nothing'}, pgstac at "
            f"{state.pgstac or 'nothing'}, the queue at {state.queue or 'nothing'}; this version "
            f"needs {migrations.head()}, {PGSTAC_VERSION} and {queue_schema.newest()} with roles "
            "and grants: run `smcatalog db upgrade`."
        )
    engine = schema_engine(url)
    try:
        with translated_errors(engine.url), engine.connect() as connected:
            found = migrations.differences(connected)
    finally:
        engine.dispose()
    if found:
        listed = "\n".join(f"  {difference}" for difference in found)
        raise DatabaseUnavailable(
            f"Models and database differ; write a migration that does this:\n{listed}"
        )


def _is_done(state: _State) -> bool:
    return (
        state.extensions.issuperset(_EXTENSIONS)
        and state.pgstac == PGSTAC_VERSION
        and state.queue == queue_schema.newest()
        and state.revision == migrations.head()
        and state.roles
        and state.grants
        and state.settings
    )


def _install(connection: psycopg.Connection[Any], url: str, state: _State) -> Iterator[str]:
    for name in _EXTENSIONS:
        if name not in state.extensions:
            _make_extension(connection, name)
            yield f"extension {name}"
    if state.pgstac != PGSTAC_VERSION:
        _install_pgstac(connection, url, state.pgstac)
        yield f"pgstac {PGSTAC_VERSION}"
    if state.queue != queue_schema.newest():
        for name, script in queue_schema.pending(state.queue):
            with connection.transaction():
                _execute(connection, queue_schema.prepare() + script)
                _execute(connection, queue_schema.record(name))
        yield f"queue {queue_schema.newest()}"
    if not state.roles:
        with connection.transaction():
            _execute(connection, grants.roles())
        yield "roles"
    if state.revision != migrations.head():
        with connection.transaction():
            _execute(
                connection,
                "CREATE SCHEMA IF NOT EXISTS smcatalog; CREATE SCHEMA IF NOT EXISTS views;",
            )
        _migrate(url, "head", down=False)
        yield f"schema {state.revision or 'nothing'} → {migrations.head()}"
    # Both are cheap and safe to repeat, and a migration may have brought new tables.
    name = sql.Identifier(connection.info.dbname).as_string(connection)
    with connection.transaction():
        _execute(connection, queue_schema.seal())
        _execute(connection, grants.grants())
        _execute(connection, grants.settings(name))
        _execute(connection, grants.pgstac_settings())
    yield "grants and settings"


def _make_extension(connection: psycopg.Connection[Any], name: str) -> None:
    try:
        connection.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public").format(sql.Identifier(name))
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailable(
            f"The extension {name} is missing in database {connection.info.dbname}, and role "
            f"{connection.info.user} may not create it. As an administrator of the server: "
            f"CREATE EXTENSION {name} SCHEMA public; then run the upgrade again."
        ) from error
    except (psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported) as error:
        raise DatabaseUnavailable(
            f"The database server has no extension {name}. Install it there, on Debian: "
            "apt-get install postgresql-postgis postgresql-contrib; then run the upgrade again."
        ) from error


def _install_pgstac(connection: psycopg.Connection[Any], url: str, found: str | None) -> None:
    if found is not None:
        _upgrade_pgstac(url, found)
        return
    _execute(connection, _PGSTAC_ROLES)
    script = files("pypgstac").joinpath(f"migrations/pgstac.{PGSTAC_VERSION}.sql")
    with connection.transaction():
        _execute(connection, script.read_text(encoding="utf-8"))
    # its script leaves the session as pgstac_ingest, with a search path of its own
    _execute(connection, "RESET ROLE; SET search_path = public;")


def _upgrade_pgstac(url: str, found: str) -> None:
    """Let pypgstac walk the way from an older version, as only it knows it."""
    from pypgstac.db import PgstacDB  # noqa: PLC0415 - slow, and changes psycopg's JSON settings
    from pypgstac.migrate import Migrate  # noqa: PLC0415 - see above

    if version_key(found) > version_key(PGSTAC_VERSION):
        raise DatabaseUnavailable(
            f"The database's pgstac is {found}, newer than {PGSTAC_VERSION}, the one this version "
            "works with: install a newer smcatalog, or use another database."
        )
    with PgstacDB(dsn=libpq(url)) as database:
        Migrate(database).run_migration(PGSTAC_VERSION)


def version_key(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _migrate(url: str, revision: str, *, down: bool) -> None:
    from smcatalog.database.engine import schema_engine, translated_errors  # noqa: PLC0415 - slow

    engine = schema_engine(url)
    run = migrations.migrate_down if down else migrations.migrate_up
    try:
        with _ALEMBIC, translated_errors(engine.url), engine.begin() as connection:
            run(connection, revision)
    finally:
        engine.dispose()


def _look(connection: psycopg.Connection[Any]) -> _State:
    """Find what is there, in three questions at most."""
    with connection.cursor(row_factory=dict_row) as cursor:
        first = cursor.execute(
            """
            SELECT array(SELECT extname::text FROM pg_extension) AS extensions,
                   to_regclass('pgstac.migrations') IS NOT NULL AS pgstac,
                   to_regclass('procrastinate.procrastinate_jobs') IS NOT NULL AS jobs,
                   to_regclass('procrastinate.installed_migrations') IS NOT NULL AS queue,
                   to_regclass('smcatalog.alembic_version') IS NOT NULL AS schema,
                   (SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s)) = 3
                   AND to_regrole('pgstac_read') IS NOT NULL AS roles,
                   to_regprocedure('smcatalog.ensure_observation_partition(integer)') IS NOT NULL
                   AND to_regnamespace('views') IS NOT NULL AS migrated
            """,
            [[grants.WRITER, grants.ANALYST, grants.API]],
        ).fetchone()
        if first is None:
            raise DatabaseUnavailable("The database gave no answer: try again.")
        pgstac = _one(
            cursor,
            "SELECT version FROM pgstac.migrations ORDER BY datetime DESC, version DESC LIMIT 1",
            wanted=first["pgstac"],
        )
        queue = _one(
            cursor,
            'SELECT max(name COLLATE "C") AS version FROM procrastinate.installed_migrations',
            wanted=first["queue"],
        )
        if first["jobs"] and queue is None:
            raise DatabaseUnavailable(
                f"Database {connection.info.dbname} has a schema procrastinate that smcatalog did "
                "not install: use another database, or rename that schema."
            )
        revision = _one(
            cursor,
            "SELECT version_num AS version FROM smcatalog.alembic_version",
            wanted=first["schema"],
        )
        complete: dict[str, Any] = {"roles": False, "grants": False, "settings": False}
        if first["roles"] and first["pgstac"] and queue and first["migrated"]:
            complete = cursor.execute(grants.is_complete()).fetchone() or complete
    return _State(
        extensions=frozenset(first["extensions"]),
        pgstac=pgstac,
        queue=queue,
        revision=revision,
        roles=bool(complete["roles"]),
        grants=bool(complete["grants"]),
        settings=bool(complete["settings"]),
    )


def _one(cursor: psycopg.Cursor[dict[str, Any]], query: str, *, wanted: bool) -> str | None:
    row = cursor.execute(query).fetchone() if wanted else None
    return None if row is None or row["version"] is None else str(row["version"])


def _execute(connection: psycopg.Connection[Any], text: str) -> None:
    """Run SQL of our own making; several statements at once go without parameters only."""
    try:
        connection.execute(text.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailable(
            f"Role {connection.info.user} may not do what the upgrade of database "
            f"{connection.info.dbname} needs ({error.diag.message_primary}): connect as the "
            "database's owner with the right to create roles (ALTER ROLE ... CREATEROLE)."
        ) from error


@contextmanager
def _connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        connection = psycopg.connect(
            libpq(url),
            autocommit=True,
            application_name="smcatalog db upgrade",
            connect_timeout=10,
            options="-c timezone=UTC -c search_path=public -c client_min_messages=warning",
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(
            f"No database answers ({str(error).strip()}): start it with `smcatalog db start`, "
            "or name another one in SMCATALOG_DATABASE_URL."
        ) from error
    with connection:
        if connection.info.server_version < _MINIMUM_SERVER:
            raise DatabaseUnavailable(
                f"The database server is PostgreSQL {connection.info.server_version // 10000}: "
                f"version {_MINIMUM_SERVER // 10000} or newer is needed."
            )
        yield connection


def libpq(url: str) -> str:
    """Return the form of a URL that libpq understands, which names no driver."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            f"'{url}' is not a database URL: write it as postgresql://user@host/database"
        )
    return f"postgresql://{rest}"
