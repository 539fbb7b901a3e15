"""The file of a SMAP granule: its groups and what its metadata say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from ingest.hdf5 import check_heaps
from ingest.netcdf import NetCdf
from ingest.reader import Identity
from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.time import Period

__all__ = [
    "as_identity",
    "attribute",
    "check_product",
    "check_retrievals",
    "extent",
    "granule_name",
    "instant_of",
    "members",
    "opened",
    "product_name",
]

_BROKEN: Final = "is a broken or truncated HDF5 file"
_RELEASE = re.compile(r"^(?P<subject>.+)_(?P<release>(?:R\d{5}|V[a-z]\d{4})_\d{3})$")


def as_identity(source: str, file_name: str, period: Period) -> Identity:
    """Return which granule a file name of the provider says: of one day or orbit, of a release."""
    name = file_name.removesuffix(".h5")
    match = _RELEASE.match(name)
    if match is None:
        return Identity(source, name, period)
    return Identity(source, name, period, match["subject"], match["release"])


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for the length of a block; broken ones are refused."""
    check_heaps(path)
    with refusing(_BROKEN):
        file = h5py.File(path, "r")
    try:
        yield file
    finally:
        file.close()


def members(file: h5py.File, name: str) -> NetCdf:
    """Return the datasets of a group; none when there is no such group."""
    with refusing(_BROKEN):
        group = file.get(name)
        if not isinstance(group, h5py.Group):
            return NetCdf({})
        items = {str(key): group[key] for key in group}
        return NetCdf({k: v for k, v in items.items() if isinstance(v, h5py.Dataset)})


def attribute(file: h5py.File, group: str, name: str) -> str | None:
    """Return a text of a group of the metadata; None when it is not there."""
    with refusing(_BROKEN):
        place = file.get(f"Metadata/{group}")
        value = None if place is None else place.attrs.get(name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.ravel()[0]
        text = value.decode() if isinstance(value, bytes) else value
        return text.strip("\0 ") if isinstance(text, str) else None


def granule_name(file: h5py.File) -> str | None:
    """Return the name that the provider wrote inside."""
    return attribute(file, "DatasetIdentification", "fileName")


def product_name(file: h5py.File) -> str | None:
    """Return the product that the metadata name."""
    found = attribute(file, "DatasetIdentification", "shortName")
    return found or attribute(file, "SeriesIdentification", "shortName")


def check_product(file: h5py.File, source: str) -> None:
    """Refuse a granule whose metadata name another product, such as that of 9 km."""
    found = product_name(file)
    if found not in {None, source}:
        raise RefusedInput(f"is a granule of {found}, which is not read yet (only {source})")


def check_retrievals(groups: list[NetCdf]) -> None:
    """Refuse a granule of which no retrieval was kept, such as a subset of coordinates alone."""
    # a subset's dimensions stand beside its fields
    names = sorted(n for one in groups for n in one.names if not re.match(r"dim\d+$", n))
    if not any(name.startswith("soil_moisture") for name in names):
        raise RefusedInput(
            f"holds no retrieval at all: its groups have only {', '.join(names)[:200]}"
        )


def extent(file: h5py.File) -> Period | None:
    """Return the span that the metadata state, or None when they do not."""
    texts = [attribute(file, "Extent", f"range{end}DateTime") for end in ("Beginning", "Ending")]
    if None in texts:
        return None
    first, last = (instant_of(text or "") for text in texts)
    try:
        return Period(first, last)
    except UsageError as error:
        raise RefusedInput(f"has a contradiction in its metadata: {error}") from error


def instant_of(text: str) -> datetime:
    """Read a time of UTC."""
    with refusing(f"has an impossible time, '{text}'", (ValueError, OverflowError)):
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        return instant.astimezone(UTC)
