"""Fixtures of the integration tests."""

from tests.fixtures.objects import bucket, objects

__all__ = ["bucket", "objects"]
