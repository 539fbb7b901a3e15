"""Say whether the service of this container can do its work; the exit code is for the engine.

``health.py worker``
    A worker of this host has given its heartbeat to the database within the last half minute.
``health.py nightly``
    The planner's process is there, the database lets its role in, and the inbox can be read: what the
    next night needs.
``health.py api``
    The API answers, and reaches the database.

The address of the database is put together as in ``entrypoint.py``, beside which this program lies. It
imports nothing of the catalogue, since it starts twice a minute beside the service.
"""  # noqa: INP001 - a program of the image, not a package

import os
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import psycopg
from entrypoint import database_url

FRESH_SECONDS = 30
"""Fifteen heartbeats; a worker that keeps so long to itself is taken for dead by the others."""
API_PORT = 8000
_HEARTBEATS = """
SELECT extract(epoch FROM clock_timestamp() - max(query_start))
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user
    AND starts_with(application_name, left(%s, 63)) -- as the server cuts it
    -- the connection that beats, and not the one that a job works on
    AND query LIKE '%%procrastinate_workers%%'
"""


class UnhealthyError(Exception):
    """What is wrong, as a sentence."""


def ask(statement: str, *arguments: str) -> object:
    """Return the first value of the database's answer."""
    url = database_url(os.environ) or os.environ.get("SMCATALOG_DATABASE_URL")
    if url is None:
        raise UnhealthyError("no database is named: set DATABASE_HOST")
    scheme, _, rest = url.partition("://")
    with psycopg.connect(
        f"{scheme.partition('+')[0]}://{rest}",  # without SQLAlchemy's name of a driver
        connect_timeout=5,
        application_name="smcatalog health",
        options="-c statement_timeout=5000",
    ) as connection:
        found = connection.execute(statement.encode(), arguments).fetchone()
    return found[0] if found else None


def worker() -> str:
    """Look for a fresh heartbeat of a worker of this host."""
    host = socket.gethostname()
    age = ask(_HEARTBEATS, f"smcatalog worker {host}-")
    if age is None:
        raise UnhealthyError(f"no worker of {host} is connected to the database")
    seconds = float(str(age))
    if seconds > FRESH_SECONDS:
        raise UnhealthyError(f"the last heartbeat of {host} is {seconds:.0f} s old")
    return f"last heartbeat {seconds:.1f} s ago"


def nightly() -> str:
    """Look for the planner's process, and for what it needs."""
    if not any("nightly" in words and "--at" in words for words in _commands()):
        raise UnhealthyError("no process waits for the night")
    if inbox := os.environ.get("SMCATALOG_INBOX"):
        any(Path(inbox).iterdir())  # raises where it cannot be read
    number = ask("SELECT count(*) FROM smcatalog.products")
    return f"waits for the night; {number} products"


def api() -> str:
    """Ask the API for its own health."""
    connection = HTTPConnection("127.0.0.1", API_PORT, timeout=4)
    try:
        connection.request("GET", "/_mgmt/health")
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            raise UnhealthyError(f"the API says {answer.status}: {answer.read(500)!r}")
    finally:
        connection.close()
    return "the API answers and reaches the database"


def _commands() -> list[list[str]]:
    """Return the words of the command of each process that can be seen here."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_text(encoding="utf-8", errors="replace").split("\0"))
        except OSError:  # ended meanwhile
            continue
    return found


CHECKS: dict[str, Callable[[], str]] = {"worker": worker, "nightly": nightly, "api": api}


def main(arguments: list[str]) -> int:
    """Say in a line how it is; return 0 when it is well."""
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        print(f"usage: health.py {'|'.join(CHECKS)}", file=sys.stderr)  # noqa: T201 - a program's answer
        return 2
    try:
        said = CHECKS[arguments[0]]()
    except (UnhealthyError, OSError, psycopg.Error) as error:
        print(f"not well: {str(error).strip()}", file=sys.stderr)  # noqa: T201 - as above
        return 1
    print(said)  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
