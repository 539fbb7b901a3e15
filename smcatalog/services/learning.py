"""What the models of a product's partitions saw as they learned: scores of all learners and importances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Final

from sqlalchemy import Connection

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.database.engine import transaction
from smcatalog.database.products import product_version, version_definition
from smcatalog.database.training import model_scores
from smcatalog.database.zones import zones_of
from smcatalog.products import Definition
from smcatalog.services.figures import figure_folder, need_matplotlib, new_figure, save_figure
from smcatalog.services.stack_figures import draw_stacks
from smcatalog.services.stacks import ALL, StackLearning, is_stack, stack_learning
from smcatalog.services.workspace import Workspace

__all__ = [
    "LEARNING_SCORES",
    "Importance",
    "LearnerRow",
    "Learning",
    "SplitRow",
    "draw_learning",
    "learning",
]

LEARNING_SCORES: Final = ("r", "rmse", "bias", "ubrmse")
"""Scores that are averaged over partitions."""
_HALVES: Final = ("train", "test")
_SPLITS: Final = ("train", "cells_left_out", "days_left_out", "months_left_out")
"""As `smcatalog.services.fit.score_method` names them."""
_ZONES: Final = "zones:"
_CALENDAR: Final = "day_of_year"


@dataclass(frozen=True, slots=True)
class LearnerRow:
    """A learner's scores against the coarse product, averaged over partitions.

    Parameters
    ----------
    learner : str
        Registered name, or ``combined`` for what the combiner made of all.
    partitions : int
        Number of partitions that it was fitted in.
    chosen : int
        Partitions whose maps it makes alone.
    train, test : mapping of str to float
        Means of `LEARNING_SCORES` over the partitions in which they are defined.
    """

    learner: str
    partitions: int
    chosen: int
    train: Mapping[str, float]
    test: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SplitRow:
    """Scores of the whole method against the coarse product, averaged over partitions.

    Parameters
    ----------
    split : str
        ``train``: samples that it has learned from. ``cells_left_out``, ``days_left_out``, ``months_left_out``:
        estimates by the method fitted without whole coarse cells, or whole blocks of days.
    partitions : int
        Number of partitions that could be scored so.
    n : int
        Samples of all of them.
    scores : mapping of str to float
        Means of `LEARNING_SCORES` over these partitions.
    """

    split: str
    partitions: int
    n: int
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Importance:
    """A feature's share in what a learner learned: mean and standard deviation over partitions.

    Of a stack (``combined``) it is the share in the mean size of SHAP values (Xu et al. 2024, figure 10).
    """

    learner: str
    feature: str
    mean: float
    spread: float


@dataclass(frozen=True, slots=True)
class Learning:
    """What the models in force of a product saw as they learned.

    Parameters
    ----------
    product : str
        Its name.
    version : int
        Its version.
    own, borrowed : tuple of str
        Partitions with a model of their own, one for each zone where there are zones, and those whose samples
        were too few.
    rows : tuple of LearnerRow
        Learners, then what was combined; none for a method that fits none beside each other.
    splits : tuple of SplitRow
        The whole method on its own samples and with cells or days left out.
    importances : tuple of Importance
        Of the learners that have such a measure.
    reports : mapping of str to mapping
        What each own model reports, by partition.
    stack : StackLearning or None
        Of a stack: its scores and those of its learners by zone, with zones and without.
    """

    product: str
    version: int
    own: tuple[str, ...]
    borrowed: tuple[str, ...]
    rows: tuple[LearnerRow, ...]
    splits: tuple[SplitRow, ...]
    importances: tuple[Importance, ...]
    reports: Mapping[str, Mapping[str, Any]]
    stack: StackLearning | None = None


def learning(workspace: Workspace, product: str) -> Learning:
    """Summarise what the models in force of a product's newest version saw as they learned.

    Raises
    ------
    NotFoundError
        When the product has no model yet.
    """

    def find(
        connection: Connection,
    ) -> tuple[int, list[tuple[str, bool, dict[str, Any]]], Definition, dict[str, str]]:
        version = product_version(connection, product)
        definition = Definition.from_dict(version_definition(connection, version.id))
        labels = _zone_labels(connection, definition)
        return version.number, model_scores(connection, version.id), definition, labels

    version, models, definition, labels = transaction(workspace.engine, find)
    fitted = [(period, scores) for period, borrowed, scores in models if not borrowed]
    own = {
        name: plain
        for period, scores in fitted
        for name, plain in _by_zone(period, scores.get("report") or {})
    }
    if not fitted:
        raise NotFoundError(f"product {product} has no model yet: produce it first")
    # where zones have models of their own, that of all zones is not one more of them
    zoned = [report for report in own.values() if report.get("zone", ALL) != ALL]
    averaged = zoned or list(own.values())
    stacks = [report for report in own.values() if is_stack(report)]
    return Learning(
        product,
        version,
        tuple(own),
        tuple(period for period, borrowed, _ in models if borrowed),
        _rows(averaged),
        _splits([scores for _, scores in fitted]),
        _importances(averaged),
        own,
        stack_learning(
            stacks, labels, _groups(definition), definition.method.parameters.get("learners", ())
        )
        if stacks
        else None,
    )


def _zone_labels(connection: Connection, definition: Definition) -> dict[str, str]:
    """Return what the zones that divide a product's samples are called, by their numbers."""
    feature = definition.method.parameters.get("zones")
    for covariate in definition.covariates:
        if covariate.name == feature and covariate.source.startswith(_ZONES):
            try:
                found = zones_of(connection, covariate.source.removeprefix(_ZONES))
            except NotFoundError:  # they came as a raster
                return {}
            return {str(zone.number): zone.label for zone in found.zones if zone.label}
    return {}


def _groups(definition: Definition) -> dict[str, str]:
    """Return the predictors that have several features, by feature: classes, the day of the year as a circle."""
    calendar = [name for name in definition.feature_names if name.startswith(_CALENDAR)]
    return {name: c.name for c in definition.covariates if c.classes for name in c.features} | (
        dict.fromkeys(calendar, _CALENDAR)
    )


def _by_zone(period: str, report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the reports of a partition by name: one, or one for each of its zones."""
    if "zones" not in report:
        return [(period, _compared(report))]
    return [
        (f"{period}, zone {zone}", {**_compared(one), "zone": zone})
        for zone, one in report["zones"].items()
    ]


def _compared(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a report with its scores by learner, and those of what was combined apart."""
    if "scores" not in report:
        return report
    scores = report["scores"]
    names = report["weights"]
    (combined,) = scores["train"].keys() - names.keys()
    by_learner = {
        name: {half: scores[half].get(name) for half in _HALVES if half in scores}
        for name in (*names, combined)
    }
    together = by_learner.pop(combined)
    if report.get("shap"):
        size = report["shap"]["mean_abs"]
        total = sum(size.values()) or 1.0
        together["importances"] = {name: value / total for name, value in size.items()}
    return {**report, "learners": by_learner, "combined": together}


def _rows(reports: Sequence[Mapping[str, Any]]) -> tuple[LearnerRow, ...]:
    winners = [report.get("winner") for report in reports]
    names = sorted({name for report in reports for name in report.get("learners", {})})
    found = {
        name: [r["learners"][name] for r in reports if name in r.get("learners", {})]
        for name in names
    }
    combined = [r["combined"] if "combined" in r else _of_winner(r) for r in reports]
    found["combined"] = [one for one in combined if one]
    return tuple(
        LearnerRow(name, len(scores), winners.count(name), *(_means(scores, h) for h in _HALVES))
        for name, scores in found.items()
        if scores
    )


def _of_winner(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = report.get("learners", {}).get(report.get("winner"))
    return found


def _splits(scores: Sequence[Mapping[str, Any]]) -> tuple[SplitRow, ...]:
    found = {name: [{name: one[name]} for one in scores if one.get(name)] for name in _SPLITS}
    return tuple(
        SplitRow(name, len(some), sum(one[name]["n"] for one in some), _means(some, name))
        for name, some in found.items()
        if some
    )


def _means(scores: Sequence[Mapping[str, Any]], half: str) -> dict[str, float]:
    values = {
        name: [one[half][name] for one in scores if one.get(half, {}).get(name) is not None]
        for name in LEARNING_SCORES
    }
    return {name: fmean(some) for name, some in values.items() if some}


def _importances(reports: Sequence[Mapping[str, Any]]) -> tuple[Importance, ...]:
    shares: dict[tuple[str, str], list[float]] = {}
    for report in reports:
        compared = dict(report.get("learners", {}))
        if "combined" in report:
            compared["combined"] = report["combined"]
        for learner, one in compared.items():
            for feature, share in (one.get("importances") or {}).items():
                shares.setdefault((learner, feature), []).append(share)
    return tuple(
        Importance(learner, feature, fmean(some), pstdev(some))
        for (learner, feature), some in shares.items()
    )


def draw_learning(found: Learning, folder: Path) -> list[Path]:
    """Draw what was learned: figures 4, 5, 13 of Rao et al. (2022), of a stack figures 4 and 10 of Xu et al. (2024).

    Parameters
    ----------
    folder : Path
        Gets ``r.png``, ``rmse.png`` (by partition) and ``importances.png``, of a stack ``test.png`` and ``shap.png``;
        it is made if it is not there.

    Raises
    ------
    UsageError
        When matplotlib is not installed, there are no learners to compare, or the folder cannot be made.
    """
    need_matplotlib()
    if not found.rows:
        raise UsageError(f"{found.product} fits no learners beside each other: nothing to draw")
    figure_folder(folder)
    heading = f"{found.product} version {found.version}"
    if found.stack is not None:
        return draw_stacks(found.stack, list(found.reports.values()), heading, folder)
    made = []
    learners = [row.learner for row in found.rows if row.learner != "combined"]
    for score, title in (("r", "R"), ("rmse", "RMSE, m³ m⁻³")):
        figure = new_figure(10, 6)
        for place, half in zip(figure.subplots(2, 1, sharex=True), _HALVES, strict=True):
            for name in learners:
                values = [
                    (found.reports[period].get("learners", {}).get(name, {}).get(half) or {}).get(
                        score
                    )
                    for period in found.own
                ]
                place.plot(found.own, values, marker=".", linewidth=1, label=name)
            place.set_ylabel(title)
            place.set_title(f"{heading}, {half}", loc="left")
            place.grid(alpha=0.3)
        place.tick_params(axis="x", rotation=90)
        place.set_xlabel("partition")
        figure.legend(*place.get_legend_handles_labels(), loc="outside right center")
        made.append(save_figure(figure, folder / f"{score}.png"))
    made.append(save_figure(_importances_drawn(found), folder / "importances.png"))
    return made


def _importances_drawn(found: Learning) -> Any:
    learners = list(dict.fromkeys(one.learner for one in found.importances))
    figure = new_figure(max(3 * len(learners), 4), 5)
    places = figure.subplots(1, max(len(learners), 1), squeeze=False)[0]
    for place, learner in zip(places, learners, strict=False):
        ranked = sorted(
            (one for one in found.importances if one.learner == learner), key=lambda one: one.mean
        )
        names = [one.feature for one in ranked]
        means, spreads = [one.mean for one in ranked], [one.spread for one in ranked]
        place.barh(names, means, xerr=spreads, color="#1f6fb4", error_kw={"linewidth": 1})
        place.set_title(learner, loc="left")
        place.set_xlabel("share")
    return figure
