"""``smcatalog granules``: what came in, what came of it, and taking it back."""

from __future__ import annotations

from typing import Annotated

import typer

from smcatalog.cli.data import open_workspace
from smcatalog.cli.output import print_json, print_table, say
from smcatalog.core.time import parse_day

__all__ = ["app"]

app = typer.Typer(help="Granules: what came in, what came of it, and taking it back.")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Source = Annotated[str, typer.Argument(help="Product family, e.g. MOD11A1.")]
Name = Annotated[str, typer.Argument(help="The provider's name of the granule.")]


@app.command("list")
def list_granules(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Only of this product family.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = None,
    withdrawn: Annotated[
        bool, typer.Option("--withdrawn", help="Only those that were withdrawn.")
    ] = False,
    json: Json = False,
) -> None:
    """List granules by source and time."""
    from smcatalog.database.engine import transaction
    from smcatalog.database.granules import find_granules

    days = [parse_day(day) if day else None for day in (first, last)]
    found = transaction(
        open_workspace(context).engine,
        lambda c: find_granules(c, source=source, first=days[0], last=days[1], withdrawn=withdrawn),
    )
    if json:
        print_json(found)
        return
    if found:
        print_table(
            ("source", "granule", "from", "until", "sha256", "withdrawn"),
            [
                (g.source, g.name, f"{g.start_time:%Y-%m-%dT%H:%MZ}" if g.start_time else "",
                 f"{g.end_time:%Y-%m-%dT%H:%MZ}" if g.end_time else "", g.sha256[:16],
                 g.withdrawn_reason or "")
                for g in found
            ],
        )  # fmt: skip
    say(f"{len(found)} granules, {sum(g.withdrawn_at is not None for g in found)} withdrawn")


@app.command()
def show(context: typer.Context, source: Source, name: Name, json: Json = False) -> None:
    """Show a granule and the layers that were made of it."""
    from smcatalog.database.engine import transaction
    from smcatalog.database.granules import find_granules, granule_uses

    uses, granules = transaction(
        open_workspace(context).engine,
        lambda c: (granule_uses(c, source, name), find_granules(c, source=source, name=name)),
    )
    if json:
        print_json({"granules": granules, "layers": uses})
        return
    for granule in granules:
        say(f"{granule.source} {granule.name}, sha256 {granule.sha256}, {granule.size} bytes")
        say(f"delivered as {granule.delivered_as}, ingested {granule.ingested_at:%Y-%m-%dT%H:%MZ}")
        if granule.withdrawn_at is not None:
            say(f"withdrawn {granule.withdrawn_at:%Y-%m-%dT%H:%MZ}: {granule.withdrawn_reason}")
    if uses:
        print_table(
            ("variable", "day", "grid", "in force", "live maps", "key"),
            [
                (u.variable, u.day or "", u.grid, "yes" if u.live else "no", u.maps, u.key)
                for u in uses
            ],
        )


@app.command()
def withdraw(
    context: typer.Context,
    source: Source,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, in one line.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    json: Json = False,
) -> None:
    """Take a granule out of use: its layers go, those of the production before come back.

    Nothing is deleted. Maps that were made of it become stale; 'smcatalog plan' shows them. Delivered
    again, it stays withdrawn. Observations of stations are not taken back: they keep no lineage.
    """
    from smcatalog.services.withdraw import withdraw_granules

    done = withdraw_granules(open_workspace(context), source, name, reason, dry_run=dry_run)
    if json:
        print_json(done)
        return
    if not done.granules:
        say(f"{source} {name} was withdrawn before: nothing to do")
        return
    say(
        f"{'would withdraw' if dry_run else 'withdrew'} {source} {name}: {done.superseded} layers go out of "
        f"force, {done.restored} come back, {len(done.maps)} live maps were made of what goes"
    )
    for item in done.maps:
        say(f"  {item}")
