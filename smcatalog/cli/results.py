"""Commands that show what was made: validation, pictures, serving, benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smcatalog.cli.data import find_definition, open_workspace
from smcatalog.cli.database import ensure_ready
from smcatalog.cli.output import bar, meter, print_json, print_table, say
from smcatalog.cli.stacks import print_stack
from smcatalog.core.errors import UsageError
from smcatalog.core.settings import Settings
from smcatalog.core.time import parse_day, parse_instant

if TYPE_CHECKING:
    from smcatalog.services.learning import SplitRow

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def _validate(
    context: typer.Context,
    product: str,
    by: Annotated[str, typer.Option(help="station, network, month or all.")] = "station",
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = None,
    network: Annotated[str | None, typer.Option(help="Only stations of this network.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Score the maps that were in force at this instant (RFC 3339, or a day: its end) against "
            "today's observations."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a simulated world's truth: compare with it, not with stations."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Score the match-ups that there are; write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Score maps against stations or a simulated truth, beside the coarse product they were made from."""
    from smcatalog.services.validate import Grouping, validate

    if truth is not None:
        if network is not None:
            raise UsageError("--network chooses stations: leave it out with --truth")
        if as_of is not None:
            raise UsageError("--truth looks at the live maps: leave --as-of out")
        _validate_truth(context, product, truth, (first, last), json=json)
        return
    if by not in set(Grouping):
        raise UsageError(f"--by must be one of {', '.join(Grouping)}, got '{by}'")
    workspace = open_workspace(context)
    with meter("match-ups") as show:
        report = validate(
            workspace.engine,
            workspace.store,
            product,
            by=Grouping(by),
            first=parse_day(first) if first else None,
            last=parse_day(last) if last else None,
            network=network,
            as_of=parse_instant(as_of) if as_of else None,
            dry_run=dry_run,
            progress=show,
        )
    if json:
        print_json(report)
        return
    columns = ("version", "network", "station", "month", "depth", "subject", "n",
               "bias", "rmse", "ubrmse", "mae", "r")  # fmt: skip
    rows = [
        (row.version, row.network or "", row.station or "",
         f"{row.month:%Y-%m}" if row.month else "", str(row.depth), subject, s.n,
         s.bias, s.rmse, s.ubrmse, s.mae, s.r)
        for row in report.rows
        for subject, s in (("map", row.map), ("coarse", row.coarse))
    ]  # fmt: skip
    named = range(1, 4)  # network, station, month: left out where no row has one
    kept = [i for i in range(len(columns)) if i not in named or any(row[i] for row in rows)]
    print_table([columns[i] for i in kept], [[row[i] for i in kept] for row in rows])
    say(
        "bias is estimate minus station, in m³ m⁻³; 'coarse' is the coarse product at the same pairs"
    )


def _validate_truth(
    context: typer.Context,
    product: str,
    folder: Path,
    span: tuple[str | None, str | None],
    *,
    json: bool,
) -> None:
    from smcatalog.services.truth import compare

    definition = find_definition(context.obj, product)
    first, last = (parse_day(day) if day else None for day in span)
    report = compare(open_workspace(context), definition, folder, first, last, bar)
    if json:
        print_json(report)
        return
    columns = ("subject", "days", "n", "bias", "rmse", "ubrmse", "r", "spatial r", "within-cell r")
    rows = [
        (
            row.subject,
            row.days,
            s.n,
            s.bias,
            s.rmse,
            s.ubrmse,
            s.r,
            row.spatial_r,
            row.within_cell_r,
        )
        for row in report.rows
        for s in (row.scores,)
    ]
    print_table(columns, rows)
    say(
        f"{report.maps} maps against the truth of a simulated world, {report.without_truth} without one; "
        "bias is estimate minus truth, in m³ m⁻³. 'coarse' is the coarse product laid flat at the pixels of "
        "'map'; spatial r is the mean of the days', within-cell r that of the deviations from the coarse "
        "cell's mean"
    )


def _picture(
    context: typer.Context,
    product: str,
    day: Annotated[
        str,
        typer.Argument(
            help="Day that the map is dated by, YYYY-MM-DD, or 'clearest': the map with most pixels."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="PNG file to write.")],
    truth: Annotated[
        Path | None, typer.Option(help="Folder of a simulated world's truth, to show beside.")
    ] = None,
    station: Annotated[
        str | None, typer.Option(help="NETWORK/STATION whose series is to be shown.")
    ] = None,
) -> None:
    """Draw the map of a day beside the coarse cells it came from."""
    from smcatalog.services.picture import CLEAREST, draw_map

    definition = find_definition(context.obj, product)
    chosen = None if day == CLEAREST else parse_day(day)
    drawn = draw_map(open_workspace(context), definition, chosen, out, truth=truth, station=station)
    say(f"wrote {out}: the map of {drawn}")


def _serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
) -> None:
    """Serve the STAC API and the maps' files, as a role that can only read."""
    import uvicorn

    from smcatalog.api.app import create_app
    from smcatalog.api.settings import ApiSettings

    settings: Settings = context.obj
    ensure_ready(settings)
    app = create_app(
        ApiSettings(
            database_url=_api_database_url(settings),
            store_root=settings.store,
            public_url=settings.public_url,
        )
    )
    say(f"STAC API on http://{host}:{port}")
    uvicorn.run(app, host=host, port=port, log_level="warning")


def _api_database_url(settings: Settings) -> str:
    from smcatalog.core.errors import ConfigurationError
    from smcatalog.database.cluster import Cluster

    if settings.api_database_url is not None:
        return settings.api_database_url
    if settings.database_url is not None:
        raise ConfigurationError(
            "SMCATALOG_DATABASE_URL names a database for workers; name one for a role that can only "
            "read in SMCATALOG_API_DATABASE_URL, e.g. with user smcatalog_api"
        )
    return Cluster(settings.home).libpq_url("smcatalog_api")


def _bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which figures; all by default.")
    ] = None,
    json: Json = False,
    listing: Annotated[bool, typer.Option("--list", help="List the figures and stop.")] = False,
) -> None:
    """Run the benchmarks: each figure is a ratio of two things timed in the same run."""
    from smcatalog.bench import figures, run

    if listing:
        print_table(("figure", "what it compares"), [(f.name, f.title) for f in figures()])
        return
    measured = list(run(names or []))
    if json:
        print_json(measured)
    else:
        print_table(
            ("figure", "ours s", "reference s", "ratio", "what"),
            [(m.name, m.ours, m.reference, m.ratio, m.title) for m in measured],
        )
        for one in measured:
            if one.notes:
                say(f"{one.name}: {one.notes}")


def _left_out(
    context: typer.Context,
    product: str,
    learner: Annotated[
        list[str] | None,
        typer.Option(help="A method; may be given several times. Default: all single learners."),
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = None,
    network: Annotated[str | None, typer.Option(help="Only stations of this network.")] = None,
    together: Annotated[
        str,
        typer.Option(help="What is left out together: station, or cell (all in a coarse cell)."),
    ] = "station",
    json: Json = False,
) -> None:
    """Fit learners to stations and score each station by those fitted without it, beside two baselines."""
    from smcatalog.methods import learner_names
    from smcatalog.services.left_out import Together, stations_left_out

    if together not in set(Together):
        raise UsageError(f"--together must be one of {', '.join(Together)}, got '{together}'")

    report = stations_left_out(
        open_workspace(context),
        find_definition(context.obj, product),
        {name: {} for name in learner or learner_names()},
        parse_day(first) if first else None,
        parse_day(last) if last else None,
        network,
        bar,
        Together(together),
    )
    if json:
        print_json(report)
        return
    columns = ("subject", "stations", "n", "bias", "rmse", "ubrmse", "r")
    rows = [
        (row.subject, s.stations, s.n, s.bias, s.rmse, s.ubrmse, s.r)
        for row in report.rows
        for s in (row.scores,)
    ]
    print_table(columns, rows)
    say(
        f"means over stations, {report.first} to {report.last}; bias is estimate minus station, in m³ m⁻³; "
        "every learner saw the covariates and the coarse value of other stations only"
    )
    for group in report.left_out_together:
        say(f"left out together: {', '.join(group)}")


def _scores(
    context: typer.Context,
    product: str,
    figures: Annotated[
        Path | None,
        typer.Option(
            help="Folder for figures (PNG): R and RMSE by partition, importances; of a stack its test and SHAP."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show how the learners of a product's models scored as they learned, against the coarse product.

    Of a stack by zone, and beside it one stack for all zones on the same samples.
    """
    from smcatalog.services.learning import LEARNING_SCORES, draw_learning, learning

    found = learning(open_workspace(context), product)
    drawn = draw_learning(found, figures) if figures else []
    if json:
        print_json(found)
        return
    if found.stack is not None:
        print_stack(found.stack)
        _print_splits(found.splits)
        say(
            f"version {found.version}: R and RMSE [m³ m⁻³] against the coarse product; * is the best of its zone"
        )
    else:
        columns = ["learner", "partitions", "chosen"]
        columns += [f"{half} {name}" for half in ("train", "test") for name in LEARNING_SCORES]
        rows = [
            (row.learner, row.partitions, row.chosen,
             *(half.get(name) for half in (row.train, row.test) for name in LEARNING_SCORES))
            for row in found.rows
        ]  # fmt: skip
        if rows:
            print_table(columns, rows)
        _print_splits(found.splits)
        say(
            f"version {found.version}: means over {len(found.own)} partitions, against the coarse product; "
            f"{len(found.borrowed)} partitions use the model of the one before"
        )
    for path in drawn:
        say(f"wrote {path}")


def _print_splits(splits: Sequence[SplitRow]) -> None:
    """Print what the whole method scores on its own samples and with cells or days left out."""
    from smcatalog.services.learning import LEARNING_SCORES

    say("")
    print_table(
        ("the whole method", "partitions", "n", *LEARNING_SCORES),
        [
            (row.split.replace("_", " "), row.partitions, row.n,
             *(row.scores.get(name) for name in LEARNING_SCORES))
            for row in splits
        ],
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands to the root."""
    app.command("validate")(_validate)
    app.command("scores")(_scores)
    app.command("left-out")(_left_out)
    app.command("picture")(_picture)
    app.command("serve")(_serve)
    app.command("bench")(_bench)
