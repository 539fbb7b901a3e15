"""Migrations run on a cluster of their own: they change roles, which all databases of one share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.databases import Server, discard_server


@pytest.fixture(scope="session")
def database_server() -> Iterator[Server]:
    """Private cluster that no other process of a parallel run uses."""
    home = Path(os.environ["SMCATALOG_TEST_HOME"]) / "migration"
    yield Server.get(home)
    discard_server(home)
