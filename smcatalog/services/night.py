"""A night: what the plan asks for as jobs, and what becomes needed behind them.

Each job is enqueued in the transaction that makes it needed. What a job is to do stands in the plan, not in the job:
one that comes twice, or late, finds nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from smcatalog.core.errors import NotFoundError, OvertakenError, UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.maps import PublishedMap
from smcatalog.core.time import DAY
from smcatalog.database.damage import damaged_partitions
from smcatalog.database.engine import transaction
from smcatalog.database.plan import changed_products, stored_days
from smcatalog.database.products import ProductVersionRecord, active_products
from smcatalog.database.training import trained_partitions
from smcatalog.jobs import Job, enqueue, quarantined
from smcatalog.products import Definition, Partitioning, partition_name
from smcatalog.services.fit import TooFew
from smcatalog.services.plan import DayState, Plan, PlannedDay, make_plan, states_of
from smcatalog.services.produce import DayResult, Maker
from smcatalog.services.withdraw import withdraw
from smcatalog.services.workspace import Workspace

__all__ = [
    "NightPlan",
    "active_definition",
    "active_definitions",
    "fit_partition",
    "jobs_behind_layers",
    "jobs_behind_observations",
    "jobs_of",
    "make_block",
    "plan_job",
    "plan_night",
]

INGEST_PRIORITY: Final = 40
_PLAN, _FIT, _MAKE, _AFTER = 30, 20, 10, 0
_BLOCK_DAYS: Final = 16


@dataclass(frozen=True, slots=True)
class NightPlan:
    """What a night is to do for a product.

    Parameters
    ----------
    product : str
        Its name.
    plan : Plan
        Its days that are not current.
    jobs : tuple of Job
        What is to be enqueued.
    enqueued : int
        How many of these were not waiting already.
    stuck : int
        How many are left out because they are in quarantine as they are.
    """

    product: str
    plan: Plan
    jobs: tuple[Job, ...]
    enqueued: int
    stuck: int


def plan_job(product: str) -> Job:
    """Return the job that plans a product."""
    return Job("plan", {"product": product}, f"plan:{product}", f"plan:{product}", _PLAN)


def jobs_behind_layers(connection: Connection) -> list[Job]:
    """Return the jobs that are needed because layers came or went: plans of the products that read them."""
    return [plan_job(product) for product in changed_products(connection)]


def jobs_behind_observations(connection: Connection) -> list[Job]:
    """Return the jobs that are needed because observations came in: match-ups of all products, of all days."""
    return [
        Job(
            "validate",
            {"product": version.name},
            f"validate:{version.name}",
            f"validate:{version.name}",
            _AFTER,
        )
        for version, _ in active_products(connection)
    ]


def active_definitions(connection: Connection) -> list[Definition]:
    """Return the definitions of all products that are planned and made."""
    return [Definition.from_dict(plain) for _, plain in active_products(connection)]


def active_definition(
    connection: Connection, product: str
) -> tuple[ProductVersionRecord, Definition]:
    """Return the active version of a product and its definition.

    Raises
    ------
    NotFoundError
        When the product has none.
    """
    for version, plain in active_products(connection):
        if version.name == product:
            return version, Definition.from_dict(plain)
    raise NotFoundError(
        f"no product '{product}' is planned here: 'smcatalog nightly {product}' begins with it"
    )


def plan_night(
    workspace: Workspace, definition: Definition, *, now: datetime | None = None
) -> NightPlan:
    """Plan a product and enqueue what is to be done, in one transaction; withdraw what lost its inputs."""

    def work(connection: Connection) -> NightPlan:
        plan = make_plan(connection, definition, now=now, open_only=True)
        jobs = jobs_of(connection, definition, plan)
        stuck = {_mark(entry.task, entry.arguments) for entry in quarantined(connection)}
        free = [job for job in jobs if _mark(job.task, job.arguments) not in stuck]
        done = enqueue(connection, free)
        return NightPlan(definition.name, plan, tuple(jobs), done, len(jobs) - len(free))

    night = transaction(workspace.engine, work)
    for day in night.plan.in_state(DayState.GONE):
        withdraw(workspace, definition, night.plan.version.product_id, day.day, day.reason, now=now)
    return night


def jobs_of(connection: Connection, definition: Definition, plan: Plan) -> list[Job]:
    """Return the jobs that a plan asks for: models first, then blocks of days whose models are there."""
    lost = set(damaged_partitions(connection, plan.version.id))
    to_make = [day for day in plan.days if day.to_make and day.partition is not None]
    needed = {day.partition for day in to_make if day.partition} | lost
    partitions = trained_partitions(connection, plan.version.id, names=needed)
    models = {
        p.name: p.model_id for p in partitions if p.model_id is not None and p.name not in lost
    }
    ready = [day for day in to_make if day.partition in models]
    return [
        *(
            _fit_job(definition.name, p.name, p.fingerprint)
            for p in partitions
            if p.name not in models
        ),
        *_block_jobs(connection, definition, plan, ready, models),
    ]


def _fit_job(product: str, partition: str, training: str) -> Job:
    lock = f"fit:{product}/{partition}"
    arguments = {"product": product, "partition": partition, "training": training[:16]}
    return Job("fit", arguments, lock, lock, _FIT)


def _block_jobs(
    connection: Connection,
    definition: Definition,
    plan: Plan,
    days: Sequence[PlannedDay],
    models: Mapping[str, int],
) -> list[Job]:
    """Return a job for each block of days that share a model; blocks do not wait for each other."""
    if not days:
        return []
    # so that a job in quarantine is tried again as soon as something of its block changed
    around = _BLOCK_DAYS * DAY
    content: dict[str, list[str]] = {}
    planned = stored_days(connection, plan.version.id, days[0].day - around, days[-1].day + around)
    for day, stored in sorted(planned.items()):
        block = partition_name(Partitioning.SIXTEEN_DAYS, day)
        content.setdefault(block, []).append(stored.inputs or "")
    jobs = []
    for (partition, block), _ in groupby(
        days,
        key=lambda day: (day.partition or "", partition_name(Partitioning.SIXTEEN_DAYS, day.day)),
    ):
        lock = f"make:{definition.name}/{partition}/{block}"
        arguments = {
            "product": definition.name,
            "partition": partition,
            "block": block,
            "content": fingerprint([models[partition], content[block]])[:16],
        }
        jobs.append(Job("produce", arguments, lock, lock, _MAKE))
    return jobs


def _mark(task: str, arguments: object) -> str:
    return fingerprint([task, arguments])


def fit_partition(workspace: Workspace, product: str, partition: str) -> TooFew | None:
    """Fit the model of a partition and enqueue what it makes possible, in the transaction that records it.

    Returns
    -------
    TooFew or None
        Why there is no model; None when there is one.
    """
    version, definition = transaction(workspace.engine, lambda c: active_definition(c, product))

    def behind(connection: Connection) -> None:
        enqueue(connection, [plan_job(product)])

    try:
        found = Maker(workspace, definition, version, fitted=behind).fit(partition)
    except OvertakenError:
        transaction(workspace.engine, behind)
        return None
    return found if isinstance(found, TooFew) else None


def make_block(
    workspace: Workspace,
    product: str,
    partition: str,
    block: str,
    stop: Callable[[], bool] = lambda: False,
    failed: Callable[[date, Exception], None] = lambda _day, _error: None,
) -> list[DayResult]:
    """Make the days of a block that are to be made, as the plan has them now.

    Parameters
    ----------
    stop : callable
        Asked before each map.
    failed : callable
        Told about a day whose map could not be made; the others are made all the same.
    """

    def find(
        connection: Connection,
    ) -> tuple[ProductVersionRecord, Definition, Sequence[PlannedDay]]:
        version, definition = active_definition(connection, product)
        first, last = _days_of(block)
        days = states_of(connection, definition, version, first, last, open_only=True)
        return version, definition, [d for d in days if d.to_make and d.partition == partition]

    version, definition, days = transaction(workspace.engine, find)
    chosen = [d for d in days if partition_name(Partitioning.SIXTEEN_DAYS, d.day) == block]
    if not chosen:
        return []
    maker = Maker(workspace, definition, version, published=_enqueue_behind)
    try:
        return list(maker.make(partition, chosen, stop, failed))
    except OvertakenError:
        transaction(workspace.engine, lambda c: enqueue(c, [plan_job(product)]))
        return []


def _days_of(block: str) -> tuple[date, date]:
    """Return the first day of a block and the last that it may have.

    Raises
    ------
    UsageError
        When it is not named by its first day, as YYYYDDD.
    """
    try:
        first = datetime.strptime(block, "%Y%j").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise UsageError(f"a block is named by its first day as YYYYDDD, got '{block}'") from error
    return first, first + (_BLOCK_DAYS - 1) * DAY


def _enqueue_behind(connection: Connection, published: PublishedMap) -> None:
    """Enqueue what a new map makes needed, in the transaction that publishes it."""
    month = f"{published.period.day:%Y-%m}"
    lock = f"validate:{published.product}/{month}"
    arguments = {"product": published.product, "month": month}
    jobs = [
        Job("validate", arguments, f"validate:{published.product}", lock, _AFTER),
        Job("announce", {}, "announce", "announce", _AFTER),
    ]
    enqueue(connection, jobs)
