"""The command that fetches granules from their providers."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from smcatalog.cli.data import find_definition, open_workspace
from smcatalog.cli.output import ExitCode, complain, meter, print_json, print_table, say
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.time import parse_day

if TYPE_CHECKING:
    from ingest.acquisition.values import AcquireReport, FileReport, Request
    from smcatalog.services.workspace import Workspace

__all__ = ["register"]

_MB: Final = 1e6


def _acquire(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="SOURCE|PRODUCT", help="What to fetch.")],
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = None,
    region: Annotated[
        str | None, typer.Option(help="W,S,E,N in degrees; default: the product's.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--to-folder", help="Where to; default: incoming/SOURCE in the home."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=16, help="Files that are fetched at a time.")
    ] = 4,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be fetched; needs no account.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Fetch granules that the database lacks from their provider.

    A product's name stands for all its sources. What was cut off goes on where it stopped when the same command is run
    again. Credentials are those of ~/.netrc or EARTHDATA_TOKEN (SMAP, MODIS, VIIRS, SRTM, GPM) and of ~/.cdsapirc
    (ERA5, C3S). What cannot be had is named with its reason; then the exit code is 3.
    """
    from ingest.acquisition.needs import held_by, unoffered
    from ingest.acquisition.service import acquire
    from ingest.acquisition.values import AcquireReport

    days = parse_day(first) if first else None, parse_day(last) if last else None
    requests = _requests(context, what, days, region)
    workspace = open_workspace(context)
    served, missing = unoffered(workspace.engine, requests)
    with meter("files") as show:
        report = acquire(
            served,
            lambda request: held_by(workspace.engine, request),
            _folders(workspace, folder, alone=len(requests) == 1),
            workers=workers,
            dry_run=dry_run,
            tell=show,
        )
    report = AcquireReport((*report.files, *missing), report.folders)
    if json:
        print_json(report)
    else:
        _print(report)
    _leave(report)


def _requests(
    context: typer.Context, what: str, days: tuple[date | None, date | None], region: str | None
) -> list[Request]:
    """Return what a source's or a product's name asks for."""
    from ingest.acquisition.needs import requests_of
    from ingest.acquisition.offers import OFFERS
    from ingest.acquisition.values import Request, parse_region

    bbox = parse_region(region) if region else None
    if what in OFFERS:
        return [Request(what, *days, bbox)]
    try:
        definition = find_definition(context.obj, what)
    except NotFoundError as error:
        raise NotFoundError(
            f"'{what}' is neither a source that a provider is declared for ({', '.join(OFFERS)}) nor a "
            "product: 'smcatalog products list' shows those"
        ) from error
    first, last = days
    if first is None or last is None:
        raise UsageError(f"say for which days of {what}: --from DAY --to DAY")
    return requests_of(definition, first, last, bbox)


def _folders(workspace: Workspace, named: Path | None, *, alone: bool) -> Callable[[str], Path]:
    """Say where the files of a source go."""
    root = named or workspace.settings.home / "incoming"
    return lambda source: root if named and alone else root / source


def _print(report: AcquireReport) -> None:
    from ingest.acquisition.values import Outcome

    files = [file for file in report.files if file.outcome is not Outcome.FAILED]
    shown = [o for o in Outcome if o is not Outcome.FAILED and report.of(o)]
    sources = sorted({file.source for file in files})
    if files:
        rows = [(s, *(_sum(report.of(o), s) for o in shown)) for s in sources]
        print_table(("source", *shown), rows)
    for file in report.of(Outcome.FAILED):
        complain(f"not to be had: {file.name or file.source}: {file.reason}")
    counts = [(o, report.of(o), report.bytes_of(o)) for o in Outcome]
    say(
        ", ".join(
            f"{len(found)} {o}{_size(size)}" for o, found, size in counts if found or o in _SAID
        )
    )
    if report.folders:
        say(f"ingest with: smcatalog ingest {shlex.join(map(str, report.folders))}")


_SAID: Final = ("fetched", "failed")


def _sum(files: list[FileReport], source: str) -> str:
    own = [file for file in files if file.source == source]
    return f"{len(own)}{_size(sum(file.bytes for file in own))}" if own else "0"


def _size(size: int) -> str:
    return f" ({size / _MB:.1f} MB)" if size else ""


def _leave(report: AcquireReport) -> None:
    """End with the exit code of what became of it: nothing at all to be had is a failure."""
    from ingest.acquisition.values import Outcome

    failed = report.of(Outcome.FAILED)
    if failed:
        all_of_it = len(failed) == len(report.files)
        raise typer.Exit(ExitCode.FAILURE if all_of_it else ExitCode.IN_PART)


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("acquire")(_acquire)
