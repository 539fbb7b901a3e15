"""Running the command line as a user does, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


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
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SMCATALOG_")}
        ours = {"SMCATALOG_HOME": str(self.home), "SMCATALOG_DATABASE_URL": self.database_url}
        if self.api_database_url:
            ours["SMCATALOG_API_DATABASE_URL"] = self.api_database_url
        return {**kept, **ours, "PYTHONWARNINGS": "default", "TERM": "dumb"}

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
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        if code is not None and process.returncode != code:
            raise AssertionError(
                f"{arguments} ended with {process.returncode}, not {code}:\n{out}\n{err}"
            )
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def answer(self, *arguments: str | Path, code: int | None = 0) -> Any:
        """Run a command with --json and return its answer."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)
