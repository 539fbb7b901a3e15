"""Writing a product's definition: values as TOML text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from smcatalog.core.errors import UsageError

__all__ = ["as_toml"]


def as_toml(values: Mapping[str, Any]) -> str:
    """Return values as TOML, as ``tomllib.loads`` reads them back; comments there were are gone.

    Raises
    ------
    UsageError
        When a value is of a kind that product files do not hold.
    """
    return "\n".join(_table(values, ())).strip() + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Return the lines of a table: its plain values first, since tables end with the next header."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in values.items() if not _has_header(v)]
    for key, value in values.items():
        here = (*path, key)
        name = ".".join(map(_key, here))
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *_table(value, here)]
        elif _has_header(value):
            for one in value:
                lines += ["", f"[[{name}]]", *_table(one, here)]
    return lines


def _has_header(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return bool(value) and isinstance(value, list) and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    return (
        key
        if key.replace("_", "").replace("-", "").isalnum() and key.isascii()
        else json.dumps(key)
    )


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case date():
            return value.isoformat()
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise UsageError(f"{type(value).__name__} {value!r} has no place in a product's file")
