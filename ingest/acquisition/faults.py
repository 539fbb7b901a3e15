"""What can go wrong between a provider and us, by what can be done about it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3

from smcatalog.core.errors import SmcatalogError

__all__ = [
    "AcquisitionError",
    "DeniedError",
    "DiskFullError",
    "PassingError",
    "StoppedError",
    "UnauthorisedError",
    "described",
    "is_distrust",
    "place",
]


class AcquisitionError(SmcatalogError):
    """A file, or all of a source, cannot be had; asking again now is of no use."""


class DiskFullError(AcquisitionError):
    """The disk has no room for what is to be fetched."""


class StoppedError(AcquisitionError):
    """The run was ended; the next one goes on from there."""


class UnauthorisedError(AcquisitionError):
    """Credentials are missing or were not accepted."""


class DeniedError(AcquisitionError):
    """A provider refuses this user, and will refuse the next file of the same kind alike.

    Parameters
    ----------
    reason : str
        One sentence for a person: what to do.
    whole_provider : bool
        Whether everything of the provider is refused, not only the one source.
    """

    def __init__(self, reason: str, *, whole_provider: bool = False) -> None:
        super().__init__(reason)
        self.whole_provider = whole_provider


class PassingError(AcquisitionError):
    """A fault that may be over when one asks again.

    Parameters
    ----------
    reason : str
        What happened.
    wait : float or None
        Seconds that the provider asks to wait.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


_CUT: Final = "the connection was cut"


def described(error: Exception) -> str:
    """Say in a few words what kind of fault of the network an exception is.

    Never the exception's own text: it may hold a signed address.
    """
    if is_distrust(error):
        return (
            "the server's certificate is not accepted (REQUESTS_CA_BUNDLE names other authorities)"
        )
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return "the server does not answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not answer"
    if isinstance(error, requests.exceptions.ConnectionError) and "NameResolution" in str(error):
        return "the server's name is not known: no network?"
    return _CUT


def is_distrust(error: Exception) -> bool:
    """Say whether a server's certificate was not accepted; a cut during encryption looks much the same."""
    kinds = (requests.exceptions.SSLError, urllib3.exceptions.SSLError)
    return isinstance(error, kinds) and "certificate" in str(error).lower()


def place(url: str) -> str:
    """Return a URL without what may be secret in it: its query and user."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
