"""A server on this machine that speaks S3's protocol (moto's), with a proxy before it that fails at will.

Both run in a process of their own: GDAL holds the interpreter's lock during its requests.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

KEY = "AKIAOFTHETESTS"
SECRET = "not-to-be-seen-secret"  # noqa: S105 - opens nothing
TOKEN = "not-to-be-seen-token"  # noqa: S105 - the same
_CONTROL = "/-control/"
_HEADERS_OF_A_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True)
class Fault:
    """What happens to requests of one kind.

    ``kind`` is a status to answer with (its body repeats what was signed), or ``hang`` (no answer at all),
    ``cut`` (the connection ends in the middle of the body, going up or down), ``lost`` (the request is
    carried out, the answer never comes).
    """

    kind: str
    method: str = ""
    contains: str = ""
    times: int = 1_000_000
    after: int = 0
    """So many such requests go well first."""


class ObjectServer:
    """The running server as tests see it."""

    def __init__(self, address: str) -> None:
        self.address = address
        # moto looks for a signature, not at it
        signed = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/eu-west-1/s3/aws4_request"
        }
        self._client = httpx.Client(base_url=address, headers=signed, trust_env=False, timeout=30)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "AWS_REGION": "eu-west-1",
        }

    def make_bucket(self, name: str) -> None:
        place = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
        self._client.put(f"/{name}", content=place).raise_for_status()

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object past the store."""
        self._client.put(f"/{bucket}/{key}", content=content).raise_for_status()

    def get(self, bucket: str, key: str) -> httpx.Response:
        return self._client.get(f"/{bucket}/{key}")

    def fail(self, *faults: Fault) -> None:
        """Fail from now on as told, and forget what was seen and told before."""
        content = [asdict(fault) for fault in faults]
        self._client.post(f"{_CONTROL}faults", json=content).raise_for_status()

    @property
    def seen(self) -> list[str]:
        """Method and path of requests since `fail`, those that failed included."""
        return self._client.get(f"{_CONTROL}seen").json()

    def wait_for(self, method: str, contains: str = "") -> None:
        """Wait until such a request has come."""
        answer = self._client.get(f"{_CONTROL}wait", params={"method": method, "path": contains})
        answer.raise_for_status()

    def close(self) -> None:
        self._client.close()


@contextmanager
def object_server(log: Path) -> Iterator[ObjectServer]:
    """Run a server until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.factories.objects"],
            cwd=Path(__file__).parents[2],
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    server = None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {log.read_text()[-3000:]}")
        server = ObjectServer(line.strip())
        yield server
    finally:
        if server is not None:
            server.close()
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        process.wait(timeout=20)


class _State:
    def __init__(self, port: int) -> None:
        self.port = port
        self.changed = threading.Condition()
        self.seen: list[str] = []
        self.faults: list[dict[str, Any]] = []
        self.over = threading.Event()

    def fault(self, method: str, path: str) -> str | None:
        with self.changed:
            self.seen.append(f"{method} {path}")
            self.changed.notify_all()
            for fault in self.faults:
                if fault["method"] not in {"", method} or fault["contains"] not in path:
                    continue
                if fault["after"] > 0:
                    fault["after"] -= 1
                    continue
                if fault["times"] > 0:
                    fault["times"] -= 1
                    return str(fault["kind"])
        return None

    def wait(self, method: str, contains: str) -> bool:
        with self.changed:
            return self.changed.wait_for(
                lambda: any(s.startswith(method) and contains in s for s in self.seen), 25
            )


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: _State

    def handle_any(self) -> None:
        if self.path.startswith(_CONTROL):
            self._control()
            return
        state, length = self.state, int(self.headers.get("content-length") or 0)
        fault = state.fault(self.command, self.path)
        if fault == "cut" and self.command == "PUT":
            self.rfile.read(length // 2)
            self._hang_up()
            return
        body = self.rfile.read(length)
        if fault == "hang":
            state.over.wait(60)
            self._hang_up()
        elif fault is not None and fault.isdigit():
            self._answer(int(fault), {}, self._error(fault))
        else:
            self._forward(body, fault)

    def _forward(self, body: bytes, fault: str | None) -> None:
        inner = http.client.HTTPConnection("127.0.0.1", self.state.port, timeout=60)
        try:
            inner.request(self.command, self.path, body, dict(self.headers))
            answer = inner.getresponse()
            content = answer.read()
            headers = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in _HEADERS_OF_A_HOP
            }
        finally:
            inner.close()
        if fault == "lost" or (fault == "cut" and not content):
            self._hang_up()
        elif fault == "cut":
            headers["Content-Length"] = str(len(content))
            self._answer(answer.status, headers, content[: len(content) // 2])
            self._hang_up()
        else:
            self._answer(answer.status, headers, content)

    def _error(self, status: str) -> bytes:
        """Return a body that says more than it should, as servers' bodies do."""
        signed = self.headers.get("authorization", ""), self.headers.get("x-amz-security-token", "")
        code = {"403": "SignatureDoesNotMatch", "503": "SlowDown"}.get(status, "InternalError")
        said = f"<Message>No.</Message><StringToSign>{signed} {SECRET}</StringToSign>"
        return f"<Error><Code>{code}</Code>{said}</Error>".encode()

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True

    def _control(self) -> None:
        state = self.state
        name, _, query = self.path.removeprefix(_CONTROL).partition("?")
        if name == "faults":
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with state.changed:
                state.faults, state.seen = told, []
                state.over.set()
                state.over = threading.Event()
            self._answer(200, {}, b"")
        elif name == "seen":
            self._answer(200, {}, json.dumps(state.seen).encode())
        else:
            wanted = httpx.QueryParams(query)
            found = state.wait(wanted["method"], wanted["path"])
            self._answer(200 if found else 504, {}, b"")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that were killed."""


def main() -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # what the server's own process believes has nothing to do with who asks it
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _Proxy.state = _State(moto.get_host_and_port()[1])
    proxy = _Server(("127.0.0.1", 0), _Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{proxy.server_address[1]}", flush=True)  # noqa: T201
    sys.stdin.read()  # until the tests end, however they do


if __name__ == "__main__":
    main()
