"""Fixtures of the contract tests."""

from tests.fixtures.objects import bucket, objects

__all__ = ["bucket", "objects"]
