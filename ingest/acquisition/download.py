"""Fetching a file whole: resumed where it was cut off, verified, and only then under its name.

While it comes it lies in ``.incomplete`` beside its place, as NAME.part, with what is needed to go on in
NAME.part.json. That folder's name begins with a dot, so that ingesting passes it over.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import AuthBase

from ingest.acquisition.answers import checked, is_page, page_fault
from ingest.acquisition.faults import (
    AcquisitionError,
    DiskFullError,
    PassingError,
    UnauthorisedError,
    described,
    is_distrust,
    place,
)
from ingest.acquisition.hosts import Hosts
from ingest.acquisition.patience import TIMEOUT, Pace
from ingest.acquisition.values import Remote

__all__ = ["INCOMPLETE", "Downloader"]

INCOMPLETE: Final = ".incomplete"
"""Folder of what is not whole yet, inside the target folder."""

_CHUNK: Final = 1 << 16
_READ: Final = 1 << 20
_HOPS: Final = 10
_IN_ALL: Final = 10
"""Times the tries in a row that one file may take, however much progress there is in between."""
_OK, _PARTIAL, _NOT_THERE = 200, 206, 416
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_RANGE: Final = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")


class Downloader:
    """Fetches files from one provider; as many at a time as there are threads that ask it to.

    Parameters
    ----------
    hosts : Hosts
        Where requests may go.
    keys : requests.auth.AuthBase or None
        Adds the user's credentials to those for trusted hosts.
    renew : callable
        Logs in anew; called once a file when credentials are not accepted.
    pace : Pace
        How patiently.
    licence : callable
        What to say of a licence that is not accepted, for a source.
    """

    def __init__(
        self,
        hosts: Hosts,
        keys: AuthBase | None,
        renew: Callable[[], None],
        pace: Pace,
        licence: Callable[[str], str],
    ) -> None:
        self._hosts = hosts
        self._keys = keys
        self._renew = renew
        self._pace = pace
        self._licence = licence
        self._own = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        """Return this thread's session: connections are kept, nothing is shared."""
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = requests.Session()
            session.auth = self._keys or _as_it_is
            self._own.session = session
            self._sessions.append(session)
        return session

    def fetch(self, remote: Remote, folder: Path) -> int:
        """Fetch a file and return its length.

        Raises
        ------
        AcquisitionError
            With the reason why it cannot be had. What came so far is kept for the next run.
        """
        part = folder / INCOMPLETE / f"{remote.name}.part"
        failures = attempts = 0
        renewed = False
        while True:
            before = _length(part)
            attempts += 1
            try:
                self._attempt(remote, part)
                return _finished(remote, part, folder / remote.name)
            except UnauthorisedError:
                if renewed:
                    raise
                renewed = True
                self._renew()
            except PassingError as fault:
                failures = 1 if _length(part) > before else failures + 1
                tries = self._pace.patience.tries
                if failures >= tries or attempts >= tries * _IN_ALL:
                    raise AcquisitionError(
                        f"{fault} ({attempts} requests): run the same command again later"
                    ) from None
                self._pace.pause(failures, fault.wait)

    def _attempt(self, remote: Remote, part: Path) -> None:
        """Ask once for what is lacking of a file."""
        had = _length(part)
        validator = _note(part) if had else ""
        if had and not validator and not remote.checksum:
            had = 0  # nothing would tell whether the rest belongs to the beginning
        if had and had == remote.size:
            return
        headers = {"Accept-Encoding": "identity"}
        if had:
            headers["Range"] = f"bytes={had}-"
            if validator:
                headers["If-Range"] = validator
        self._pace.turn()
        try:
            with self._followed(remote, headers) as response:
                self._take(response, remote, part, had)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if is_distrust(error):
                raise AcquisitionError(described(error)) from None
            raise PassingError(described(error)) from None

    def _followed(self, remote: Remote, headers: dict[str, str]) -> requests.Response:
        """Ask, and go where one is sent on to, as long as these are declared addresses."""
        session = self._session()
        url = remote.url
        for _ in range(_HOPS):
            if not self._hosts.allows(url):
                raise AcquisitionError(
                    f"lies at {place(url)}, which is not a declared address: not asked"
                )
            response = session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=TIMEOUT
            )
            target = response.headers.get("Location")
            if response.status_code not in _MOVED or target is None:
                return response
            response.close()
            url = urljoin(url, target)
        raise AcquisitionError(f"is sent on and on, more than {_HOPS} times")

    def _take(self, response: requests.Response, remote: Remote, part: Path, had: int) -> None:
        status = response.status_code
        if status == _NOT_THERE and had:
            _settle(response, remote, part, had)
            return
        checked(response, self._hosts, self._licence(remote.source))
        at = had
        total = _declared(response)
        if status == _PARTIAL:
            match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or match["first"] is None or int(match["first"]) != had:
                _discard(part)
                raise PassingError("the server resumes at another place than asked")
            total = int(match["total"]) if match["total"] != "*" else None
        else:
            at = 0
        chunks = response.raw.stream(_CHUNK, decode_content=False)
        first = next(chunks, b"")
        if at == 0 and is_page(first):
            start = first + next(chunks, b"")
            raise page_fault(start, response, self._hosts, self._licence(remote.source))
        if remote.size is not None and total is not None and total != remote.size:
            raise PassingError(
                f"the server delivers {total} bytes and the catalogue says {remote.size}"
            )
        part.parent.mkdir(parents=True, exist_ok=True)
        if at == 0:
            _discard(part)
            _write_note(part, response)
        try:
            with part.open("ab") as out:
                while first:
                    out.write(first)
                    self._pace.check()
                    first = next(chunks, b"")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise DiskFullError(f"cannot be written to {part.parent}: {error.strerror}") from error
        if total is not None and _length(part) < total:
            raise PassingError("the connection was cut")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _declared(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _settle(response: requests.Response, remote: Remote, part: Path, had: int) -> None:
    """Deal with *there is nothing behind that*: either all is here or what is here is of another file."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is not None and match["total"] == str(had) and remote.size in {None, had}:
        return
    _discard(part)
    raise PassingError("the file at the provider is shorter than what had come of it")


def _finished(remote: Remote, part: Path, target: Path) -> int:
    """Verify a complete file and give it its name."""
    size = _length(part)
    if remote.size is not None and size != remote.size:
        _discard(part)
        raise PassingError(f"{size} bytes came, not {remote.size}")
    if size == 0:
        _discard(part)
        raise PassingError("the server delivers an empty file")
    if remote.checksum and _checksum(part, remote.algorithm) != remote.checksum:
        _discard(part)
        raise PassingError(
            f"what came is damaged: its {remote.algorithm} is not the one that the catalogue says"
        )
    part.replace(target)
    _note_path(part).unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return size


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(
            stream, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


def _note_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _note(part: Path) -> str:
    """Return the mark of the version that a part is of; empty if there is none."""
    try:
        return str(json.loads(_note_path(part).read_text(encoding="utf-8"))["validator"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_note(part: Path, response: requests.Response) -> None:
    tag = response.headers.get("ETag", "")
    validator = (
        tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    )
    _note_path(part).write_text(json.dumps({"validator": validator}), encoding="utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)
