"""How long to wait and how often to ask again; one pace for all that ask at the same time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from ingest.acquisition.faults import (
    AcquisitionError,
    PassingError,
    StoppedError,
    is_distrust,
    place,
)
from ingest.acquisition.hosts import Hosts

__all__ = [
    "PASSING",
    "TIMEOUT",
    "Pace",
    "Patience",
    "PatientAdapter",
    "asked_wait",
    "passing",
    "patient",
    "quiet_session",
]

PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which one may ask again."""
TIMEOUT: Final = (20.0, 90.0)
"""Seconds for a connection, and between two pieces of an answer."""

_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Patience:
    """When to ask again.

    Parameters
    ----------
    tries : int
        Requests in a row without any progress after which to give up.
    first, most : float
        Seconds before the second request, doubled before each further one, at most ``most``.
    longest : float
        Seconds that a provider may ask to wait; asked for more, we give up and say so.
    """

    tries: int = 6
    first: float = 1.0
    most: float = 60.0
    longest: float = 900.0

    def delay(self, failures: int, chance: float) -> float:
        """Return how long to wait after some failures: half of it fixed, half by chance (0 to 1)."""
        whole = min(self.most, self.first * 2.0 ** min(failures - 1, 30))
        return whole * (0.5 + 0.5 * chance)


class Pace:
    """Waiting, together: when a provider asks one to wait, all wait.

    Parameters
    ----------
    patience : Patience
        When to ask again.
    sleep : callable, optional
        How to wait some seconds; by default so that `stop` ends it.
    clock : callable, optional
        Seconds that never go back.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience = patience or Patience()
        self._stopped = threading.Event()
        self._sleep = self._stopped.wait if sleep is None else sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0

    def stop(self) -> None:
        """End all waiting, and all that asks whether it may go on."""
        self._stopped.set()

    def check(self) -> None:
        """Go on.

        Raises
        ------
        StoppedError
            When the run was ended.
        """
        if self._stopped.is_set():
            raise StoppedError("the run was ended; run the same command again to go on")

    def wait(self, seconds: float) -> None:
        """Wait some seconds."""
        if seconds > 0:
            self._sleep(seconds)
        self.check()

    def turn(self) -> None:
        """Wait until the provider may be asked again; call it before each request."""
        with self._lock:
            left = self._until - self._clock()
        self.wait(left)

    def pause(self, failures: int, asked: float | None) -> None:
        """Wait after a failure.

        Parameters
        ----------
        failures : int
            How many there were in a row, this one included.
        asked : float or None
            Seconds that the provider asks everybody to wait.

        Raises
        ------
        AcquisitionError
            When it asks for more than we have patience for.
        """
        patience = self.patience
        if asked is not None and asked > patience.longest:
            raise AcquisitionError(
                f"the provider asks to wait {asked / 60:.0f} minutes: run the same command again then"
            )
        if asked is not None:
            with self._lock:
                self._until = max(self._until, self._clock() + asked)
        delay = patience.delay(failures, _chance.random())
        self.wait(delay if asked is None else asked + 0.1 * delay)


def asked_wait(response: requests.Response) -> float | None:
    """Return the seconds that an answer asks to wait: ``Retry-After`` as seconds or as a date."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


class PatientAdapter(HTTPAdapter):
    """Lets any client library built on requests ask again, at our pace, and only where it may.

    Parameters
    ----------
    pace : Pace
        When to ask again.
    hosts : Hosts
        Where requests may go; their credentials stay among the trusted ones.
    """

    def __init__(self, pace: Pace, hosts: Hosts) -> None:
        super().__init__()
        self._pace = pace
        self._hosts = hosts

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send a request, and again after a passing fault; the last answer is the caller's.

        Raises
        ------
        AcquisitionError
            When the request is for a host that is not declared.
        requests.RequestException
            As the last attempt raised it.
        """
        url = request.url or ""
        if not self._hosts.trusts(url):
            raise AcquisitionError(
                f"was sent on to {place(url)}, which is not a declared address: not followed"
            )
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT
        failures = 0
        while True:
            self._pace.turn()
            last = failures + 1 >= self._pace.patience.tries
            asked = None
            try:
                response = super().send(request, *args, **kwargs)
                if not kwargs.get("stream"):
                    _ = response.content  # a body that is cut off shows only here
            except (
                requests.exceptions.ConnectionError,
                requests.exceptions.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                if last or is_distrust(error):
                    raise
            else:
                page = "html" in response.headers.get("Content-Type", "").lower()
                odd = page and response.ok and not kwargs.get("stream")  # programs are told JSON
                if (response.status_code not in PASSING and not odd) or last:
                    return response
                asked = asked_wait(response)
                response.close()
            failures += 1
            self._pace.pause(failures, asked)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def quiet_session(pace: Pace, hosts: Hosts) -> requests.Session:
    """Return a session that adds no credentials of its own accord and is patient.

    Left to itself requests looks every host up in the user's netrc, whose ``default`` entry fits all.
    """
    session = requests.Session()
    session.auth = _as_it_is
    patient(session, pace, hosts)
    return session


def patient(session: requests.Session, pace: Pace, hosts: Hosts) -> None:
    """Make a client library's session patient."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, PatientAdapter(pace, hosts))


def passing(response: requests.Response) -> PassingError:
    """Return the fault that an answer of `PASSING` stands for."""
    return PassingError(
        f"the server answers {response.status_code} {response.reason}", asked_wait(response)
    )
