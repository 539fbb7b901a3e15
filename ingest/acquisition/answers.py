"""What an answer means that is no granule: codes, and pages for people where bytes were asked for."""

from __future__ import annotations

import re
from html import unescape
from typing import Final
from urllib.parse import urlsplit

import requests

from ingest.acquisition.faults import (
    AcquisitionError,
    DeniedError,
    PassingError,
    UnauthorisedError,
)
from ingest.acquisition.hosts import Hosts
from ingest.acquisition.patience import PASSING, passing
from ingest.sniff import Format, sniff

__all__ = ["checked", "is_page", "page_fault"]

_FINE: Final = frozenset({200, 206})
_UNAUTHORISED, _FORBIDDEN = 401, 403
_GONE: Final = frozenset({404, 410})
_MOST_OF_PAGE: Final = 1 << 16
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LINK: Final = re.compile(r"""href=["']?(https://[^"'\s>]+)""", re.IGNORECASE)
_LICENCE: Final = re.compile(
    r"eula|accept\w* [\w ]{0,30}(?:licen[cs]e|terms)|authori[sz]e [\w ]{0,15}application|approve_app|access_denied",
    re.IGNORECASE,
)
_PASSWORD: Final = re.compile(r"""type=["']?password""", re.IGNORECASE)


def is_page(start: bytes) -> bool:
    """Say whether a file's first bytes are those of a page for people."""
    return sniff(start) is Format.HTML


def checked(response: requests.Response, hosts: Hosts, licence: str) -> None:
    """Let an answer pass that brings a file.

    Parameters
    ----------
    licence : str
        What to say when the provider wants a licence accepted.

    Raises
    ------
    UnauthorisedError, DeniedError, PassingError, AcquisitionError
        By what it says instead, and by what can be done about it.
    """
    status, url = response.status_code, response.url
    page = "html" in response.headers.get("Content-Type", "").lower()
    if status in _FINE:
        if page:
            raise page_fault(_beginning(response), response, hosts, licence)
        return
    if status == _UNAUTHORISED:
        raise UnauthorisedError(f"{urlsplit(url).hostname} does not accept the credentials")
    if status == _FORBIDDEN:
        if not hosts.trusts(url):  # a signed address that ran out: asked again there is a new one
            raise PassingError("the storage refuses a signed address (403)")
        raise DeniedError(_licence_reason(_beginning(response), licence, hosts))
    if status in PASSING:
        raise passing(response)
    if status in _GONE:
        raise AcquisitionError(f"is not there any more ({status} {response.reason})")
    raise AcquisitionError(f"the server answers {status} {response.reason}")


def page_fault(
    start: bytes, response: requests.Response, hosts: Hosts, licence: str
) -> AcquisitionError:
    """Return what a page in place of a file means."""
    text = start.decode("utf-8", "replace")
    if _LICENCE.search(text):
        return DeniedError(_licence_reason(start, licence, hosts))
    if "/oauth" in urlsplit(response.url).path or _PASSWORD.search(text):
        return UnauthorisedError(f"{urlsplit(response.url).hostname} answers with its login page")
    return PassingError(f"the server answers with a page{_titled(text)} in place of the file")


def _beginning(response: requests.Response) -> bytes:
    return next(response.iter_content(_MOST_OF_PAGE), b"")


def _titled(text: str) -> str:
    match = _TITLE.search(text)
    return f" titled '{' '.join(unescape(match[1]).split())[:80]}'" if match else ""


def _licence_reason(start: bytes, licence: str, hosts: Hosts) -> str:
    """Say which licence to accept where: what the page says itself, else what is declared."""
    text = start.decode("utf-8", "replace")
    links = [unescape(link) for link in _LINK.findall(text)]
    link = next((one for one in links if hosts.trusts(one) and _LICENCE.search(one)), None)
    where = f"accept it at {link}" if link else licence
    if not _LICENCE.search(text):
        return f"the provider refuses it (403){_titled(text)}; mostly a licence is not accepted: {where}"
    return f"the provider wants a licence accepted first{_titled(text)}: {where}"
