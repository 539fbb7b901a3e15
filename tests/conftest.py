"""Fixtures for all tests: real data, and databases on a private throw-away cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.factories.commands import preparing
from tests.fixtures.databases import EMPTY, Database, Server, discard_server, server_home

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--short",
        action="store_true",
        help="fewer repetitions where tests damage files or kill at random, a third of the bad files, commands "
        "in forks of a process that has imported what they need",
    )


@pytest.fixture(scope="session")
def repetitions(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Give how often something random is tried: a number, or a third of it in the short form."""
    short: bool = request.config.getoption("--short")
    return lambda number: -(-number // 3) if short else number


_FIRST = (
    "test_faults.py",
    "test_yanco.py",
    "test_yanco_results.py",
    "test_simulated.py",
    "test_corruption.py",
)
"""Files that take longest: begun last, one of them would keep a worker when the others have nothing left."""
_TOGETHER = {"test_yanco_results.py": "test_yanco.py"}
"""Files that share a session's fixture with another file: in two processes it would be made twice."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Keep a file in one process, as ``--dist loadfile`` does, and with it those that it shares a world with."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = PurePosixPath(super()._split_scope(nodeid))
            return str(path.with_name(_TOGETHER.get(path.name, path.name)))

    return Scheduler(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest, and leave long tests out of the short form, by name and not in silence."""
    items.sort(
        key=lambda item: _FIRST.index(name) if (name := item.path.name) in _FIRST else len(_FIRST)
    )
    if config.getoption("--short"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long: not in the short form"))


def pytest_configure(config: pytest.Config) -> None:
    """Choose the cluster's home once, in the process that starts the others."""
    if not hasattr(config, "workerinput"):
        os.environ["SMCATALOG_TEST_HOME"] = str(server_home())


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        discard_server(Path(os.environ["SMCATALOG_TEST_HOME"]))


@pytest.fixture(scope="session", autouse=True)
def _prepared_commands(request: pytest.FixtureRequest) -> Iterator[None]:
    """In the short form commands need not import everything again; in the long one they do, as a user's do."""
    with preparing() if request.config.getoption("--short") else nullcontext():
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real files of providers, which are not part of the repository."""
    named = os.environ.get("SMCATALOG_REAL_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data are absent: there is no {folder} (set SMCATALOG_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def database_server() -> Server:
    """Private cluster with a template database that has everything of `upgrade`."""
    return Server.get(Path(os.environ["SMCATALOG_TEST_HOME"]))


@pytest.fixture
def database(database_server: Server) -> Iterator[Database]:
    """Fresh database with pgstac, our schema, roles and views; dropped after the test."""
    with database_server.database() as fresh:
        yield fresh


@pytest.fixture
def empty_database(database_server: Server) -> Iterator[Database]:
    """Fresh database with nothing in it."""
    with database_server.database(template=EMPTY) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def module_database(database_server: Server) -> Iterator[Database]:
    """Fresh database for all tests of a module, which do not change what another one reads."""
    with database_server.database() as fresh:
        yield fresh
