"""HDF4 files as names, attributes and decoded arrays.

Thin on purpose, as for NetCDF: a reader wants a few data sets of one file, and a fault in the file must
end in a refusal. The library itself runs in a process of its own (`ingest.hdf4_worker`), since on some
damaged files it aborts or loops. The process is started with the first file and kept.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.hdf4_directory import check_whole
from ingest.refusal import one_line, refusing
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import RefusedInput, UsageError

__all__ = ["Hdf4", "hdf4"]

_BROKEN: Final = "is a broken or truncated HDF4 file"
_MOST: Final = 50_000_000
"""Values read at once: twice a tile at 250 m; more is a damaged header."""
_HEAD: Final = 8
"""Bytes before an answer that say how long it is."""
_PATIENCE: Final = 30.0
"""Seconds that an answer may take: the largest data sets take less than one."""


@dataclass(frozen=True, slots=True)
class Hdf4:
    """An open HDF4 file.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Lengths of the dimensions of each data set.
    attributes : mapping of str to the library's values
        Those of the file itself.
    turn : int
        Which of the files that were opened; it can be read until another one is.
    """

    shapes: Mapping[str, tuple[int, ...]]
    attributes: Mapping[str, Any]
    turn: int

    @property
    def names(self) -> frozenset[str]:
        """Names of the data sets."""
        return frozenset(self.shapes)

    def text(self, name: str) -> str:
        """Return a text of the file that is stored in pieces ``name.0``, ``name.1``, …; "" if absent."""
        pieces: list[str] = []
        while isinstance(piece := self.attributes.get(f"{name}.{len(pieces)}"), str):
            pieces.append(piece.rstrip("\0"))
        return "".join(pieces)

    def attribute(self, name: str, attribute: str) -> Any:
        """Return an attribute of a data set; None if absent."""
        self._check(name)
        return _LIBRARY.ask(self.turn, "attributes", name).get(attribute)

    def raw(self, name: str, rows: slice | None = None) -> NDArray[Any]:
        """Read a data set, or some of its rows, as it is stored.

        Raises
        ------
        RefusedInput
            When there is none of this name, or it is damaged, not numeric or absurdly large.
        """
        self._check(name)
        shape = self.shapes[name]
        first, last, _ = (rows or slice(None)).indices(shape[0] if shape else 0)
        if rows is not None:
            shape = (max(last - first, 0), *shape[1:])
        if np.prod(shape, dtype=float) > _MOST:
            raise RefusedInput(f"{name} claims {shape} values: a damaged header")
        values = _LIBRARY.read(self.turn, name, None if rows is None else (first, shape[0]))
        if values.dtype.kind not in "iuf" or values.shape != shape:
            raise RefusedInput(
                f"{name} holds no numbers of the shape {shape} but {values.dtype} of {values.shape}: damaged"
            )
        return values

    def values(
        self, name: str, scale: float, offset: float = 0.0, rows: slice | None = None
    ) -> NDArray[np.float32]:
        """Read a data set and decode it: fill becomes NaN, others ``stored * scale + offset``.

        Parameters
        ----------
        name : str
            A data set with ``_FillValue``.
        scale, offset : float
            What a stored step is worth. Given by the reader, since HDF4 has no one meaning of
            ``scale_factor``: some products multiply by it, others divide.
        rows : slice, optional
            Which rows; default: all.

        Returns
        -------
        ndarray of float32

        Raises
        ------
        RefusedInput
            As `raw`, and when there is no fill value.
        """
        stored = self.raw(name, rows)
        fill = self.attribute(name, "_FillValue")
        if not isinstance(fill, int | float):
            raise RefusedInput(f"{name} does not say which value means none")
        values = stored.astype(np.float32) * np.float32(scale)
        if offset:
            values += np.float32(offset)
        values[stored == fill] = np.nan
        return values

    def _check(self, name: str) -> None:
        if name not in self.shapes:
            raise RefusedInput(f"has no data set '{name}': cut by a subsetter, or another version")


@contextmanager
def hdf4(path: Path) -> Iterator[Hdf4]:
    """Open an HDF4 file for the length of a block; one at a time.

    Raises
    ------
    RefusedInput
        When the file is no HDF4 file, broken or truncated.
    """
    kind = sniff(head(path))
    if kind is not Format.HDF4:
        raise RefusedInput(f"is {kind}, not an HDF4 file")
    check_whole(path)
    turn, answer = _opened(path)
    shapes = {name: tuple(shape) for name, shape in answer["shapes"].items()}
    try:
        yield Hdf4(shapes, answer["attributes"], turn)
    finally:
        _LIBRARY.close(turn)


def _opened(path: Path) -> tuple[int, dict[str, Any]]:
    """Open a file, unless the library has just failed at it: then it may have taken all our patience."""
    with refusing("cannot be read", (OSError,)):
        state = path.stat()
    key = (path, state.st_size, state.st_mtime_ns)
    if key in _FAILED:
        raise RefusedInput(_FAILED[key])
    try:
        return _LIBRARY.open(str(path.absolute()))
    except RefusedInput as error:
        _FAILED.clear()
        _FAILED[key] = error.reason
        raise


_FAILED: Final[dict[tuple[Path, int, int], str]] = {}
"""The last file at which the library failed, and how."""


class _Library:
    """The process in which the library works."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._open = False
        self._turn = 0

    def open(self, path: str) -> tuple[int, dict[str, Any]]:
        """Open a file; return its turn and what is in it.

        A file that is still open is closed: the block that opened it was left without its end, as
        by a reader that nobody asks for more.

        Raises
        ------
        RefusedInput
            As `ask`.
        """
        self.close(self._turn)
        self._turn += 1
        return self._turn, self.ask(self._turn, "open", path)

    def ask(self, turn: int, what: str, argument: object) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises
        ------
        RefusedInput
            When the library reports an error, dies or does not answer: the file's fault.
        UsageError
            When it is for a file before the one that is open.
        """
        answer, _ = self._exchange(turn, what, argument)
        return answer

    def read(self, turn: int, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return the values of a data set of the open file: all, or from a first row so many."""
        answer, answers = self._exchange(turn, "read", [name, rows])
        values = np.empty(answer["shape"], np.dtype(answer["dtype"]))
        with self._faults():
            if values.size:
                _receive(answers, values.reshape(-1).view(np.uint8).data)
        return values

    def close(self, turn: int) -> None:
        """Close a file; nothing to do when a fault has closed it, or another one was opened since."""
        if self._open and turn == self._turn:
            with suppress(RefusedInput):  # all that was wanted has been read
                self._exchange(turn, "close", "")
            self._open = False

    def stop(self) -> None:
        """End the process."""
        process, self._process, self._open = self._process, None, False
        if process is not None and self._owner == os.getpid():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it may hang in the copy for a file
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # a request that nobody took
                        stream.close()

    def _exchange(self, turn: int, what: str, argument: object) -> tuple[dict[str, Any], IO[bytes]]:
        if turn != self._turn:
            raise UsageError("another HDF4 file was opened before this one was read")
        requests, answers = self._streams()
        with self._faults():
            requests.write(json.dumps([what, argument]).encode() + b"\n")
            size = bytearray(_HEAD)
            _receive(answers, memoryview(size))
            text = bytearray(int.from_bytes(size, "little"))
            _receive(answers, memoryview(text))
            reply = json.loads(text)
        self._open = "error" not in reply and what != "close"
        if "error" in reply:
            raise RefusedInput(f"{_BROKEN} ({one_line(ValueError(reply['error']))})")
        answer: dict[str, Any] = reply["answer"]
        return answer, answers

    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        # a process that was forked off has its parent's pipes: it must not use them
        if self._process is None or self._owner != os.getpid():
            worker = Path(__file__).with_name("hdf4_worker.py")
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(worker)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
                bufsize=0,  # what were buffered here could not be waited for
            )
            self._owner = os.getpid()
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:  # both were asked for
            raise RefusedInput("cannot be read: the HDF4 library has no pipe")
        return requests, answers

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Refuse the file and end the process when it does not answer as it should."""
        try:
            with refusing(_BROKEN, (OSError, EOFError, ValueError, TimeoutError)):
                yield
        except RefusedInput:
            self.stop()
            raise


def _receive(stream: IO[bytes], block: memoryview) -> None:
    """Fill a block with what comes from the process."""
    while len(block):
        if not select.select([stream], [], [], _PATIENCE)[0]:
            raise TimeoutError(f"the library did not answer within {_PATIENCE:g} s")
        count = stream.readinto(block)  # type: ignore[attr-defined]
        if not count:
            raise EOFError("the HDF4 library breaks off")
        block = block[count:]


_LIBRARY: Final = _Library()
atexit.register(_LIBRARY.stop)
