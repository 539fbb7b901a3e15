"""Searches through the API while maps are published."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from smcatalog.bench.core import Contest, Seconds, figure
from smcatalog.bench.places import BenchServer
from smcatalog.core.errors import SmcatalogError
from smcatalog.services.workspace import Workspace

__all__ = ["contest"]

_SECONDS: Final = 120.0
_WRITERS: Final = 3
_SEARCHERS: Final = 2
_FIRST: Final = date(2019, 12, 25)
"""A new year begins while it is published: its partition is made under the searches."""
_DAYS: Final = 400
_BOUND_MS: Final = 250.0
_START_SECONDS: Final = 60.0
_PAGE: Final = 500


@figure(
    "search",
    "the slowest hundredth of searches while three writers publish for two minutes beside none; p99 below 250 ms",
    repeats=1,
)
def search(folder: Path) -> Contest:
    """Search by product and days through a real server; the reference does it while nobody writes."""
    return contest(folder, _SECONDS)


@dataclass
class _Seen:
    """What searchers met."""

    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def p99(self) -> float:
        """Return the time that 99 % of the searches stay below [s]."""
        if not self.times:
            raise SmcatalogError(f"no search was answered: {self.errors[:3]}")
        return sorted(self.times)[int(0.99 * (len(self.times) - 1))]


def contest(folder: Path, seconds: float) -> Contest:
    """Return the contest with writers that publish for some seconds."""
    server = BenchServer.start(folder)
    place = server.workspace("press")
    api, port = _serve(server, place)
    notes: list[str] = []

    def quiet() -> Seconds:
        return Seconds(_search_until(port, _after(max(seconds / 6, 5))).p99())

    def busy() -> Seconds:
        writers = [_write(place, number, seconds) for number in range(_WRITERS)]
        seen = _search_until(port, lambda: all(w.poll() is not None for w in writers))
        published = [_items(place, number) for number in range(_WRITERS)]
        missing = sum(
            len(set(items) - _found(port, _product(number)))
            for number, items in enumerate(published)
        )
        p99 = seen.p99()
        notes.append(
            f"{len(seen.times)} searches, p99 {1000 * p99:.0f} ms ("
            f"{'within' if 1000 * p99 <= _BOUND_MS else 'beyond'} {_BOUND_MS:.0f} ms), longest "
            f"{1000 * max(seen.times):.0f} ms, {len(seen.errors)} errors {seen.errors[:2]}; "
            f"{sum(map(len, published))} items published from {_FIRST} on, {missing} not found"
        )
        return Seconds(p99)

    def close() -> None:
        api.terminate()
        api.wait(timeout=30)
        place.engine.dispose()
        server.close()

    size = f"{_WRITERS} writers, {_SEARCHERS} searchers, {seconds:.0f} s"
    return Contest(busy, quiet, size, lambda: "; ".join(notes), close)


def _product(number: int) -> str:
    return f"press{number}"


def _serve(server: BenchServer, place: Workspace) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    ours = {
        "SMCATALOG_HOME": str(place.settings.home),
        "SMCATALOG_DATABASE_URL": str(place.settings.database_url),
        "SMCATALOG_API_DATABASE_URL": server.cluster.libpq_url("smcatalog_api", "press"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMCATALOG_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "smcatalog", "serve", "--port", str(port)],
        env={**kept, **ours},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            _ask(HTTPConnection("127.0.0.1", port, timeout=5), "/_mgmt/ping")
        except (OSError, HTTPException, SmcatalogError) as error:
            if process.poll() is not None or time.monotonic() > until:
                raise SmcatalogError(f"the API did not start: {error}") from error
            time.sleep(0.2)
        else:
            return process, port


def _ask(connection: HTTPConnection, path: str, body: dict[str, Any] | None = None) -> Any:
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:  # noqa: PLR2004 - all is well
        raise SmcatalogError(f"{path} was answered with {answer.status}: {said[:200]!r}")
    return json.loads(said)


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def _search_until(port: int, over: Callable[[], bool]) -> _Seen:
    """Search at random in several threads until something is over."""
    seen, ended = _Seen(), threading.Event()

    def searches(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - no secret
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        while not ended.is_set():
            first = _FIRST + timedelta(days=dice.randrange(_DAYS))
            body = {
                "collections": [_product(dice.randrange(_WRITERS))],
                "datetime": f"{first}T00:00:00Z/{first + timedelta(days=10)}T00:00:00Z",
                "limit": 10,
            }
            began = time.perf_counter()
            try:
                _ask(connection, "/search", body)
            except (OSError, HTTPException, SmcatalogError) as error:
                seen.errors.append(f"{type(error).__name__}: {error}")
                connection.close()
            else:
                seen.times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=searches, args=(seed,)) for seed in range(_SEARCHERS)]
    for thread in threads:
        thread.start()
    while not over():
        time.sleep(0.05)
    ended.set()
    for thread in threads:
        thread.join()
    return seen


def _items_file(place: Workspace, number: int) -> Path:
    return place.settings.home / f"items{number}.json"


def _items(place: Workspace, number: int) -> list[str]:
    """Return what a writer published."""
    file = _items_file(place, number)
    if not file.exists():
        raise SmcatalogError(f"the writer of {_product(number)} broke off")
    items: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return items


def _write(place: Workspace, number: int, seconds: float) -> subprocess.Popen[str]:
    asked = {
        "home": str(place.settings.home),
        "url": place.settings.database_url,
        "product": _product(number),
        "first": _FIRST.isoformat(),
        "days": _DAYS,
        "seconds": seconds,
    }
    asked["items"] = str(_items_file(place, number))
    process = subprocess.Popen(
        [sys.executable, "-m", "smcatalog.bench.press"], stdin=subprocess.PIPE, text=True
    )
    if process.stdin is not None:
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.close()
    return process


def _found(port: int, product: str) -> set[str]:
    """Return the items of a product that searching finds, page by page."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    body: dict[str, Any] = {"collections": [product], "limit": _PAGE}
    found: set[str] = set()
    while True:
        page = _ask(connection, "/search", body)
        found |= {item["id"] for item in page["features"]}
        following: Sequence[dict[str, Any]] = [
            link for link in page["links"] if link["rel"] == "next"
        ]
        if not following:
            return found
        body = following[0]["body"]
