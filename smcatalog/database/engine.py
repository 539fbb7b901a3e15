"""Connecting to the database, and transactions that are tried again when they met another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from smcatalog.core.errors import ConfigurationError, DatabaseUnavailable
from smcatalog.database.collisions import TRANSIENT, pause

__all__ = ["connect", "rehearse", "schema_engine", "transaction", "translated_errors"]

_LOCK_TIMEOUT_MS: Final = 5_000
_CONNECT_SECONDS: Final = 10
_UNREACHABLE: Final = frozenset({"08", "28", "3D", "53", "57"})
"""Classes of: no connection, not let in, no such database, no resources, shut down."""
_OTHER_SCHEMA: Final = frozenset({"42P01", "42703", "42883", "3F000"})
"""Undefined table, column, function, schema: the database is of another version."""

_T = TypeVar("_T")


def connect(url: str, *, application: str = "smcatalog") -> Engine:
    """Return an engine for a database; nothing is connected yet.

    Parameters
    ----------
    url : str
        ``postgresql://...`` or ``postgresql+psycopg://...``.
    application : str
        What the server's lists of activity show.

    Raises
    ------
    ConfigurationError
        When the URL is not one of PostgreSQL.
    """
    return create_engine(
        _driver_url(url),
        pool_size=2,  # the server is shared with every worker, API and analyst
        max_overflow=4,
        pool_pre_ping=True,
        connect_args={
            "application_name": application,
            "connect_timeout": _CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c lock_timeout={_LOCK_TIMEOUT_MS}",
        },
    )


def schema_engine(url: str) -> Engine:
    """Return an engine for migrations: no pool, and our schema not on the search path.

    A table that is on the search path is reflected without its schema, and then alembic takes it
    for another one than the model's.
    """
    return create_engine(
        _driver_url(url),
        poolclass=NullPool,
        connect_args={
            "application_name": "smcatalog db upgrade",
            "connect_timeout": _CONNECT_SECONDS,
            "options": "-c timezone=UTC -c search_path=public -c lock_timeout=60000",
        },
    )


def transaction(
    engine: Engine,
    work: Callable[[Connection], _T],
    *,
    lock_timeout_ms: int = _LOCK_TIMEOUT_MS,
    retries: int = 5,
) -> _T:
    """Run a function in a transaction; again when another transaction was in its way.

    Parameters
    ----------
    engine : Engine
        From `connect`.
    work : callable
        Gets the connection. It runs from its beginning each time, so whatever it does outside
        the database must be safe to repeat.
    lock_timeout_ms : int
        How long a statement may wait for a lock.
    retries : int
        How often to try again after a lock timeout, a deadlock or a serialization failure.

    Raises
    ------
    DatabaseUnavailable
        When no database answers, its schema is not ours, or the retries are used up.
    """
    for attempt in range(retries + 1):
        with translated_errors(engine.url):
            try:
                with engine.begin() as connection:
                    connection.execute(
                        text("SELECT set_config('lock_timeout', :value, true)"),
                        {"value": f"{lock_timeout_ms}ms"},
                    )
                    return work(connection)
            except DBAPIError as error:
                if _sqlstate(error) not in TRANSIENT or attempt == retries:
                    raise
        pause(attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def rehearse(engine: Engine, work: Callable[[Connection], _T]) -> _T:
    """Run a function in a transaction that leaves no trace, as for ``--dry-run``.

    Raises
    ------
    DatabaseUnavailable
        As `transaction`.
    """

    def undone(connection: Connection) -> _T:
        with connection.begin_nested() as savepoint:
            result = work(connection)
            savepoint.rollback()
        return result

    return transaction(engine, undone)


@contextmanager
def translated_errors(url: URL | str) -> Iterator[None]:
    """Turn the driver's errors about the database's state into `DatabaseUnavailable`.

    Errors about what was asked (a violated constraint, say) pass through unchanged.

    Raises
    ------
    DatabaseUnavailable
        With what to do about it.
    """
    try:
        yield
    except DBAPIError as error:
        message = _advice(error, make_url(url).render_as_string(hide_password=True))
        if message is None:
            raise
        raise DatabaseUnavailable(message) from error


def _advice(error: DBAPIError, where: str) -> str | None:
    state, said = _sqlstate(error), str(error.orig).strip()
    if state in TRANSIENT:
        return (
            f"Another transaction held its locks in {where} for too long ({said}). "
            "Look for a migration or an idle transaction there and try again."
        )
    if state in _OTHER_SCHEMA:
        return (
            f"The database {where} has not the schema that this version needs ({said}): "
            "run `smcatalog db upgrade`."
        )
    if state == "42501":
        return (
            f"The role that connects to {where} is not allowed that ({said}): "
            "connect as another role, or run `smcatalog db upgrade` as the schema's owner."
        )
    if error.connection_invalidated or state is None or state[:2] in _UNREACHABLE:
        return (
            f"No database answers at {where} ({said}): start it with `smcatalog db start`, "
            "or name another one in SMCATALOG_DATABASE_URL."
        )
    return None


def _sqlstate(error: DBAPIError) -> str | None:
    """Return the server's error code; None when the server said nothing, so was not there."""
    state = getattr(error.orig, "sqlstate", None)
    return str(state) if state else None


def _driver_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            f"'{url}' is not a database URL: write it as postgresql://user@host/database"
        ) from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            f"'{parsed.render_as_string()}' is not a database of PostgreSQL, "
            "the only one that works here: write it as postgresql://user@host/database"
        )
    return parsed.set(drivername="postgresql+psycopg")
