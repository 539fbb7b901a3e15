"""What models saw as they learned, beside what a paper reports: tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from smcatalog.results.entries import Paper, Span
from smcatalog.results.tables import TITLES, count, moisture, ratio, scores_row, table

__all__ = ["at_later_observations", "blocks", "learners"]

_FEW: Final = 8
"""Partitions up to which each has a column."""
_SPLITS: Final = {
    "train": "none: samples that it has learned from",
    "cells_left_out": "coarse cells, five groups",
    "days_left_out": "days, five blocks",
    "months_left_out": "months, up to five groups",
}


def blocks(products: Sequence[Mapping[str, Any]]) -> str:
    """Return the scores of whole methods: the paper's test part, then with cells or days left out.

    Parameters
    ----------
    products : sequence of mapping
        Of `smcatalog.results.measure.measure`.
    """
    lines = []
    for one in products:
        scores = one["scores"]
        combined = [row for row in scores["rows"] if row["learner"] == "combined"]
        lines += [
            [
                f"`{one['name']}`",
                "the paper's test part",
                count(row["partitions"]),
                "",
                *scores_row(row["test"]),
            ]
            for row in combined
        ]
        lines += [
            [
                f"`{one['name']}`",
                _SPLITS[row["split"]],
                count(row["partitions"]),
                count(row["n"]),
                *scores_row(row["scores"]),
            ]
            for row in scores["splits"]
        ]
    columns = ["product", "left out", "models", "samples", *TITLES.values()]
    return table(columns, lines) + "\n\nMeans over the models."


def learners(product: Mapping[str, Any], paper: Paper) -> str:
    """Return the learners' scores: a column for each partition where they are few, otherwise means.

    Parameters
    ----------
    product : mapping
        Of `smcatalog.results.measure.measure`.
    paper : Paper
        What stands beside.
    """
    scores = product["scores"]
    own = scores["own"]
    if not scores["rows"]:  # a method that fits none beside each other
        return ""
    if not 1 < len(own) <= _FEW:
        return _mean_learners(product, paper)
    names = [row["learner"] for row in scores["rows"]]
    lines = []
    for name in names:
        cells = []
        for partition in own:
            report = scores["reports"][partition]
            one = report["combined"] if name == "combined" else report["learners"][name]
            test = one.get("test") or {}
            cells.append(f"{ratio(test.get('r'))} / {moisture(test.get('rmse'))}")
        published = paper.learners.get(name, {})
        theirs = f"{_span(published, 'test r')} / {_span(published, 'test rmse')}"
        lines.append([f"{name}", *cells, theirs])
    columns = [f"`{product['name']}`: R / RMSE of the test part", *own, paper.source]
    return table(columns, lines)


def _mean_learners(product: Mapping[str, Any], paper: Paper) -> str:
    scores = product["scores"]
    lines = []
    for row in scores["rows"]:
        published = paper.learners.get(row["learner"], {})
        lines.append(
            [
                row["learner"],
                count(row["chosen"]) if row["learner"] != "combined" else "",
                ratio(row["train"].get("r")),
                ratio(row["test"].get("r")),
                moisture(row["test"].get("rmse")),
                *(_span(published, name) for name in ("train r", "test r", "test rmse")),
            ]
        )
    columns = [f"`{product['name']}`", "wins", "train R", "test R", "test RMSE",
               "paper: train R", "test R", "test RMSE"]  # fmt: skip
    told = (
        f"Means over {len(scores['own'])} models; {len(scores['borrowed'])} partitions use the model of the one "
        f"before. The paper's are those of {paper.source}."
    )
    return f"{table(columns, lines)}\n\n{told}{_passed_over(scores['rows'])}"


def _passed_over(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say which learners are on average better on the test part than what was made of all."""
    errors = {row["learner"]: row["test"].get("rmse") for row in rows}
    chosen = errors.pop("combined", None)
    if chosen is None or not any(row["chosen"] for row in rows):  # a stack has no such rule
        return ""
    better = [name for name, error in errors.items() if error is not None and error < chosen]
    if not better:
        return ""
    return (
        f" **On the test part {', '.join(better)} had a smaller RMSE on average than what makes the maps**: in the "
        "paper's rule the training part counts as much as the test part."
    )


def _span(published: Mapping[str, Span], name: str) -> str:
    if name not in published:
        return "–"
    least, most = published[name]
    return f"{least:.3f}" if least == most else f"{least:.3f} to {most:.3f}"


def at_later_observations(product: Mapping[str, Any]) -> str:
    """Return an average of learners beside them at observations later than those that weighed it, and what it rests on.

    Parameters
    ----------
    product : mapping
        Of `smcatalog.results.measure.measure`, of a product that learns from stations.
    """
    found = product["experiments"]
    networks = [
        [network, name, count(one["n"]), *scores_row(one)]
        for network, learned in sorted(found["networks"].items())
        for name, one in learned.items()
    ]
    weights = [
        [
            zone,
            count(one["observations"]),
            *(_both(one, name) for name in _MEMBERS),
            _agreement(one),
        ]
        for zone, one in sorted(found["weights"].items())
    ]
    left = [
        [one["left_out"] or "none", count(one["n"]), *scores_row(one), f"{one['change_r']:+.3f}"]
        for one in found["predictor_left_out"]
    ]
    removed = [
        [f"{one['removed']:.0%}", count(round(one["left"])), moisture(one["rmse"]), ratio(one["r"]),
         ratio(one["r_sd"])]
        for one in found["observations_removed"]
    ]  # fmt: skip
    parts = [
        "### Learners and their average at later observations",
        (
            f"Weights of `{product['name']}` are learned from {count(found['training'])} observations; "
            f"{count(found['testing'])} later ones, {found['first']} to {found['last']}, test."
        ),
        table(["network", "learner", "n", *TITLES.values()], networks),
        (
            "Weights by zone, from dry to wet, by expectation and maximisation (the maps') and as the mean that chains "
            "find. The two agree when the chains' mean is within four Monte Carlo standard errors of that worked out from the mode."
        ),
        table(["zone", "observations", *_MEMBERS, "agree"], weights),
        "A predictor left out, fits and weights made anew:",
        table(["left out", "n", *TITLES.values(), "change of R"], left),
        "Stations taken away from those that weigh, means of 20 orders:",
        table(["removed", "observations left", "RMSE", "R", "sd of R"], removed),
    ]
    return "\n\n".join(parts)


_MEMBERS: Final = ("forest", "linear", "support", "boosting")


def _both(one: Mapping[str, Any], name: str) -> str:
    return f"{ratio(one['em']['weights'][name])} / {ratio(one['mcmc']['weights'][name])}"


def _agreement(one: Mapping[str, Any]) -> str:
    return ("yes" if one["agree"] else "**no**") if one["converged"] else "chains apart"
