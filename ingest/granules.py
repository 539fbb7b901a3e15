"""From a candidate file to a granule, and from a granule to checked values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ingest.candidate import Candidate
from ingest.checks import checked, checked_identity
from ingest.reader import Identity, Reader, Yield
from ingest.refusal import legible, one_line, refusing
from ingest.registry import identify
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.fingerprint import sha256_files

__all__ = ["Granule", "examine", "read"]

_FAULTS: Final = (OSError, EOFError, KeyError, ValueError)


State = tuple[tuple[int, int], ...]
"""Size and time of the last change of each file."""


@dataclass(frozen=True, slots=True)
class Granule:
    """A file that a reader knows.

    Parameters
    ----------
    identity : Identity
        Which granule it is.
    reader : Reader
        Who reads it.
    files : tuple of Path
        Where it is, the main file first; for a zip's member only until the next candidate is asked
        for.
    sha256 : str
        Of the bytes of all files.
    size : int
        Of all files [bytes].
    name : str
        What a person knows the file by.
    state : tuple of (int, int)
        Size and time of the last change of each file when it was examined [bytes, ns].
    """

    identity: Identity
    reader: Reader
    files: tuple[Path, ...]
    sha256: str
    size: int
    name: str
    state: State

    @property
    def path(self) -> Path:
        """The main file."""
        return self.files[0]


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
    with _library_faults():
        before = _state(candidate.files)
        sha256 = candidate.sha256()
        reader, identity = identify(candidate)
        checked_identity(identity, now)
        if _state(candidate.files) != before:
            raise RefusedInput(_CHANGED)
    size = sum(size for size, _ in before)
    return Granule(identity, reader, candidate.files, sha256, size, candidate.name, before)


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
    with _library_faults():
        _unchanged(granule)
    values = checked(granule.reader.read(granule.path, granule.identity), now)
    while True:
        # only the reader's own faults are told as the file's, not those of who takes the values
        with _library_faults():
            value = next(values, None)
        if value is None:
            break
        yield value
    with _library_faults():
        _unchanged(granule)
        if sha256_files(granule.files) != granule.sha256:
            raise RefusedInput(_CHANGED)


_CHANGED: Final = "changed while it was read: wait until it is complete and ingest again"


def _state(files: tuple[Path, ...]) -> State:
    found = [file.stat() for file in files]
    return tuple((state.st_size, state.st_mtime_ns) for state in found)


def _unchanged(granule: Granule) -> None:
    if _state(granule.files) != granule.state:
        raise RefusedInput(_CHANGED)


@contextmanager
def _library_faults() -> Iterator[None]:
    with refusing("cannot be read", _FAULTS):
        try:
            yield
        except UsageError as error:
            # a value object refused what the file says, for example a place that is not on Earth
            raise RefusedInput(f"contradicts itself: {one_line(error)}") from error
        except RefusedInput as error:
            # it may quote the file
            if (reason := legible(error.reason)) != error.reason:
                raise RefusedInput(reason) from error
            raise
