"""Esri's plain rasters: grids of text, and BIL, raw numbers with a header beside them.

GDAL decodes both, and takes more than is good: in a grid of text a word becomes nought, in raw numbers what
is cut off too. So what it is given is looked through first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from ingest.geotiff import opened
from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput

__all__ = ["ascii_grid", "beside", "bil", "is_ascii_grid"]

_HEADER: Final = [
    [word.encode()]
    for word in (
        "ncols", "nrows", "xllcorner", "yllcorner", "xllcenter", "yllcenter", "cellsize", "dx", "dy",
        "nodata_value",
    )
]  # fmt: skip
"""First words of the header's lines."""
_LONGEST: Final = 200
_NUMERIC: Final = b"0123456789+-.eEnaNA \t\r\n\x0b\x0c"
_CHUNK: Final = 1 << 20


def is_ascii_grid(start: bytes) -> bool:
    """Say whether a file's first bytes are those of an Esri ASCII grid."""
    return start.lstrip()[:6].lower() in {b"ncols ", b"ncols\t"}


@contextmanager
def ascii_grid(path: Path) -> Iterator[Any]:
    """Open a grid of text for the length of a block.

    Raises
    ------
    RefusedInput
        When it is none, is cut off or holds anything but numbers.
    """
    with opened(path, "AAIGrid") as file:
        wanted = int(file.width) * int(file.height)
        found = _numbers(path)
        if found != wanted:
            raise RefusedInput(
                f"holds {found} numbers, and by its header {file.width} x {file.height} = {wanted}: "
                "cut off or joined; fetch it again"
            )
        yield file


def _numbers(path: Path) -> int:
    """Count the numbers behind the header.

    Raises
    ------
    RefusedInput
        When there is something else.
    """
    count, rest = 0, b""
    with refusing("cannot be read", (OSError,)), path.open("rb") as stream:
        place = 0
        while stream.readline(_LONGEST).lower().split()[:1] in _HEADER:
            place = stream.tell()
        stream.seek(place)
        while chunk := stream.read(_CHUNK):
            if strange := chunk.translate(None, _NUMERIC):
                raise RefusedInput(
                    f"holds something else than numbers behind its header ({strange[:20]!r}): damaged"
                )
            words = (rest + chunk).split()
            # the chunk may end inside a number
            rest = b"" if chunk[-1:].isspace() or not words else words.pop()
            count += len(words)
    return count + bool(rest)


@contextmanager
def bil(path: Path) -> Iterator[Any]:
    """Open raw numbers of one band of integers, whose header lies beside them, for the length of a block.

    Raises
    ------
    RefusedInput
        When the header is missing or tells of another size than the file has.
    """
    if beside(path, f"{path.stem}.hdr") is None:
        raise RefusedInput(
            f"has no header beside it ({path.stem}.hdr), which says its size and place: deliver both, "
            "in one folder or zip"
        )
    with opened(path, "EHdr") as file:
        kind = np.dtype(file.dtypes[0])
        if file.count != 1 or kind.kind not in "iu":
            raise RefusedInput(f"holds {file.count} bands of {kind}, expected one of whole numbers")
        with refusing("cannot be read", (OSError,)):
            size = path.stat().st_size
        wanted = int(file.width) * int(file.height) * kind.itemsize
        if size != wanted:
            raise RefusedInput(
                f"has {size} bytes, and by its header {wanted} ({file.height} x {file.width} cells of "
                f"{kind.itemsize}): cut off, or the header is another file's; fetch both again"
            )
        yield file


def beside(path: Path, name: str) -> Path | None:
    """Return the file of a name in the same folder, in any case of letters; None when there is none."""
    with refusing("cannot be read", (OSError,)):
        found = [other for other in path.parent.iterdir() if other.name.lower() == name.lower()]
    return min((other for other in found if other.is_file()), default=None)
