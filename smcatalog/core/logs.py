"""Logs: one line an event on standard error, for machines or for people, without secrets.

Any module logs with ``structlog.get_logger()``; what a worker has bound (job, task, product, day) stands
in every line that is written meanwhile.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final, Literal, TextIO, TypeAlias, cast

import structlog

__all__ = ["LogFormat", "configure_logs", "masked"]

LogFormat: TypeAlias = Literal["json", "text"]

_HANDLER: Final = "smcatalog"
_HIDDEN: Final = "***"
_SECRETS: Final = (
    # the password of a URL; the last @ before the host counts, since passwords may hold one
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s/\"']+(?=@)", re.IGNORECASE),
    # of libpq's keywords, queries of signed addresses, and names of keys of every kind
    re.compile(
        r"(\b[\w-]*(?:password|passwd|secret|token|signature|credential|api_?key|access_?key(?:_id)?)"
        r"[\"']?\s*[=:]\s*[\"']?)[^\s&\"'\\,;]+",
        re.IGNORECASE,
    ),
    re.compile(r"(\bauthorization[\"']?\s*[=:]\s*[\"']?\w+\s+)[^\s\"'\\,;]+", re.IGNORECASE),
)


def masked(text: str) -> str:
    """Return a text with *** for passwords in URLs and for what is named as a secret."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


def configure_logs(
    form: LogFormat, *, level: int = logging.INFO, stream: TextIO | None = None
) -> None:
    """Say how this process logs; warnings of libraries come in the same form.

    Parameters
    ----------
    form : {"json", "text"}
        A JSON object a line, or a line for people.
    level : int
        Lowest level of our own events that is written.
    stream : file, optional
        Where to; standard error by default, since standard output belongs to answers.
    """
    out = stream or cast("TextIO", _StandardError())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # as text: a traceback as data would show the values of variables
        structlog.processors.format_exc_info,
    ]
    render: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, render, _mask],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.stdlib.ExtraAdder(["action"]),
                render,
                _mask,
            ],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    for former in [h for h in root.handlers if h.get_name() == _HANDLER]:
        root.removeHandler(former)
    handler.set_name(_HANDLER)  # so that configuring again replaces it
    root.addHandler(handler)


class _StandardError:
    """What standard error is at the moment of writing: it may be replaced after logs were set up."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _mask(_logger: Any, _method: str, line: Any) -> str:
    return masked(line)
