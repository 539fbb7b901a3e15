"""Folders for temporary files, which nobody has to clear up after a writer that died."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from smcatalog.core.errors import StoreError

__all__ = ["WorkArea", "flush", "why"]

_YOUNG: Final = 60
"""Seconds; between making a folder and locking it are microseconds."""


class WorkArea:
    """Lends folders for temporary files.

    Parameters
    ----------
    parent : Path
        Where they are made, and nothing else; made when missing.
    where : str
        The store that they are for, for messages.
    """

    def __init__(self, parent: Path, where: str) -> None:
        self.parent = parent
        self._where = where

    @contextmanager
    def lend(self) -> Iterator[Path]:
        """Lend a folder, which is gone afterwards.

        It is locked while in use, so that `sweep` can tell it from one whose owner has died.

        Raises
        ------
        StoreError
            When the disk refuses.
        """
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=self.parent))
        except OSError as error:
            raise StoreError(f"cannot write to the store {self._where}: {why(error)}") from error
        try:
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> int:
        """Remove folders whose owner has died, and return how many went."""
        removed = 0
        for folder in sorted(self.parent.glob("*")):
            try:
                with (folder / "lock").open("r") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
            except FileNotFoundError:
                removed += _remove_unlocked(folder)
            except BlockingIOError:
                continue
        return removed


def _remove_unlocked(folder: Path) -> int:
    """Remove a folder that its owner never came to lock, unless it was made this minute."""
    try:
        age = time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0
    if age < _YOUNG:
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    return 1


def flush(path: Path) -> None:
    """Have a file's content, or a folder's names, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def why(error: OSError) -> str:
    """Return what the system said, and what to do where that is plain."""
    said = error.strerror or str(error)
    advice = {
        errno.ENOSPC: "make room on that disk",
        errno.EDQUOT: "make room, or have the quota raised",
        errno.EACCES: "give this process's user the right to read and write there",
        errno.EPERM: "give this process's user the right to read and write there",
        errno.EROFS: "mount it so that it can be written",
    }.get(error.errno or 0)
    return f"{said}; {advice}" if advice else said
