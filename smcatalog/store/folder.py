"""A store in a folder.

A file is written under a temporary name, flushed, checked, and renamed to a name that carries its
content hash. So a name never changes its content, a reader never sees half a file, and a writer
that dies leaves at most a temporary file, which the next `Store.sweep` removes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from smcatalog.core.errors import StoreError
from smcatalog.core.fingerprint import sha256_file

__all__ = ["Store", "StoredFile"]

_WORK: Final = ".work"
_HASH_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store.

    Parameters
    ----------
    key : str
        Store-relative key with forward slashes.
    sha256 : str
        Hexadecimal.
    size : int
        Bytes.
    """

    key: str
    sha256: str
    size: int


class Store:
    """A folder of immutable files, addressed by key.

    Parameters
    ----------
    root : Path
        The folder; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Return where a key's file lies.

        Raises
        ------
        StoreError
            When the key would lead out of the store.
        """
        pure = PurePosixPath(key)
        if pure.is_absolute() or not pure.parts or any(p.startswith(".") for p in pure.parts):
            raise StoreError(f"'{key}' is not a key of the store")
        return self.root.joinpath(*pure.parts)

    def exists(self, key: str) -> bool:
        """Say whether a key has a file."""
        return self.path(key).is_file()

    def verified(self, key: str, sha256: str) -> Path:
        """Return where a key's file lies after comparing its content with its checksum.

        Raises
        ------
        StoreError
            When the file is missing or its content is not what the catalogue recorded.
        """
        path = self.path(key)
        try:
            found = sha256_file(path)
        except OSError as error:
            raise StoreError(f"cannot read {key} in the store: {error.strerror}") from error
        if found != sha256:
            raise StoreError(
                f"{key} in the store is damaged: its SHA-256 is {found}, recorded is {sha256}"
            )
        return path

    @contextmanager
    def work(self) -> Iterator[Path]:
        """Lend a folder for temporary files on the store's own file system.

        It is locked while in use, so that `sweep` can tell it from one whose owner has died.
        """
        parent = self.root / _WORK
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=parent))
        except OSError as error:
            raise StoreError(f"cannot write to the store {self.root}: {error.strerror}") from error
        try:
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> int:
        """Remove temporary files whose writer has died, and return how many folders went."""
        removed = 0
        for folder in sorted((self.root / _WORK).glob("*")):
            try:
                with (folder / "lock").open("r") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
            except FileNotFoundError:
                removed += self._remove_unlocked(folder)
            except BlockingIOError:
                continue
        return removed

    @staticmethod
    def _remove_unlocked(folder: Path) -> int:
        """Remove a folder that its owner never came to lock, unless it was made this minute."""
        try:
            age = time.time() - folder.stat().st_mtime
        except FileNotFoundError:
            return 0
        if age < 60:  # noqa: PLR2004 - seconds between mkdtemp and flock are microseconds
            return 0
        shutil.rmtree(folder, ignore_errors=True)
        return 1

    def add(
        self,
        stem: str,
        suffix: str,
        write: Callable[[Path], None],
        *,
        work: Path,
        check: Callable[[Path], None] | None = None,
    ) -> StoredFile:
        """Write a file once and for all.

        Parameters
        ----------
        stem : str
            Key without hash and suffix, e.g. ``maps/yanco/2018/yanco_2018214_quality``.
        suffix : str
            With its dot.
        write : callable
            Writes the content to the path that it is given.
        work : Path
            A folder from `work`.
        check : callable, optional
            Raises when the file, flushed and reopened, is not what it should be.

        Returns
        -------
        StoredFile
            Its key is ``{stem}_{first digits of the SHA-256}{suffix}``. A file of the same
            content that is there already is left alone.

        Raises
        ------
        StoreError
            When the disk refuses.
        """
        temporary = work / f"file{suffix}"
        try:
            write(temporary)
            _flush(temporary)
            if check is not None:
                check(temporary)
            sha256 = sha256_file(temporary)
            size = temporary.stat().st_size
            key = f"{stem}_{sha256[:_HASH_DIGITS]}{suffix}"
            target = self.path(key)
            if target.is_file() and sha256_file(target) == sha256:
                temporary.unlink()
                return StoredFile(key, sha256, size)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.chmod(0o644)
            temporary.replace(target)
            _flush(target.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreError(
                f"cannot write {stem}{suffix} to the store {self.root}: {error.strerror or error}"
            ) from error
        return StoredFile(key, sha256, size)

    def take(self, other: Store, key: str) -> None:
        """Move a file here from another store on the same file system, under the same key.

        A file of the same content that is there already is left alone.

        Parameters
        ----------
        other : Store
            Where the file is until now, such as one in a folder from `work`: what is written there
            goes with it when it is not taken.
        key : str
            From `add`.

        Raises
        ------
        StoreError
            When the disk refuses.
        """
        source, target = other.path(key), self.path(key)
        try:
            if target.is_file() and sha256_file(target) == sha256_file(source):
                source.unlink()
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
            _flush(target.parent)
        except OSError as error:
            raise StoreError(
                f"cannot write {key} to the store {self.root}: {error.strerror or error}"
            ) from error

    def files(self) -> Iterator[str]:
        """Iterate over the keys of all files in the store, sorted; temporary files left out."""
        for path in sorted(self.root.rglob("*")):
            relative = path.relative_to(self.root)
            if path.is_file() and not any(p.startswith(".") for p in relative.parts):
                yield relative.as_posix()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
