"""The command line's root: settings, sub-commands, and errors told to people."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from smcatalog.cli import (
    acquire,
    announcements,
    data,
    database,
    experiments,
    granules,
    maps,
    nightly,
    results,
    simulate,
    status,
    upkeep,
    work,
)
from smcatalog.cli.output import ExitCode, complain
from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.core.logs import configure_logs
from smcatalog.core.settings import Settings

__all__ = ["app", "main"]

app = typer.Typer(
    name="smcatalog",
    help="Soil moisture maps at 1 km, every day, that one can find, query and trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"smcatalog {version('smcatalog')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of settings; it wins over SMCATALOG_* variables."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Soil moisture maps at 1 km, every day, that one can find, query and trust."""
    context.obj = Settings.load(config)
    # what services log goes to standard error from the first line on: standard output is for answers
    configure_logs("text", level=logging.WARNING)


app.add_typer(database.app, name="db")
app.add_typer(data.products_app, name="products")
app.add_typer(work.jobs_app, name="jobs")
app.add_typer(granules.app, name="granules")
app.add_typer(maps.app, name="maps")
app.add_typer(announcements.app, name="announcements")
for module in (simulate, acquire, data, results, experiments, work, nightly, status, upkeep):
    module.register(app)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and leave the process with its exit code."""
    try:
        app(arguments)
    except UsageError as error:
        complain(f"smcatalog: {error}")
        sys.exit(ExitCode.USAGE)
    except SmcatalogError as error:
        complain(f"smcatalog: {error}")
        sys.exit(ExitCode.FAILURE)
    except KeyboardInterrupt:
        complain("smcatalog: interrupted; run the same command again to go on")
        sys.exit(130)
