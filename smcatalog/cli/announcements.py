"""``smcatalog announcements``: what became of maps, for those who listen."""

from __future__ import annotations

import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from smcatalog.cli.data import open_workspace
from smcatalog.cli.output import ExitCode, complain, print_json, print_table, say
from smcatalog.core.errors import ConfigurationError
from smcatalog.core.time import parse_instant

if TYPE_CHECKING:
    from smcatalog.database.announcements import Announcement

__all__ = ["app"]

app = typer.Typer(help="Announcements of maps that are new, superseded or withdrawn.")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.command("list")
def list_announcements(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(help="Announced then or later: RFC 3339 with zone, or a day."),
    ] = None,
    after: Annotated[int, typer.Option(min=0, help="Only those after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many: the newest.")] = 100,
    json: Json = False,
) -> None:
    """List the newest announcements, in their order."""
    from smcatalog.database.announcements import announced
    from smcatalog.database.engine import transaction

    start = parse_instant(since, begins=True) if since else None
    found = transaction(
        open_workspace(context).engine,
        lambda c: announced(c, after=after, since=start, limit=limit, newest=True),
    )
    if json:
        print_json(found)
    elif found:
        print_table(
            ("number", "when", "kind", "product", "day", "item", "status", "successor or reason"),
            [
                (a.id, f"{a.happened_at:%Y-%m-%dT%H:%M:%SZ}", a.kind.value, a.product, a.day, a.item_id,
                 a.status, a.successor or a.withdrawn_reason or "")
                for a in found
            ],
        )  # fmt: skip


@app.command()
def deliver(
    context: typer.Context,
    force: Annotated[
        bool,
        typer.Option("--force", help="At once, however recent the last failure, also after a 410."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many announcements wait.")
    ] = False,
    json: Json = False,
) -> None:
    """Post to the webhook what it did not take yet.

    The receiver is named in SMCATALOG_WEBHOOK_URL, the secret that messages are signed with stands in the file
    named in SMCATALOG_WEBHOOK_SECRET_FILE. The exit code is 3 when announcements are left.
    """
    from smcatalog.services.announce import DeliveryState
    from smcatalog.services.announce import deliver as run

    report = run(open_workspace(context).engine, context.obj, force=force, dry_run=dry_run)
    if report.state is DeliveryState.OFF:
        raise ConfigurationError(
            f"no receiver is declared ({report.waiting} announcements wait): set SMCATALOG_WEBHOOK_URL and "
            "SMCATALOG_WEBHOOK_SECRET_FILE"
        )
    if json:
        print_json(report)
    else:
        say(
            f"{report.delivered} delivered, {report.waiting} waiting, {report.abandoned} given up"
            + (" (another process delivers now)" if report.state is DeliveryState.BUSY else "")
        )
        if report.error:
            complain(f"last attempt: {report.error}")
        if report.state is DeliveryState.STOPPED:
            complain("the receiver is gone for good: declare another one, or try it with --force")
        elif report.next_attempt_at:
            complain(
                f"next attempt after {report.next_attempt_at:%Y-%m-%dT%H:%M:%SZ}, or with --force"
            )
    if report.state in {DeliveryState.WAITING, DeliveryState.STOPPED} and not dry_run:
        raise typer.Exit(ExitCode.IN_PART)


@app.command()
def follow(
    context: typer.Context,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Begin after this number; default: only what comes from now on."),
    ] = None,
    json: Json = False,
) -> None:
    """Print announcements as they come, one a line, until it is interrupted."""
    from smcatalog.services.announce import follow as run

    for one in run(open_workspace(context).engine, after=after):
        print_line(one, json=json)


def print_line(one: Announcement, *, json: bool) -> None:
    """Print an announcement on a line of its own, at once even into a pipe."""
    from smcatalog.services.announce import plain

    if json:
        say(jsonlib.dumps(plain(one), ensure_ascii=False))
    else:
        more = one.successor or one.withdrawn_reason
        say(f"{one.id} {one.kind} {one.item_id} {one.status}" + (f": {more}" if more else ""))
    sys.stdout.flush()
