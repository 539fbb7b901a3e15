"""Faults of the file libraries, told as refusals of the file.

Each helper that calls a library names the exceptions that the library raises on damaged files; our
own mistakes are other exceptions and stay visible.
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from smcatalog.core.errors import RefusedInput

__all__ = ["DAMAGE", "legible", "one_line", "refusing"]

DAMAGE: Final = (
    OSError,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What h5py, h5netcdf, scipy and GDAL raise on damaged files, found by corrupting some."""

_LONGEST: Final = 200


_ILLEGIBLE: Final = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters: controls, bytes in no encoding, ends of lines and paragraphs."""


def legible(text: str) -> str:
    r"""Return a text of a stranger's, such as a file's name, as it can be shown, written and stored.

    Control characters, and bytes that belong to no encoding, become escapes such as ``\x1b``; any alphabet
    stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _ILLEGIBLE else c for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python keeps a byte in no encoding
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - a byte


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, short enough for a person to read."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


@contextmanager
def refusing(what: str, faults: tuple[type[BaseException], ...] = DAMAGE) -> Iterator[None]:
    """Turn the library's faults inside the block into one refusal.

    Parameters
    ----------
    what : str
        What the file then is, for example "is a broken or truncated GeoTIFF".
    faults : tuple of exception types
        What counts as the file's fault.

    Raises
    ------
    RefusedInput
        ``what`` and the library's own words; a lack of permission is told as such.
    """
    try:
        yield
    except PermissionError as error:
        raise RefusedInput("cannot be read: no permission; grant it and ingest again") from error
    except faults as error:
        raise RefusedInput(f"{what} ({one_line(error)})") from error
