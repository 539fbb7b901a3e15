"""The command line."""

from smcatalog.cli.app import main

__all__ = ["main"]
