"""The command that tests what a product averaged by stations is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smcatalog.cli.data import find_definition, open_workspace
from smcatalog.cli.output import bar, print_json, print_table, say
from smcatalog.core.time import parse_day

__all__ = ["register"]

_SCORES = ("n", "bias", "rmse", "ubrmse", "mae", "r")


def _experiments(
    context: typer.Context,
    product: str,
    last: Annotated[
        str | None,
        typer.Option("--to", help="Last day of the observations that test, YYYY-MM-DD."),
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="Orders in which stations are taken away.", min=1)
    ] = 20,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for figures: predictors, and what leaving out costs (PNG)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Score an average of learners at later observations, and without predictors and without stations."""
    from smcatalog.services.experiment_figures import draw_experiments
    from smcatalog.services.experiments import experiments

    found = experiments(
        open_workspace(context),
        find_definition(context.obj, product),
        parse_day(last) if last else None,
        repeats,
        bar,
    )
    drawn = draw_experiments(found, figures) if figures else []
    if json:
        print_json(found)
        return
    rows = [
        (network, learner, *(scores[name] for name in _SCORES))
        for network, learners in sorted(found.networks.items())
        for learner, scores in learners.items()
    ]
    print_table(("network", "learner", *_SCORES), rows)
    say(
        f"version {found.version}: {found.testing} observations from {found.first} to {found.last}, weights from "
        f"{found.training} earlier ones; bias is estimate minus station, in m³ m⁻³"
    )
    learners = sorted(next(iter(found.weights.values()))["em"]["weights"])
    print_table(
        ("zone", "observations", *(f"{name} em/mcmc" for name in learners), "agree"),
        [
            (
                zone,
                one["observations"],
                *(
                    f"{one['em']['weights'][name]:.3f}/{one['mcmc']['weights'][name]:.3f}"
                    for name in learners
                ),
                ("yes" if one["agree"] else "no") if one["converged"] else "chains apart",
            )
            for zone, one in sorted(found.weights.items())
        ],
    )
    print_table(
        ("left out", *_SCORES, "change r"),
        [
            (row["left_out"] or "none", *(row[name] for name in _SCORES), row["change_r"])
            for row in found.predictor_left_out
        ],
    )
    print_table(
        ("removed", "left", "r", "sd", "rmse", "sd "),
        [
            tuple(row[name] for name in ("removed", "left", "r", "r_sd", "rmse", "rmse_sd"))
            for row in found.observations_removed
        ],
    )
    for path in drawn:
        say(f"wrote {path}")


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("experiments")(_experiments)
