"""Opening a store by where it lies."""

from __future__ import annotations

import tempfile
from pathlib import Path

from smcatalog.core.locations import S3Location
from smcatalog.store.base import Store
from smcatalog.store.folder import FolderStore

__all__ = ["open_store"]


def open_store(location: Path | str, *, work: Path | None = None) -> Store:
    """Open the store in a folder or on S3; nothing is touched before it is used.

    Parameters
    ----------
    location : Path or str
        A folder, or text like ``s3://bucket/prefix``.
    work : Path, optional
        Folder of this machine for temporary files on their way to S3, for nothing else; in the system's
        folder for such by default. A store in a folder has its own.

    Raises
    ------
    ConfigurationError
        When the address is none.
    """
    if isinstance(location, Path) or "://" not in location:
        return FolderStore(Path(location))
    from smcatalog.store.s3 import S3Store  # noqa: PLC0415 - who stores in folders needs no client

    return S3Store(S3Location.parse(location), work or Path(tempfile.gettempdir()) / "smcatalog")
