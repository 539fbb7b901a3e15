"""Versions of what is not ours and must fit exactly."""

from typing import Final

__all__ = ["PGSTAC_VERSION"]

PGSTAC_VERSION: Final = "0.10.0"
"""The pgstac schema that upgrades install and that the code's and the API's queries are written for."""
