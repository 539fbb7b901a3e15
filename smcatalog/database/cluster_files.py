"""Directories, files and the lock of the private cluster.

The server's user is less trusted than root: root follows none of that user's links here.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smcatalog.core.errors import DatabaseUnavailable
from smcatalog.database.cluster_account import Account

__all__ = ["last_words", "locked", "own_directory", "sync_directory", "write_as"]

_LOCK_SECONDS = 180.0
_PRIVATE = 0o700


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the home's lock: one process at a time makes, starts or stops its cluster.

    Raises
    ------
    DatabaseUnavailable
        When the home cannot be written, or another process holds the lock for minutes.
    """
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / ".cluster.lock", flags, 0o644)
    except OSError as error:
        raise DatabaseUnavailable(
            f"The home {home} cannot be written ({error.strerror}): "
            "choose another one with SMCATALOG_HOME."
        ) from error
    try:
        _take(handle, home)
        yield
    finally:
        os.close(handle)


def _take(handle: int, home: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"Another process has been starting or stopping the database of {home} "
                    f"for {_LOCK_SECONDS:.0f} s. Look for a hanging smcatalog process, "
                    "end it and try again."
                ) from None
            time.sleep(0.05)
        else:
            return


def own_directory(path: Path, account: Account) -> None:
    """Make a private directory of the server's user, or verify that it is one.

    The temporary folder is open to everybody: a directory that somebody else put there first must
    not be trusted.

    Raises
    ------
    DatabaseUnavailable
        When it cannot be made or belongs to somebody else.
    """
    try:
        _make_directory(path, account)
        found = path.lstat()
        if path.is_symlink() or not path.is_dir() or found.st_uid != account.uid:
            raise DatabaseUnavailable(
                f"{path} is not a directory of user {account.name}, who runs the database: "
                "remove it or choose another SMCATALOG_HOME."
            )
    except OSError as error:
        raise DatabaseUnavailable(
            f"The directory {path} for the private database cannot be made ({error.strerror}): "
            "choose another SMCATALOG_HOME."
        ) from error
    if found.st_mode & 0o777 != _PRIVATE:
        account.run(["chmod", "700", str(path)])


def _make_directory(path: Path, account: Account) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if account.switch and path.parent.stat().st_uid == account.uid:
        account.run(["mkdir", "-p", "-m", "700", str(path)])
        return
    with suppress(FileExistsError):
        path.mkdir(mode=_PRIVATE)
    if account.switch and path.lstat().st_uid == 0:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def write_as(account: Account, path: Path, text: str) -> None:
    """Write a file as the server's user.

    Raises
    ------
    DatabaseUnavailable
        When that user cannot.
    """
    done = account.run(["tee", "--", str(path)], text=text)
    if done.returncode != 0:
        raise DatabaseUnavailable(
            f"User {account.name}, who runs the database, cannot write {path}: "
            f"{done.stderr.strip()}"
        )


def sync_directory(path: Path) -> None:
    """Make a rename inside a directory survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def last_words(data: Path, lines: int = 8) -> str:
    """End of what a server wrote last, empty when it wrote nothing."""
    logs = [data.parent / "start.log", *(data / "log").glob("*.log")]
    written = [log for log in logs if log.is_file() and log.stat().st_size]
    if not written:
        return ""
    newest = max(written, key=lambda log: log.stat().st_mtime)
    return "\n".join(newest.read_text(errors="replace").splitlines()[-lines:])
