"""What does the jobs of each task: the services, as a worker calls them.

A handler is safe to repeat, comes to an end early when it is asked to, and finds what is wrong with its
arguments before it does anything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.jobs import Handler, Job, RunningJob, enqueue

if TYPE_CHECKING:
    from ingest.service import FileResult
    from smcatalog.services.workspace import Workspace

__all__ = ["handlers"]

_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def handlers(workspace: Workspace) -> Mapping[str, Handler]:
    """Return what does the jobs of each task.

    ``ingest``
        ``paths``: files, folders and zips. Refused files are noted as such and are no failure.
    ``plan``
        ``product``: finds what is missing or stale, and enqueues the jobs of it.
    ``fit``
        ``product``, ``partition``: fits the model of a partition.
    ``produce``
        ``product``, ``partition``, ``block``: makes the maps of some days that share a model.
    ``validate``
        ``product``: brings match-ups and their roll-up up to date; with ``month``, as YYYY-MM, only its.
    ``announce``
        Posts to the webhook what was not posted yet.
    """
    found: dict[str, Callable[[Workspace, RunningJob], None]] = {
        "ingest": _ingest,
        "plan": _plan,
        "fit": _fit,
        "produce": _produce,
        "validate": _validate,
        "announce": _announce,
    }
    return {task: partial(handler, workspace) for task, handler in found.items()}


def _text(job: RunningJob, name: str) -> str:
    given = job.arguments.get(name)
    if not isinstance(given, str) or not given:
        raise UsageError(f"job {job.id} needs '{name}', a text, got {given!r}")
    return given


def _plan(workspace: Workspace, job: RunningJob) -> None:
    import structlog

    from smcatalog.database.engine import transaction
    from smcatalog.services.night import active_definition, plan_night

    product = _text(job, "product")
    _, definition = transaction(workspace.engine, lambda c: active_definition(c, product))
    night = plan_night(workspace, definition)
    counts = Counter(day.state.value for day in night.plan.days)
    structlog.get_logger("smcatalog.plan").info(
        "planned", enqueued=night.enqueued, stuck=night.stuck, **counts
    )


def _fit(workspace: Workspace, job: RunningJob) -> None:
    import structlog

    from smcatalog.services.night import fit_partition

    refused = fit_partition(workspace, _text(job, "product"), _text(job, "partition"))
    if refused is not None:
        log = structlog.get_logger("smcatalog.fit")
        log.warning("too few samples for a model", reason=refused.reason)


def _produce(workspace: Workspace, job: RunningJob) -> None:
    import structlog

    from smcatalog.database.engine import transaction
    from smcatalog.database.maps import bytes_of_items
    from smcatalog.services.night import make_block

    log = structlog.get_logger("smcatalog.produce")
    errors: list[tuple[date, Exception]] = []

    def failed(day: date, error: Exception) -> None:
        log.warning("map not made", day=f"{day}", reason=str(error))
        errors.append((day, error))

    made = make_block(
        workspace,
        _text(job, "product"),
        _text(job, "partition"),
        _text(job, "block"),
        job.should_stop,
        failed,
    )
    for result in made:
        log.info("map made", day=f"{result.day}", item=result.item_id, why=result.reason)
    items = [result.item_id for result in made if result.item_id]
    job.count_bytes(transaction(workspace.engine, lambda c: bytes_of_items(c, items)))
    job.stop_if_asked()
    if errors:
        days = ", ".join(f"{day}" for day, _ in errors)
        raise SmcatalogError(f"no map of {days}: {errors[0][1]}") from errors[0][1]


def _announce(workspace: Workspace, _job: RunningJob) -> None:
    import structlog

    from smcatalog.database.engine import transaction
    from smcatalog.services.announce import deliver

    report = deliver(workspace.engine, workspace.settings)
    log = structlog.get_logger("smcatalog.announce")
    counts = {"delivered": report.delivered, "waiting": report.waiting}
    if report.error is None:
        log.info("announcements delivered", **counts)
    else:
        # the job is done all the same: it comes again when the receiver may be asked again
        log.warning("announcements not delivered", **counts, error=report.error)
    if report.next_attempt_at is not None:
        later = Job("announce", {}, "announce", "announce", not_before=report.next_attempt_at)
        transaction(workspace.engine, lambda connection: enqueue(connection, [later]))


def _ingest(workspace: Workspace, job: RunningJob) -> None:
    import structlog

    from ingest.inbox import note_taken, stamps
    from ingest.service import ingest
    from smcatalog.database.engine import transaction

    given = job.arguments.get("paths")
    if (
        not isinstance(given, Sequence)
        or isinstance(given, str)
        or not all(isinstance(path, str) for path in given)
    ):
        raise UsageError(f"job {job.id} is to ingest 'paths', a list of texts, got {given!r}")
    paths = [Path(str(path)) for path in given]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        # not for ever: a folder of another machine may not be mounted yet
        raise SmcatalogError(
            f"there is no {', '.join(missing)} on this machine: mount it, or deliver the files again"
        )

    def tell(_: FileResult) -> None:
        job.stop_if_asked()  # between two files: what is recorded stays

    taken = stamps(paths)  # as they lie now: what changes while it is read is read again
    report = ingest(workspace, paths, workers=1, tell=tell)
    transaction(workspace.engine, lambda connection: note_taken(connection, taken))
    job.count_bytes(sum(size for _, size, _ in taken))
    log = structlog.get_logger("smcatalog.ingest")
    for file in report.refused:
        log.warning("file refused", file=file.name, reason=file.reason)
    log.info(
        "files ingested",
        ingested=report.count("ingested"),
        known=report.count("known"),
        refused=len(report.refused),
    )


def _validate(workspace: Workspace, job: RunningJob) -> None:
    from smcatalog.database.engine import transaction
    from smcatalog.services.night import active_definition
    from smcatalog.services.validate import update_matchups

    product = _text(job, "product")
    first, last = _month(job) if "month" in job.arguments else (None, None)
    version, _ = transaction(workspace.engine, lambda c: active_definition(c, product))
    update_matchups(
        workspace.engine,
        workspace.store,
        version.product_id,
        first=first,
        last=last,
        progress=lambda _done, _total: job.stop_if_asked(),
    )


def _month(job: RunningJob) -> tuple[date, date]:
    """Return the first and the last day of the month that a job names."""
    given = job.arguments.get("month")
    found = _MONTH.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise UsageError(f"job {job.id} is to validate a 'month' written as YYYY-MM, got {given!r}")
    first = date(int(found[1]), int(found[2]), 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
