"""Where maps, layers and models lie: a folder whose files are written once and never changed."""

from smcatalog.store.cog import CogBand, read_cog, validate_cog, write_cog
from smcatalog.store.folder import Store, StoredFile

__all__ = ["CogBand", "Store", "StoredFile", "read_cog", "validate_cog", "write_cog"]
