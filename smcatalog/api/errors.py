"""One layer that turns what went wrong into a status and a sentence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from stac_fastapi.types.errors import InvalidQueryParameter, NotFoundError
from starlette.exceptions import HTTPException

__all__ = ["install_error_handlers"]

_log = logging.getLogger(__name__)

_BAD_REQUEST: Final = 400
_INTERNAL: Final = 500
_UNAVAILABLE: Final = 503

_BAD_STATES: Final = (
    "22",  # data exceptions: not a date, out of range, a NUL in text
    "P0001",  # pgstac's own refusals, such as a paging token that is none
    "54",  # a filter too deep or too long
    "42601",  # what remains is how pgstac's SQL fails on a filter that makes no sense
    "42703",
    "42725",
    "42804",
    "42846",
    "42883",
    "42P18",
    "42P22",
    "XX000",  # PostGIS on a geometry that is none
)
_FORMS: Final = {
    "bbox": "4 numbers (west, south, east, north) or 6",
    "intersects": "a GeoJSON geometry",
}
"""What a parameter must be whose model tries several forms, each with complaints of its own."""
_TIMED_OUT: Final = "57014"
_DOWN: Final = ("08", "53", "57P", "25006")


def _answer(status: int, code: str, sentence: str) -> JSONResponse:
    return JSONResponse({"code": code, "description": sentence}, status_code=status)


def _database(request: Request, error: asyncpg.PostgresError) -> JSONResponse:
    state = error.sqlstate or ""
    message = str(error).split("\n", 1)[0].rstrip(".")
    if state.startswith(_BAD_STATES):
        _log.info("%s %s refused: %s %s", request.method, request.url.path, state, message)
        return _answer(
            _BAD_REQUEST, "InvalidParameter", f"The database cannot use this: {message}."
        )
    if state == _TIMED_OUT:
        sentence = (
            "The search took too long: ask for a smaller area, fewer days or fewer collections."
        )
        return _answer(_UNAVAILABLE, "TimedOut", sentence)
    if state.startswith(_DOWN):
        return _unavailable(request, error)
    return _unforeseen(request, error)


def _client_side(request: Request, error: asyncpg.InterfaceError) -> JSONResponse:
    if isinstance(error, ValueError):  # a parameter that asyncpg could not even send
        return _answer(_BAD_REQUEST, "InvalidParameter", f"The database cannot use this: {error}.")
    return _unavailable(request, error)


def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    _log.error("the database does not answer: %s", error)
    sentence = "The database does not answer at the moment. Try again later."
    return _answer(_UNAVAILABLE, "Unavailable", sentence)


def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    sentence = "Something went wrong here, not in the request; the server's log says what."
    return _answer(_INTERNAL, "InternalError", sentence)


def _sentence(problems: Iterable[Mapping[str, Any]], *, skip: int = 0) -> str:
    """Write what a model found wrong; ``skip`` parts of each place only say where in the request."""
    found: dict[str, str] = {}
    for problem in problems:
        if problem["type"] == "json_invalid":
            return f"The body is not JSON: {problem.get('ctx', {}).get('error', 'unreadable')}."
        place = [str(part) for part in problem["loc"][skip:]]
        name = place[0] if place else "the search"
        if len(place) > 1 and name in _FORMS:
            found.setdefault(name, f"{name} must be {_FORMS[name]}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            found.setdefault(".".join(place), f"{'.'.join(place) or name}: {message}")
    return "; ".join(found.values()) + "."


def _invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    return _answer(_BAD_REQUEST, "InvalidParameter", _sentence(error.errors(), skip=1))


def _invalid_parameter(_request: Request, error: InvalidQueryParameter) -> JSONResponse:
    # stac-fastapi-pgstac blames the parameter datetime also for a time in a filter.
    cause = error.__cause__
    sentence = str(cause or error).split("\n", 1)[0].rstrip(".")
    return _answer(_BAD_REQUEST, "InvalidParameter", f"{sentence}.")


def _http(request: Request, error: HTTPException) -> JSONResponse:
    kinds = {404: "NotFound", 405: "MethodNotAllowed", 400: "InvalidParameter"}
    code = kinds.get(error.status_code, "Error")
    sentence = str(error.detail)
    if sentence == "Not Found":
        sentence = f"There is nothing at {request.url.path[:200]}."
    if isinstance(error.__cause__, ValidationError):
        sentence = _sentence(error.__cause__.errors())
    response = _answer(error.status_code, code, sentence)
    response.headers.update(error.headers or {})
    return response


def _with(status: int, code: str) -> Callable[[Request, Exception], JSONResponse]:
    def handler(_request: Request, error: Exception) -> JSONResponse:
        return _answer(status, code, str(error))

    return handler


def _not_json(_request: Request, error: json.JSONDecodeError) -> JSONResponse:
    return _answer(_BAD_REQUEST, "InvalidParameter", f"A parameter is not JSON: {error}.")


def install_error_handlers(app: FastAPI) -> None:
    """Answer every failure with ``{"code": ..., "description": a sentence}``.

    400 for what a caller can put right, 404 for what is not there, 503 while the database does
    not answer or takes too long, 500 (and a traceback in the log) for the rest.
    """
    handlers: dict[type[Exception], Callable[[Request, Any], JSONResponse]] = {
        RequestValidationError: _invalid_request,
        HTTPException: _http,
        NotFoundError: _with(404, "NotFound"),
        InvalidQueryParameter: _invalid_parameter,
        json.JSONDecodeError: _not_json,
        asyncpg.PostgresError: _database,
        asyncpg.InterfaceError: _client_side,
        ConnectionError: _unavailable,
        Exception: _unforeseen,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)
