"""Dumping and restoring the whole database with the server's own programs.

What belongs to a database itself (its settings) or to its server (roles) is in no dump: a restore
makes the roles first and ends like an upgrade, which adds the rest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from smcatalog.core.errors import ConfigurationError, DatabaseUnavailable, UsageError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.core.versions import PGSTAC_VERSION
from smcatalog.database import migrations
from smcatalog.database.cluster_binaries import find_client
from smcatalog.database.upgrade import check, libpq, make_roles, upgrade, version_key

__all__ = ["DumpReport", "RestoreReport", "dump", "restore"]

_OURS: Final = ("smcatalog", "views", "pgstac", "procrastinate")
_LOCK_WAIT: Final = "60s"
_OWNER = re.compile(r"^\d+; \d+ \d+ .* (\S+)$")
_SERVER = re.compile(r"^;\s+Dumped from database version: (\d+)", re.MULTILINE)
_NO_PATH: Final = b"SELECT pg_catalog.set_config('search_path', '', false);\n"
_PATH: Final = b"SELECT pg_catalog.set_config('search_path', 'pgstac, public', false);\n"
_PIECE: Final = 1 << 20
_COPY = re.compile(r"^COPY [\w.]+ \(([^)]*)\) FROM stdin;$")


@dataclass(frozen=True, slots=True)
class DumpReport:
    """What was dumped.

    Parameters
    ----------
    file : Path
        The dump, in PostgreSQL's custom format.
    revision, pgstac : str
        Versions of our schema and of pgstac's in it.
    server : int
        Major version of the server.
    size : int or None
        Bytes; None when nothing was written.
    sha256 : str or None
        Checksum of the file; None when nothing was written.
    """

    file: Path
    revision: str
    pgstac: str
    server: int
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored.

    Parameters
    ----------
    file : Path
        The dump.
    revision, pgstac : str
        Versions of our schema and of pgstac's in the dump.
    server : int
        Major version of the server that the dump was made from.
    steps : tuple of str
        What was done after the dump was in, as `upgrade` tells it.
    done : bool
        Whether anything was written.
    """

    file: Path
    revision: str
    pgstac: str
    server: int
    steps: tuple[str, ...] = ()
    done: bool = False


def dump(url: str, target: Path, *, dry_run: bool = False) -> DumpReport:
    """Write the database as it stands at one instant to a file, while others go on working.

    The file appears under its name when it is whole and on the disk; nobody else may read it.

    Parameters
    ----------
    url : str
        Of the database, for its owner.
    target : Path
        A file that is not there yet.
    dry_run : bool
        Only look whether it could be done.

    Raises
    ------
    UsageError
        When the file is there already or its folder is not.
    DatabaseUnavailable
        When no database answers, it has not our schema, or the program fails.
    """
    if target.exists():
        raise UsageError(f"{target} is there already: name a new file")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}: make it first")
    with _session(url) as connection:
        server = connection.info.server_version // 10000
        present = _schemas(connection)
        if not {"smcatalog", "pgstac"} <= present:
            raise DatabaseUnavailable(
                "The database has no catalogue to dump: run `smcatalog db upgrade`, or name "
                "another one in SMCATALOG_DATABASE_URL."
            )
        revision = _one(connection, "SELECT version_num FROM smcatalog.alembic_version")
        pgstac = _one(connection, "SELECT pgstac.get_version()")
    program = find_client("pg_dump", server)
    report = DumpReport(target, revision, pgstac, server)
    if dry_run:
        return report
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        os.close(descriptor)
        arguments = ("--format=custom", f"--lock-wait-timeout={_LOCK_WAIT}", f"--file={temporary}")
        _run(program, url, *arguments)
        _list(program, temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        size, sha256 = temporary.stat().st_size, sha256_file(temporary)
        temporary.rename(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return DumpReport(target, revision, pgstac, server, size, sha256)


def restore(url: str, source: Path, *, dry_run: bool = False) -> RestoreReport:
    """Fill an empty database from a dump, whole or not at all, and bring it up to date.

    Parameters
    ----------
    url : str
        Of an empty database, for a superuser, or for a role that may create roles and is a member
        of all that own something in the dump.
    source : Path
        From `dump`.
    dry_run : bool
        Only look whether it could be done.

    Raises
    ------
    UsageError
        When the file is missing, or is no dump of a catalogue, or is newer than this version.
    DatabaseUnavailable
        When no database answers, it is not empty, its server is older than the dump's, a role is
        missing, or the program fails.
    """
    if not source.is_file():
        raise UsageError(f"there is no file {source}")
    with _session(url) as connection:
        server = connection.info.server_version // 10000
        where = f"{connection.info.dbname} of {connection.info.host}"
        present = sorted(_schemas(connection))
        roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    if present:
        raise DatabaseUnavailable(
            f"The database {where} is not empty, it has the schemas {', '.join(present)}: restore "
            "into a new one (another SMCATALOG_HOME, or createdb and SMCATALOG_DATABASE_URL)."
        )
    program = find_client("pg_restore", server)
    listing = _list(program, source)
    report = _examined(program, source, listing)
    if report.server > server:
        raise DatabaseUnavailable(
            f"{source} was dumped from PostgreSQL {report.server} and the database {where} is "
            f"PostgreSQL {server}: restore into version {report.server} or newer."
        )
    made = {"smcatalog_writer", "smcatalog_analyst", "smcatalog_api"}
    made |= {"pgstac_admin", "pgstac_read", "pgstac_ingest"}
    owners = {m[1] for m in map(_OWNER.match, listing.splitlines()) if m}
    if missing := sorted(owners - roles - made):
        raise DatabaseUnavailable(
            f"What {source} holds belongs to {', '.join(missing)}, and the server of {where} has no "
            "such role. As an administrator there: "
            + " ".join(f'CREATE ROLE "{role}" LOGIN;' for role in missing)
            + " then restore again."
        )
    if dry_run:
        return report
    make_roles(url)
    _fill(program, url, source)
    steps = upgrade(url).steps
    _analyze(url)
    check(url)
    return RestoreReport(source, report.revision, report.pgstac, report.server, steps, done=True)


def _examined(program: str, source: Path, listing: str) -> RestoreReport:
    """Return what a dump holds after comparing its versions with ours."""
    revision = _rows(program, source, "smcatalog", "alembic_version")
    pgstac = _rows(program, source, "pgstac", "migrations")
    made_by = _SERVER.search(listing)
    if not revision or not pgstac or made_by is None:
        raise UsageError(f"{source} is a dump, but not of a catalogue: take one from 'db dump'")
    number = revision[0]["version_num"]
    newest = max(pgstac, key=lambda row: (row["datetime"], row["version"]))["version"]
    if number not in migrations.known():
        raise UsageError(
            f"{source} has the schema {number}, which this version does not know (its own is "
            f"{migrations.head()}): install the version of smcatalog that made it, or a newer one"
        )
    if version_key(newest) > version_key(PGSTAC_VERSION):
        raise UsageError(
            f"{source} has pgstac {newest}, newer than {PGSTAC_VERSION}, the one this version works "
            "with: install the version of smcatalog that made it, or a newer one"
        )
    return RestoreReport(source, number, newest, int(made_by[1]))


def _rows(program: str, source: Path, schema: str, table: str) -> list[dict[str, str]]:
    """Read a small table out of a dump, without a database."""
    text = _output(
        program, "--data-only", f"--schema={schema}", f"--table={table}", "--file=-", str(source)
    )
    rows: list[dict[str, str]] = []
    names: list[str] | None = None
    for line in text.splitlines():
        begins = _COPY.match(line)
        if begins:
            names = begins[1].split(", ")
        elif line == "\\.":
            names = None
        elif names is not None:
            rows.append(dict(zip(names, line.split("\t"), strict=True)))
    return rows


def _list(program: str, source: Path) -> str:
    """Return a dump's table of contents; reading it shows that the file is a whole archive."""
    return _output(str(Path(program).with_name("pg_restore")), "--list", str(source))


def _output(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UsageError(
            f"{arguments[-1]} is not a dump that {Path(program).name} reads: {_words(done.stderr)}"
        )
    return done.stdout


def _run(program: str, url: str, *arguments: str) -> None:
    """Run a program on a database."""
    command, environment = _command(program, url)
    done = subprocess.run(
        [*command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise DatabaseUnavailable(f"{Path(program).name} failed: {_words(done.stderr)}")


def _command(program: str, url: str) -> tuple[list[str], dict[str, str]]:
    """Return how to call a program; a password goes through the environment, where no list shows it."""
    parameters = conninfo_to_dict(libpq(url))
    environment = dict(os.environ)
    if password := parameters.pop("password", None):
        environment["PGPASSWORD"] = str(password)
    if "sslpassword" in parameters:
        raise ConfigurationError(
            "the database's URL holds the password of a key (sslpassword), which lists of processes "
            "would show to everybody: use a key without one, in a file that only you can read"
        )
    return [program, f"--dbname={make_conninfo('', **parameters)}", "--no-password"], environment


def _fill(program: str, url: str, source: Path) -> None:
    """Run a dump's SQL in one transaction: what is cut off leaves the database as empty as it was.

    Dumps are meant for an empty search path. Columns of pgstac's tables are generated by functions
    that find others by the path and fail without, so here it names their schemas.
    """
    psql, environment = _command(str(Path(program).with_name("psql")), url)
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [program, "--file=-", str(source)], stdout=subprocess.PIPE, stderr=said
        ) as reading,
        subprocess.Popen(
            [*psql, *options], stdin=subprocess.PIPE, stderr=said, env=environment
        ) as writing,
    ):
        if reading.stdout is None or writing.stdin is None:
            raise ValueError("the programs were started without pipes")
        whole = False
        with suppress(BrokenPipeError):  # psql has stopped, and said why
            whole = _pass_on(reading.stdout, writing.stdin) and reading.wait() == 0
            if whole:  # it alone commits: whoever dies before leaves nothing
                writing.stdin.write(b"COMMIT;\n")
        reading.stdout.close()
        with suppress(BrokenPipeError):
            writing.stdin.close()
        if writing.wait() != 0 or not whole:
            said.seek(0)
            raise DatabaseUnavailable(
                f"{source} could not be restored, and nothing of it was: "
                f"{_words(said.read().decode(errors='replace'))}"
            )


def _pass_on(script: IO[bytes], database: IO[bytes]) -> bool:
    """Pass SQL on in a transaction, with a search path; say whether it set one that could be changed."""
    database.write(b"BEGIN;\n")
    for line in script:
        if line == _NO_PATH:
            database.write(_PATH)
            shutil.copyfileobj(script, database, _PIECE)
            return True
        database.write(line)
    return False


def _words(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return " ".join(lines[:3]) or "it said nothing"


def _analyze(url: str) -> None:
    """Give the planner its statistics, which no dump holds."""
    with _session(url) as connection:
        connection.execute("ANALYZE")


def _schemas(connection: psycopg.Connection[Any]) -> set[str]:
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s)", [list(_OURS)]
    )
    return {row[0] for row in rows}


def _one(connection: psycopg.Connection[Any], query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    return str(row[0]) if row else "nothing"


@contextmanager
def _session(url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        connection = psycopg.connect(
            libpq(url), autocommit=True, connect_timeout=10, application_name="smcatalog db backup"
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(
            f"No database answers ({str(error).strip()}): start it with `smcatalog db start`, "
            "or name another one in SMCATALOG_DATABASE_URL."
        ) from error
    with connection:
        yield connection
