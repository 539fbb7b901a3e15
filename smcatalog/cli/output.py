"""How commands speak: tables and sentences for people, JSON for machines, exit codes for both."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["ExitCode", "bar", "complain", "meter", "print_json", "print_table", "say"]

_T = TypeVar("_T")


class ExitCode(IntEnum):
    """What a command's exit code says."""

    WELL = 0
    FAILURE = 1
    USAGE = 2
    IN_PART = 3


def say(line: str) -> None:
    """Print a line for people."""
    print(line)  # noqa: T201 - this is the command line


def complain(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)  # noqa: T201 - this is the command line


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case date() | datetime():
            return value.isoformat()
        case Path():
            return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_json(value: Any) -> None:
    """Print a value as JSON: dataclasses as objects, days as text, NaN as null."""
    say(json.dumps(_finite(value), default=_plain, indent=2, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _finite(_plain(value))
    return value


def _cell(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under their columns' names, numbers to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    numeric = [
        bool(rows) and all(row[i] is None or isinstance(row[i], int | float) for row in rows)
        for i in range(len(columns))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    say(line(columns))
    say("  ".join("─" * width for width in widths))
    for cells in texts:
        say(line(cells))


def _on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def bar(items: Sequence[_T], what: str, /) -> Iterator[_T]:
    """Pass items through and show a progress bar on a terminal's standard error."""
    with meter(what) as show:
        for done, item in enumerate(items):
            show(done, len(items))
            yield item


@contextmanager
def meter(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far a work is on a terminal's standard error; nothing elsewhere.

    The block gets a function of the number done and, where it is known, of the number in all.
    """
    if not _on_terminal():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(what, total=None)

    def show(done: int, total: int | None) -> None:
        progress.start()  # only now: it has a thread of its own, and a work may want to fork before
        progress.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        progress.stop()
