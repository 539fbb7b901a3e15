"""Guards against damage of HDF5 files that is no error to the library, but an endless loop or a breakdown.

The library walks a heap of variable-length values (text attributes, lists of dimensions) object by
object and takes each step's length from the file. With a length of zero, as a hole of zeros makes it,
or one so large that it wraps around, it walks on the spot for ever, inside C, where no timeout reaches
it. The walk is done here beforehand.
Layout after the HDF5 File Format Specification 3.0, III.E "Global Heap".

The library takes four bytes of checksum off a chunk without asking whether there are so many, and then sums over all
memory. How long the chunks are is looked up beforehand.
"""

from __future__ import annotations

import mmap
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput

__all__ = ["check_chunks", "check_heaps"]

_SIGNATURE: Final = b"GCOL\x01\0\0\0"
_HEAD: Final = 16
_ALIGN: Final = 8
_CHECKSUM: Final = 4


def check_heaps(path: Path) -> None:
    """Walk all global heaps of an HDF5 file.

    Raises
    ------
    RefusedInput
        When a heap has an object that the library would never get past.
    """
    with refusing("cannot be read", (OSError,)):
        state = path.stat()
    if not _sound(path, state.st_size, state.st_mtime_ns):
        raise RefusedInput("is a broken NetCDF/HDF5 file (its heap of texts is damaged)")


def check_chunks(data: Any) -> None:
    """Refuse an open data set with checksums of which a chunk is shorter than its checksum.

    Raises
    ------
    RefusedInput
        When the library would break down on it.
    """
    if not data.fletcher32:
        return
    short: list[int] = []

    def look(chunk: Any) -> None:
        if chunk.size <= _CHECKSUM:
            short.append(chunk.size)

    data.id.chunk_iter(look)
    if short:
        raise RefusedInput(
            f"is a broken or truncated NetCDF/HDF5 file ({len(short)} pieces of {data.name} are shorter than "
            "their checksum)"
        )


@lru_cache(maxsize=8)
def _sound(path: Path, size: int, modified_ns: int) -> bool:  # noqa: ARG001 - the key of the cache
    with (
        refusing("cannot be read", (OSError, ValueError)),
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view,
    ):
        at = view.find(_SIGNATURE)
        while at >= 0:
            if not _heap_ends(view, at):
                return False
            at = view.find(_SIGNATURE, at + _HEAD)
    return True


def _heap_ends(view: mmap.mmap, start: int) -> bool:
    end = start + int.from_bytes(view[start + 8 : start + _HEAD], "little")
    if end > len(view):
        return True  # the library itself reports a heap that leaves the file
    at = start + _HEAD
    while at + _HEAD <= end:
        index = int.from_bytes(view[at : at + 2], "little")
        length = int.from_bytes(view[at + 8 : at + _HEAD], "little")
        # object 0 is the free space, and its length counts its own head
        step = length if index == 0 else _HEAD + -(-length // _ALIGN) * _ALIGN
        if step == 0 or at + step > end:
            return False
        at += step
    return True
