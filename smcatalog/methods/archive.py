"""One file of several parts: what a method of several learners is saved in."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from smcatalog.core.errors import StoreError

__all__ = ["Archive", "open_archive", "write_archive"]

_CONTENT: Final = "content.json"
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
            raise StoreError(f"the model's file has no part '{name}'")
        path = self._folder / name
        path.write_bytes(self._file.read(name))
        return path


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a file that `write_archive` wrote, whose checksum the caller has verified.

    Raises
    ------
    StoreError
        When it is no such file.
    """
    with tempfile.TemporaryDirectory(prefix="smcatalog-model-") as folder:
        try:
            file = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise StoreError(f"{path.name} is no model of several parts: {error}") from error
        with file:
            if _CONTENT not in file.namelist():
                raise StoreError(f"{path.name} is no model of several parts: it has no {_CONTENT}")
            yield Archive(file, Path(folder))
