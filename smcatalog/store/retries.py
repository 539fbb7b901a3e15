"""Trying again while an object store is out of order, and saying what it said when it stays so."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from smcatalog.core.errors import StoreError

__all__ = ["Passing", "Retries", "tried"]

T = TypeVar("T")

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w{1,60})</Code>")
_WORTH_A_RETRY: Final = frozenset({"408", "409", "425", "429"})
_ADVICE: Final = {
    "NoSuchBucket": "make the bucket, or correct SMCATALOG_STORE",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "RequestTimeTooSkewed": "set this machine's clock right",
    "ExpiredToken": "renew the credentials in the environment",
    "EntityTooLarge": "the file is larger than S3 takes at once",
}
_FORBIDDEN: Final = (
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the machine's role, and that "
    "they may read, write, list and delete there"
)
_DOWN: Final = "check AWS_ENDPOINT_URL and the network, then try again"


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a store is with its server.

    Parameters
    ----------
    seconds : float
        After so long no further attempt is begun.
    pause : float
        Seconds before the second attempt; twice as long before each further one.
    longest_pause : float
        Seconds.
    request : float
        Seconds after which a request without an answer is given up, for each 8 MB that it moves.
    """

    seconds: float = 60.0
    pause: float = 0.2
    longest_pause: float = 8.0
    request: float = 20.0


class Passing(Exception):  # noqa: N818 - says that it may pass, which is no fault of ours
    """Something went wrong that may go well the next time."""


def tried(action: Callable[[], T], what: str, retries: Retries) -> T:
    """Do something with an object store, again and again while it fails for a passing reason.

    Parameters
    ----------
    action : callable
        Safe to repeat.
    what : str
        What it does and where, for messages: ``read x in the store s3://bucket``.

    Raises
    ------
    FileNotFoundError
        When the server says that there is no such object.
    StoreError
        When it refuses for good, or fails for longer than ``retries`` allow. The message tells the
        server's status and code, never its whole answer: that may repeat what was signed.
    """
    begun = time.monotonic()
    pause = retries.pause
    attempts = 0
    while True:
        attempts += 1
        try:
            return action()
        except Passing as error:
            said, advice, passing = str(error), _DOWN, True
        except FileNotFoundError as error:
            said, advice, passing = _understood(error)
            if not advice:
                raise FileNotFoundError(what) from None
        except BaseError as error:
            said, advice, passing = _understood(error)
        left = begun + retries.seconds - time.monotonic()
        if not passing or left <= 0:
            often = f", {attempts} times" if passing and attempts > 1 else ""
            raise StoreError(f"cannot {what}: {said}{often}; {advice}")
        time.sleep(min(pause * random.uniform(0.5, 1.0), left))  # noqa: S311 - spreads workers out
        pause = min(2 * pause, retries.longest_pause)


def _understood(error: Exception) -> tuple[str, str, bool]:
    """Return what an error says without secrets, what to do, and whether it may pass.

    There is nothing to do about an object that is not there.
    """
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if status is None:
        late = " in time" if re.search(r"timed ?out", text, re.IGNORECASE) else ""
        return f"the server does not answer{late}", _FORBIDDEN if refused else _DOWN, not refused
    number, name = status[1], code[1] if code else ""
    said = f"the server answers {number}" + (f" ({name})" if name else "")
    if name in _ADVICE:
        return said, _ADVICE[name], False
    if isinstance(error, FileNotFoundError):
        return said, "", False
    if refused:
        return said, _FORBIDDEN, False
    return said, _DOWN, number >= "500" or number in _WORTH_A_RETRY
