"""What every store can do: files written once under keys that carry their content's hash.

A file is written under a temporary name on this machine, flushed, checked, and put under its key at
once. So a key never changes its content, a reader never sees half a file, and a writer that dies
leaves at most temporary files, which the next `Store.sweep` removes.
"""

from __future__ import annotations

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from smcatalog.core.errors import StoreError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.store.cog import read_cog
from smcatalog.store.work import WorkArea, flush, why

if TYPE_CHECKING:
    from smcatalog.store.folder import FolderStore

__all__ = ["Entry", "Store", "StoredFile", "checked_key"]

_HASH_DIGITS: Final = 16
_NO_ROOM: Final = 1 << 20
"""Bytes; a disk with less is full as far as a raster is concerned."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that was put into the store.

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


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A file that lies in the store.

    Parameters
    ----------
    key : str
        Store-relative key with forward slashes.
    size : int
        Bytes.
    modified : datetime
        When it was put there, UTC.
    """

    key: str
    size: int
    modified: datetime


def checked_key(key: str) -> PurePosixPath:
    """Return a key in its parts.

    Raises
    ------
    StoreError
        When it would lead out of the store, or to what is hidden in it.
    """
    pure = PurePosixPath(key)
    hidden = any(part.startswith(".") for part in pure.parts)
    if pure.is_absolute() or hidden or not pure.parts or str(pure) != key or not key.isprintable():
        raise StoreError(f"{key[:200]!r} is not a key of the store")
    return pure


class Store(ABC):
    """Immutable files, addressed by key; `smcatalog.store.open_store` opens one.

    Parameters
    ----------
    location : Path or str
        Folder, or address such as ``s3://bucket/prefix``: opens the same store elsewhere.
    area : WorkArea
        Where temporary files are written.
    """

    def __init__(self, location: Path | str, area: WorkArea) -> None:
        self.location = location
        self._area = area

    @abstractmethod
    def address(self, key: str) -> str:
        """Return what GDAL opens, inside `gdal`.

        Raises
        ------
        StoreError
            When the key would lead out of the store.
        """

    @abstractmethod
    def gdal(self) -> AbstractContextManager[object]:
        """Set GDAL up, inside a ``with``, to open what `address` names."""

    @abstractmethod
    def find(self, key: str) -> Entry | None:
        """Return size and time of a key's file; None when there is none.

        Raises
        ------
        StoreError
            When the key would lead out of the store, or the store does not answer.
        """

    @abstractmethod
    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Iterate over a file's bytes in pieces of a few megabytes at most.

        Parameters
        ----------
        start, stop : int
            First byte and the one behind the last; the whole file by default.

        Raises
        ------
        StoreError
            When there is no such file or the store does not answer.
        """

    @abstractmethod
    def files(self) -> Iterator[Entry]:
        """Iterate over all files, sorted by key; temporary and hidden ones left out.

        Raises
        ------
        StoreError
            When the store cannot be listed.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a file; nothing happens when there is none.

        Raises
        ------
        StoreError
            When the store refuses.
        """

    @abstractmethod
    def local(self, key: str, sha256: str) -> AbstractContextManager[Path]:
        """Lend a file of this machine with a key's content, compared with its checksum; to be read only.

        Raises
        ------
        StoreError
            When the file is missing or its content is not what the catalogue recorded.
        """

    @abstractmethod
    def _place(self, source: Path, key: str, sha256: str, size: int) -> None:
        """Put a file of the work area under its key at once; one of the same content is left alone.

        Raises
        ------
        StoreError, OSError
            When the store refuses.
        """

    def exists(self, key: str) -> bool:
        """Say whether a key has a file."""
        return self.find(key) is not None

    def checksum(self, key: str) -> str:
        """Return the SHA-256 of a file's content, in hexadecimal; a piece is in memory at a time.

        Raises
        ------
        StoreError
            When there is no such file or the store does not answer.
        """
        digest = hashlib.sha256()
        for piece in self.stream(key):
            digest.update(piece)
        return digest.hexdigest()

    def read(
        self,
        key: str,
        *,
        rows: slice = slice(None),
        columns: slice = slice(None),
        bands: Sequence[int] | None = None,
    ) -> NDArray[Any]:
        """Read stored values of a raster's window.

        Parameters
        ----------
        rows, columns : slice
            The window, in pixels; all by default.
        bands : sequence of int, optional
            From 1; all by default.

        Returns
        -------
        ndarray, shape (bands, rows, columns)
            As stored, unscaled.

        Raises
        ------
        StoreError
            When the file is missing or damaged.
        """
        with self.gdal():
            return read_cog(self.address(key), rows=rows, columns=columns, bands=bands)

    def work(self) -> AbstractContextManager[Path]:
        """Lend a folder of this machine for temporary files.

        It is locked while in use, so that `sweep` can tell it from one whose owner has died.
        """
        return self._area.lend()

    def sweep(self) -> int:
        """Remove temporary files whose writer has died, and return how many folders went."""
        return self._area.sweep()

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
            When the disk or the store refuses.
        """
        temporary = work / f"{PurePosixPath(stem).name}{suffix}"
        try:
            write(temporary)
            flush(temporary)
            if check is not None:
                check(temporary)
            sha256 = sha256_file(temporary)
            size = temporary.stat().st_size
            key = f"{stem}_{sha256[:_HASH_DIGITS]}{suffix}"
            checked_key(key)
            self._place(temporary, key, sha256, size)
        except OSError as error:
            raise self._refused(f"{stem}{suffix}", error) from error
        except StoreError as error:
            # libraries tell of a full disk in words of their own, or not before the file is reopened
            if shutil.disk_usage(work).free < _NO_ROOM:
                raise StoreError(
                    f"{error} (the disk of {work.parent} is full: make room)"
                ) from error
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return StoredFile(key, sha256, size)

    def take(self, stage: FolderStore, key: str) -> None:
        """Move a file here from a folder, under the same key.

        A file of the same content that is there already is left alone.

        Parameters
        ----------
        stage : FolderStore
            Where the file is until now, in a folder from `work`: what is written there goes with it when
            it is not taken.
        key : str
            From `add`.

        Raises
        ------
        StoreError
            When the disk or the store refuses.
        """
        source = stage.path(key)
        try:
            self._place(source, key, sha256_file(source), source.stat().st_size)
            source.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(key, error) from error

    def _refused(self, what: str, error: OSError) -> StoreError:
        return StoreError(f"cannot write {what} to the store {self.location}: {why(error)}")
