"""Commands whose answers are kept, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from smcatalog.core.errors import SmcatalogError
from smcatalog.core.fingerprint import fingerprint

__all__ = ["PACKAGES", "Answered", "Commands", "Steps", "plain_environment"]

PACKAGES: Final = ("smcatalog", "numpy", "scikit-learn", "xgboost", "lightgbm", "catboost")
"""Whose versions are noted with each answer."""
_IN_PART: Final = 3
"""Exit code of a command that was done in part and names what was refused."""
_TAIL: Final = 15
"""Lines of standard error that go into a message."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a command answered.

    Parameters
    ----------
    code : int
        Exit code: 0, or 3 when something was refused.
    out : str
        Standard output.
    """

    code: int
    out: str


def plain_environment(home: Path) -> dict[str, str]:
    """Return this process's environment with a home of its own: other catalogues are not touched."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SMCATALOG_")}
    return {**kept, "SMCATALOG_HOME": str(home)}


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs ``smcatalog`` in processes of their own.

    Parameters
    ----------
    folder : Path
        Where they run: paths in their arguments are relative to it.
    environment : mapping of str to str
        Of the processes.
    """

    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    def __call__(self, *arguments: str) -> Answered:
        """Run a command to its end.

        Raises
        ------
        SmcatalogError
            When it fails; the message ends with what it said last.
        """
        done = subprocess.run(
            [sys.executable, "-m", "smcatalog", *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, _IN_PART}:
            said = "\n".join(done.stderr.strip().splitlines()[-_TAIL:])
            raise SmcatalogError(
                f"'smcatalog {' '.join(arguments)}' ended with {done.returncode} in {self.folder}; mend "
                f"what it says and run the same again:\n{said}"
            )
        return Answered(done.returncode, done.stdout)


class Steps:
    """A row of commands, each answered once: a file ``NAME.json`` in a folder holds its answer.

    An answer holds as long as its command, what it was given, and all commands before it are the same.
    Changes of the code do not show in it: choose another folder then.

    Parameters
    ----------
    folder : Path
        Of the answers.
    run : callable
        Runs a command.
    tell : callable
        Called with a line for each command that is run now.
    before : str
        Fingerprint of what was asked before.
    """

    def __init__(
        self,
        folder: Path,
        run: Callable[..., Answered],
        tell: Callable[[str], None] = lambda _line: None,
        before: str = "",
    ) -> None:
        self._folder, self._run, self._tell, self._key = folder, run, tell, before

    def branch(self, name: str) -> Steps:
        """Return steps that go on from here; those of other branches do not matter to them."""
        return Steps(self._folder / name, self._run, self._tell, self._key)

    def ask(
        self,
        name: str,
        *arguments: str,
        given: str = "",
        keep: Callable[[Any], Any] = lambda answer: answer,
    ) -> dict[str, Any]:
        """Return the record of a command: ``command``, ``code``, ``versions`` and ``answer``.

        Parameters
        ----------
        name : str
            Of the step.
        *arguments : str
            Of ``smcatalog``. With ``--json`` the answer is what was printed, read; otherwise None.
        given : str
            What it reads besides, such as the text of a file: where it differs the step is done again.
        keep : callable
            Makes of the answer what is kept.

        Raises
        ------
        SmcatalogError
            When the command fails, or its kept answer cannot be read.
        """
        self._key = fingerprint({"before": self._key, "command": list(arguments), "given": given})
        path = self._folder / f"{name}.json"
        known = _read(path)
        if known is not None and known.get("key") == self._key:
            return known
        self._tell(f"smcatalog {' '.join(arguments)}")
        done = self._run(*arguments)
        answer = keep(json.loads(done.out)) if "--json" in arguments else None
        record = {
            "key": self._key,
            "command": ["smcatalog", *arguments],
            "code": done.code,
            "versions": {package: version(package) for package in PACKAGES},
            "answer": answer,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
        temporary.replace(path)  # whole or not at all
        return record


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SmcatalogError(
            f"{path} is damaged ({error}): remove it and run the same again"
        ) from error
    return found if isinstance(found, dict) else None
