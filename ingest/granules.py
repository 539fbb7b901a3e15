"""From a candidate file to a granule, and from a granule to checked values."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ingest.checks import checked, checked_identity
from ingest.files import Candidate
from ingest.reader import Identity, Reader, Yield
from ingest.refusal import one_line, refusing
from ingest.registry import identify
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.fingerprint import sha256_file

__all__ = ["Granule", "examine", "read"]

_FAULTS: Final = (OSError, EOFError, KeyError, ValueError)


@dataclass(frozen=True, slots=True)
class Granule:
    """A file that a reader knows.

    Parameters
    ----------
    identity : Identity
        Which granule it is.
    reader : Reader
        Who reads it.
    path : Path
        Where it is; for a zip's member only until the next candidate is asked for.
    sha256 : str
        Of its bytes.
    size : int
        In bytes.
    name : str
        What a person knows the file by.
    modified_ns : int
        Time of the last change when it was examined [ns].
    """

    identity: Identity
    reader: Reader
    path: Path
    sha256: str
    size: int
    name: str
    modified_ns: int


def examine(candidate: Candidate, *, now: datetime | None = None) -> Granule:
    """Find out which granule a file is.

    Parameters
    ----------
    candidate : Candidate
        From `ingest.files.walk`.
    now : datetime, optional
        Timezone-aware; default: the present. What lies a day beyond it is the future.

    Raises
    ------
    RefusedInput
        With the reason why it is none.
    """
    if candidate.problem is not None:
        raise RefusedInput(candidate.problem)
    now = now or datetime.now(UTC)
    path = candidate.path
    with _library_faults():
        before = path.stat()
        sha256 = sha256_file(path)
        reader, identity = identify(candidate)
        checked_identity(identity, now)
        _same(before, path.stat())
    return Granule(
        identity, reader, path, sha256, before.st_size, candidate.name, before.st_mtime_ns
    )


def read(granule: Granule, *, now: datetime | None = None) -> Iterator[Yield]:
    """Yield a granule's values, through the checks that all sources share.

    Parameters
    ----------
    granule : Granule
        From `examine`.
    now : datetime, optional
        As for `examine`.

    Raises
    ------
    RefusedInput
        When the content is unfit, or the file changed since it was examined. It may come after
        some values: the caller takes all of a granule or nothing.
    """
    now = now or datetime.now(UTC)
    path = granule.path
    with _library_faults():
        _unchanged(granule, path.stat())
    values = checked(granule.reader.read(path, granule.identity), now)
    while True:
        # only the reader's own faults are told as the file's, not those of who takes the values
        with _library_faults():
            value = next(values, None)
        if value is None:
            break
        yield value
    with _library_faults():
        _unchanged(granule, path.stat())
        if sha256_file(path) != granule.sha256:
            raise RefusedInput(_CHANGED)


_CHANGED: Final = "changed while it was read: wait until it is complete and ingest again"


def _same(before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RefusedInput(_CHANGED)


def _unchanged(granule: Granule, now: os.stat_result) -> None:
    if (granule.size, granule.modified_ns) != (now.st_size, now.st_mtime_ns):
        raise RefusedInput(_CHANGED)


@contextmanager
def _library_faults() -> Iterator[None]:
    with refusing("cannot be read", _FAULTS):
        try:
            yield
        except UsageError as error:
            # a value object refused what the file says, for example a place that is not on Earth
            raise RefusedInput(f"contradicts itself: {one_line(error)}") from error
