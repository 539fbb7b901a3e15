"""Several processes that prepare files, in the order of the files.

The libraries behind HDF4, HDF5 and NetCDF want a process each. Every process gets every so-many-th delivery and
says what came of it through a pipe; who reads the pipes in turn has the results in order, and a
process that is far ahead waits until its pipe is read. When a library breaks down on a file, the process dies
alone: the file is refused and another process goes on behind it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from ingest.candidate import Candidate
from ingest.files import opened
from ingest.prepare import Preparer, Result, refused
from smcatalog.core.errors import SmcatalogError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess

__all__ = ["in_processes", "warm"]

_BREAKDOWNS: Final = {
    -signal.SIGSEGV: "reads where there is no memory",
    -signal.SIGABRT: "aborts",
    -signal.SIGBUS: "reads behind the file's end",
    -signal.SIGFPE: "divides by nought",
    -signal.SIGILL: "goes astray",
}
_PRELOAD: Final = (
    __name__,
    "ingest.granules",
    "rio_cogeo.cogeo",
    "scipy.sparse",
    "smcatalog.services.layers",
)
"""What every process needs, imported once for all."""
_SAFE: Final = "PYTHONSAFEPATH"
_END: Final = None
"""Said behind the results of a delivery."""


def warm() -> None:
    """Begin to import what the processes will need, in another process; returns at once.

    Called early, it hides a second or two behind whatever comes before the first file.
    """
    _context()


def _context() -> ForkServerContext:
    # a fork of this process would share its connections to the database
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOAD))
    with _safe_path():
        multiprocessing.forkserver.ensure_running()
    return context


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the server from importing what lies in the folder that we were called in.

    It is started by ``python -c``, which looks there first: a folder called as one of our packages, or a file called as
    a library's, would be taken for them.
    """
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before


def in_processes(
    preparer: Callable[[], Preparer], deliveries: Sequence[Candidate], processes: int
) -> Iterator[Result]:
    """Prepare deliveries in several processes.

    Parameters
    ----------
    preparer : callable
        Makes what prepares, in each process; can be pickled.
    deliveries : sequence of Candidate
        From `ingest.files.deliveries`.
    processes : int
        How many.

    Yields
    ------
    Result
        In the order of the deliveries and of the files in them, whichever process made it.

    Raises
    ------
    SmcatalogError
        When a process was ended from outside or failed by a mistake of ours.
    """
    lanes = [_Lane(preparer, deliveries[n::processes]) for n in range(processes)]
    try:
        for number in range(len(deliveries)):
            yield from lanes[number % processes].results()
    finally:
        for lane in lanes:
            lane.close()


class _Lane:
    """A process and the deliveries that are left for it."""

    def __init__(self, preparer: Callable[[], Preparer], deliveries: Sequence[Candidate]) -> None:
        self._preparer = preparer
        self._left = list(deliveries)
        self._start()

    def _start(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(
            target=_work,
            args=(theirs, self._preparer, self._left, dict(os.environ)),
            daemon=True,
        )
        self._process.start()
        theirs.close()

    def results(self) -> Iterator[Result]:
        """Yield what came of the next delivery."""
        delivery = self._left[0]
        try:
            while (said := self._pipe.recv()) is not _END:
                if isinstance(said, BaseException):
                    raise said
                yield said
        except EOFError:
            yield self._broken(delivery)
            del self._left[0]
            if self._left:
                self._start()
            return
        del self._left[0]

    def _broken(self, delivery: Candidate) -> Result:
        """Return the refusal of the delivery on which the process died."""
        self._process.join()
        code = self._process.exitcode
        self._pipe.close()
        how = _BREAKDOWNS.get(code) if code is not None else None
        if how is None:
            raise SmcatalogError(
                f"The process that read {delivery.name} was ended from outside (exit {code}), often because "
                "memory ran out: ingest again with fewer --workers. What was said to be ingested is."
            )
        return refused(delivery, None, f"is damaged: the library that reads such files {how}")

    def close(self) -> None:
        """End the process, whatever it does."""
        self._pipe.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


def _work(
    pipe: Connection[Any, Any],
    make: Callable[[], Preparer],
    deliveries: list[Candidate],
    environment: Mapping[str, str],
) -> None:
    """Prepare deliveries one after the other and say what came of them."""
    # the server that we were forked from has that of its own start: a bucket's keys may be newer
    os.environ.clear()
    os.environ.update(environment)
    # the terminal sends it to all; who reads the pipes ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with closing(pipe):
        try:
            preparer = make()
            for delivery in deliveries:
                for candidate in opened(delivery):
                    pipe.send(preparer.prepare(candidate))
                pipe.send(_END)
        except BrokenPipeError:  # nobody listens any more
            return
        except Exception as error:  # noqa: BLE001 - told where it can be handled
            pipe.send(error)
