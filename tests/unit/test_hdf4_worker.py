"""The process in which the HDF4 library works ends even when nobody is left who would end it."""

from __future__ import annotations

import io
import os
import signal

from ingest import hdf4_worker


def test_an_endless_loop_in_the_library_ends_by_itself(monkeypatch):
    def loop(*_):
        while True:
            pass

    monkeypatch.setattr(hdf4_worker, "SD", loop)
    monkeypatch.setattr(hdf4_worker, "_OPENING", 1)
    child = os.fork()
    if not child:
        try:
            hdf4_worker._file("x.hdf", io.BytesIO(), io.BytesIO())
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGXCPU
