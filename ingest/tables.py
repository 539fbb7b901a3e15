"""Rows of a delimited table whose header must have certain columns."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable
from pathlib import Path

from ingest.refusal import refusing
from smcatalog.core.errors import RefusedInput

__all__ = ["check_header", "read_rows"]


def check_header(columns: Collection[str], header: Iterable[str]) -> list[str]:
    """Return the names of a header's columns.

    Raises
    ------
    RefusedInput
        When it lacks one of ``columns`` or has two of the same name.
    """
    found = [name.strip() for name in header]
    if missing := set(columns) - set(found):
        raise RefusedInput(
            f"lacks the columns {', '.join(sorted(missing))} of its declaration; its header is: "
            f"{', '.join(found)[:200]}"
        )
    if len(set(found)) != len(found):
        raise RefusedInput("has two columns of the same name")
    return found


def read_rows(path: Path, columns: Collection[str], delimiter: str = ",") -> list[dict[str, str]]:
    """Read all rows of a table, by the columns' names.

    Raises
    ------
    RefusedInput
        When it cannot be read, lacks one of the columns, is cut off or holds no row.
    """
    with (
        refusing("is not a readable CSV", (OSError, UnicodeDecodeError, csv.Error)),
        path.open(encoding="utf-8-sig", newline=None) as stream,
    ):
        reader = csv.reader(stream, strict=True, delimiter=delimiter)
        header = check_header(columns, next(reader, []))
        rows = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise RefusedInput(
                    f"line {reader.line_num} has {len(row)} fields, the header {len(header)}: "
                    "cut off or damaged"
                )
            rows.append(dict(zip(header, row, strict=True)))
    if not rows:
        raise RefusedInput("holds a header and no rows")
    return rows
