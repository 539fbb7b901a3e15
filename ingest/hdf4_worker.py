"""The processes in which the HDF4 library works: on damaged files it aborts, and only one of these dies.

Run as a script by `ingest.hdf4`. Takes requests as lines of JSON on its standard input. Answers on its standard
output: the length of a JSON text in eight bytes, the text, and an array's bytes behind it. Each file gets
a fresh copy of the process, since an error in one confuses the library for the next.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO, NoReturn

import numpy as np
from pyhdf.SD import SD, SDC


def _answer(file: Any, what: str, name: str) -> tuple[dict[str, Any], memoryview | bytes]:
    if what == "close":
        return {}, b""
    if what == "open":
        shapes = {
            title: [int(n) for n in np.atleast_1d(shape)]
            for title, (_, shape, _, _) in file.datasets().items()
        }
        return {"shapes": shapes, "attributes": file.attributes()}, b""
    data = file.select(name)
    if what == "attributes":
        return data.attributes(), b""
    values = np.ascontiguousarray(data.get())
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
    what, name = "open", ""
    try:
        file = SD(path, SDC.READ)
        while True:
            reply, block = _answer(file, what, name)
            _send(answers, {"answer": reply}, block)
            line = b"" if what == "close" else requests.readline()
            if not line:
                os._exit(0)
            what, name = json.loads(line)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the file's fault and told as such
        _send(answers, {"error": str(error) or type(error).__name__})
        os._exit(0)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more: ``[what, name]``, one open file at a time."""
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
            _send(answers, {"error": "the HDF4 library aborts"})


if __name__ == "__main__":
    # what the library itself prints must not get between the answers
    with os.fdopen(os.dup(1), "wb") as stream:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, stream)
