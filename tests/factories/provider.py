"""A server on this machine that speaks as Earthdata and the Climate Data Store do, with faults at will."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "someone", "correct-horse-battery"
TOKEN = "eyJ0b2tlbiI6InNlY3JldCJ9.earthdata"  # noqa: S105 - made up
KEY = "5f3c-climate-key-secret"
SIGNATURE = "signed-address-secret"
SECRETS = (PASSWORD, TOKEN, KEY, SIGNATURE)

LICENCE_PAGE = (
    "<!DOCTYPE html><html><head><title>Licence needed</title></head><body>Accept the EULA: "
    '<a href="https://{host}/accept_eula?id=7">here</a></body></html>'
)
PAGE = "<!DOCTYPE html><html><head><title>Down for maintenance</title></head></html>"


@dataclass(frozen=True)
class Granule:
    """A file in the archive and what the catalogue says of it."""

    short_name: str
    version: str
    name: str
    content: bytes
    day: date
    algorithm: str | None = "SHA-256"
    size_told: bool = True

    def umm(self, base: str) -> dict[str, Any]:
        """Return its record in the unified metadata model for granules."""
        file: dict[str, Any] = {
            "Name": self.name,
            "Size": len(self.content) / 2**20,
            "SizeUnit": "MB",
        }
        if self.size_told:
            file["SizeInBytes"] = len(self.content)
        if self.algorithm:
            digest = hashlib.new(self.algorithm.replace("-", "").lower(), self.content).hexdigest()
            file["Checksum"] = {"Value": digest, "Algorithm": self.algorithm}
        links = [
            {"URL": f"s3://bucket/{self.name}", "Type": "GET DATA VIA DIRECT ACCESS"},
            {"URL": f"{base}/data/{self.name}", "Type": "GET DATA"},
            {"URL": f"{base}/data/{self.name}.xml", "Type": "EXTENDED METADATA"},
        ]
        begin, end = f"{self.day}T00:00:00.000Z", f"{self.day}T23:59:59.000Z"
        return {
            "meta": {"concept-id": f"G-{self.name}"},
            "umm": {
                "GranuleUR": self.name,
                "RelatedUrls": links,
                "TemporalExtent": {
                    "RangeDateTime": {"BeginningDateTime": begin, "EndingDateTime": end}
                },
                "DataGranule": {"ArchiveAndDistributionInformation": [file]},
            },
        }


def some_bytes(name: str, size: int) -> bytes:
    """Return bytes that only a name determines, and that are no page."""
    return b"\x89HDF\r\n\x1a\n" + hashlib.shake_256(name.encode()).digest(size - 8)


@dataclass(frozen=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    fault: str | None

    @property
    def kind(self) -> str:
        """What it is for: search, login, data, store (the Climate Data Store's own questions)."""
        parts = self.path.split("/")
        return {"search": "search", "data": "data", "signed": "data", "api": "login"}.get(
            parts[1], "store"
        )


Fault = Callable[[int, str], str | None]


@dataclass
class Provider:
    """What the server has, what it does wrong, and what it was asked.

    ``fault(number, kind)`` names a fault for each request or none; ``redirect`` sends data requests on to
    a signed address elsewhere.
    """

    granules: list[Granule] = field(default_factory=list)
    fault: Fault = lambda _number, _kind: None
    redirect: str | None = None
    retry_after: str = "7"
    looks: int = 0
    result_type: str = "application/netcdf"
    slowly: float = 0.0
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    looked: dict[str, int] = field(default_factory=dict)
    busy: int = 0
    busiest: int = 0
    current: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def base(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def storage(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def of(self, kind: str) -> list[Seen]:
        return [one for one in self.seen if one.kind == kind]

    @property
    def faults(self) -> list[Seen]:
        return [one for one in self.seen if one.fault]

    def result(self, number: int) -> bytes:
        """Return the content that an order makes."""
        return b"CDF\x01" + hashlib.shake_256(json.dumps(self.orders[number]).encode()).digest(
            70_000
        )


@contextmanager
def serving(provider: Provider, certificate: Path, key: Path) -> Iterator[Provider]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(_Handler):
        pass

    Handler.provider = provider
    server = _Server(("127.0.0.1", 0), Handler, context)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        provider.released.set()
        server.shutdown()
        thread.join()
        server.close_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: Any, handler: Any, context: ssl.SSLContext) -> None:
        super().__init__(address, handler)
        self.context = context
        self.open: set[socket.socket] = set()

    def get_request(self) -> Any:
        plain, address = super().get_request()
        self.open.add(plain)
        return plain, address

    def finish_request(self, request: Any, address: Any) -> None:
        request.settimeout(20)
        try:
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                self.open.add(wrapped)
                self.RequestHandlerClass(wrapped, address, self)
                self.open.discard(wrapped)
        except OSError:
            pass  # a client that goes away, or distrusts us, is none of our business

    def handle_error(self, request: Any, address: Any) -> None:
        pass

    def close_all(self) -> None:
        for one in list(self.open):
            with suppress(OSError):
                one.close()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for the client's delayed acknowledgement
    provider: Provider

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def _answer(self) -> None:
        provider = self.provider
        parts = urlsplit(self.path)
        bare = Seen(self.command, parts.path, {}, None)
        with provider.lock:
            provider.current = parts.path
            fault = provider.fault(len(provider.seen) + 1, bare.kind)
            headers = {name.lower(): value for name, value in self.headers.items()}
            provider.seen.append(Seen(self.command, self.path, headers, fault))
            provider.busy += 1
            provider.busiest = max(provider.busiest, provider.busy)
        try:
            if provider.slowly:
                time.sleep(provider.slowly)
            if not self._failed(fault):
                self._route(parts.path, parse_qs(parts.query), fault)
        finally:
            with provider.lock:
                provider.busy -= 1

    def _failed(self, fault: str | None) -> bool:
        """Do wrong what needs no content."""
        match fault:
            case "reset":
                self._hang_up()
            case "401" | "404" | "500" | "503":
                self._send(int(fault), b"no", "text/plain")
            case "429" | "503 later":
                wait = {"Retry-After": self.provider.retry_after}
                self._send(int(fault[:3]), b"later", "text/plain", wait)
            case "403":
                page = LICENCE_PAGE.format(host=f"localhost:{self.provider.port}")
                self._send(403, page.encode(), "text/html; charset=utf-8")
            case "licence 200":
                page = LICENCE_PAGE.format(host=f"localhost:{self.provider.port}")
                self._send(200, page.encode(), "application/octet-stream")
            case "html":
                self._send(200, PAGE.encode(), "text/html")
            case "html unsaid":
                self._send(200, PAGE.encode(), "application/x-hdf")
            case _:
                return False
        return True

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def _send(
        self, status: int, body: bytes, kind: str = "application/json",
        more: dict[str, str] | None = None, length: int | None = None,
    ) -> None:  # fmt: skip
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _json(self, value: Any, status: int = 200, fault: str | None = None, **more: str) -> None:
        body = json.dumps(value).encode()
        if fault in {"cut", "short"}:
            self._send(status, body[: len(body) // 2], length=len(body), more=more)
            self._hang_up()
        else:
            self._send(status, body, more={k.replace("_", "-"): v for k, v in more.items()})

    def _route(self, path: str, query: dict[str, list[str]], fault: str | None) -> None:
        provider = self.provider
        if path.startswith("/search/granules.umm_json"):
            self._search(query, fault)
        elif path == "/api/users/find_or_create_token":
            expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            good = self.headers.get("Authorization") == expected
            token = {"access_token": TOKEN, "token_type": "Bearer", "expiration_date": "10/31/2099"}
            self._json(token if good else {"error": "invalid_credentials"}, 200 if good else 401)
        elif path.startswith("/data/"):
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, b"no", "text/plain")
            elif provider.redirect is not None:
                target = provider.redirect.format(storage=provider.storage, base=provider.base)
                name = path.removeprefix("/data/")
                self._send(303, b"", more={"Location": f"{target}/signed/{name}?sig={SIGNATURE}"})
            else:
                self._file(self._content(path), fault)
        elif path.startswith("/signed/"):
            leaked = "Authorization" in self.headers or "PRIVATE-TOKEN" in self.headers
            self._send(400, b"leaked") if leaked else self._file(self._content(path), fault)
        elif path.startswith("/store/"):
            self._store(path.removeprefix("/store"), fault)
        else:
            self._send(404, b"no such place", "text/plain")

    def _search(self, query: dict[str, list[str]], fault: str | None) -> None:
        first, last = query.get("temporal[]", ["0001-01-01,9999-12-31"])[0].split(",")
        found = [
            g
            for g in self.provider.granules
            if g.short_name == query["short_name"][0]
            and g.version in query["version[]"]
            and first[:10] <= str(g.day) <= last[:10]
        ]
        size, start = int(query["page_size"][0]), int(self.headers.get("cmr-search-after", 0))
        page = found[start : start + size]
        items = [g.umm(self.provider.base) for g in page]
        more = {"CMR-Hits": str(len(found))}
        if start + size < len(found):
            more["CMR-Search-After"] = str(start + size)
        self._json({"hits": len(found), "took": 1, "items": items}, fault=fault, **more)

    def _content(self, path: str) -> bytes | None:
        name = path.rsplit("/", 1)[1]
        if match := re.fullmatch(r"result-(\d+)\.\w+", name):
            return self.provider.result(int(match[1]))
        return next((g.content for g in self.provider.granules if g.name == name), None)

    def _file(self, content: bytes | None, fault: str | None) -> None:
        if content is None:
            self._send(404, b"gone", "text/plain")
            return
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        more = {"ETag": tag, "Accept-Ranges": "bytes"}
        status, begin = 200, 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and self.headers.get("If-Range", tag) == tag:
            begin, status = int(wanted[1]), 206
            if begin >= len(content):
                self._send(416, b"", more={"Content-Range": f"bytes */{len(content)}"})
                return
            more["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        length = len(body)
        match fault:
            case "cut":
                self._send(status, body[: length // 2], "application/x-hdf", more, length)
                self._hang_up()
            case "hang":
                self._send(status, body[: length // 2], "application/x-hdf", more, length)
                self.provider.released.wait(20)
                self._hang_up()
            case "short":
                self._send(status, body, "application/x-hdf", more, length + 999)
                self._hang_up()
            case "long":
                self._send(status, body[:-999], "application/x-hdf", more, length - 999)
            case "bytes":
                bad = bytearray(body)
                bad[length // 2] ^= 0x10
                self._send(status, bytes(bad), "application/x-hdf", more)
            case _:
                self._send(status, body, "application/x-hdf", more)

    def _store(self, path: str, fault: str | None) -> None:
        provider = self.provider
        if path == "/catalogue/v1/messages":
            self._json({"messages": []}, fault=fault)
        elif self.headers.get("PRIVATE-TOKEN") != KEY:
            self._json({"title": "Authentication failed", "detail": "operation not allowed"}, 401)
        elif fault == "licence":
            where = "https://cds.example/datasets/reanalysis-era5-land?tab=download#manage-licences"
            self._json(
                {"title": "required licences not accepted", "detail": f"accept at {where}"}, 403
            )
        elif path.endswith("/execution"):
            with provider.lock:
                provider.orders.append(json.loads(self.body)["inputs"])
                number = len(provider.orders) - 1
            self._json(self._job(number), 201, fault)
        elif match := re.fullmatch(r"/retrieve/v1/jobs/job-(\d+)(/results)?", path):
            self._report(int(match[1]), results=bool(match[2]), fault=fault)
        elif path.startswith("/retrieve/v1/processes/"):
            self._json({"id": path.rsplit("/", 1)[1], "links": []}, fault=fault)
        else:
            self._json({"title": "not found"}, 404)

    def _job(self, number: int, status: str = "accepted") -> dict[str, Any]:
        here = f"{self.provider.base}/store/retrieve/v1/jobs/job-{number}"
        links = [{"rel": "monitor", "href": here}, {"rel": "self", "href": here}]
        return {"jobID": f"job-{number}", "status": status, "links": links, "metadata": {}}

    def _report(self, number: int, *, results: bool, fault: str | None) -> None:
        provider = self.provider
        if number >= len(provider.orders):
            self._json({"title": "job not found"}, 404)
        elif fault == "job failed":
            title = {"title": "The job has failed", "detail": "cost limits exceeded"}
            self._json(title if results else self._job(number, "failed"), 400 if results else 200)
        elif results:
            suffix = "zip" if "zip" in provider.result_type else "nc"
            content = provider.result(number)
            value = {
                "type": provider.result_type,
                "href": f"{provider.storage}/signed/result-{number}.{suffix}?sig={SIGNATURE}",
                "file:size": len(content),
                "file:checksum": f"1220{hashlib.sha256(content).hexdigest()}",
            }
            self._json({"asset": {"value": value}}, fault=fault)
        else:
            looked = provider.looked[str(number)] = provider.looked.get(str(number), 0) + 1
            done = looked > provider.looks
            self._json(self._job(number, "successful" if done else "running"), fault=fault)
