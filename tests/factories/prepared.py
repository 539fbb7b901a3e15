"""Commands in processes that have imported what most commands need before they begin: forks of one that waits.

To import it takes a command a second, most of what it needs at all. ``python -m tests.factories.prepared FD`` is
the process that waits, for what the socket of that number asks for, one command after the other.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

__all__ = ["Prepared"]

_NEEDED = (
    "smcatalog.cli.app",
    "smcatalog.cli.handlers",
    "smcatalog.services.fit",
    "smcatalog.services.produce",
    "ingest.service",
)
_SIZE = 1 << 17


class Prepared:
    """A process that waits for commands.

    Parameters
    ----------
    folder : Path
        That it and its commands run in.
    environment : mapping of str
        What it imports in; each command has its own.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._one = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def _start(self) -> None:
        with self._theirs as theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.factories.prepared", str(theirs.fileno())],
                cwd=self._folder,
                env=self._environment,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str] | None:
        """Run a command to its end; None, and nothing has run, while another thread's command does."""
        if not self._one.acquire(blocking=False):
            return None
        try:
            if self._process is None:
                self._start()
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                asked = json.dumps([list(arguments), dict(environment)])
                socket.send_fds(self._socket, [asked.encode()], [out.fileno(), err.fileno()])
                self._socket.settimeout(seconds)
                code = int(self._socket.recv(_SIZE) or b"-1")
                said = []
                for stream in (out, err):
                    stream.seek(0)
                    said.append(stream.read().decode())
            return subprocess.CompletedProcess(["smcatalog", *arguments], code, *said)
        finally:
            self._one.release()

    def close(self) -> None:
        """Let the process end."""
        self._theirs.close()
        self._socket.close()
        if self._process is not None:
            self._process.wait()


def _next(control: socket.socket) -> bool:
    """Wait for commands; return True in the process of each one, False when no more will come."""
    while True:
        asked, streams, _, _ = socket.recv_fds(control, _SIZE, 2)
        if not asked:
            return False
        child = os.fork()
        if child == 0:
            arguments, environment = json.loads(asked)
            for number, stream in enumerate(streams, 1):
                os.dup2(stream, number)
                os.close(stream)
            os.environ.clear()
            os.environ.update(environment)
            time.tzset()
            sys.argv[1:] = arguments
            return True
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        control.send(str(os.waitstatus_to_exitcode(status)).encode())


def _run() -> int:
    """Run the command; return its exit code as the interpreter finds it."""
    try:
        runpy.run_module("smcatalog", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """End the process as the interpreter does, but for taking apart all that it has imported."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as asking:
        for name in _NEEDED:
            importlib.import_module(name)
        gc.freeze()  # or what collects garbage in a fork touches, and so copies, all of it
        is_command = _next(asking)
    if is_command:
        _leave(_run())
