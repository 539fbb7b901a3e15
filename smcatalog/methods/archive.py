"""Files of models: one of several parts, and what becomes of files that are damaged or another's."""

from __future__ import annotations

import errno
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from smcatalog.core.errors import SmcatalogError, StoreError

__all__ = ["Archive", "checked", "model_archive", "readable", "write_archive"]

_CONTENT: Final = "content.json"
_ADVICE: Final = (
    "fetch the file from a backup, or let 'smcatalog verify --repair' set it aside and 'smcatalog produce' fit "
    "the model again"
)
_DAMAGED: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,  # a ZIP entry says that it is packed in a way that nobody knows
    RuntimeError,  # or encrypted
    SmcatalogError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a file that is not what it should be ends in."""
_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The first that the format knows: the same model gives the same bytes."""


def write_archive(
    path: Path, content: Mapping[str, Any], parts: Mapping[str, Callable[[Path], None]]
) -> None:
    """Write a ZIP file of a JSON document and parts in formats of their own.

    Parameters
    ----------
    content : mapping
        Plain values; numbers round-trip exactly.
    parts : mapping of str to callable
        Writes each part to the path that it is given, by the part's name.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, zipfile.ZipFile(path, "w") as file:
        _put(file, _CONTENT, json.dumps(content, sort_keys=True).encode())
        for name, write in sorted(parts.items()):
            part = Path(folder) / name
            write(part)
            _put(file, name, part.read_bytes())


def _put(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    file.writestr(entry, content)


class Archive:
    """An open file that `write_archive` wrote.

    Attributes
    ----------
    content : dict
        The JSON document.
    """

    def __init__(self, file: zipfile.ZipFile, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self.content: dict[str, Any] = json.loads(file.read(_CONTENT))

    def part(self, name: str) -> Path:
        """Return a path under which a part can be read while the archive is open.

        Raises
        ------
        StoreError
            When there is no such part.
        """
        if name not in self._file.namelist() or Path(name).name != name:
            raise StoreError(f"it has no part '{name}'")
        path = self._folder / name
        path.write_bytes(self._file.read(name))
        return path


@contextmanager
def readable(path: Path, name: str) -> Iterator[None]:
    """Say of a model's file that cannot be read which it is, what is wrong with it and what to do.

    Parameters
    ----------
    path : Path
        The file that is read in the block.
    name : str
        Registered name of the method that it should hold.

    Raises
    ------
    StoreError
        In place of what a damaged file, or one of something else, makes libraries raise.
    """
    try:
        yield
    except _DAMAGED as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, StoreError) and said.endswith(_ADVICE):
            if said.startswith(path.name):
                raise
            said = said.removesuffix(
                f": {_ADVICE}"
            )  # of a part, whose name says nothing to anybody
        raise _damaged(path, name, said) from error
    except OSError as error:
        if error.errno in {None, errno.EINVAL}:  # a place beyond the file, or before it
            raise _damaged(path, name, str(error)) from error
        raise StoreError(
            f"{path.name} cannot be read as a {name} model: {error.strerror}"
        ) from error


def _damaged(path: Path, name: str, said: str) -> StoreError:
    return StoreError(f"{path.name} is damaged or does not hold a {name} model ({said}): {_ADVICE}")


def checked(content: Any, name: str) -> dict[str, Any]:
    """Return a model's JSON document if it says that it is of a method.

    Raises
    ------
    StoreError
        When it says something else.
    """
    if not isinstance(content, dict) or content.get("method") != name:
        said = content.get("method") if isinstance(content, dict) else None
        raise StoreError(f"it is of method {said}" if said else "it does not say of which method")
    return content


@contextmanager
def model_archive(path: Path, name: str) -> Iterator[Archive]:
    """Open a method's file that `write_archive` wrote, whose checksum the caller has verified.

    The content says in ``method`` whose it is.

    Raises
    ------
    StoreError
        When it is no such file, or what is read of it in the block is damaged.
    """
    with (
        tempfile.TemporaryDirectory(prefix="smcatalog-model-") as folder,
        readable(path, name),
        zipfile.ZipFile(path) as file,
    ):
        archive = Archive(file, Path(folder))
        checked(archive.content, name)
        yield archive
