"""Commands of the queue: a worker, and what waits, runs and is stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from smcatalog.cli.data import open_workspace
from smcatalog.cli.output import ExitCode, complain, print_json, print_table, say
from smcatalog.core.errors import UsageError
from smcatalog.core.settings import Settings

if TYPE_CHECKING:
    from smcatalog.core.logs import LogFormat
    from smcatalog.jobs import QuarantineEntry, WorkerReport

__all__ = ["jobs_app", "register"]

jobs_app = typer.Typer(help="The queue: what waits, runs and is stuck.")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def _worker(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Option(help="Name in the logs; default: host and process.")
    ] = None,
    log_format: Annotated[
        str, typer.Option("--log-format", help="json or text, on standard error.")
    ] = "json",
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left to do.")] = False,
    json: Json = False,
) -> None:
    """Do jobs from the queue, one at a time; start as many workers as you like, on any machine.

    SIGTERM or Ctrl-C lets the job that runs come to an end; a second one ends the worker at once, and
    its job goes on elsewhere. With --burst the exit code is 3 when jobs went to quarantine or are left.
    """
    from smcatalog.cli.handlers import handlers
    from smcatalog.core.logs import configure_logs
    from smcatalog.jobs import Outcome, WorkerOptions, run_worker
    from smcatalog.services.workspace import database_url

    if log_format not in {"json", "text"}:
        raise UsageError(f"--log-format must be json or text, got '{log_format}'")
    settings: Settings = context.obj
    options = WorkerOptions.read(settings.worker)
    configure_logs(cast("LogFormat", log_format))
    workspace = open_workspace(context)
    report = run_worker(
        database_url(settings), handlers(workspace), wait=not burst, name=name, options=options
    )
    if json:
        print_json(report)
    else:
        _say_done(report)
    if burst and (report.left or report.count(Outcome.QUARANTINED)):
        raise typer.Exit(ExitCode.IN_PART)


def _say_done(report: WorkerReport) -> None:
    parts = [f"{number} {outcome}" for outcome, number in report.runs.items()]
    if report.recovered:
        parts.append(f"{report.recovered} of dead workers put back")
    say(f"{report.name}: {', '.join(parts) or 'nothing to do'}; {report.left} left in the queue")


@jobs_app.command("list")
def jobs_list(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=0, help="Jobs that are shown one by one.")] = 50,
    json: Json = False,
) -> None:
    """Show what is in the queue and in quarantine; exit code 3 when something is in quarantine."""
    from smcatalog.database.engine import transaction
    from smcatalog.jobs import count_tasks, list_jobs, quarantined

    tasks, jobs, stuck = transaction(
        open_workspace(context).engine,
        lambda c: (count_tasks(c), list_jobs(c, limit=limit), quarantined(c)),
    )
    if json:
        print_json({"tasks": tasks, "jobs": jobs, "quarantine": stuck})
    else:
        print_table(
            ("task", "running", "waiting", "due later"),
            [(task.task, task.running, task.waiting, task.later) for task in tasks],
        )
        if jobs:
            say("")
            print_table(
                ("job", "task", "state", "due", "failures", "kills", "arguments"),
                [
                    (
                        job.id,
                        job.task,
                        "running" if job.running else "waiting",
                        f"{job.not_before:%Y-%m-%d %H:%M:%S}Z" if job.not_before else "now",
                        job.failures,
                        job.kills,
                        _arguments(job.arguments),
                    )
                    for job in jobs
                ],
            )
        for entry in stuck:
            complain(f"in quarantine: {_line(entry)}")
    if stuck:
        raise typer.Exit(ExitCode.IN_PART)


@jobs_app.command("show")
def jobs_show(
    context: typer.Context,
    job: Annotated[int, typer.Argument(help="Number of a job, or of an entry in quarantine.")],
    json: Json = False,
) -> None:
    """Show a job, with what went wrong; one in quarantine with its traceback."""
    from smcatalog.database.engine import transaction
    from smcatalog.jobs import find_job, quarantined

    engine = open_workspace(context).engine
    entries = [e for e in transaction(engine, quarantined) if job in {e.id, e.job_id}]
    if entries:
        if json:
            print_json(entries[0])
            return
        say(f"in quarantine: {_line(entries[0])}")
        say(
            f"first {entries[0].first_at:%Y-%m-%d %H:%M:%S}Z, last {entries[0].last_at:%Y-%m-%d %H:%M:%S}Z"
        )
        say(entries[0].traceback or "no traceback: its worker died")
        return
    found = transaction(engine, lambda c: find_job(c, job))
    if json:
        print_json(found)
        return
    say(f"job {found.id}: {found.task} {_arguments(found.arguments)}")
    say("running" if found.running else f"waiting, due {found.not_before or 'now'}")
    if found.failures or found.kills:
        say(f"failed {found.failures} times, its worker died {found.kills} times: {found.error}")


@jobs_app.command("release")
def jobs_release(
    context: typer.Context,
    entries: Annotated[list[int], typer.Argument(help="Numbers of entries in quarantine.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be released, and stop.")
    ] = False,
    json: Json = False,
) -> None:
    """Put jobs of the quarantine back into the queue, with all attempts before them."""
    from smcatalog.database.engine import transaction
    from smcatalog.jobs import quarantined, release

    engine = open_workspace(context).engine
    if dry_run:
        found = transaction(engine, lambda c: quarantined(c, entries))
        if json:
            print_json(found)
        for entry in [] if json else found:
            say(f"would release {_line(entry)}")
        return
    released = transaction(engine, lambda c: release(c, entries))
    if json:
        print_json(released)
    for one in [] if json else released:
        became = "an equal job waits already" if one.job_id is None else f"now job {one.job_id}"
        say(f"released {one.id} ({one.task}): {became}")


def _arguments(arguments: object) -> str:
    from json import dumps

    return dumps(arguments, ensure_ascii=False)


def _line(entry: QuarantineEntry) -> str:
    return (
        f"{entry.id}: {entry.task} {_arguments(entry.arguments)} after {entry.attempts} attempts: "
        f"{entry.error}"
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the root."""
    app.command("worker")(_worker)
