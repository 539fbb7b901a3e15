"""How a service tells how far it is: it wraps what it goes through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

__all__ = ["Progress", "silent"]

_T = TypeVar("_T")


class Progress(Protocol):
    """Passes items through and shows how many have gone."""

    def __call__(self, items: Sequence[_T], what: str, /) -> Iterator[_T]:
        """Yield the items; ``what`` names the work for a person."""
        ...


def silent(items: Sequence[_T], what: str, /) -> Iterator[_T]:  # noqa: ARG001 - nothing is shown
    """Show nothing."""
    yield from items
