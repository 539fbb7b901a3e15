"""Tables of a TOML file, with errors that name line and key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from smcatalog.core.errors import DefinitionError, NotFoundError
from smcatalog.core.variables import variable

__all__ = ["Table", "read_variable"]

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Table:
    """A TOML table that knows where it stands.

    Parameters
    ----------
    values : mapping
        What it holds.
    where : str
        Its dotted name; ``#n`` at the end is the n-th of an array of tables.
    text, file : str
        All of the file, and its name.
    """

    values: Mapping[str, Any]
    where: str
    text: str
    file: str

    def error(self, key: str, expected: str) -> DefinitionError:
        """Return an error that gives file, line, key, what was expected and what was found."""
        # what is wrong may be a table with a header of its own
        line = _line_of(self.text, self.where, key) or _line_of(
            self.text, _join(self.where, key), ""
        )
        place = f"{self.file}, line {line}" if line else self.file
        dotted = f"{self.where}.{key}" if self.where else key
        found = f", found {self.values[key]!r}" if key in self.values else ", found nothing"
        return DefinitionError(f"{place}: '{dotted}' must be {expected}{found}")

    def check_keys(self, known: Iterable[str]) -> None:
        """Raise the error of a key that is not known."""
        for key in self.values:
            if key not in set(known):
                raise self.error(key, f"one of {', '.join(sorted(known))}")

    def get(self, key: str, kind: type[_T], expected: str, default: _T | None = None) -> _T:
        """Return a value of a kind; whole numbers are numbers."""
        if key not in self.values and default is not None:
            return default
        value = self.values.get(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, expected)
        return value

    def choice(self, key: str, kind: type[_E], default: _E | None = None) -> _E:
        """Return one of a few words."""
        names = ", ".join(f"'{one}'" for one in kind)
        expected = f"one of {names}"
        name = self.get(key, str, expected, default and default.value)
        if name not in set(kind):
            raise self.error(key, expected)
        return kind(name)

    def count(self, key: str, expected: str, *, least: int, default: int) -> int:
        """Return a whole number that is not too small."""
        number = self.get(key, int, expected, default)
        if number < least:
            raise self.error(key, expected)
        return number

    def table(self, key: str) -> Table:
        """Return a table within it."""
        return Table(self.get(key, dict, "a table"), _join(self.where, key), self.text, self.file)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _line_of(text: str, where: str, key: str) -> int | None:
    """Find the line of a key in a table, or of the table's header; None for neither."""
    base, _, number = where.partition("#")
    header = re.compile(rf"^\s*\[\[?\s*{re.escape(base)}\s*\]\]?\s*(#.*)?$")
    any_header = re.compile(r"^\s*\[")
    assignment = re.compile(rf"^\s*{re.escape(key)}\s*=")
    inside, seen, header_line = not base, 0, None
    for line_number, line in enumerate(text.splitlines(), 1):
        if base and header.match(line):
            seen += 1
            inside = not number or seen == int(number)
            header_line = line_number if inside else header_line
        elif any_header.match(line):
            inside = False
        elif inside and assignment.match(line):
            return line_number
    return header_line


def read_variable(table: Table) -> str:
    """Return the canonical name of a variable that a table gives.

    Raises
    ------
    DefinitionError
        When there is none.
    """
    name = table.get("variable", str, "a variable's canonical name")
    try:
        return variable(name).name
    except NotFoundError as error:
        raise table.error("variable", f"a variable's canonical name ({error})") from error
