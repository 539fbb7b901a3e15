"""Files that only together are a granule: a shapefile's parts, or a raster and the table of its classes.

One of them is the main file, under whose name a reader knows the granule. The others lie beside it; they
are never candidates of their own, and count for its checksum.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

__all__ = ["companions", "grouped", "has_companions", "neutral"]

_PARTS: Final[dict[str, frozenset[str]]] = {
    ".shp": frozenset({".shx", ".dbf", ".prj", ".cpg", ".sbn", ".sbx", ".qix", ".shp.xml"}),
    ".bil": frozenset({".hdr", ".prj", ".blw", ".clr", ".stx"}),
    ".asc": frozenset({".prj"}),
    ".csv": frozenset({".toml"}),
}
"""By the main file's suffix, the suffixes of what shares its stem."""

_TABLES: Final[dict[str, frozenset[str]]] = {"hwsd.bil": frozenset({"hwsd_data.csv"})}
"""By the main file's name, the names of tables that explain its numbers."""


def companions(name: str, others: Iterable[str]) -> list[str]:
    """Return those of some names in one folder whose files belong to a main file; no matter the case.

    Parameters
    ----------
    name : str
        Of a file that may be a main file.
    others : iterable of str
        Names in the same folder.
    """
    wanted = _wanted(name)
    return sorted(other for other in others if other.lower() in wanted)


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names in a folder that are candidates, each with its companions, in order."""
    everything = sorted(names)
    alike: dict[str, list[str]] = {}
    for name in everything:
        alike.setdefault(name.lower(), []).append(name)
    found = {
        name: sorted(part for lower in _wanted(name) for part in alike.get(lower, ()))
        for name in everything
    }
    taken = {part for parts in found.values() for part in parts}
    return {name: parts for name, parts in found.items() if name not in taken}


def _wanted(name: str) -> set[str]:
    """Return the lower-case names that companions of a file of this name would have."""
    lower = name.lower()
    stem, suffix = PurePath(lower).stem, PurePath(lower).suffix
    return {stem + part for part in _PARTS.get(suffix, ())} | _TABLES.get(lower, frozenset())


def has_companions(name: str) -> bool:
    """Say whether a file of this name may be a main file."""
    return PurePath(name.lower()).suffix in _PARTS or name.lower() in _TABLES


def neutral(name: str, main: str, stem: str) -> str:
    """Return a name for a copy of a main file or companion which keeps what belongs together.

    Parameters
    ----------
    name : str
        Of the file.
    main : str
        Of its main file.
    stem : str
        In place of the main file's own, which is a stranger's.
    """
    lower, old = name.lower(), PurePath(main.lower()).stem
    return stem + lower.removeprefix(old) if lower.startswith(f"{old}.") else lower
