"""Telling others what became of maps: the webhook's deliveries, and following along in the database.

Deliveries are at least once and in order: what a receiver did not take is sent again before anything newer. Nothing
waits for a receiver but its own messages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, text

from smcatalog.core.errors import DatabaseUnavailable
from smcatalog.core.settings import Settings
from smcatalog.database.announcements import (
    CHANNEL,
    Announcement,
    Receiver,
    abandon,
    announced,
    count_waiting,
    last_announcement,
    mark_delivered,
    receiver,
    save_receiver,
    waiting,
)
from smcatalog.database.engine import transaction, translated_errors
from smcatalog.services.webhook import DeliveryError, Webhook, sign

__all__ = ["DeliveryReport", "DeliveryState", "deliver", "follow", "plain"]

_BATCH: Final = 100
_FIRST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE: Final = timedelta(hours=6)
_PATIENCE: Final = timedelta(days=7)
_GONE: Final = 410
_POLL_SECONDS: Final = 30.0
_LOCK: Final = "hashtext('smcatalog.webhook')"


class DeliveryState(StrEnum):
    """How a run of deliveries ended."""

    OFF = "off"
    """No receiver is declared."""
    DONE = "done"
    """Everything is delivered."""
    WAITING = "waiting"
    """The receiver did not take something; it is tried again later."""
    STOPPED = "stopped"
    """The receiver has said that it is gone for good."""
    BUSY = "busy"
    """Another process delivers at this moment."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a run of deliveries did.

    Parameters
    ----------
    state : DeliveryState
        How it ended.
    delivered : int
        Announcements that the receiver took.
    abandoned : int
        Announcements that were given up, because nobody took them for a week.
    waiting : int
        Announcements that are left.
    error : str or None
        What went wrong at the last attempt.
    next_attempt_at : datetime or None
        When it makes sense to try again.
    """

    state: DeliveryState
    delivered: int = 0
    abandoned: int = 0
    waiting: int = 0
    error: str | None = None
    next_attempt_at: datetime | None = None


def deliver(
    engine: Engine,
    settings: Settings,
    *,
    force: bool = False,
    dry_run: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> DeliveryReport:
    """Post to the webhook what it did not take yet, the oldest first, a hundred at a time.

    An answer of 2xx means that the receiver took all of a message. After any other answer, or none, the same
    announcements are tried again: after 30 s, then twice as long each time, at most 6 h; a receiver may ask
    for more time by ``Retry-After``. 410 (gone) stops deliveries to this address. What nobody took for
    seven days is given up with the reason. One process delivers at a time.

    Parameters
    ----------
    engine : Engine
        Of the database.
    settings : Settings
        Name the receiver and the file of its secret.
    force : bool
        Whether to try at once, however recent the last failure, also after a 410.
    dry_run : bool
        Whether only to say what waits.
    clock : callable, optional
        Tells the present, for tests.

    Raises
    ------
    ConfigurationError
        When the declared receiver or secret is unfit.
    DatabaseUnavailable
        When no database answers.
    """
    webhook = Webhook.of(settings)
    if webhook is None:
        return DeliveryReport(DeliveryState.OFF, waiting=transaction(engine, count_waiting))
    with _turn(engine) as connection:
        if connection is None:
            return DeliveryReport(DeliveryState.BUSY)
        delivery = _Delivery(connection, webhook, clock)
        return delivery.look() if dry_run else delivery.run(force=force)


@contextmanager
def _turn(engine: Engine) -> Iterator[Connection | None]:
    """Give a connection that commits each statement and holds the turn to deliver; None: it is another's.

    The turn ends with the connection. Should that break, nothing more can be recorded through it.
    """
    with (
        translated_errors(engine.url),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        if not connection.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})")):
            yield None
            return
        try:
            yield connection
        finally:
            if not connection.invalidated:
                connection.execute(text(f"SELECT pg_advisory_unlock({_LOCK})"))


class _Delivery:
    """One run of deliveries to one receiver."""

    def __init__(
        self, connection: Connection, webhook: Webhook, clock: Callable[[], datetime]
    ) -> None:
        self._connection = connection
        self._webhook = webhook
        self._clock = clock
        self._delivered = 0
        self._abandoned = 0

    def look(self) -> DeliveryReport:
        """Say what waits, and change nothing."""
        return self._report(self._known())

    def run(self, *, force: bool) -> DeliveryReport:
        """Deliver until nothing is left or the receiver does not take something."""
        state = self._known()
        now = self._clock()
        reason = f"not taken for {_PATIENCE.days} days: {state.last_error or 'no attempt was made'}"
        self._abandoned = abandon(self._connection, now, _PATIENCE, reason)
        held = state.stopped_at or (state.next_attempt_at and state.next_attempt_at > now)
        if held and not force:
            return self._report(state)
        if force:
            state = Receiver(state.failures, None, state.last_error)
        while batch := waiting(self._connection, _BATCH):
            state = self._attempt(batch, state)
            if state.failures:
                break
        return self._report(state)

    def _known(self) -> Receiver:
        return receiver(self._connection, self._webhook.address_sha256)

    def _attempt(self, batch: Sequence[Announcement], before: Receiver) -> Receiver:
        """Post announcements once, and record what came of it."""
        body = _body(batch)
        now = self._clock()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "smcatalog",
            "Idempotency-Key": hashlib.sha256(body).hexdigest(),
            "Smcatalog-Signature": sign(self._webhook.secret, body, int(now.timestamp())),
        }
        pause, gone = _pause(before.failures + 1), False
        try:
            answer = self._webhook.post(body, headers)
        except DeliveryError as error:
            problem = str(error)
        else:
            if answer.status // 100 == 2:  # noqa: PLR2004 - the statuses of success
                mark_delivered(self._connection, [one.id for one in batch], self._clock())
                self._delivered += len(batch)
                if before != Receiver():
                    save_receiver(self._connection, self._webhook.address_sha256, Receiver())
                return Receiver()
            problem = f"the receiver answered {answer.status}"
            gone = answer.status == _GONE
            asked = timedelta(seconds=min(answer.retry_after or 0, _LONGEST_PAUSE.total_seconds()))
            pause = max(pause, asked)
        now = self._clock()
        state = Receiver(
            failures=before.failures + 1,
            next_attempt_at=None if gone else now + pause,
            last_error=problem,
            stopped_at=now if gone else None,
        )
        save_receiver(self._connection, self._webhook.address_sha256, state)
        return state

    def _report(self, state: Receiver) -> DeliveryReport:
        left = count_waiting(self._connection)
        if state.stopped_at is not None:
            how = DeliveryState.STOPPED
        else:
            how = DeliveryState.WAITING if left else DeliveryState.DONE
        return DeliveryReport(
            how, self._delivered, self._abandoned, left, state.last_error, state.next_attempt_at
        )


def _pause(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row."""
    doublings = min(failures - 1, 20)  # beyond, the longest pause is reached anyway
    return min(_FIRST_PAUSE * (1 << doublings), _LONGEST_PAUSE)


def _body(batch: Sequence[Announcement]) -> bytes:
    """Return a message: the same announcements give the same bytes."""
    content = {"announcements": [plain(one) for one in batch]}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def plain(announcement: Announcement) -> dict[str, Any]:
    """Return an announcement as receivers get it: texts and numbers only."""
    return asdict(announcement) | {
        "kind": announcement.kind.value,
        "day": announcement.day.isoformat(),
        "happened_at": announcement.happened_at.astimezone(UTC).isoformat(),
    }


def follow(
    engine: Engine, *, after: int | None = None, poll_seconds: float = _POLL_SECONDS
) -> Iterator[Announcement]:
    """Yield announcements as they are committed, in their order and without end.

    Parameters
    ----------
    engine : Engine
        Of the database.
    after : int, optional
        Begin after this announcement; by default only what comes from now on.
    poll_seconds : float
        After how long to look even if nothing was notified [s].

    Raises
    ------
    DatabaseUnavailable
        When no database answers, or no longer.
    """
    with (
        translated_errors(engine.url),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        # kept out of the pool: it listens, and goes on to while nobody reads
        raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        connection.detach()
        try:
            raw.execute(f"LISTEN {CHANNEL}")
            # what is committed from here on is notified; what was before is in the table
            seen = transaction(engine, last_announcement) if after is None else after
            while True:
                found = transaction(engine, partial(announced, after=seen, limit=_BATCH))
                for one in found:
                    seen = one.id
                    yield one
                if not found:
                    for _ in raw.notifies(timeout=poll_seconds, stop_after=1):
                        pass
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(
                f"The connection to {engine.url.render_as_string(hide_password=True)} was lost "
                f"({str(error).strip()}): run it again with --after and the last number that was shown."
            ) from error
