"""The maps' files over HTTP: ranges, entity tags, nothing but maps, never compressed again."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, Response

from smcatalog.api.client import ASSETS
from smcatalog.stac.assets import MEDIA_TYPE

__all__ = ["assets_router", "find_asset"]

_KEY: Final = re.compile(
    # Folders and a name of plain characters, none of them hidden; the name carries its content's
    # hash, so that a temporary or foreign file is never taken for a map.
    r"maps/(?:[A-Za-z0-9][\w.-]*/)*[A-Za-z0-9][\w.-]*[._-](?P<digest>[0-9a-f]{8,64})\.tif",
    re.ASCII,
)
_RANGE: Final = re.compile(
    r"\s*bytes\s*=\s*(?:(\d+)\s*-\s*(\d*)|-\s*\d+)\s*", re.ASCII | re.IGNORECASE
)
_CACHE: Final = "public, max-age=31536000, immutable"


def find_asset(root: Path, key: str) -> tuple[Path, os.stat_result, str] | None:
    """Find a map's file in the store.

    Parameters
    ----------
    root : Path
        Folder of the store.
    key : str
        Store-relative key, from outside: anything may stand there.

    Returns
    -------
    tuple of (Path, stat_result, str) or None
        File, its size and times, and the hash in its name; None when the key is none of a map,
        leads out of the store, or no file is there.
    """
    match = _KEY.fullmatch(key)
    if match is None or ".." in key:
        return None
    try:
        # Not Path.resolve: before Python 3.13 it raises RuntimeError for links that go in circles.
        maps = Path(os.path.realpath(root / "maps", strict=True))
        path = Path(os.path.realpath(root / key, strict=True))
        status = path.stat()
    except OSError:
        return None
    if not path.is_relative_to(maps) or not stat.S_ISREG(status.st_mode):
        return None
    return path, status, match["digest"]


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


def _ignore_odd_range(request: Request) -> None:
    """Take a ``Range`` away that is malformed, of another unit, or asks for several parts.

    RFC 9110 lets a server answer with the whole, which a caller must be ready for; the response
    class would refuse some of these.
    """
    wanted = request.headers.get("range")
    if wanted is None:
        return
    match = _RANGE.fullmatch(wanted)
    if match is not None and not (match[2] and int(match[2]) < int(match[1])):
        return
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    request.scope["headers"] = headers


def assets_router(root: Path) -> APIRouter:
    """Return the route that serves the store's maps.

    Parameters
    ----------
    root : Path
        Folder of the store.
    """
    router = APIRouter(tags=["Assets"])

    @router.api_route(
        f"/{ASSETS}/{{key:path}}",
        methods=["GET", "HEAD"],
        response_class=FileResponse,
        summary="A map's file, whole or a range of it",
        # One operation for both methods would otherwise have two of the same name.
        include_in_schema=False,
    )
    def asset(key: str, request: Request) -> Response:
        found = find_asset(root, key)
        if found is None:
            raise HTTPException(404, f"There is no map file '{key[:200]}'.")
        path, status, digest = found
        headers = {
            "ETag": f'"{digest}"',
            "Last-Modified": formatdate(status.st_mtime, usegmt=True),
            "Cache-Control": _CACHE,
            "Accept-Ranges": "bytes",
        }
        if _not_modified(request, headers["ETag"], status.st_mtime):
            return Response(status_code=304, headers=headers)
        _ignore_odd_range(request)
        return FileResponse(path, headers=headers, media_type=MEDIA_TYPE, stat_result=status)

    return router
