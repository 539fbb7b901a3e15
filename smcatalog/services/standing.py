"""How things stand, as values: products, queue, files, announcements, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from smcatalog.database.announcements import Receiver
from smcatalog.database.status import (
    BusyWorker,
    DatabaseState,
    QuarantinedJob,
    QueuedTask,
    RefusedFile,
    StoredFiles,
)
from smcatalog.services.plan import DayState

__all__ = [
    "AnnouncementStatus",
    "FileStatus",
    "ProductStatus",
    "QueueStatus",
    "Reason",
    "Status",
    "Trouble",
    "TroubleKind",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some days of a product are not current.

    Parameters
    ----------
    state : DayState
        What is to be done about them.
    cause : str or None
        Why, as in `smcatalog.services.plan.Cause`.
    held_for : str or None
        closing, listed or never, when the product's policy leaves them as they are.
    detail : str or None
        What is missing, or why they were refused; None when several reasons are told as one.
    days : int
        How many.
    first_day, last_day : date
        The first and the last of them.
    reasons : int
        How many reasons are told as one.
    """

    state: DayState
    cause: str | None
    held_for: str | None
    detail: str | None
    days: int
    first_day: date
    last_day: date
    reasons: int = 1


@dataclass(frozen=True, slots=True)
class ProductStatus:
    """How a product stands.

    Parameters
    ----------
    product : str
        Its name.
    version : int
        Number of the version that is planned and made.
    settled_until : date or None
        Newest day up to which nothing is missing, stale or gone; days that are held by policy or refused
        count as settled. None when the first day is open, or there is none.
    newest_map : date or None
        Newest day with a map in force.
    newest_input : date or None
        Newest day of a layer without which there is no map.
    lag_days : int or None
        Days from the newest map to the newest input.
    newest_by_source : mapping of str to (date or None)
        Newest day by source of such layers.
    days : mapping of str to int
        Number of days by state, as they were planned last; every state is there.
    reasons : tuple of Reason
        Why days are not current: the most frequent of each state, the others as one.
    changes_waiting : int
        Changes of layers whose consequences are still to be planned.
    changes_since : datetime or None
        When the oldest of them happened.
    """

    product: str
    version: int
    settled_until: date | None
    newest_map: date | None
    newest_input: date | None
    lag_days: int | None
    newest_by_source: Mapping[str, date | None]
    days: Mapping[str, int]
    reasons: tuple[Reason, ...]
    changes_waiting: int
    changes_since: datetime | None

    def count(self, *states: DayState) -> int:
        """Return how many days are in any of some states."""
        return sum(self.days[state] for state in states)


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The queue and its workers.

    Parameters
    ----------
    tasks : tuple of QueuedTask
        Jobs by task.
    workers : tuple of BusyWorker
        Workers that live.
    silent : int
        Workers without a heartbeat for too long: dead, but nobody has looked yet.
    quarantined : mapping of str to int
        Jobs in quarantine by task.
    newest : tuple of QuarantinedJob
        The last ones that came there.
    """

    tasks: tuple[QueuedTask, ...]
    workers: tuple[BusyWorker, ...]
    silent: int
    quarantined: Mapping[str, int]
    newest: tuple[QuarantinedJob, ...]

    def count(self, name: str) -> int:
        """Return the jobs of all tasks that are ``running``, ``waiting``, ``later`` or ``retrying``."""
        return sum(int(getattr(task, name)) for task in self.tasks)

    @property
    def oldest_waiting(self) -> datetime | None:
        """Since when the oldest of the jobs that are due waits."""
        return min((t.oldest_waiting for t in self.tasks if t.oldest_waiting), default=None)


@dataclass(frozen=True, slots=True)
class FileStatus:
    """Refused files in whose place no good ones came.

    Parameters
    ----------
    refused : mapping of str to int
        Their number by source, ``unknown`` where it was not recognised.
    newest : tuple of RefusedFile
        The last ones.
    """

    refused: Mapping[str, int]
    newest: tuple[RefusedFile, ...]


@dataclass(frozen=True, slots=True)
class AnnouncementStatus:
    """Announcements that the webhook's receiver did not take.

    Parameters
    ----------
    declared : bool
        Whether there is a receiver; without one all wait and nothing is wrong.
    waiting : int
        How many.
    oldest_at : datetime or None
        When the oldest of them was announced.
    receiver : Receiver
        How deliveries go.
    """

    declared: bool
    waiting: int
    oldest_at: datetime | None
    receiver: Receiver


class TroubleKind(StrEnum):
    """What may be wrong."""

    JOBS_QUARANTINED = "jobs-quarantined"
    NO_WORKER = "no-worker"
    RECEIVER_GONE = "receiver-gone"
    RECEIVER_FAILING = "receiver-failing"
    PLAN_OVERDUE = "plan-overdue"
    JOBS_RETRYING = "jobs-retrying"
    FILES_REFUSED = "files-refused"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong.

    Parameters
    ----------
    kind : TroubleKind
        What it is about.
    stuck : bool
        Whether nothing goes on there until a person acts.
    message : str
        What, why and what to do, in one line.
    """

    kind: TroubleKind
    stuck: bool
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """How everything stands, as of one instant.

    Parameters
    ----------
    at : datetime
        When that was.
    stuck : bool
        Whether any trouble is one.
    troubles : tuple of Trouble
        What is wrong, the worst first.
    products : tuple of ProductStatus
        By name.
    queue : QueueStatus
        Jobs and workers.
    files : FileStatus
        Refused files.
    announcements : AnnouncementStatus
        What is still to be delivered.
    store : tuple of StoredFiles
        What the catalogue knows in the store, by kind.
    database : DatabaseState
        Revisions and size.
    """

    at: datetime
    stuck: bool
    troubles: tuple[Trouble, ...]
    products: tuple[ProductStatus, ...]
    queue: QueueStatus
    files: FileStatus
    announcements: AnnouncementStatus
    store: tuple[StoredFiles, ...]
    database: DatabaseState
