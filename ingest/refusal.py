"""Faults of the file libraries, told as refusals of the file.

Each helper that calls a library names the exceptions that the library raises on damaged files; our
own mistakes are other exceptions and stay visible.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from smcatalog.core.errors import RefusedInput

__all__ = ["DAMAGE", "one_line", "refusing"]

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
