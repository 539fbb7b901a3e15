"""The command that makes a simulated world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smcatalog.cli.output import meter, print_json, say
from smcatalog.core.time import parse_day

__all__ = ["register"]


def _simulate(
    folder: Annotated[Path, typer.Argument(help="Empty folder for the files.")],
    preset: Annotated[
        str, typer.Option(help="Region: rao2022, song2022, stacking, bma or smci.")
    ] = ("rao2022"),
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")] = "2018-06-10",
    last: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = "2018-07-11",
    seed: Annotated[int, typer.Option(help="Which of the region's worlds.")] = 1,
    size: Annotated[float, typer.Option(help="Length of the region's edges, km.")] = 300.0,
    source: Annotated[
        list[str] | None, typer.Option(help="Only this source; repeat for more. Default: all.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Make a simulated world: files as the providers deliver them, and the truth beside them.

    The same options give the same files, byte for byte. Ingest FOLDER/granules; FOLDER/truth is for
    `validate --truth` and is never to be ingested.
    """
    from ingest.world.simulation import Recipe, simulate
    from ingest.world.writers import COSTS, TRUTH, WRITERS

    recipe = Recipe(
        preset=preset,
        first=parse_day(first),
        last=parse_day(last),
        seed=seed,
        size_km=size,
        sources=tuple(source or WRITERS),
    )
    with meter("simulated days") as show:
        report = simulate(folder, recipe, WRITERS, TRUTH, costs=COSTS, tell=show)
    if json:
        print_json(report)
        return
    what = ", ".join(f"{number} {name}" for name, number in report.files.items())
    say(
        f"{'simulated' if report.made else 'there already:'} a world of {preset} (seed {seed}), "
        f"{recipe.first} to {recipe.last}: {what}"
    )
    say("All of it is simulated: nothing here was measured.")


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("simulate")(_simulate)
