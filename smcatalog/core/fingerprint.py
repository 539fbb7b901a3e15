"""Identity from content: checksums of bytes and fingerprints of plain values."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from smcatalog.core.errors import UsageError

__all__ = ["canonical_json", "fingerprint", "hash_array", "sha256_file", "sha256_files"]

_CHUNK = 1 << 20


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_files(paths: Sequence[Path]) -> str:
    """Return one checksum of some files: of a single file its own, else that of all checksums.

    Files after the first are taken by their suffixes, whatever they are called.
    """
    first, *others = paths
    if not others:
        return sha256_file(first)
    parts = [sha256_file(first)]
    parts += [f"{path.suffix.lower()} {sha256_file(path)}" for path in sorted(others, key=_suffix)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _suffix(path: Path) -> tuple[str, str]:
    return path.suffix.lower(), path.name.lower()


def hash_array(array: np.ndarray[Any, Any]) -> str:
    """Return the SHA-256 of an array's type, shape and values (C order, little endian)."""
    plain = np.ascontiguousarray(array)
    if plain.dtype.byteorder == ">":
        plain = plain.astype(plain.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{plain.dtype.str}{plain.shape}".encode())
    digest.update(plain.tobytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:  # noqa: C901, PLR0911 - a table, one line a kind
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise UsageError(f"a fingerprint needs finite numbers, got {value!r}")
            return value
        case Enum():
            return _plain(value.value)
        case datetime():
            return value.isoformat()
        case date():
            return value.isoformat()
        case np.generic():
            return _plain(value.item())
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(_plain(item) for item in value)
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [_plain(item) for item in value]
    raise UsageError(f"a fingerprint cannot be taken of a {type(value).__name__}: {value!r}")


def canonical_json(value: Any) -> str:
    """Write plain values as JSON with sorted keys and no space: one text for one content.

    Raises
    ------
    UsageError
        For values that are not plain (mappings, sequences, numbers, text, days) or not finite.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of plain values, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
