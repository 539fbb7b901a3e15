"""A store in a folder: a file is renamed from the work area, on the same disk, to its key."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from smcatalog.core.errors import StoreError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.store.base import Entry, Store, checked_key
from smcatalog.store.work import WorkArea, flush, why

__all__ = ["FolderStore"]

_WORK: Final = ".work"
_PIECE: Final = 1 << 20
_NO_FILE: Final = {errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
"""What the system says of keys under which nothing can lie."""


class FolderStore(Store):
    """A folder of immutable files.

    Parameters
    ----------
    root : Path
        The folder; made when missing.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, WorkArea(root / _WORK, str(root)))
        self.root = root

    def path(self, key: str) -> Path:
        """Return where a key's file lies.

        Raises
        ------
        StoreError
            When the key would lead out of the store.
        """
        return self.root.joinpath(*checked_key(key).parts)

    def address(self, key: str) -> str:
        """Return the path of a key's file."""
        return str(self.path(key).absolute())

    def gdal(self) -> AbstractContextManager[object]:
        """Do nothing: GDAL opens paths as they are."""
        return nullcontext()

    def find(self, key: str) -> Entry | None:
        """Return size and time of a key's file; None when there is none.

        A link that leads out of the key's first folder is not followed.
        """
        path = self.path(key)
        top = self.root / checked_key(key).parts[0]
        try:
            # Not Path.resolve: before Python 3.13 it raises RuntimeError for links that go in circles.
            real = Path(os.path.realpath(path, strict=True))
            if path != top and not real.is_relative_to(os.path.realpath(top, strict=True)):
                return None
            status = real.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise StoreError(f"cannot read {key} in the store: {why(error)}") from error
        return _entry(key, status) if stat.S_ISREG(status.st_mode) else None

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Iterate over a file's bytes, a megabyte at a time."""
        try:
            with self.path(key).open("rb") as file:
                file.seek(start)
                left = None if stop is None else stop - start
                while piece := file.read(_PIECE if left is None else min(left, _PIECE)):
                    yield piece
                    left = None if left is None else left - len(piece)
        except OSError as error:
            raise StoreError(f"cannot read {key} in the store: {why(error)}") from error

    def files(self) -> Iterator[Entry]:
        """Iterate over all files, sorted by key; temporary and hidden ones and links left out."""
        keys: list[str] = []
        try:
            for top in self.root.iterdir() if self.root.is_dir() else ():
                if not top.name.startswith("."):
                    keys += [top.name] if top.is_file() else self._below(top)
        except OSError as error:
            raise StoreError(f"cannot list the store {self.root}: {why(error)}") from error
        for key in sorted(keys):
            try:
                status = self.path(key).lstat()
            except FileNotFoundError:  # removed in the meantime
                continue
            if stat.S_ISREG(status.st_mode):
                yield _entry(key, status)

    def _below(self, top: Path) -> Iterator[str]:
        """Yield the keys below a folder, which may itself be a link to another disk."""

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):  # removed in the meantime
                raise error

        for folder, folders, names in os.walk(top, onerror=refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            parent = Path(folder).relative_to(self.root)
            for name in names:
                if not name.startswith("."):
                    yield (parent / name).as_posix()

    def remove(self, key: str) -> None:
        """Remove a file; nothing happens when there is none."""
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {key} from the store: {why(error)}") from error

    @contextmanager
    def local(self, key: str, sha256: str) -> Iterator[Path]:
        """Lend the file itself after comparing its content with its checksum."""
        path = self.path(key)
        try:
            found = sha256_file(path)
        except OSError as error:
            raise StoreError(f"cannot read {key} in the store: {why(error)}") from error
        if found != sha256:
            raise StoreError(
                f"{key} in the store is damaged: its SHA-256 is {found}, recorded is {sha256}"
            )
        yield path

    def _place(self, source: Path, key: str, sha256: str, size: int) -> None:
        target = self.path(key)
        if target.is_file() and target.stat().st_size == size and sha256_file(target) == sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(0o644)
        source.replace(target)
        flush(target.parent)


def _entry(key: str, status: os.stat_result) -> Entry:
    return Entry(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
