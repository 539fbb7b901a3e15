"""Running the command line as a user does, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.factories.prepared import Prepared

REPOSITORY = Path(__file__).resolve().parents[2]
AS_INSTALLED = Path(__file__).resolve().parents[1] / "as_installed"
"""On the path of the commands, it hides what only the development environment has."""
_SECONDS = 600

prepared: Prepared | None = None
"""Runs commands, in the short form of the tests; in the long form each begins from nothing."""


def plain_environment() -> dict[str, str]:
    """Return what a command's environment has whatever its home is."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SMCATALOG_")}
    ours = {"PYTHONWARNINGS": "default", "PYTHONPATH": str(AS_INSTALLED), "TERM": "dumb"}
    return kept | ours


@contextmanager
def preparing() -> Iterator[None]:
    """Let commands be run by forks of a process that has imported what they need."""
    global prepared  # noqa: PLW0603 - of a run of the tests, not of a place
    prepared = Prepared(REPOSITORY, plain_environment())
    try:
        yield
    finally:
        prepared.close()
        prepared = None


@dataclass(frozen=True)
class Place:
    """A home and a database of a test."""

    home: Path
    database_url: str
    api_database_url: str | None = None

    @property
    def store(self) -> Path:
        return self.home / "store"

    def environment(self) -> dict[str, str]:
        ours = {"SMCATALOG_HOME": str(self.home), "SMCATALOG_DATABASE_URL": self.database_url}
        if self.api_database_url:
            ours["SMCATALOG_API_DATABASE_URL"] = self.api_database_url
        return plain_environment() | ours

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command; the caller waits for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "smcatalog", *map(str, arguments)],
            cwd=REPOSITORY,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *arguments: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit code; None for any."""
        done = self._done(*arguments)
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"{arguments} ended with {done.returncode}, not {code}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def _done(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        if prepared is not None:
            done = prepared.run([*map(str, arguments)], self.environment(), _SECONDS)
            if done is not None:
                return done
        process = self.start(*arguments)
        out, err = process.communicate(timeout=_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def answer(self, *arguments: str | Path, code: int | None = 0) -> Any:
        """Run a command with --json and return its answer."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)
