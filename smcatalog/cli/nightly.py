"""The night: what is new is taken in, what it touches is made, and nothing else."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from smcatalog.cli.data import find_definition, open_workspace
from smcatalog.cli.output import ExitCode, complain, print_json, say
from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.core.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from smcatalog.core.logs import LogFormat
    from smcatalog.jobs import Job
    from smcatalog.services.workspace import Workspace

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")]
Products = Annotated[
    list[str] | None,
    typer.Argument(help="Products to begin with, beside those that are made already."),
]

_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Night:
    """What a night did.

    Parameters
    ----------
    products : tuple of str
        Products that were planned.
    files : int
        Jobs of the inbox that were enqueued.
    runs : dict of str to int
        Jobs that this process did, by outcome.
    left, quarantined : int
        Jobs that are left in the queue, and that are in quarantine.
    states : dict of str to dict
        Number of days by state, by product.
    """

    products: tuple[str, ...]
    files: int
    runs: dict[str, int]
    left: int
    quarantined: int
    states: dict[str, dict[str, int]]


def _nightly(
    context: typer.Context,
    products: Products = None,
    enqueue_only: Annotated[
        bool, typer.Option("--enqueue-only", help="Wake the workers and do nothing here.")
    ] = False,
    at: Annotated[
        str | None, typer.Option("--at", help="Stay, and wake the workers each day at HH:MM UTC.")
    ] = None,
    log_format: Annotated[
        str, typer.Option("--log-format", help="json or text, on standard error.")
    ] = "text",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take in what is new in the inbox, plan the products, and make what is missing or stale.

    The work goes through the queue: this process does it until nothing is left, together with all workers
    that run. Exit code 3: something is in quarantine or left over.
    """
    from smcatalog.core.logs import configure_logs

    if log_format not in {"json", "text"}:
        raise UsageError(f"--log-format must be json or text, got '{log_format}'")
    settings: Settings = context.obj
    hour = _hour(at) if at is not None else None
    configure_logs(cast("LogFormat", log_format))
    workspace = open_workspace(context)
    if dry_run:
        _rehearse(workspace, settings, products or [], json=json)
        return
    if hour is not None:
        _stay(workspace, settings, products or [], hour)
        return
    names, files = _wake(workspace, settings, products or [])
    runs: dict[str, int] = {}
    if not enqueue_only:
        runs = _work(workspace, settings)
    night = _summary(workspace, names, files, runs)
    if json:
        print_json(night)
    else:
        _say(night)
    if not enqueue_only and (night.quarantined or night.left):
        raise typer.Exit(ExitCode.IN_PART)


def _hour(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").replace(tzinfo=UTC).time()
    except ValueError as error:
        raise UsageError(f"--at must be a time of day in UTC, HH:MM, got '{text}'") from error


def _jobs(
    workspace: Workspace, settings: Settings, products: list[str]
) -> tuple[tuple[str, ...], list[Job], list[Job]]:
    """Declare products and return all that are made, with the jobs of the inbox and of the plans."""
    from ingest.inbox import inbox_jobs
    from smcatalog.database.engine import transaction
    from smcatalog.jobs import Job
    from smcatalog.services.night import active_definitions, plan_job
    from smcatalog.services.plan import activate

    for name in products:
        definition = find_definition(settings, name)
        transaction(workspace.engine, partial(activate, definition=definition))
    names = tuple(one.name for one in transaction(workspace.engine, active_definitions))
    files: list[Job] = []
    if settings.inbox is not None:
        inbox = settings.inbox
        files = transaction(workspace.engine, lambda c: inbox_jobs(c, inbox))
    others = [plan_job(name) for name in names]
    if settings.webhook_url is not None:
        others.append(Job("announce", {}, "announce", "announce"))
    return names, files, others


def _wake(
    workspace: Workspace, settings: Settings, products: list[str]
) -> tuple[tuple[str, ...], int]:
    from smcatalog.database.engine import transaction
    from smcatalog.jobs import enqueue

    workspace.store.sweep()
    names, files, others = _jobs(workspace, settings, products)
    transaction(workspace.engine, lambda c: enqueue(c, [*files, *others]))
    return names, len(files)


def _work(workspace: Workspace, settings: Settings) -> dict[str, int]:
    from smcatalog.cli.handlers import handlers
    from smcatalog.jobs import WorkerOptions, run_worker
    from smcatalog.services.workspace import database_url

    options = WorkerOptions.read(settings.worker)
    url = database_url(settings)
    report = run_worker(url, handlers(workspace), wait=False, options=options)
    return {outcome.value: number for outcome, number in report.runs.items()}


def _summary(
    workspace: Workspace, names: tuple[str, ...], files: int, runs: dict[str, int]
) -> Night:
    from smcatalog.database.engine import transaction
    from smcatalog.database.plan import count_states
    from smcatalog.jobs import count_tasks, quarantined

    def find(connection: Connection) -> Night:
        tasks = count_tasks(connection)
        states = count_states(connection, datetime.now(UTC))
        return Night(
            names,
            files,
            runs,
            sum(task.running + task.waiting + task.later for task in tasks),
            len(quarantined(connection)),
            {name: states.get(name, {}) for name in names},
        )

    return transaction(workspace.engine, find)


def _say(night: Night) -> None:
    for name in night.products:
        states = night.states[name]
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        say(f"{name}: {counts or 'no days'}")
    done = ", ".join(f"{number} {outcome}" for outcome, number in night.runs.items())
    say(f"jobs: {done or 'none done here'}; {night.left} left in the queue")
    if night.quarantined:
        complain(f"{night.quarantined} jobs are in quarantine: 'smcatalog jobs list' names them")


def _rehearse(workspace: Workspace, settings: Settings, products: list[str], *, json: bool) -> None:
    """Say what a night would begin with: files of the inbox and the plans of products as they are."""
    from ingest.inbox import inbox_jobs
    from smcatalog.database.engine import transaction
    from smcatalog.services.night import active_definitions
    from smcatalog.services.plan import DayState, preview

    known = transaction(workspace.engine, active_definitions)
    given = [find_definition(settings, name) for name in products]
    chosen = {one.name: one for one in [*known, *given]}
    inbox = settings.inbox
    files: list[Job] = []
    if inbox is not None:
        files = transaction(workspace.engine, lambda c: inbox_jobs(c, inbox))
    paths = [path for job in files for path in cast("list[str]", job.arguments["paths"])]
    plans = {name: preview(workspace.engine, one) for name, one in chosen.items()}
    days = {
        name: [day for day in plan.days if day.to_make or day.state is DayState.GONE]
        for name, plan in plans.items()
    }
    if json:
        print_json({"files": paths, "days": days})
        return
    say(f"{len(paths)} files of the inbox would be ingested")
    for name, listed in days.items():
        say(f"{name}: {len(listed)} days would be made now; what comes in may add some")
        for day in listed:
            say(f"  {day.day} {day.state}: {day.reason}")


def _stay(workspace: Workspace, settings: Settings, products: list[str], hour: time) -> None:
    """Wake the workers each day, until the process is asked to end.

    What keeps it from that, a database that is away or an inbox that is not mounted, is no reason to leave
    out a night: it tries again each minute.
    """
    import signal

    import structlog

    log = structlog.get_logger("smcatalog.nightly")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    following = _following(datetime.now(UTC), hour)
    while True:
        # a clock that is set meanwhile is looked at again within the minute
        while (left := (following - datetime.now(UTC)).total_seconds()) > 0:
            if ended.wait(min(left, _MINUTE)):
                return
        try:
            names, files = _wake(workspace, settings, products)
        except (SmcatalogError, OSError) as error:
            log.warning("could not wake the workers, trying again", error=str(error))
            if ended.wait(_MINUTE):
                return
            continue
        log.info("woke the workers", products=len(names), inbox_jobs=files)
        following = _following(datetime.now(UTC), hour)


def _following(now: datetime, hour: time) -> datetime:
    """Return the next instant at which it is that time of day."""
    today = datetime.combine(now.date(), hour, tzinfo=UTC)
    return today if today > now else today + timedelta(days=1)


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("nightly")(_nightly)
