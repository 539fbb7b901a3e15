"""How things stand: what is current up to when, what is stuck, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, Engine

from smcatalog.core.errors import NotFoundError
from smcatalog.database import status as stored
from smcatalog.database.announcements import Receiver, receiver
from smcatalog.database.engine import transaction
from smcatalog.database.status import DayGroup, ProductState, Undelivered
from smcatalog.jobs import WorkerOptions
from smcatalog.services.plan import DayState
from smcatalog.services.standing import (
    AnnouncementStatus,
    FileStatus,
    ProductStatus,
    QueueStatus,
    Reason,
    Status,
    Trouble,
    TroubleKind,
)

__all__ = ["snapshot", "status"]

_SHOWN: Final = 5
"""Reasons, jobs and files of each kind that are told one by one."""
_OVERDUE: Final = timedelta(days=1)
"""Age at which changes that nobody has planned are a trouble: there is a night every day."""


def snapshot(engine: Engine) -> Engine:
    """Return an engine whose transactions only read, all of them the same state of the database."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def status(
    engine: Engine,
    now: datetime | None = None,
    *,
    products: Collection[str] = (),
    address_sha256: str | None = None,
) -> Status:
    """Say how everything stands.

    The number of queries depends neither on the length of the history nor on the number of products.

    Parameters
    ----------
    engine : Engine
        Of a role that may read the tables.
    now : datetime, optional
        The present, for tests: what the plan is asked for.
    products : collection of str
        Only these products; the queue, files and the rest are told for all.
    address_sha256 : str, optional
        Checksum of the address of the webhook's declared receiver.

    Returns
    -------
    Status
        The states of days are those of the last planning: ``changes_waiting`` says what came since.

    Raises
    ------
    NotFoundError
        When a product is not planned here.
    DatabaseUnavailable
        When no database answers.
    """
    present = now or datetime.now(UTC)

    def ask(connection: Connection) -> Status:
        found = _products(connection, present, products)
        queue = _queue(connection)
        files = FileStatus(
            stored.count_refused_files(connection),
            tuple(stored.newest_refused_files(connection, _SHOWN)),
        )
        announcements = _announcements(connection, stored.undelivered(connection), address_sha256)
        troubles = _troubles(present, found, queue, files, announcements)
        return Status(
            at=present,
            stuck=any(trouble.stuck for trouble in troubles),
            troubles=troubles,
            products=found,
            queue=queue,
            files=files,
            announcements=announcements,
            store=tuple(stored.stored_files(connection)),
            database=stored.database_state(connection),
        )

    return transaction(snapshot(engine), ask)


def _products(
    connection: Connection, present: datetime, wanted: Collection[str]
) -> tuple[ProductStatus, ...]:
    states = stored.product_states(connection)
    unknown = sorted(set(wanted) - {state.product for state in states})
    if unknown:
        raise NotFoundError(
            f"no product {', '.join(map(repr, unknown))} is planned here; there are "
            f"{', '.join(state.product for state in states) or 'none'}: "
            f"'smcatalog nightly {unknown[0]}' begins with it"
        )
    groups: dict[str, list[DayGroup]] = {}
    for group in stored.plan_summary(connection, present):
        groups.setdefault(group.product, []).append(group)
    return tuple(
        _product(state, groups.get(state.product, []))
        for state in states
        if not wanted or state.product in wanted
    )


def _product(state: ProductState, groups: Sequence[DayGroup]) -> ProductStatus:
    days = dict.fromkeys(map(str, DayState), 0)
    for group in groups:
        days[group.state] += group.days
    return ProductStatus(
        product=state.product,
        version=state.version,
        settled_until=groups[0].settled_until if groups else None,
        newest_map=state.newest_map,
        newest_input=state.newest_input,
        lag_days=state.lag_days,
        newest_by_source=state.newest_by_source,
        days=days,
        reasons=tuple(_reasons(groups)),
        changes_waiting=state.changes_waiting,
        changes_since=state.changes_since,
    )


def _reasons(groups: Iterable[DayGroup]) -> Iterable[Reason]:
    """Yield why days are not current: the most frequent reasons of each kind, the others as one."""
    kinds: dict[tuple[DayState, str, str], list[Reason]] = {}
    for g in groups:
        state = DayState(g.state)
        if state is not DayState.CURRENT:
            reason = Reason(state, g.cause, g.held_for, g.detail, g.days, g.first_day, g.last_day)
            kinds.setdefault((state, g.cause or "", g.held_for or ""), []).append(reason)
    order = list(DayState)
    for _, same in sorted(kinds.items(), key=lambda kind: (order.index(kind[0][0]), kind[0])):
        shown = len(same) if len(same) <= _SHOWN else _SHOWN - 1
        yield from same[:shown]
        if rest := same[shown:]:
            yield replace(
                rest[0],
                detail=None,
                days=sum(one.days for one in rest),
                first_day=min(one.first_day for one in rest),
                last_day=max(one.last_day for one in rest),
                reasons=len(rest),
            )


def _queue(connection: Connection) -> QueueStatus:
    alive_seconds = WorkerOptions().stalled_seconds
    listed = stored.workers(connection)
    living = tuple(worker for worker in listed if worker.silent_seconds < alive_seconds)
    return QueueStatus(
        tasks=tuple(stored.queue(connection)),
        workers=living,
        silent=len(listed) - len(living),
        quarantined=stored.count_quarantined_jobs(connection),
        newest=tuple(stored.newest_quarantined_jobs(connection, _SHOWN)),
    )


def _announcements(
    connection: Connection, waiting: Undelivered, address_sha256: str | None
) -> AnnouncementStatus:
    known = receiver(connection, address_sha256) if address_sha256 else Receiver()
    return AnnouncementStatus(address_sha256 is not None, waiting.waiting, waiting.oldest_at, known)


def _troubles(
    present: datetime,
    products: Sequence[ProductStatus],
    queue: QueueStatus,
    files: FileStatus,
    announcements: AnnouncementStatus,
) -> tuple[Trouble, ...]:
    found = [
        *_troubles_of_queue(queue),
        *_troubles_of_delivery(announcements),
        *_troubles_of_plans(present, products),
    ]
    if files.refused:
        of = ", ".join(f"{number} of {source}" for source, number in files.refused.items())
        found.append(
            Trouble(
                TroubleKind.FILES_REFUSED,
                False,
                f"files are refused ({of}): deliver good ones of the same "
                "names; the others go on without them",
            )
        )
    return tuple(sorted(found, key=lambda trouble: not trouble.stuck))


def _troubles_of_queue(queue: QueueStatus) -> Iterable[Trouble]:
    if queue.quarantined:
        of = ", ".join(f"{number} {task}" for task, number in queue.quarantined.items())
        yield Trouble(
            TroubleKind.JOBS_QUARANTINED,
            True,
            f"jobs are in quarantine ({of}): 'smcatalog jobs show NUMBER' "
            "says why, 'smcatalog jobs release NUMBER' tries again",
        )
    due = queue.count("waiting") + queue.count("running")
    if due and not queue.workers:
        since = queue.oldest_waiting
        yield Trouble(
            TroubleKind.NO_WORKER,
            True,
            f"jobs are due ({due}{f', since {since:%Y-%m-%dT%H:%MZ}' if since else ''}) and no worker lives: "
            "start one with 'smcatalog worker'",
        )
    if retrying := queue.count("retrying"):
        yield Trouble(
            TroubleKind.JOBS_RETRYING,
            False,
            f"waiting jobs that failed before ({retrying}) are tried again by themselves: "
            "'smcatalog jobs list' names them",
        )


def _troubles_of_delivery(announcements: AnnouncementStatus) -> Iterable[Trouble]:
    known = announcements.receiver
    if not announcements.waiting:
        return
    if known.stopped_at is not None:
        yield Trouble(
            TroubleKind.RECEIVER_GONE,
            True,
            f"announcements wait ({announcements.waiting}), and the webhook's receiver said on "
            f"{known.stopped_at:%Y-%m-%d} that it is gone for good: declare another one, or try it with "
            "'smcatalog announcements deliver --force'",
        )
    elif known.failures:
        yield Trouble(
            TroubleKind.RECEIVER_FAILING,
            False,
            f"announcements wait ({announcements.waiting}), deliveries failed {known.failures} times in a row "
            f"({known.last_error}): they are tried again by themselves for seven days",
        )


def _troubles_of_plans(present: datetime, products: Sequence[ProductStatus]) -> Iterable[Trouble]:
    overdue = [p for p in products if p.changes_since and present - p.changes_since > _OVERDUE]
    for since, same in groupby(overdue, key=lambda product: product.changes_since):
        names = ", ".join(product.product for product in same)
        yield Trouble(
            TroubleKind.PLAN_OVERDUE,
            False,
            f"what came in since {since:%Y-%m-%dT%H:%MZ} is not planned for {names}: "
            "'smcatalog nightly' does it, once a day at least",
        )
