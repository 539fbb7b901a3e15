"""Where maps, layers and models lie: files that are written once and never changed, in a folder or on S3."""

from smcatalog.store.base import Entry, Store, StoredFile
from smcatalog.store.cog import CogBand, read_cog, validate_cog, write_cog
from smcatalog.store.folder import FolderStore
from smcatalog.store.opening import open_store

__all__ = [
    "CogBand",
    "Entry",
    "FolderStore",
    "Store",
    "StoredFile",
    "open_store",
    "read_cog",
    "validate_cog",
    "write_cog",
]
