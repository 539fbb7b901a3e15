"""The processes in which the HDF4 library works: on damaged files it aborts, and only one of these dies.

Run as a script by `ingest.hdf4`. Takes requests as lines of JSON on its standard input. Answers on its standard
output: the length of a JSON text in eight bytes, the text, and an array's bytes behind it. Each file gets
a fresh copy of the process, since an error in one confuses the library for the next.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np
from pyhdf.SD import SD, SDC

_OPENING: Final = 2
"""Seconds of computing that opening a file may take: it takes a fraction of one, on some damaged files for ever."""
_READING: Final = 600
"""Seconds of computing on one file: beyond, nobody waits any more."""

_LONGEST: Final = 60
"""Seconds that the library may take for one answer."""


def _answer(
    file: Any, opened: dict[str, Any], what: str, argument: Any
) -> tuple[dict[str, Any], memoryview | bytes]:
    if what == "close":
        return {}, b""
    if what == "open":
        shapes = {
            title: [int(n) for n in np.atleast_1d(shape)]
            for title, (_, shape, _, _) in file.datasets().items()
        }
        return {"shapes": shapes, "attributes": file.attributes()}, b""
    name, rows = argument if what == "read" else (argument, None)
    if name not in opened:
        # kept: a compressed one that is closed between two reads is decompressed from its start again
        opened[name] = file.select(name)
    data = opened[name]
    if what == "attributes":
        return data.attributes(), b""
    if rows is None:
        values = np.ascontiguousarray(data.get())
    else:
        first, count = rows
        shape = np.atleast_1d(data.info()[2])[1:].tolist()
        values = data.get(start=[first] + [0] * len(shape), count=[count, *shape])
        values = np.ascontiguousarray(values).reshape(count, *shape)  # lengths of one get lost
    block = values.reshape(-1).view(np.uint8).data if values.size else b""
    return {"dtype": values.dtype.str, "shape": values.shape}, block


def _send(answers: BinaryIO, reply: dict[str, Any], block: memoryview | bytes = b"") -> None:
    text = json.dumps(reply).encode()
    answers.write(len(text).to_bytes(8, "little") + text)
    answers.write(block)
    answers.flush()


def _file(path: str, requests: BinaryIO, answers: BinaryIO) -> NoReturn:
    """Answer requests for one file until it is closed or something is wrong with it; never return.

    The process ends without closing the file: closing a damaged one can abort too.
    """
    what: str = "open"
    argument: Any = None
    opened: dict[str, Any] = {}
    try:
        _allow(_OPENING)
        file = SD(path, SDC.READ)
        _allow(_READING)
        while True:
            reply, block = _answer(file, opened, what, argument)
            _send(answers, {"answer": reply}, block)
            line = b"" if what == "close" else requests.readline()
            if not line:
                os._exit(0)
            what, argument = json.loads(line)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the file's fault and told as such
        _send(answers, {"error": str(error) or type(error).__name__})
        os._exit(0)


def _allow(seconds: int) -> None:
    """Let the process end when it has computed so long; what it then leaves is of no use to anybody."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = seconds if hard == resource.RLIM_INFINITY else min(seconds, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more: ``[what, argument]``, one open file at a time."""
    while line := requests.readline():
        what, path = json.loads(line)
        if what != "open":
            _send(answers, {"error": "no file is open"})
            continue
        child = os.fork()
        if not child:
            _file(path, requests, answers)
        _, status = os.waitpid(child, 0)
        if status:  # it died of the file, before it had answered
            circle = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
            how = "runs in a circle" if circle else "aborts"
            _send(answers, {"error": f"the HDF4 library {how}"})


if __name__ == "__main__":
    # what the library itself prints must not get between the answers
    with os.fdopen(os.dup(1), "wb") as stream:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, stream)
