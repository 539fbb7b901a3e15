"""Commands that bring data in and make maps."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from smcatalog.cli.database import ensure_ready
from smcatalog.cli.output import ExitCode, bar, complain, meter, print_json, print_table, say
from smcatalog.core.errors import NotFoundError
from smcatalog.core.settings import Settings
from smcatalog.core.time import parse_day

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ingest.service import FileResult, IngestReport
    from smcatalog.products import Definition
    from smcatalog.services.workspace import Workspace

__all__ = ["find_definition", "open_workspace", "products_app", "register"]

products_app = typer.Typer(help="Declared products.")

_FEW: Final = 60
"""Files up to which each has a line of its own."""

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
From = Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")]
To = Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")]


def open_workspace(context: typer.Context) -> Workspace:
    """Open database and store for a command; the private cluster is started when it is down."""
    from smcatalog.services.workspace import Workspace

    settings: Settings = context.obj
    ensure_ready(settings)
    workspace = Workspace.open(settings)
    # with the command: connections that the interpreter's end finds open are warned about
    context.call_on_close(workspace.engine.dispose)
    return workspace


def find_definition(settings: Settings, name: str) -> Definition:
    """Return the declared product of a name: one that was added, or one that comes with the package."""
    from smcatalog.products import builtin_names, load_builtin, read_definition

    added = _added(settings) / f"{name}.toml"
    if added.is_file() and added.parent == _added(settings):
        return read_definition(added)
    if name not in builtin_names():
        raise NotFoundError(
            f"no product is called '{name}'; there are {', '.join(_names(settings))}. "
            "Declare one with 'smcatalog products add FILE'"
        )
    return load_builtin(name)


def _added(settings: Settings) -> Path:
    return settings.home / "products"


def _names(settings: Settings) -> list[str]:
    from smcatalog.products import builtin_names

    return sorted({*builtin_names(), *(path.stem for path in _added(settings).glob("*.toml"))})


@products_app.command("list")
def products_list(context: typer.Context, json: Json = False) -> None:
    """List the declared products."""
    found = [find_definition(context.obj, name) for name in _names(context.obj)]
    if json:
        print_json([definition.as_dict() for definition in found])
    else:
        print_table(("product", "title"), [(d.name, d.title) for d in found])


@products_app.command("show")
def products_show(context: typer.Context, name: str) -> None:
    """Show a product's recipe as JSON."""
    definition = find_definition(context.obj, name)
    print_json({**definition.as_dict(), "fingerprint": definition.recipe_fingerprint})


@products_app.command("add")
def products_add(context: typer.Context, file: Path, dry_run: DryRun = False) -> None:
    """Declare a product from a TOML file; a copy is kept in the home."""
    from smcatalog.methods import create
    from smcatalog.products import read_definition

    definition = read_definition(file)
    create(definition.method.name, definition.method.parameters)
    if dry_run:
        say(f"{file} declares {definition.name} and is right")
        return
    folder = _added(context.obj)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{definition.name}.toml"
    temporary = target.with_suffix(".new")
    temporary.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    temporary.replace(target)
    say(f"declared {definition.name}: 'smcatalog produce {definition.name}' makes its maps")


def _ingest(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files, folders and zips.")],
    json: Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name every file, however many there are.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes that read files; default: one a core."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Ingest granules, station archives and zones: files, folders and zips.

    Known files are left alone. Unfit files are refused with a reason, and so are files whose granules were
    withdrawn; the rest goes in; then the exit code is 3. A table says what became of every file, or, where they are many, of every source.
    """
    from ingest.pool import warm

    processes = workers or os.cpu_count() or 1
    if processes > 1 and not dry_run:
        warm()
    from ingest.service import ingest

    done = 0

    def tell(result: FileResult) -> None:
        nonlocal done
        done += 1
        show(done, None)
        if result.outcome in {"refused", "withdrawn"} and not json:
            complain(f"{result.outcome}: {result.name}: {result.reason}")

    with meter("files") as show:
        report = ingest(
            open_workspace(context), paths, workers=processes, tell=tell, dry_run=dry_run
        )
    if json:
        print_json(report)
    else:
        _print_ingested(report, each=verbose or len(report.files) <= _FEW)
    if report.refused or report.withdrawn:
        raise typer.Exit(ExitCode.IN_PART)


def _print_ingested(report: IngestReport, *, each: bool) -> None:
    """Print what became of files, each by itself or by source."""
    files = report.files
    if each and files:
        print_table(
            ("file", "outcome", "read as", "what it gave, or why not"),
            [(f.name, f.outcome, f.source or "", f.reason or _gave(f)) for f in files],
        )
    elif report.count("ingested"):
        sources = sorted({f.source or "" for f in files if f.outcome == "ingested"})
        groups = [[f for f in files if f.source == s and f.outcome == "ingested"] for s in sources]
        counts = [
            [sum(getattr(f, what) for f in group) for what in ("layers", "observations", "zones")]
            for group in groups
        ]
        print_table(
            ("source", "files", "layers", "observations", "zones"),
            [(s, len(g), *n) for s, g, n in zip(sources, groups, counts, strict=True)],
        )
    if new := report.count("new"):
        say(f"{new} files would be read, {report.count('known')} are known")
        return
    layers, observations = (
        sum(getattr(file, what) for file in files) for what in ("layers", "observations")
    )
    say(
        f"{report.count('ingested')} files ingested ({layers} layers, {observations} observations), "
        f"{report.count('known')} known, {report.count('refused')} refused"
        + (f", {len(report.withdrawn)} withdrawn" if report.withdrawn else "")
        + (
            f", {restored} whose lost files are back"
            if (restored := report.count("restored"))
            else ""
        )
    )


def _gave(file: FileResult) -> str:
    counts = ((file.layers, "layer"), (file.observations, "observation"), (file.zones, "zone"))
    return ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts if n)


def _plan(
    context: typer.Context, product: str, first: From = None, last: To = None, json: Json = False
) -> None:
    """Say what is missing or stale, and why."""
    from smcatalog.services.plan import DayState, preview

    definition = find_definition(context.obj, product)
    plan = preview(open_workspace(context).engine, definition, *_days(first, last))
    if json:
        print_json(
            [
                {"day": d.day, "period": str(d.period), "state": d.state, "cause": d.cause,
                 "reason": d.reason, "granules": d.granules, "item_id": d.item_id,
                 "status": d.status, "closes_at": d.closes_at}
                for d in plan.days
            ]
        )  # fmt: skip
    else:
        for day in plan.days:
            if day.state is not DayState.CURRENT:
                say(f"{day.day} {day.state}: {day.reason}")
        say(", ".join(f"{len(plan.in_state(state))} {state}" for state in DayState))
    if plan.in_state(DayState.REFUSED):
        raise typer.Exit(ExitCode.IN_PART)


def _days(first: str | None, last: str | None) -> tuple[date | None, date | None]:
    return parse_day(first) if first else None, parse_day(last) if last else None


def _produce(
    context: typer.Context,
    product: str,
    first: From = None,
    last: To = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Fit, map and publish what is missing or stale, in this process.

    Days that cannot be made are named with their reason; then the exit code is 3.
    """
    if dry_run:
        _plan(context, product, first, last, json=json)
        return
    from smcatalog.services.produce import produce

    definition = find_definition(context.obj, product)
    report = produce(open_workspace(context), definition, *_days(first, last), bar)
    if json:
        print_json(report)
    else:
        for day in report.refused:
            complain(f"refused: {day.day}: {day.reason}")
        say(
            f"{report.product} v{report.version}: {report.count('made')} maps made, "
            f"{report.count('current')} current, {report.count('refused')} refused"
            + "".join(
                f", {report.count(other)} {other}"
                for other in ("withdrawn", "held")
                if report.count(other)
            )
        )
    if report.refused:
        raise typer.Exit(ExitCode.IN_PART)


def _reprocess(
    context: typer.Context,
    product: str,
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")],
    dry_run: DryRun = False,
) -> None:
    """List days to be made again, for a product whose policy is to wait for that.

    Days that nothing has changed stay as they are.
    """
    from smcatalog.database.engine import transaction
    from smcatalog.database.plan import list_days
    from smcatalog.services.night import active_definition, plan_job
    from smcatalog.services.plan import DayState, preview

    days = _days(first, last)
    engine = open_workspace(context).engine
    version, definition = transaction(engine, lambda c: active_definition(c, product))
    held = [d for d in preview(engine, definition, *days).days if d.state is DayState.HELD]
    if not dry_run:
        from smcatalog.jobs import enqueue

        def write(connection: Connection) -> None:
            list_days(connection, version.product_id, parse_day(first), parse_day(last))
            enqueue(connection, [plan_job(product)])

        transaction(engine, write)
    for day in held:
        say(f"{day.day}: {day.reason}")
    say(
        f"{'would list' if dry_run else 'listed'} {first} to {last}: {len(held)} days are held there"
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the root."""
    app.command("ingest")(_ingest)
    app.command("plan")(_plan)
    app.command("produce")(_produce)
    app.command("reprocess")(_reprocess)
