"""What kind of file it is, by its first bytes."""

from __future__ import annotations

import string
from enum import StrEnum
from pathlib import Path
from typing import Final

from ingest.refusal import refusing

__all__ = ["Format", "first_line", "head", "sniff"]

_HEAD: Final = 4096


class Format(StrEnum):
    """Formats that are told apart, as a person would name them."""

    EMPTY = "an empty file"
    HDF5 = "HDF5/NetCDF-4"
    NETCDF3 = "NetCDF-3"
    HDF4 = "HDF4"
    TIFF = "TIFF"
    SQLITE = "an SQLite database"
    SHAPEFILE = "a shapefile"
    ZIP = "a zip archive"
    GZIP = "a gzip archive"
    HTML = "an HTML page"
    XML = "an XML document"
    TEXT = "text"
    BINARY = "no known format"


_MAGIC: Final = (
    (b"\x89HDF\r\n\x1a\n", Format.HDF5),
    (b"CDF\x01", Format.NETCDF3),
    (b"CDF\x02", Format.NETCDF3),
    (b"\x0e\x03\x13\x01", Format.HDF4),
    (b"II*\x00", Format.TIFF),
    (b"MM\x00*", Format.TIFF),
    (b"II+\x00", Format.TIFF),
    (b"MM\x00+", Format.TIFF),
    (b"SQLite format 3\x00", Format.SQLITE),
    (b"\x00\x00\x27\x0a", Format.SHAPEFILE),
    (b"PK\x03\x04", Format.ZIP),
    (b"PK\x05\x06", Format.ZIP),
    (b"\x1f\x8b", Format.GZIP),
)
_TEXT: Final = frozenset(string.printable.encode()) | frozenset(range(0x80, 0x100))


def head(path: Path, size: int = _HEAD) -> bytes:
    """Return a file's first bytes.

    Raises
    ------
    RefusedInput
        When the file cannot be read.
    """
    with refusing("cannot be read", (OSError,)), path.open("rb") as stream:
        return stream.read(size)


def sniff(start: bytes) -> Format:
    """Tell the format from a file's first bytes."""
    if not start:
        return Format.EMPTY
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return Format.HTML
    if text.startswith(b"<"):
        return Format.HTML if b"<html" in text else Format.XML
    try:
        # the cut may go through a character; three bytes of slack cover the longest
        start[: max(len(start) - 3, 1)].decode()
    except UnicodeDecodeError:
        return Format.BINARY
    return Format.TEXT if _TEXT.issuperset(start) else Format.BINARY


def first_line(start: bytes) -> str:
    """Return the first line of a text, whichever way its lines end, without a byte order mark."""
    text = start.decode("utf-8-sig", errors="replace")
    return text.replace("\r", "\n").split("\n", 1)[0].strip()
