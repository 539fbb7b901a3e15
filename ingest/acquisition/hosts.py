"""Which addresses are declared, and which of them get to see credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

__all__ = ["COPERNICUS", "EARTHDATA", "Endpoints", "Hosts"]


@dataclass(frozen=True, slots=True)
class Hosts:
    """Declared hosts: ``name``, ``name:port`` or, for all below a domain, ``.domain``.

    Parameters
    ----------
    trusted : tuple of str
        The provider's own, that get the user's credentials.
    storage : tuple of str
        Those that it hands files out from, by signed addresses: no credentials.
    """

    trusted: tuple[str, ...]
    storage: tuple[str, ...] = ()

    def trusts(self, url: str) -> bool:
        """Say whether credentials may go to an address."""
        return _among(url, self.trusted)

    def allows(self, url: str) -> bool:
        """Say whether an address may be asked at all."""
        return _among(url, (*self.trusted, *self.storage))


def _among(url: str, hosts: tuple[str, ...]) -> bool:
    parts = urlsplit(url)
    try:
        name, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not name:
        return False
    return any(
        name.endswith(host) and port in {None, 443}
        if host.startswith(".")
        else host in {f"{name}:{port or 443}"} | ({name} if port in {None, 443} else set())
        for host in hosts
    )


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where NASA's Earthdata is.

    Parameters
    ----------
    search : str
        Address of the Common Metadata Repository's search, with a slash at its end.
    login : str
        Host of Earthdata Login.
    hosts : Hosts
        Where granules may come from.
    """

    search: str
    login: str
    hosts: Hosts


EARTHDATA: Final = Endpoints(
    "https://cmr.earthdata.nasa.gov/search/",
    "urs.earthdata.nasa.gov",
    Hosts(
        trusted=(".earthdata.nasa.gov", ".earthdatacloud.nasa.gov", ".eosdis.nasa.gov"),
        storage=(".cloudfront.net", ".amazonaws.com"),
    ),
)

COPERNICUS: Final = Hosts(trusted=(), storage=(".copernicus.eu", ".ecmwf.int"))
"""Where the Climate Data Store hands results out; its own address stands in the user's ~/.cdsapirc."""
