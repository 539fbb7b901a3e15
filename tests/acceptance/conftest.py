"""Fixtures of the acceptance tests."""

from tests.fixtures.yanco import ingested, produced

__all__ = ["ingested", "produced"]
