"""Whether a TIFF is whole.

GDAL opens one that was cut off, and leaves out what it misses there: a reference system, a nodata value.
Layout after the TIFF 6.0 specification and that of BigTIFF: a header, and a chain of directories whose entries
hold a value or say where it lies.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput

__all__ = ["check_whole"]

_WIDTHS: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # fmt: skip
"""Bytes of a value, by its type; others are left to the library."""
_BIG: Final = 43
_MOST_DIRECTORIES: Final = 64
_MOST_ENTRIES: Final = 4096


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers are stored: of a classic TIFF or a BigTIFF, of either byte order."""

    count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct


def check_whole(path: Path) -> None:
    """Refuse a TIFF whose directories, or values of theirs, lie beyond its end.

    Raises
    ------
    RefusedInput
        When the file is cut off, or a directory is damaged.
    """
    with (
        refusing("is a broken or truncated GeoTIFF", (OSError, struct.error)),
        path.open("rb") as stream,
    ):
        size = path.stat().st_size
        head = stream.read(16)
        order = "<" if head[:1] == b"I" else ">"
        big = struct.unpack_from(f"{order}H", head, 2)[0] == _BIG
        form = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
        layout = _Layout(*(struct.Struct(order + one) for one in form))
        (at,) = layout.offset.unpack_from(head, 8 if big else 4)
        for _ in range(_MOST_DIRECTORIES):
            if not at:
                return
            needed, at = _directory(stream, layout, at)
            if needed > size:
                raise RefusedInput(
                    f"is a broken or truncated GeoTIFF (has {size} bytes, its directory needs {needed})"
                )


def _directory(stream: BinaryIO, layout: _Layout, at: int) -> tuple[int, int]:
    """Return how long the file must be for a directory, and where the next one is; 0 after the last."""
    stream.seek(at)
    (count,) = layout.count.unpack(stream.read(layout.count.size))
    if count > _MOST_ENTRIES:
        raise RefusedInput(f"is a broken or truncated GeoTIFF (its directory has {count} entries)")
    needed = 0
    for _ in range(count):
        _, kind, number, value = layout.entry.unpack(stream.read(layout.entry.size))
        length = _WIDTHS.get(kind, 0) * number
        if length > layout.offset.size:
            needed = max(needed, value + length)
    (following,) = layout.offset.unpack(stream.read(layout.offset.size))
    return needed, following
