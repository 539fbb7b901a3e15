"""Benchmarks: each figure times ours and a reference in the same run and gives the ratio.

A figure is a function in a module of this package, decorated with `figure`; listed in `_MODULES` it is
run by ``smcatalog bench``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Final

from smcatalog.bench.core import Figure, Measurement, measure, registered
from smcatalog.core.errors import NotFoundError

__all__ = ["Figure", "Measurement", "figures", "run"]

_MODULES: Final = (
    "forests", "learners", "maps", "cogs", "tiles", "nights", "crowds", "searches", "windows",
)  # fmt: skip


def figures() -> list[Figure]:
    """Return all figures, by name."""
    for module in _MODULES:
        import_module(f"smcatalog.bench.{module}")
    return sorted(registered(), key=lambda figure: figure.name)


def run(names: Sequence[str]) -> Iterator[Measurement]:
    """Measure some figures, or all when none is named.

    Raises
    ------
    NotFoundError
        When a name is not that of a figure.
    """
    known = {figure.name: figure for figure in figures()}
    for name in names:
        if name not in known:
            raise NotFoundError(f"no figure is called '{name}'; there are {', '.join(known)}")
    for name in names or known:
        yield measure(known[name])
