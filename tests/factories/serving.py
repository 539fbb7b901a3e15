"""A real server of the API for tests: uvicorn in a process of its own, on a free local port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx

from smcatalog.api.settings import ApiSettings

# In a process of its own: GDAL holds the interpreter's lock during some of its requests.
_SERVE = """
import json, socket, sys
import uvicorn
from smcatalog.api.app import ApiSettings, create_app
values = json.loads(sys.argv[2])
values |= {"cors_origins": tuple(values["cors_origins"])}
config = uvicorn.Config(create_app(ApiSettings(**values)), log_level="warning")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


@contextmanager
def serving(settings: ApiSettings, log: Path) -> Iterator[str]:
    """Serve until the block ends; gives the address, without a slash at its end."""
    values = json.dumps(asdict(settings), default=str)
    with socket.socket() as listening, log.open("wb") as output:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(listening.fileno()), values],
            pass_fds=[listening.fileno()],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
    try:
        _wait(process, address, log)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{address}/_mgmt/ping", trust_env=False, timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text()[-3000:]}")
