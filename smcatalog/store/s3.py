"""A store in a bucket that speaks S3's protocol.

A file is put with one request that the server carries out whole or not at all, and only where nothing
has its key yet (``If-None-Match: *``): there are no uploads in parts that could be left behind.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import obstore
import obstore.store
import rasterio
from numpy.typing import NDArray
from obstore.exceptions import AlreadyExistsError
from rasterio.session import DummySession

from smcatalog.core.errors import StoreError
from smcatalog.core.locations import S3Location
from smcatalog.store.base import Entry, Store, checked_key
from smcatalog.store.retries import Passing, Retries, tried
from smcatalog.store.work import WorkArea, why

__all__ = ["S3Store"]

T = TypeVar("T")

_PIECE: Final = 8 << 20
_LARGEST: Final = 5 << 30
"""Bytes that S3 takes in one request."""
_CONNECT: Final = timedelta(seconds=5)
_READS: Final = 4
"""Attempts at a raster whose object is there: one cut connection looks to GDAL like a damaged file."""
_HIDDEN: Final = "."


class S3Store(Store):
    """A part of a bucket with immutable objects.

    Server, region and credentials come from the environment, as usual with S3: ``AWS_ENDPOINT_URL``,
    ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, or the role of
    the machine. Nothing is asked of the server before the first use.

    Parameters
    ----------
    location : S3Location
        Bucket and prefix.
    work : Path
        Folder of this machine for temporary files, for nothing else; made when missing.
    retries : Retries
        How long to go on when the server does not answer or is out of order.
    """

    def __init__(self, location: S3Location, work: Path, retries: Retries | None = None) -> None:
        super().__init__(location.url, WorkArea(work, location.url))
        self._where = location
        self._retries = retries or Retries()
        self._clients: dict[int, obstore.store.S3Store] = {}

    def address(self, key: str) -> str:
        """Return the path of a key's object in GDAL's file system of buckets."""
        return f"{self._root()}/{checked_key(key)}"

    def gdal(self) -> AbstractContextManager[object]:
        """Set GDAL up to read the bucket.

        It takes credentials and region from the same environment; only the server's address and how often
        to try must be told in its own words.
        """
        env: AbstractContextManager[object] = rasterio.Env(
            session=DummySession(),  # or rasterio would ask boto3 for credentials
            GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",  # files of ours have no side files: list nothing
            GDAL_HTTP_CONNECTTIMEOUT=f"{_CONNECT.total_seconds():g}",
            GDAL_HTTP_TIMEOUT=f"{self._retries.request:g}",
            GDAL_HTTP_MAX_RETRY="2",  # `read` goes on where this ends
            GDAL_HTTP_RETRY_DELAY=f"{self._retries.pause:g}",
            # GDAL would remember for the life of the process that an object was not there
            CPL_VSIL_CURL_NON_CACHED=self._root(),
            **_endpoint(os.environ),
        )
        return env

    def find(self, key: str) -> Entry | None:
        """Return size and time of a key's object; None when there is none."""
        checked_key(key)
        try:
            found = self._tried(f"look for {key} in", lambda: obstore.head(self._client(), key))
        except FileNotFoundError:
            return None
        return Entry(key, found["size"], found["last_modified"])

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Iterate over an object's bytes; each piece is a request that is tried again on its own."""
        entry = self._found(key)
        end = entry.size if stop is None else min(stop, entry.size)
        for first in range(start, end, _PIECE):
            yield self._piece(key, first, min(first + _PIECE, end))

    def files(self) -> Iterator[Entry]:
        """Iterate over all objects, sorted by key as S3 lists them; hidden ones left out."""
        last: str | None = None
        while page := self._page(last):
            for found in page:
                key = found["path"]
                if not any(part.startswith(_HIDDEN) for part in PurePosixPath(key).parts):
                    yield Entry(key, found["size"], found["last_modified"])
            last = page[-1]["path"]

    def remove(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        checked_key(key)
        try:
            self._tried(f"remove {key} from", lambda: obstore.delete(self._client(), key))
        except FileNotFoundError:
            return

    def read(
        self,
        key: str,
        *,
        rows: slice = slice(None),
        columns: slice = slice(None),
        bands: Sequence[int] | None = None,
    ) -> NDArray[Any]:
        """Read stored values of a raster's window, again when the connection was cut."""
        checked_key(key)
        failures = 0

        def attempt() -> NDArray[Any]:
            nonlocal failures
            try:
                return super(S3Store, self).read(key, rows=rows, columns=columns, bands=bands)
            except StoreError:
                obstore.head(self._client(), key)  # says better than GDAL why
                failures += 1
                if failures == _READS:
                    raise
                raise Passing("GDAL cannot read it") from None

        try:
            return self._tried(f"read {key} in", attempt)
        except FileNotFoundError:
            raise self._missing(key) from None

    @contextmanager
    def local(self, key: str, sha256: str) -> Iterator[Path]:
        """Lend a copy of an object, compared with its checksum."""
        name = checked_key(key).name
        with self._area.lend() as folder:
            path = folder / name
            digest = hashlib.sha256()
            try:
                with path.open("wb") as file:
                    for piece in self.stream(key):
                        digest.update(piece)
                        file.write(piece)
            except OSError as error:
                raise StoreError(f"cannot copy {key} to {folder}: {why(error)}") from error
            if digest.hexdigest() != sha256:
                raise StoreError(
                    f"{key} in the store is damaged: its SHA-256 is {digest.hexdigest()}, recorded is "
                    f"{sha256}"
                )
            yield path

    def _place(self, source: Path, key: str, sha256: str, size: int) -> None:
        if size > _LARGEST:
            raise StoreError(
                f"cannot write {key} to the store {self.location}: S3 takes at most 5 GiB at once, it has "
                f"{size / 2**30:.1f}"
            )
        if not self._put(source, key, sha256, size, only_new=True):
            entry = self.find(key)
            if entry is not None and entry.size == size and self.checksum(key) == sha256:
                return
            # of another content than its name says: damaged, or put by hand
            self._put(source, key, sha256, size, only_new=False)
        entry = self.find(key)
        if entry is None or entry.size != size:
            there = "nothing" if entry is None else f"{entry.size} bytes"
            raise StoreError(
                f"the store {self.location} took {key} of {size} bytes, but has {there} there: does "
                "something else write to it?"
            )

    def _put(self, source: Path, key: str, sha256: str, size: int, *, only_new: bool) -> bool:
        """Put an object whole; say whether it was, which a server refuses when it has the key already."""

        def attempt() -> bool:
            try:
                obstore.put(
                    self._client(size),
                    key,
                    source,
                    mode="create" if only_new else "overwrite",
                    attributes={"sha256": sha256},
                    use_multipart=False,
                )
            except AlreadyExistsError:
                return False
            return True

        try:
            return self._tried(f"write {key} to", attempt)
        except FileNotFoundError:
            raise self._no_bucket("write to") from None

    def _piece(self, key: str, start: int, stop: int) -> bytes:
        def attempt() -> bytes:
            piece = bytes(obstore.get_range(self._client(), key, start=start, end=stop))
            if len(piece) != stop - start:
                raise Passing(f"the server sent {len(piece)} bytes of {stop - start}")
            return piece

        try:
            return self._tried(f"read {key} in", attempt)
        except FileNotFoundError:
            raise self._missing(key) from None

    def _page(self, last: str | None) -> Sequence[obstore.ObjectMeta]:
        """Return the next objects behind a key, none at the end."""

        def attempt() -> Sequence[obstore.ObjectMeta]:
            found = obstore.list(self._client(), offset=last, chunk_size=1000)
            return next(iter(found), [])

        try:
            return self._tried("list", attempt)
        except FileNotFoundError:
            raise self._no_bucket("list") from None

    def _found(self, key: str) -> Entry:
        entry = self.find(key)
        if entry is None:
            raise self._missing(key)
        return entry

    def _no_bucket(self, what: str) -> StoreError:
        return StoreError(
            f"cannot {what} the store {self.location}: there is no such bucket; make it, or correct "
            "SMCATALOG_STORE"
        )

    def _missing(self, key: str) -> StoreError:
        return StoreError(f"cannot read {key} in the store {self.location}: it is not there")

    def _tried(self, what: str, action: Callable[[], T]) -> T:
        return tried(action, f"{what} the store {self.location}", self._retries)

    def _root(self) -> str:
        where = self._where
        return f"/vsis3/{where.bucket}" + (f"/{where.prefix}" if where.prefix else "")

    def _client(self, size: int = 0) -> obstore.store.S3Store:
        """Return a client whose requests have the time that so many bytes may take."""
        pieces = max(1, -(-size // _PIECE))
        if pieces not in self._clients:
            endpoint = _address_of_server(os.environ)
            self._clients[pieces] = obstore.store.S3Store(
                self._where.bucket,
                prefix=self._where.prefix or None,
                config={"checksum_algorithm": "SHA256"},  # the server compares what it received
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "connect_timeout": _CONNECT,
                    "timeout": timedelta(seconds=self._retries.request * pieces),
                },
                retry_config={"max_retries": 0},  # what is tried again is decided in one place
            )
        return self._clients[pieces]


def _address_of_server(env: Mapping[str, str]) -> str:
    """Return the server's address; empty for Amazon's own."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((env[name] for name in names if env.get(name)), "")


def _endpoint(env: Mapping[str, str]) -> dict[str, str]:
    """Say in GDAL's options where the server is.

    A server of one's own has the bucket in the path, not in the host's name, as `obstore` has it too.
    """
    address = _address_of_server(env)
    if not address:
        return {}
    parts = urlsplit(address)
    return {
        "AWS_S3_ENDPOINT": f"{parts.netloc}{parts.path.rstrip('/')}",
        "AWS_HTTPS": "NO" if parts.scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }
