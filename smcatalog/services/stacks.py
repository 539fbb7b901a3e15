"""Scores of stacks by zone, beside one stack for all zones: table 3 of Xu et al. (2024), and figure 10 in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from smcatalog.core.errors import NotFoundError
from smcatalog.core.moments import Moments
from smcatalog.methods.scores import moments_of
from smcatalog.validation.metrics import Scores

__all__ = ["ALL", "StackLearning", "ZoneScores", "is_stack", "stack_learning", "stacks_by_zone"]

ALL: Final = "all"
"""What a stack for all zones is called among those of zones."""

LearnerScores = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Scores by half (``train``, ``test``) and learner."""


@dataclass(frozen=True, slots=True)
class ZoneScores:
    """How learners and stack scored on the samples of a zone, over all partitions of time.

    Parameters
    ----------
    zone : str
        Its number; `ALL` for all zones together, or where there are none.
    label : str
        What it is called.
    samples : int
        Of training and test part.
    zoned : mapping
        Scores by half and learner (the stack last), each learner fitted to the zone's training samples alone. They
        are n, R, RMSE, bias and ubRMSE [m³ m⁻³] against the coarse product.
    without_zones : mapping
        The same for learners that were fitted to the training samples of all zones at once, scored on the same
        samples; empty where there are no zones.
    best : mapping of str to mapping of str to str
        Learner with the highest ``r`` and the one with the lowest ``rmse`` of ``zoned``, by half.
    importances : mapping of str to float
        Mean size of each predictor's contributions (SHAP) to the zone's stack [m³ m⁻³], those of a predictor with several
        features, as classes, summed up; the largest first.
    """

    zone: str
    label: str
    samples: int
    zoned: LearnerScores
    without_zones: LearnerScores
    best: Mapping[str, Mapping[str, str]]
    importances: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StackLearning:
    """What stacks scored as they learned.

    Parameters
    ----------
    learners : tuple of str
        In their order, the stack last.
    zones : tuple of ZoneScores
        With a stack of their own, in the order of their numbers.
    together : ZoneScores or None
        All their samples as one; None with fewer than two zones. Importances are means over zones.
    """

    learners: tuple[str, ...]
    zones: tuple[ZoneScores, ...]
    together: ZoneScores | None


def is_stack(report: Mapping[str, Any]) -> bool:
    """Say whether the report of a partition's or a zone's model is that of a stack."""
    return "weights" in report and "scores" in report


def stacks_by_zone(
    reports: Iterable[Mapping[str, Any]],
) -> dict[str, list[Mapping[str, Any]]]:
    """Return what the stacks of each zone report, one for each partition of time.

    Zones come in the order of their numbers. Where there are zones, the stack for all is left out: it is
    what they are compared with.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for report in reports:
        found.setdefault(report.get("zone", ALL), []).append(report)
    if len(found) > 1:
        found.pop(ALL, None)
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def stack_learning(
    reports: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    groups: Mapping[str, str],
    order: Sequence[str] = (),
) -> StackLearning:
    """Summarise what stacks report.

    Parameters
    ----------
    reports : sequence of mapping
        Of stacks, one for each partition of time or for each of its zones, whose number is under ``zone``.
    labels : mapping of str to str
        What zones are called, by their numbers.
    groups : mapping of str to str
        Predictor that a feature is part of; other features are predictors themselves.
    order : sequence of str
        Learners in the order in which they are to stand: the database keeps none.

    Raises
    ------
    NotFoundError
        When a report lacks what is to be joined.
    """
    across: dict[str, list[LearnerScores]] = {}
    for report in reports:
        for zone, scores in report.get("by_zone", {}).items():
            across.setdefault(zone, []).append(scores)
    zones = tuple(
        _zone(zone, labels.get(zone, zone), some, across.get(zone, []), groups)
        for zone, some in stacks_by_zone(reports).items()
    )
    fitted = {name for report in reports for name in report["weights"]}
    named = [*(name for name in order if name in fitted), *sorted(fitted.difference(order))]
    joined = sorted({name for one in zones for name in one.zoned["train"]} - fitted)
    return StackLearning((*named, *joined), zones, _together(zones) if len(zones) > 1 else None)


def _zone(
    zone: str,
    label: str,
    reports: Sequence[Mapping[str, Any]],
    across: Sequence[LearnerScores],
    groups: Mapping[str, str],
) -> ZoneScores:
    zoned = _joined([report["scores"] for report in reports])
    samples = sum(
        sum(_any(report["scores"], half)["n"] for half in _halves(report["scores"]))
        // len(report["constant"])  # scores are over all depths
        for report in reports
    )
    shap = [report["shap"] for report in reports if report.get("shap")]
    sizes: dict[str, float] = {}
    for feature in shap[0]["mean_abs"] if shap else ():
        name = groups.get(feature, feature)
        mean = fmean(one["mean_abs"][feature] for one in shap)
        sizes[name] = sizes.get(name, 0.0) + mean
    return ZoneScores(
        zone, label, samples, zoned, _joined(across) if across else {}, _best(zoned), _ranked(sizes)
    )


def _together(zones: Sequence[ZoneScores]) -> ZoneScores:
    zoned = _joined([one.zoned for one in zones])
    across = [one.without_zones for one in zones if one.without_zones]
    sizes = {
        name: fmean(one.importances.get(name, 0.0) for one in zones)
        for name in dict.fromkeys(name for one in zones for name in one.importances)
    }
    return ZoneScores(
        ALL,
        "all zones",
        sum(one.samples for one in zones),
        zoned,
        _joined(across) if len(across) == len(zones) else {},
        _best(zoned),
        _ranked(sizes),
    )


def _ranked(sizes: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _halves(scores: LearnerScores) -> list[str]:
    return [half for half in ("train", "test") if half in scores]


def _any(scores: LearnerScores, half: str) -> Mapping[str, Any]:
    return next(iter(scores[half].values()))


def _joined(parts: Sequence[LearnerScores]) -> LearnerScores:
    """Return the scores of all samples together, as if they had been scored at once."""
    halves = dict.fromkeys(half for part in parts for half in _halves(part))
    return {
        half: {
            name: _of_all([part[half][name] for part in parts if name in part.get(half, {})])
            for name in dict.fromkeys(name for part in parts for name in part.get(half, {}))
        }
        for half in halves
    }


def _of_all(scores: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    if len(scores) == 1:
        return scores[0]
    if not all("mean_estimate" in one for one in scores):
        raise NotFoundError(
            "the models were fitted by an older version, which did not keep what joins scores: "
            "plan and produce the product again"
        )
    total = Moments.total(map(moments_of, scores))
    found = Scores.of(total)
    return {
        "n": found.n,
        "r": found.r if math.isfinite(found.r) else None,
        "rmse": found.rmse,
        "bias": found.bias,
        "ubrmse": found.ubrmse,
        "mean_estimate": total.mean_estimate,
        "mean_reference": total.mean_reference,
        "sd_estimate": (total.m2_estimate / max(total.n, 1)) ** 0.5,
        "sd_reference": (total.m2_reference / max(total.n, 1)) ** 0.5,
    }


def _best(scores: LearnerScores) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for half, by_learner in scores.items():
        defined = {name: one for name, one in by_learner.items() if one["r"] is not None}
        found[half] = {"rmse": min(by_learner, key=lambda name: by_learner[name]["rmse"])}
        if defined:
            found[half]["r"] = max(defined, key=lambda name: defined[name]["r"])
    return found
