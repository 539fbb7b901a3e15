"""NASA's Earthdata: searching and logging in, by earthaccess."""

from __future__ import annotations

import logging
import os
import warnings
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase

from ingest.acquisition.faults import (
    AcquisitionError,
    UnauthorisedError,
    described,
)
from ingest.acquisition.hosts import Endpoints
from ingest.acquisition.offers import EarthdataOffer
from ingest.acquisition.patience import Pace, patient, quiet_session
from ingest.acquisition.values import FileReport, Held, Outcome, Remote, Request

__all__ = ["HELP", "Earthdata", "Keys", "lacking", "remotes_of"]

HELP: Final = (
    "Earthdata needs an account (free, https://urs.earthdata.nasa.gov): put the line "
    "'machine urs.earthdata.nasa.gov login NAME password PASSWORD' into ~/.netrc (chmod 600), or a token "
    "into EARTHDATA_TOKEN"
)
_ALL: Final = 1_000_000
_NO_RESULT: Final = "something that is no search result: try again later"
_ALGORITHMS: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384",
                      "SHA-512": "sha512"}  # fmt: skip
_UNITS: Final = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Keys(AuthBase):
    """The user's credentials, added to requests for the provider's own hosts and to no others.

    Its text says nothing of them.
    """

    endpoints: Endpoints
    _token: str = field(default="", repr=False)
    _basic: str = field(default="", repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the credentials that an address may see."""
        request.headers.pop("Authorization", None)
        url = request.url or ""
        if not self.endpoints.hosts.trusts(url):
            return request
        login = urlsplit(f"//{self.endpoints.login}").hostname == urlsplit(url).hostname
        at_login = login and urlsplit(url).path.startswith("/oauth")
        if at_login and self._basic:
            request.headers["Authorization"] = self._basic
        elif self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def take(self, token: str, user: str | None, password: str | None) -> None:
        """Take over what logging in gave."""
        self._token = token
        if user and password:
            self._basic = "Basic " + b64encode(f"{user}:{password}".encode()).decode()


class Earthdata:
    """Searches and logs in.

    Parameters
    ----------
    endpoints : Endpoints
        Where.
    pace : Pace
        How patiently.
    """

    def __init__(self, endpoints: Endpoints, pace: Pace) -> None:
        self._endpoints = endpoints
        self._pace = pace
        self.keys = Keys(endpoints)

    def search(self, offer: EarthdataOffer, request: Request) -> list[Remote]:
        """Ask for the granules of a source; needs no account.

        Raises
        ------
        AcquisitionError
            When the search fails.
        """
        import earthaccess  # noqa: PLC0415 - takes a second to import

        query = earthaccess.DataGranules()
        query.mode(self._endpoints.search)
        query.session = quiet_session(self._pace, self._endpoints.hosts)
        query.short_name(offer.short_name)
        query.params["version"] = list(offer.versions)
        if request.first is not None and not offer.static:
            query.temporal(request.first, request.last)
        if request.bbox is not None and not offer.globe:
            query.bounding_box(*request.bbox)
        try:
            found = self._pages(query)
        finally:
            query.session.close()
        return remotes_of(offer, found)

    def _pages(self, query: Any) -> list[Mapping[str, Any]]:
        where = f"the search at {urlsplit(self._endpoints.search).hostname}"
        try:
            with warnings.catch_warnings():  # of changes that its version 1 will bring
                warnings.simplefilter("ignore", FutureWarning)
                return list(query.get(_ALL))
        except RuntimeError as error:
            answer = getattr(error.__cause__, "response", None)
            how = "fails" if answer is None else f"answers {answer.status_code} {answer.reason}"
            raise AcquisitionError(f"{where} {how}: try again later") from None
        except requests.exceptions.JSONDecodeError:
            raise AcquisitionError(f"{where} answers with {_NO_RESULT}") from None
        except requests.RequestException as error:
            raise AcquisitionError(f"{where} fails: {described(error)}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise AcquisitionError(f"{where} answers with {_NO_RESULT}") from error

    def open(self) -> None:
        """Log in with what the user's environment or netrc holds; never asks.

        Raises
        ------
        UnauthorisedError
            When there are no credentials or they are not accepted; says how to make them.
        """
        import earthaccess  # noqa: PLC0415 - takes a second to import
        from earthaccess.exceptions import (  # noqa: PLC0415
            LoginAttemptFailure,
            LoginStrategyUnavailable,
        )

        endpoints, pace = self._endpoints, self._pace

        class Login(earthaccess.Auth):
            def get_session(self) -> requests.Session:
                session = super().get_session()
                patient(session, pace, endpoints.hosts)
                return session

        auth = Login()
        where = _system(endpoints)
        named = any(os.environ.get(f"EARTHDATA_{n}") for n in ("TOKEN", "USERNAME", "PASSWORD"))
        try:
            with _hushed("earthaccess"):
                auth.login(strategy="environment" if named else "netrc", system=where)
        except LoginStrategyUnavailable:
            raise UnauthorisedError(f"no credentials were found. {HELP}") from None
        except LoginAttemptFailure:
            raise UnauthorisedError(f"the credentials were not accepted. {HELP}") from None
        except requests.RequestException as error:
            raise AcquisitionError(
                f"logging in at {endpoints.login} fails: {described(error)}"
            ) from None
        except (ValueError, KeyError) as error:
            raise AcquisitionError(f"logging in at {endpoints.login} fails: odd answer") from error
        token = (auth.token or {}).get("access_token", "")
        self.keys.take(token, auth.username, auth.password)


def _system(endpoints: Endpoints) -> Any:
    from earthaccess.system import (  # noqa: PLC0415
        CMRBaseURL,
        EDLHostname,
        StatusApiURL,
        StatusURL,
        System,
    )

    return System(
        CMRBaseURL(endpoints.search), StatusURL(""), StatusApiURL(""), EDLHostname(endpoints.login)
    )


@contextmanager
def _hushed(name: str) -> Iterator[None]:
    """Keep a library from logging what a server answered to credentials."""
    known = list(logging.Logger.manager.loggerDict)
    loggers = [logging.getLogger(one) for one in known if f"{one}.".startswith(f"{name}.")]
    loud = [logger for logger in loggers if not logger.disabled]
    for logger in loud:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loud:
            logger.disabled = False


def remotes_of(offer: EarthdataOffer, granules: Iterable[Mapping[str, Any]]) -> list[Remote]:
    """Return the files of found granules, of each subject the newest production alone."""
    newest: dict[str, tuple[str, Remote]] = {}
    for granule in granules:
        remote = _remote(offer, granule.get("umm", {}))
        if remote is None:
            continue
        subject, production = offer.subject(remote.name)
        if subject not in newest or newest[subject][0] < production:
            newest[subject] = production, remote
    return sorted((remote for _, remote in newest.values()), key=lambda r: (str(r.day), r.name))


def _remote(offer: EarthdataOffer, umm: Mapping[str, Any]) -> Remote | None:
    """Return the file of a granule in NASA's unified metadata model; None when it has none of ours."""
    urls = [
        link["URL"]
        for link in umm.get("RelatedUrls", ())
        if link.get("Type") == "GET DATA"
        and str(link.get("URL", "")).startswith("https://")
        and urlsplit(link["URL"]).path.endswith(offer.suffix)
    ]
    if not urls:
        _log.info("%s has no file to download", umm.get("GranuleUR"))
        return None
    name = PurePosixPath(unquote(urlsplit(urls[0]).path)).name
    if name.startswith(".") or "\0" in name:  # a stranger's name: it becomes a file of ours
        return None
    archived = umm.get("DataGranule", {}).get("ArchiveAndDistributionInformation", [])
    exact = next((one for one in archived if one.get("Name") == name), None)
    about = exact or (archived[0] if len(archived) == 1 else {})
    checksum = (exact or {}).get("Checksum", {})
    algorithm = _ALGORITHMS.get(str(checksum.get("Algorithm", "")).upper(), "")
    size = (exact or {}).get("SizeInBytes")
    return Remote(
        offer.source,
        name,
        _day(umm),
        urls[0],
        int(size) if size else None,
        _estimate(about),
        algorithm,
        str(checksum.get("Value", "")).lower() if algorithm else "",
    )


def _estimate(about: Mapping[str, Any]) -> int:
    if about.get("SizeInBytes"):
        return int(about["SizeInBytes"])
    return int(
        float(about.get("Size", 0)) * _UNITS.get(str(about.get("SizeUnit", "MB")).upper(), 1)
    )


def _day(umm: Mapping[str, Any]) -> date | None:
    extent = umm.get("TemporalExtent", {})
    text = extent.get("SingleDateTime") or extent.get("RangeDateTime", {}).get(
        "BeginningDateTime", ""
    )
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def lacking(
    offer: EarthdataOffer, remotes: Iterable[Remote], held: Held
) -> tuple[list[Remote], list[FileReport]]:
    """Divide found files into those to fetch and those that are here.

    A granule is here when the database has it under its name, has this or a newer production of it, or when
    the file lies in the folder with the length that the provider says.
    """
    names = {name for one in held.recorded for name in (one.name, one.delivered_as)}
    newest: dict[str, str] = {}
    for one in held.recorded:
        newest[one.subject] = max(newest.get(one.subject, ""), one.production)
    wanted, here = [], []
    for remote in remotes:
        subject, production = offer.subject(remote.name)
        stem = remote.name.removesuffix(offer.suffix)
        if names & {remote.name, stem} or (subject in newest and newest[subject] >= production):
            here.append(FileReport(remote.source, remote.name, Outcome.KNOWN, remote.bytes))
        elif _complete(remote, held):
            here.append(
                FileReport(remote.source, remote.name, Outcome.THERE, held.files[remote.name])
            )
        else:
            wanted.append(remote)
    return wanted, here


def _complete(remote: Remote, held: Held) -> bool:
    if remote.name not in held.files:
        return False
    return remote.size is None or held.files[remote.name] == remote.size
