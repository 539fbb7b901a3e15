"""A private PostgreSQL cluster: the database when no other one is named.

Everything of it lives under the home, or, when root works in a place that the server's user cannot
enter, under ``/var/lib/smcatalog``. The server listens on a Unix socket in a private directory and
nowhere else; the kernel tells it who is calling, so there are no passwords.
"""

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from smcatalog.core.errors import DatabaseUnavailable, UsageError
from smcatalog.database import cluster_config as config
from smcatalog.database.cluster_account import Account, account_for, current_account
from smcatalog.database.cluster_binaries import Binaries, find_binaries
from smcatalog.database.cluster_files import (
    last_words,
    locked,
    own_directory,
    sync_directory,
    write_as,
)
from smcatalog.database.cluster_process import (
    Postmaster,
    drop_stale_locks,
    find_postmaster,
    wait_until_free,
)

__all__ = ["Cluster", "ClusterState", "ClusterStatus"]

DATABASE = "smcatalog"

_STATE_ROOT = Path("/var/lib/smcatalog")
_START_SECONDS = 120
_STOP_SECONDS = 60
_ORPHAN_SECONDS = 20.0


class ClusterState(StrEnum):
    """What a private cluster is doing."""

    ABSENT = "absent"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """State of a private cluster at one moment.

    Parameters
    ----------
    state : ClusterState
        ``STARTING`` also covers recovery after a crash and shutting down.
    pid : int or None
        The server's process, when there is one.
    version : str or None
        Version of the server's programs; the major version of the data when they are gone; None
        when there is no cluster yet.
    data_directory, socket_dir : Path
        Where they are, or will be.
    user : str
        User of this machine that the server runs as.
    """

    state: ClusterState
    pid: int | None
    version: str | None
    data_directory: Path
    socket_dir: Path
    user: str


class Cluster:
    """The private database cluster of one home.

    Parameters
    ----------
    home : Path
        Home of the catalogue. Two homes never share a cluster.
    durable : bool, optional
        False gives up safety in a crash for speed: for throw-away clusters of tests only.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = Path(home).expanduser().resolve()
        self.durable = durable

    # -- where things are ---------------------------------------------------------------------

    @property
    def data_directory(self) -> Path:
        """PostgreSQL's data directory."""
        return self._base / "data"

    @property
    def exists(self) -> bool:
        """Whether the cluster has been created."""
        return os.path.exists(self.data_directory / "PG_VERSION")  # noqa: PTH110 - no error for closed folders

    @property
    def socket_dir(self) -> Path:
        """Directory of the server's socket: the running server's word, else where it will be."""
        running = find_postmaster(self.data_directory)
        return running.socket_dir if running else self._planned_socket_dir

    @property
    def _digest(self) -> str:
        return sha256(os.fsencode(self.home)).hexdigest()[:12]

    @property
    def _base(self) -> Path:
        """Directory that holds the cluster. One that exists stays where it is."""
        beside, apart = self.home / "cluster", _STATE_ROOT / self._digest
        for base in (beside, apart):
            if os.path.exists(base / "data" / "PG_VERSION"):  # noqa: PTH110 - no error for closed folders
                return base
        account = account_for(self._home_owner)
        return beside if account.can_reach(self.home) else apart

    @property
    def _home_owner(self) -> int:
        return self.home.stat().st_uid if self.home.exists() else os.geteuid()

    @property
    def _account(self) -> Account:
        """User that the server runs as: who owns the cluster already, else who fits the home."""
        base = self._base
        owner = base.stat().st_uid if base.exists() else self._home_owner
        if os.geteuid() not in (0, owner):
            raise DatabaseUnavailable(
                f"The database cluster in {base} belongs to user id {owner}, "
                f"and you are {os.geteuid()}. Work as that user, or choose a home of your own "
                "with SMCATALOG_HOME."
            )
        return account_for(owner)

    @property
    def _planned_socket_dir(self) -> Path:
        here = self._base / "run"
        if config.fits_socket(here):
            return here
        name = f"smcatalog-{self._account.uid}-{self._digest}"
        for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - ownership is verified
            if config.fits_socket(parent / name) and self._account.can_reach(parent):
                return parent / name
        raise DatabaseUnavailable(
            f"Neither {here} nor {tempfile.gettempdir()} nor /tmp can hold the database's "
            "socket: set TMPDIR to a short path, or choose a shorter SMCATALOG_HOME."
        )

    # -- how to connect -----------------------------------------------------------------------

    def url(self, role: str = config.SUPERUSER, database: str = DATABASE) -> str:
        """SQLAlchemy URL (psycopg driver) of a database, for one of our roles.

        Raises
        ------
        UsageError
            When the cluster has no such role.
        """
        return "postgresql+psycopg" + self._address(role, database)

    def libpq_url(self, role: str = config.SUPERUSER, database: str = DATABASE) -> str:
        """URL for psql, psycopg, asyncpg and everything else that speaks libpq's form.

        Raises
        ------
        UsageError
            When the cluster has no such role.
        """
        return "postgresql" + self._address(role, database)

    def _address(self, role: str, database: str) -> str:
        if role not in config.ROLES:
            raise UsageError(
                f"The private cluster has no role {role!r}: choose one of {', '.join(config.ROLES)}."
            )
        # The port is named because PGPORT would change the socket's name otherwise.
        host = quote(str(self.socket_dir), safe="/")
        return f"://{role}@/{quote(database, safe='')}?host={host}&port={config.PORT}"

    # -- what people do with it ---------------------------------------------------------------

    def status(self) -> ClusterStatus:
        """Look at the cluster without changing anything."""
        account = self._account
        running = find_postmaster(self.data_directory)
        if running:
            state = ClusterState.RUNNING if running.ready else ClusterState.STARTING
        else:
            state = ClusterState.STOPPED if self.exists else ClusterState.ABSENT
        return ClusterStatus(
            state=state,
            pid=running.pid if running else None,
            version=self._version(),
            data_directory=self.data_directory,
            socket_dir=running.socket_dir if running else self._planned_socket_dir,
            user=account.name,
        )

    def start(self) -> ClusterStatus:
        """Make the cluster when it is missing, run its server and make its database.

        Does nothing when all that is so already; safe to call from several processes at once.

        Raises
        ------
        DatabaseUnavailable
            When the server's programs are missing, a directory is not ours or the server does not
            come up; the message ends with what the server said.
        """
        with locked(self.home):
            running = find_postmaster(self.data_directory)
            if running is None:
                if not self.exists:
                    self._create()
                self._launch()
            elif not running.ready:
                self._wait_until_ready()
            self._make_database()
        return self.status()

    def stop(self) -> ClusterStatus:
        """Stop the server, ending open connections; nothing to do when it does not run.

        Raises
        ------
        DatabaseUnavailable
            When the server does not stop within a minute.
        """
        if not (self.home.is_dir() or self.exists):
            return self.status()
        with locked(self.home):
            self._halt()
        return self.status()

    def destroy(self) -> None:
        """Stop the server and remove the cluster with everything in it."""
        if not (self.home.is_dir() or self.exists):
            return
        with locked(self.home):
            self._halt()
            base, socket_dir = self._base, self._planned_socket_dir
            for directory in (base, socket_dir):
                if directory.exists():
                    shutil.rmtree(directory)

    # -- steps, each under the lock -----------------------------------------------------------

    def _create(self) -> None:
        """Make the data directory under another name and rename it when it is complete.

        So a run that was cut off leaves nothing that could be taken for a cluster.
        """
        binaries, account, base = find_binaries(), self._account, self._base
        own_directory(base, account)
        unfinished = base / "data.unfinished"
        for locale in ("C.UTF-8", "C"):
            if unfinished.exists():
                shutil.rmtree(unfinished)
            done = account.run(
                [
                    binaries.program("initdb"),
                    f"--pgdata={unfinished}",
                    f"--username={config.SUPERUSER}",
                    "--encoding=UTF8",
                    f"--locale={locale}",
                    "--auth=peer",
                    "--data-checksums",
                    "--no-instructions",
                    *([] if self.durable else ["--no-sync"]),
                ]
            )
            if done.returncode == 0:
                break
        else:
            raise DatabaseUnavailable(
                f"The database cluster in {base} could not be made by user {account.name}: "
                f"{done.stderr.strip() or done.stdout.strip()}"
            )
        write_as(account, unfinished / "postgresql.conf", "include = 'smcatalog.conf'\n")
        write_as(account, base / "home", f"{self.home}\n")
        unfinished.rename(base / "data")
        sync_directory(base)

    def _launch(self) -> None:
        data, account, binaries = self.data_directory, self._account, self._fitting_binaries()
        left = wait_until_free(data, seconds=_ORPHAN_SECONDS)
        if left:
            raise DatabaseUnavailable(
                f"Processes {left} of an earlier server still use {data}: end them and try again."
            )
        socket_dir = self._planned_socket_dir
        drop_stale_locks(data, socket_dir)
        own_directory(socket_dir, account)
        self._configure(data, socket_dir, account)
        done = account.run(
            [
                binaries.program("pg_ctl"),
                f"--pgdata={data}",
                f"--log={data.parent / 'start.log'}",
                "--wait",
                f"--timeout={_START_SECONDS}",
                "--silent",
                "start",
            ],
            timeout=_START_SECONDS + 30.0,
        )
        if done.returncode != 0:
            raise DatabaseUnavailable(
                f"The database server in {data} did not start (user {account.name}, PostgreSQL "
                f"{binaries.version}). Its last words:\n{last_words(data) or done.stderr}"
            )

    def _configure(self, data: Path, socket_dir: Path, account: Account) -> None:
        users = {"root", account.name, current_account().name}
        settings = config.server_settings(socket_dir, durable=self.durable)
        write_as(account, data / "smcatalog.conf", settings)
        write_as(account, data / "pg_hba.conf", config.access_rules())
        write_as(account, data / "pg_ident.conf", config.user_map(users))

    def _make_database(self) -> None:
        import psycopg  # noqa: PLC0415 - asking for the status must not need the driver

        try:
            with psycopg.connect(
                self.libpq_url(database="postgres"), autocommit=True, connect_timeout=30
            ) as connection:
                known = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
                ).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"The private database server in {self.data_directory} does not answer: "
                f"{str(error).strip()} Its last words:\n{last_words(self.data_directory)}"
            ) from error

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            running = find_postmaster(self.data_directory)
            if running is None:  # it was on its way out
                self._launch()
                return
            if running.ready:
                return
            time.sleep(0.1)
        raise DatabaseUnavailable(
            f"The database server in {self.data_directory} has not become ready in "
            f"{_START_SECONDS} s. Its last words:\n{last_words(self.data_directory)}"
        )

    def _halt(self) -> None:
        running = find_postmaster(self.data_directory)
        if running is not None:
            self._end(running)
        apart = self._planned_socket_dir
        if apart.parent != self._base and apart.is_dir() and not any(apart.iterdir()):
            apart.rmdir()

    def _end(self, running: Postmaster) -> None:
        account, binaries = self._account, self._fitting_binaries()
        done = account.run(
            [
                binaries.program("pg_ctl"),
                f"--pgdata={self.data_directory}",
                "--mode=fast",
                "--wait",
                f"--timeout={_STOP_SECONDS}",
                "--silent",
                "stop",
            ]
        )
        # the last process goes a moment after its pid file
        if wait_until_free(self.data_directory, seconds=5) and done.returncode != 0:
            raise DatabaseUnavailable(
                f"The database server {running.pid} in {self.data_directory} did not stop: "
                f"{done.stderr.strip()}"
            )

    # -- versions -----------------------------------------------------------------------------

    def _fitting_binaries(self) -> Binaries:
        return find_binaries(major=self._data_version())

    def _data_version(self) -> int | None:
        if not self.exists:
            return None
        return int((self.data_directory / "PG_VERSION").read_text().strip())

    def _version(self) -> str | None:
        major = self._data_version()
        if major is None:
            return None
        try:
            return find_binaries(major=major).version
        except DatabaseUnavailable:
            return str(major)
