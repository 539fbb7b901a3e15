"""``smcatalog db``: the private cluster and the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smcatalog.cli.output import ExitCode, complain, print_json, say
from smcatalog.core.errors import UsageError
from smcatalog.core.settings import Settings

__all__ = ["app", "ensure_ready"]

app = typer.Typer(help="The database: a private PostGIS cluster, or the one that is named.")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look whether it could be done.")]


def _private(settings: Settings) -> None:
    if settings.database_url is not None:
        raise UsageError(
            "SMCATALOG_DATABASE_URL names a database: it is started and stopped where it runs, not here"
        )


def ensure_ready(settings: Settings) -> None:
    """Start the private cluster when it is down, and lay out a database that is empty.

    A database that someone named is left alone: who runs it decides when it is upgraded.
    """
    if settings.database_url is not None:
        return
    from smcatalog.database.cluster import Cluster, ClusterState

    cluster = Cluster(settings.home)
    if cluster.status().state is ClusterState.RUNNING:
        return
    complain(f"starting the private database in {settings.home}")
    cluster.start()
    from smcatalog.database.upgrade import upgrade

    upgrade(cluster.url())


@app.command()
def start(context: typer.Context) -> None:
    """Create the private cluster when it is missing, and start it."""
    from smcatalog.database.cluster import Cluster

    settings: Settings = context.obj
    _private(settings)
    cluster = Cluster(settings.home)
    cluster.start()
    say(f"running: {cluster.status().data_directory}")


@app.command()
def stop(context: typer.Context) -> None:
    """Stop the private cluster."""
    from smcatalog.database.cluster import Cluster

    settings: Settings = context.obj
    _private(settings)
    Cluster(settings.home).stop()
    say("stopped")


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Say whether the private cluster runs, and where."""
    from smcatalog.database.cluster import Cluster, ClusterState

    settings: Settings = context.obj
    _private(settings)
    found = Cluster(settings.home).status()
    if json:
        print_json(found)
    else:
        say(f"{found.state}: PostgreSQL {found.version or '?'}, {found.data_directory}")
        if found.pid is not None:
            say(f"process {found.pid}, socket in {found.socket_dir}, run by {found.user}")
    if found.state is not ClusterState.RUNNING:
        raise typer.Exit(ExitCode.FAILURE)


@app.command()
def upgrade(context: typer.Context) -> None:
    """Install or upgrade extensions, pgstac, roles and our schema; do nothing when all is there."""
    from smcatalog.database.upgrade import upgrade as run
    from smcatalog.services.workspace import database_url

    report = run(database_url(context.obj))
    for step in report.steps:
        say(f"done: {step}")
    say(f"schema {report.revision}, pgstac {report.pgstac}")


@app.command()
def check(context: typer.Context) -> None:
    """Compare the database's schema with the models."""
    from smcatalog.database.upgrade import check as run
    from smcatalog.services.workspace import database_url

    run(database_url(context.obj))
    say("models and database agree")


@app.command()
def dump(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write; it must not be there yet.")],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write the whole database, as it stands at one instant, to a file.

    Copy the store after that: then it holds every file that the dump names. docs/backup.md tells the rest.
    """
    from smcatalog.database.backup import dump as run
    from smcatalog.services.workspace import database_url

    ensure_ready(context.obj)
    report = run(database_url(context.obj), file, dry_run=dry_run)
    if json:
        print_json(report)
    elif dry_run:
        say(f"{file} would be written: schema {report.revision}, pgstac {report.pgstac}")
    else:
        say(f"wrote {file}: {report.size} bytes, SHA-256 {report.sha256}")
        say("now copy the store: smcatalog verify tells later whether all is there")


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A dump from 'db dump'.")],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Fill an empty database from a dump, and bring it up to date.

    A database that holds a catalogue is refused: name an empty home or another database.
    """
    from smcatalog.database.backup import restore as run
    from smcatalog.database.cluster import Cluster
    from smcatalog.services.workspace import database_url

    settings: Settings = context.obj
    if settings.database_url is None:
        Cluster(settings.home).start()  # and not laid out, as other commands would
    report = run(database_url(settings), file, dry_run=dry_run)
    if json:
        print_json(report)
        return
    for step in report.steps:
        say(f"done: {step}")
    what = "restored" if report.done else "can be restored"
    say(f"{file} {what}: schema {report.revision}, pgstac {report.pgstac}")
    if report.done:
        say("put the copy of the store in its place, then run: smcatalog verify")


@app.command()
def url(
    context: typer.Context,
    role: Annotated[
        str, typer.Option(help="smcatalog, smcatalog_writer, smcatalog_analyst or smcatalog_api.")
    ] = "smcatalog",
) -> None:
    """Print the URL of the database in force, as psql and every client read it."""
    settings: Settings = context.obj
    if settings.database_url is not None:
        from sqlalchemy import make_url

        shown = make_url(settings.database_url)
        say(shown.set(drivername="postgresql").render_as_string(hide_password=True))
        return
    from smcatalog.database.cluster import Cluster

    say(Cluster(settings.home).libpq_url(role))
