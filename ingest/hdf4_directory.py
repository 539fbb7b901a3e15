"""Whether an HDF4 file is whole: the library reads what there is of one that was cut off, until it misses something.

Layout after the HDF Specification and Developer's Guide 4.2, "Data Descriptors": blocks of descriptors, chained by
offsets, each of which says where a piece of the file lies.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Final

from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput

__all__ = ["check_whole"]

_BROKEN: Final = "is a broken or truncated HDF4 file"
_MAGIC: Final = 4
_HEAD: Final = struct.Struct(">HI")
"""Of a block: number of descriptors, and where the next block is."""
_DESCRIPTOR: Final = struct.Struct(">HHII")
"""Tag, reference, offset, length."""
_NOTHING: Final = 1
"""Tag of a descriptor that is not used."""
_NOWHERE: Final = 0xFFFFFFFF
"""Offset and length of a piece that was never written."""


def check_whole(path: Path) -> None:
    """Refuse an HDF4 file of which a piece lies beyond its end.

    Raises
    ------
    RefusedInput
        Also when its descriptors are damaged.
    """
    with refusing("cannot be read", (OSError,)):
        state = path.stat()
    if problem := _problem(path, state.st_size, state.st_mtime_ns):
        raise RefusedInput(f"{_BROKEN} ({problem})")


@lru_cache(maxsize=8)
def _problem(path: Path, size: int, modified_ns: int) -> str:  # noqa: ARG001 - the key of the cache
    with refusing("cannot be read", (OSError,)), path.open("rb") as stream:
        at, listed = _MAGIC, 0
        while listed <= size:  # blocks do not overlap: beyond that they are met again
            stream.seek(at)
            head = stream.read(_HEAD.size)
            if len(head) < _HEAD.size:
                return f"has {size} bytes, its list of contents goes on behind them"
            count, following = _HEAD.unpack(head)
            block = stream.read(count * _DESCRIPTOR.size)
            if len(block) < count * _DESCRIPTOR.size:
                return f"has {size} bytes, its list of contents goes on behind them"
            for tag, _, offset, length in _DESCRIPTOR.iter_unpack(block):
                if tag != _NOTHING and _NOWHERE not in {offset, length} and offset + length > size:
                    return f"has {size} bytes, its list of contents names {offset + length}"
            if not following:
                return ""
            at, listed = following, listed + len(head) + len(block)
    return "its list of contents runs in a circle"
