"""The Climate Data Store: files made to order, by cdsapi."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from ingest.acquisition.faults import (
    AcquisitionError,
    DeniedError,
    UnauthorisedError,
    described,
)
from ingest.acquisition.hosts import COPERNICUS, Hosts
from ingest.acquisition.offers import ClimateOffer, Part
from ingest.acquisition.patience import TIMEOUT, Pace, quiet_session
from ingest.acquisition.values import FileReport, Held, Order, Outcome, Remote, Request
from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import BBox
from smcatalog.core.time import DAY

__all__ = ["HELP", "Climate", "orders"]

HELP: Final = (
    "the Climate Data Store needs an account (free, https://cds.climate.copernicus.eu): put the lines "
    "'url: https://cds.climate.copernicus.eu/api' and 'key: YOUR-KEY' into ~/.cdsapirc (chmod 600); "
    "the key stands on your profile's page"
)
_FIRST_LOOK, _GROWTH, _LONGEST_LOOK = 1.0, 1.5, 120.0
_ZIP: Final = ".zip"
_SHA256: Final = re.compile(r"1220(?P<hex>[0-9a-f]{64})")
"""Checksum as STAC's file extension writes it: a multihash of SHA-256."""
_REFUSED, _FORBIDDEN = 401, 403
_SLACK: Final = 1e-6

_log = logging.getLogger(__name__)


class Climate:
    """Orders files and says where they lie when they are made.

    Parameters
    ----------
    pace : Pace
        How patiently.
    hosts : Hosts
        Where results are handed out.
    """

    def __init__(self, pace: Pace, hosts: Hosts = COPERNICUS) -> None:
        self._pace = pace
        self._storage = hosts.storage
        self._client: Any = None
        self.hosts = hosts

    def open(self) -> None:
        """Make a client with the key of the user's environment or ~/.cdsapirc.

        Raises
        ------
        UnauthorisedError
            When there is none, or one of the store that was before; says how to make one.
        AcquisitionError
            When the store cannot be asked.
        """
        import cdsapi  # type: ignore[import-untyped]  # noqa: PLC0415 - only when something is ordered

        try:
            url, key, _ = cdsapi.api.get_url_key_verify(None, None, None)
        except Exception:  # noqa: BLE001 - it raises Exception itself
            raise UnauthorisedError(f"no key was found. {HELP}") from None
        parts = urlsplit(url)
        own = f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
        self.hosts = Hosts((own,), self._storage)
        if not self.hosts.trusts(url):
            raise UnauthorisedError(f"the url in ~/.cdsapirc is no https address. {HELP}")
        if ":" in key:
            raise UnauthorisedError(f"the key is of the store that was shut in 2024. {HELP}")
        self._client = cdsapi.Client(
            quiet=True,
            progress=False,
            timeout=TIMEOUT,
            retry_max=1,  # asking again is our business: see the session
            wait_until_complete=False,
            session=quiet_session(self._pace, self.hosts),
            # what it tells goes nowhere: at the level of debugging the key is among it
            **{f"{level}_callback": _unheard for level in ("info", "warning", "error", "debug")},
        )

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.session.close()

    def locate(self, remote: Remote, room: Path) -> Remote:
        """Order a file, wait until it is made, and return where it lies.

        Parameters
        ----------
        room : Path
            Folder for the number of the order: a run that is ended asks for the same one again.

        Raises
        ------
        AcquisitionError
            With what the store says.
        """
        note = room / f"{remote.name}.order"
        try:
            job = self._resumed(note) or self._submitted(remote, note)
            look = _FIRST_LOOK
            while not job.results_ready:
                self._pace.wait(look)
                look = min(look * _GROWTH, _LONGEST_LOOK)
            results = job.get_results()
            asset, url, size = results.asset, results.location, results.content_length
        except requests.HTTPError as error:
            note.unlink(missing_ok=True)
            raise _verdict(error.response) from None
        except requests.RequestException as error:
            raise AcquisitionError(f"the store cannot be asked: {described(error)}") from None
        except (RuntimeError, AssertionError, KeyError, ValueError, TypeError) as error:
            note.unlink(missing_ok=True)  # it failed there, or was answered with nonsense
            raise AcquisitionError(f"the store could not make it: {_short(str(error))}") from None
        zipped = "zip" in str(asset.get("type", "")) or urlsplit(url).path.endswith(_ZIP)
        name = str(Path(remote.name).with_suffix(_ZIP)) if zipped else remote.name
        match = _SHA256.fullmatch(str(asset.get("file:checksum", "")))
        found = replace(remote, name=name, url=url, size=size)
        return found if match is None else replace(found, algorithm="sha256", checksum=match["hex"])

    def forget(self, remote: Remote, room: Path) -> None:
        """Forget an order that is fetched, or of which nothing can be fetched."""
        (room / f"{remote.name}.order").unlink(missing_ok=True)

    def _resumed(self, note: Path) -> Any:
        try:
            number = note.read_text(encoding="utf-8").strip()
        except OSError:
            return None
        try:
            job = self._client.client.get_remote(number)
            if job.status in {"accepted", "running", "successful"}:
                return job
        except (requests.HTTPError, KeyError, ValueError) as error:
            _log.info("order %s is gone (%s)", number, type(error).__name__)
        note.unlink(missing_ok=True)
        return None

    def _submitted(self, remote: Remote, note: Path) -> Any:
        if remote.order is None:
            raise AcquisitionError("is nothing that can be ordered")
        job = self._client.retrieve(remote.order.dataset, dict(remote.order.inputs))
        note.write_text(f"{job.request_id}\n", encoding="utf-8")
        return job


def _unheard(*_: object, **__: object) -> None:
    """Take what a library tells and say nothing."""


def _verdict(response: requests.Response | None) -> AcquisitionError:
    if response is None:
        return AcquisitionError("the store cannot be asked")
    try:
        answer = json.loads(response.text)
        said = _short(" ".join(str(answer[k]) for k in ("title", "detail") if answer.get(k)))
    except (ValueError, TypeError, AttributeError):
        said = response.reason
    if response.status_code == _REFUSED:
        return UnauthorisedError(f"the key was not accepted. {HELP}")
    if response.status_code == _FORBIDDEN:
        return DeniedError(
            f"the store refuses it: {said} (licences are accepted on the dataset's page, Download)"
        )
    return AcquisitionError(f"the store answers {response.status_code}: {said}")


def _short(text: str) -> str:
    return " ".join(text.split())[:400]


def orders(
    offer: ClimateOffer, request: Request, held: Held
) -> tuple[list[Remote], list[FileReport]]:
    """Divide a request into files of at most a month; those that are here are left out.

    Names tell what a file is: source, part, days, and a hash of variables and region. A day is here when a file
    of the same hash that covers it is in the folder or came into the database, or when the database has its
    layers from anywhere else.
    """
    if request.first is None or request.last is None:
        raise UsageError(f"{offer.source} has dates: say --from and --to")
    area = None if offer.step is None else _area(request.bbox, offer.step)
    asked = set(_days(request.first, request.last))
    wanted: list[Remote] = []
    here: dict[str, FileReport] = {}
    for part in _parts(offer, request.variables):
        inputs = {**part.inputs, **({} if area is None else {"area": area})}
        stem, mark = f"{offer.source}_{part.name}", fingerprint(inputs)[:8]
        had: set[date] = set()
        for name, outcome, days in _covered(offer, held, stem, mark):
            if days & asked:
                size = held.files.get(name, 0)
                here.setdefault(name, FileReport(offer.source, name, outcome, size))
                had |= days
        had |= _in_layers(held, part, request.variables)
        for run in _runs(sorted(asked - had), part.later):
            name = f"{stem}_{run[0]:%Y%m%d}-{run[-1]:%Y%m%d}_{mark}{offer.suffix}"
            order = Order(offer.dataset, {**inputs, **_calendar(run, part.later)})
            wanted.append(Remote(offer.source, name, run[0], order=order))
    return wanted, list(here.values())


def _parts(offer: ClimateOffer, variables: frozenset[str]) -> Iterable[Part]:
    fitting = [part for part in offer.parts if variables.intersection(part.gives)]
    return fitting or offer.parts


def _covered(
    offer: ClimateOffer, held: Held, stem: str, mark: str
) -> Iterator[tuple[str, Outcome, set[date]]]:
    """Yield the names of files that are here and the days that they cover."""
    ours = re.compile(rf"{re.escape(stem)}_(\d{{8}})-(\d{{8}})_{mark}\.(?:nc|zip)")
    member = re.compile(offer.member) if offer.member else None
    recorded = ((one.delivered_as, Outcome.KNOWN) for one in held.recorded)
    for name, outcome in [*recorded, *((name, Outcome.THERE) for name in held.files)]:
        if match := ours.fullmatch(name):
            yield name, outcome, set(_days(*(date.fromisoformat(text) for text in match.groups())))
        elif member and (match := member.fullmatch(name)):
            yield name, outcome, {date.fromisoformat(match["day"])}


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _runs(days: list[date], later: int) -> Iterator[list[date]]:
    """Divide days into runs without a gap whose requests stay in a month: they are years × months × days."""

    def same(pair: tuple[int, date]) -> tuple[date, int]:
        number, day = pair
        return day - number * DAY, (day + later * DAY).month

    for _, group in groupby(enumerate(days), same):
        yield [day for _, day in group]


def _in_layers(held: Held, part: Part, variables: frozenset[str]) -> set[date]:
    """Return the days of which the database has every variable that is needed, whatever brought them.

    Where none is named, those count of which it has any day at all: not every one that a file holds is read.
    """
    needed = [v for v in part.gives if (v in variables if variables else held.days.get(v))]
    return set.intersection(*(set(held.days.get(v, ())) for v in needed)) if needed else set()


def _calendar(run: list[date], later: int) -> dict[str, list[str]]:
    """Return days as the store wants them."""
    days = [day + later * DAY for day in run]
    return {
        "year": sorted({f"{day:%Y}" for day in days}),
        "month": sorted({f"{day:%m}" for day in days}),
        "day": sorted({f"{day:%d}" for day in days}),
    }


def _area(bbox: BBox | None, step: float) -> list[float]:
    """Return a region as north, west, south, east, widened to whole steps."""
    if bbox is None:
        raise UsageError("say which --region W,S,E,N: the store makes files of regions")
    west, south, east, north = bbox
    if east < west:
        raise UsageError("the region crosses the 180th meridian: ask for its two halves")
    return [
        round(edges * step, 2)
        for edges in (
            math.ceil(north / step - _SLACK),
            math.floor(west / step + _SLACK),
            math.floor(south / step + _SLACK),
            math.ceil(east / step - _SLACK),
        )
    ]
