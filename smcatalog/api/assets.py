"""The maps' files over HTTP: ranges, entity tags, nothing but maps, never compressed again."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from email.utils import formatdate, parsedate_to_datetime
from itertools import chain
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from smcatalog.api.client import ASSETS
from smcatalog.core.errors import StoreError
from smcatalog.stac.assets import MEDIA_TYPE
from smcatalog.store import Entry, Store

__all__ = ["assets_router", "find_asset"]

_log = logging.getLogger(__name__)

_KEY: Final = re.compile(
    # Folders and a name of plain characters, none of them hidden; the name carries its content's
    # hash, so that a temporary or foreign file is never taken for a map.
    r"maps/(?:[A-Za-z0-9][\w.-]*/)*[A-Za-z0-9][\w.-]*[._-](?P<digest>[0-9a-f]{8,64})\.tif",
    re.ASCII,
)
_RANGE: Final = re.compile(
    r"\s*bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{0,18})|-\s*(\d{1,18}))\s*", re.ASCII | re.IGNORECASE
)
_CACHE: Final = "public, max-age=31536000, immutable"


def find_asset(store: Store, key: str) -> tuple[Entry, str] | None:
    """Find a map's file in the store.

    Parameters
    ----------
    store : Store
        Where maps lie.
    key : str
        Store-relative key, from outside: anything may stand there.

    Returns
    -------
    tuple of (Entry, str) or None
        File, its size and time, and the hash in its name; None when the key is none of a map,
        leads out of the store, or no file is there.

    Raises
    ------
    StoreError
        When the store does not answer.
    """
    match = _KEY.fullmatch(key)
    if match is None or ".." in key:
        return None
    entry = store.find(key)
    return None if entry is None else (entry, match["digest"])


def _names(tags: Iterable[str], etag: str) -> bool:
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in tags)


def _not_modified(request: Request, etag: str, modified: float) -> bool:
    """Whether the caller's copy is the current one (RFC 9110, section 13.2.2)."""
    tags = request.headers.getlist("if-none-match")
    if tags:
        return _names(",".join(tags).split(","), etag)
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return int(modified) <= parsedate_to_datetime(since).timestamp()
    except ValueError:
        return False


def _wanted(request: Request, size: int, headers: dict[str, str]) -> tuple[int, int] | None:
    """Return the first byte that is asked for and the one behind the last; None for the whole.

    RFC 9110 lets a server answer with the whole, which a caller must be ready for, when a range is
    malformed, of another unit, of several parts, or of a file that has changed since.

    Raises
    ------
    HTTPException
        When the range lies behind the file's end.
    """
    condition = request.headers.get("if-range")
    if condition is not None and condition not in {headers["ETag"], headers["Last-Modified"]}:
        return None
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None:
        return None
    if match[3] is not None:
        start, stop = max(0, size - int(match[3])), size
    else:
        start, last = int(match[1]), int(match[2] or size - 1)
        if match[2] and last < start:
            return None
        stop = min(last + 1, size)
    if start >= stop:
        raise HTTPException(
            416,
            f"The file has {size} bytes; the range lies behind them.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, stop


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first piece at once: what fails then can still be answered with a status."""
    first = next(pieces, b"")
    return chain((first,), pieces)


def assets_router(store: Store) -> APIRouter:
    """Return the route that serves the store's maps.

    Whatever the store is, the bytes go through this server: who reads maps learns nothing of a bucket.

    Parameters
    ----------
    store : Store
        Where maps lie.
    """
    router = APIRouter(tags=["Assets"])

    @router.api_route(
        f"/{ASSETS}/{{key:path}}",
        methods=["GET", "HEAD"],
        response_class=StreamingResponse,
        summary="A map's file, whole or a range of it",
        # One operation for both methods would otherwise have two of the same name.
        include_in_schema=False,
    )
    def asset(key: str, request: Request) -> Response:
        try:
            return _answer(store, key, request)
        except StoreError as error:
            _log.error("%s cannot be served: %s", key[:200], error)
            raise HTTPException(
                503, "The maps' files cannot be read at the moment. Try again later."
            ) from None

    return router


def _answer(store: Store, key: str, request: Request) -> Response:
    found = find_asset(store, key)
    if found is None:
        raise HTTPException(404, f"There is no map file '{key[:200]}'.")
    entry, digest = found
    modified = entry.modified.timestamp()
    headers = {
        "ETag": f'"{digest}"',
        "Last-Modified": formatdate(modified, usegmt=True),
        "Cache-Control": _CACHE,
        "Accept-Ranges": "bytes",
    }
    if _not_modified(request, headers["ETag"], modified):
        return Response(status_code=304, headers=headers)
    part = _wanted(request, entry.size, headers)
    start, stop = part or (0, entry.size)
    headers["Content-Length"] = str(stop - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{entry.size}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=MEDIA_TYPE)
    pieces = _begun(store.stream(key, start, stop))
    return StreamingResponse(pieces, status_code=status, headers=headers, media_type=MEDIA_TYPE)
