"""What a writer is: it turns the state of the simulated world into files as a provider delivers them.

A writer is one module beside the reader of its source. It knows the provider's format and the state
of the world, and neither its reader nor any method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ingest.world.landscape import Landscape
from ingest.world.state import DayState

__all__ = ["MakeWriter", "Writer", "delivery"]


class Writer(Protocol):
    """Writes the files of one source; made once a simulation, called day after day."""

    def day(self, state: DayState) -> None:
        """Take a day, in the order of time; write whatever is complete with it."""
        ...

    def end(self) -> None:
        """Write what only the end completes, for example archives of stations."""
        ...


MakeWriter = Callable[[Landscape, Path], Writer]
"""Makes a writer for a landscape and the folder of its files; static sources write right here."""


@contextmanager
def delivery(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and move it there when the block has written it.

    A simulation that was cut off leaves no half file under a granule's name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the suffix stays: some libraries choose the format by it
    temporary = path.with_name(f".writing-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
