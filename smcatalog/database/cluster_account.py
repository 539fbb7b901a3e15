"""The operating-system user that the private server runs as: never root."""

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smcatalog.core.errors import DatabaseUnavailable

__all__ = ["Account", "account_for", "current_account", "existing_ancestor"]

# Users that own nothing of value on a Debian machine, the best first.
_SERVICE_USERS = ("postgres", "nobody", "daemon")
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, and whether becoming it needs root's rights.

    Parameters
    ----------
    name, uid, gid
        As in the machine's user database.
    switch : bool
        True when this process is root and has to become the user.
    """

    name: str
    uid: int
    gid: int
    switch: bool

    def run(
        self, command: Sequence[str], *, text: str | None = None, timeout: float = 180.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, in ``/``, with a bare environment.

        A bare environment, since ``PGDATA``, ``PGOPTIONS`` and their like would redirect the
        server's programs; ``/``, since the user may not be able to enter where we stand.

        Raises
        ------
        DatabaseUnavailable
            When the program cannot be run at all or does not end in time.
        """
        try:
            return subprocess.run(
                list(command),
                input=text or "",
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
                cwd="/",
                env={"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC"},
                umask=0o077,
                user=self.uid if self.switch else None,
                group=self.gid if self.switch else None,
                extra_groups=[] if self.switch else None,
            )
        except OSError as error:
            raise DatabaseUnavailable(
                f"User {self.name} cannot run {command[0]} ({error.strerror}): "
                "install it where every user can reach it."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise DatabaseUnavailable(
                f"{command[0]} has not ended within {timeout:.0f} s: "
                "look for a full or very slow disk and try again."
            ) from error

    def can_reach(self, directory: Path) -> bool:
        """Whether this user may pass through a directory and all its parents.

        Judged from permission bits. What does not exist yet is judged by its nearest parent.
        """
        if not self.switch:
            return True
        there = existing_ancestor(directory)
        return all(self._may_enter(step) for step in (there, *there.parents))

    def _may_enter(self, directory: Path) -> bool:
        found = directory.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def existing_ancestor(path: Path) -> Path:
    """Nearest of the path and its parents that exists."""
    return next(step for step in (path, *path.parents) if step.exists())


def current_account() -> Account:
    """Account of this process.

    Raises
    ------
    DatabaseUnavailable
        When the user has no name: the server identifies people by their user names.
    """
    uid = os.geteuid()
    entry = _entry(uid)
    if entry is None:
        raise DatabaseUnavailable(
            f"User id {uid} has no entry in this machine's user database, so the private "
            "database cannot tell who connects. Add a user with that id, "
            "or set SMCATALOG_DATABASE_URL to a database elsewhere."
        )
    return Account(entry.pw_name, uid, entry.pw_gid, switch=False)


def account_for(owner_uid: int) -> Account:
    """Account that the server of a home runs as.

    Parameters
    ----------
    owner_uid : int
        Who owns the home.

    Returns
    -------
    Account
        This process's user; for root, the home's owner, or a service user when that is root too.

    Raises
    ------
    DatabaseUnavailable
        When there is nobody but root to run it.
    """
    if os.geteuid() != 0:
        return current_account()
    owner = _entry(owner_uid)
    if owner_uid != 0 and owner is not None:
        return Account(owner.pw_name, owner.pw_uid, owner.pw_gid, switch=True)
    for name in _SERVICE_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    raise DatabaseUnavailable(
        "PostgreSQL does not run as root, and this machine has none of the users "
        f"{', '.join(_SERVICE_USERS)} to run it as. Create the user postgres "
        "(useradd --system postgres), or work as an ordinary user."
    )


def _entry(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None
