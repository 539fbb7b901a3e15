"""Figures of stacks: the test samples' estimates beside the target, and what the features contribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.services.figures import new_figure, save_figure
from smcatalog.services.stacks import StackLearning, stacks_by_zone

__all__ = ["draw_stacks"]

_MOST: Final = 20
"""Features shown in a panel at most."""
_COLUMNS: Final = 3
_BINS: Final = 60
"""Parts of a panel's width in which points are piled up."""

Values = NDArray[np.float64]


def draw_stacks(
    found: StackLearning, reports: Sequence[Mapping[str, Any]], title: str, folder: Path
) -> list[Path]:
    """Draw figures 4 and 10 of Xu et al. (2024), as far as the reports hold them.

    Figure 4 shows by learner and zone how many samples of the test lie where in the plane of target and
    estimate. The paper's text says no more of it than "performance on the test set"; R and RMSE stand
    in each panel. Figure 10 shows the contributions of each feature (SHAP) to estimates of samples of the training part, a panel
    for each zone, the most influential feature at the top; the last panel shows their mean size, the features
    of a predictor with classes summed up, as a mean over zones.

    Parameters
    ----------
    reports : sequence of mapping
        What ``found`` was summarised from.
    title : str
        Product and version.

    Returns
    -------
    list of Path
        Of ``test.png`` and ``shap.png``, those that there is something to show in.
    """
    zones = stacks_by_zone(reports)
    made = []
    if any("density" in report for some in zones.values() for report in some):
        made.append(save_figure(_draw_test(found, zones, title), folder / "test.png"))
    if any(report.get("shap") for some in zones.values() for report in some):
        made.append(save_figure(_draw_shap(found, zones, title), folder / "shap.png"))
    return made


# -- figure 4


def _draw_test(
    found: StackLearning, zones: Mapping[str, Sequence[Mapping[str, Any]]], title: str
) -> Any:
    from matplotlib.colors import LogNorm

    squares = {
        (name, zone): _squares([report["density"][name] for report in some if "density" in report])
        for zone, some in zones.items()
        for name in found.learners
    }
    step = next(
        report["density"][found.learners[0]]["step"]
        for some in zones.values()
        for report in some
        if "density" in report
    )
    ends = [end for counts in squares.values() for pair in counts for end in pair]
    low, high = min(ends) - 1, max(ends) + 2
    edges = np.arange(low, high + 1) * step
    most = max(max(counts.values()) for counts in squares.values() if counts)
    rows, columns = len(found.learners), len(found.zones)
    figure = new_figure(2.4 * columns + 1.4, 2.4 * rows + 0.9)
    places = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    image = None
    for name, row in zip(found.learners, places, strict=True):
        for zone, place in zip(found.zones, row, strict=True):
            image = place.pcolormesh(
                edges,
                edges,
                np.ma.masked_equal(_grid(squares[name, zone.zone], low, len(edges) - 1), 0),
                cmap="viridis",
                norm=LogNorm(1, max(most, 2)),
            )
            place.plot(edges[[0, -1]], edges[[0, -1]], color="0.4", linewidth=0.8)
            _write_scores(place, zone.zoned.get("test", {}).get(name))
            place.set_aspect("equal")
            place.grid(alpha=0.25)
    for zone, place in zip(found.zones, places[0], strict=True):
        place.set_title(_named(zone.zone, zone.label))
    for name, place in zip(found.learners, places[:, 0], strict=True):
        place.set_ylabel(f"{name}\n[m³ m⁻³]")
    figure.supxlabel("coarse product, samples of the test [m³ m⁻³]")
    figure.suptitle(
        f"{title}: estimates of the samples kept for the test, learners of each zone's own"
    )
    bar = figure.colorbar(image, ax=places, pad=0.01, aspect=50)
    bar.set_label(f"samples in a square of {step:g} m³ m⁻³")
    counts = [c * 10**e for e in range(6) for c in (1, 2, 5) if c * 10**e <= max(most, 2)]
    bar.set_ticks(counts, labels=[f"{c:,}" for c in counts])
    bar.minorticks_off()
    return figure


def _squares(densities: Sequence[Mapping[str, Any]]) -> Counter[tuple[int, int]]:
    """Return how many samples lie in each square (target, estimate), over partitions of time."""
    total: Counter[tuple[int, int]] = Counter()
    for one in densities:
        pairs = zip(one["target"], one["estimate"], strict=True)
        total.update(dict(zip(pairs, one["count"], strict=True)))
    return total


def _grid(counts: Counter[tuple[int, int]], low: int, size: int) -> Values:
    """Return counts as an image whose rows are estimates and columns targets."""
    image = np.zeros((size, size))
    for (target, estimate), count in counts.items():
        image[estimate - low, target - low] = count
    return image


def _write_scores(place: Any, scores: Mapping[str, Any] | None) -> None:
    if scores is None:
        return
    r = "–" if scores["r"] is None else f"{scores['r']:.3f}"
    place.text(
        0.04,
        0.96,
        f"R {r}\nRMSE {scores['rmse']:.4f}\nn {scores['n']:,}",
        transform=place.transAxes,
        verticalalignment="top",
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
    )


def _named(zone: str, label: str) -> str:
    return label if label == zone or not zone.isdigit() else f"{zone}: {label}"


# -- figure 10


def _draw_shap(
    found: StackLearning, zones: Mapping[str, Sequence[Mapping[str, Any]]], title: str
) -> Any:
    shaps = {zone: [r["shap"] for r in some if r.get("shap")] for zone, some in zones.items()}
    count = sum(map(bool, shaps.values()))
    columns = min(_COLUMNS, count + 1)
    rows = -(-(count + 1) // columns)
    most = min(_MOST, max(len(some[0]["mean_abs"]) for some in shaps.values() if some))
    figure = new_figure(5.2 * columns, (0.27 * most + 1.3) * rows + 0.6)
    places = list(figure.subplots(rows, columns, squeeze=False).ravel())
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    points = None
    for zone in found.zones:
        if shaps[zone.zone]:
            place = places.pop(0)
            points = _draw_points(place, shaps[zone.zone], most)
            place.set_title(f"({next(letters, '')}) {_named(zone.zone, zone.label)}", loc="left")
    place = places.pop(0)
    _draw_sizes(place, found)
    place.set_title(f"({next(letters, '')}) mean size", loc="left")
    for empty in places:
        empty.set_visible(False)
    figure.suptitle(f"{title}: contributions of the features (SHAP) to the stack's estimates")
    bar = figure.colorbar(points, ax=figure.axes, label="value of the feature", pad=0.01, aspect=60)
    bar.set_ticks([0.0, 1.0], labels=["low", "high"])
    return figure


def _draw_points(place: Any, shaps: Sequence[Mapping[str, Any]], most: int) -> Any:
    sizes = {
        name: float(np.mean([one["mean_abs"][name] for one in shaps]))
        for name in shaps[0]["mean_abs"]
    }
    names = sorted(sizes, key=lambda name: sizes[name])[-most:]
    drawn = {
        name: tuple(
            np.concatenate([one["points"][name][what] for one in shaps])
            for what in ("contributions", "features")
        )
        for name in names
    }
    every = np.concatenate([values for values, _ in drawn.values()])
    span = (float(every.min()), float(every.max()))
    points = None
    for height, name in enumerate(names):
        contributions, features = drawn[name]
        points = place.scatter(
            contributions,
            height + _piled(contributions, span),
            c=_ranks(features),
            cmap="coolwarm",
            vmin=0.0,
            vmax=1.0,
            s=4,
            linewidth=0,
        )
    place.axvline(0.0, color="0.6", linewidth=0.8)
    place.set_yticks(range(len(names)), names, fontsize=8)
    place.set_ylim(-0.7, len(names) - 0.3)
    place.set_xlabel("contribution, m³ m⁻³")
    place.locator_params(axis="x", nbins=5)
    place.grid(axis="y", alpha=0.3)
    return points


def _piled(values: Values, span: tuple[float, float]) -> Values:
    """Return how far from its line each point is drawn: points with like values lie beside each other."""
    width = max(span[1] - span[0], 1e-12) / _BINS
    bins = np.floor((values - span[0]) / width).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    first = np.searchsorted(bins[order], bins[order])
    layer = np.empty(len(values))
    layer[order] = np.arange(len(values)) - first
    away = np.ceil(layer / 2) * np.where(layer % 2, 1.0, -1.0)
    result: Values = 0.42 * away / max(float(np.abs(away).max()), 6.0)
    return result


def _ranks(values: Values) -> Values:
    """Return values between their 5th and 95th percentile, as 0 to 1."""
    low, high = np.percentile(values, [5, 95])
    if high <= low:  # a class that few samples have
        low, high = values.min(), values.max()
    result: Values = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    return result


def _draw_sizes(place: Any, found: StackLearning) -> None:
    """Draw the mean over zones of each predictor's mean size, by the zones' shares in it."""
    whole = found.together or found.zones[0]
    names = list(whole.importances)[:_MOST][::-1]
    explained = [zone for zone in found.zones if zone.importances]
    left = np.zeros(len(names))
    for zone in explained:
        sizes = np.array([zone.importances.get(name, 0.0) for name in names]) / len(found.zones)
        place.barh(names, sizes, left=left, label=_named(zone.zone, zone.label))
        left += sizes
    place.set_yticks(range(len(names)), names, fontsize=8)
    place.set_xlabel("mean |contribution|, mean of the zones, m³ m⁻³")
    place.locator_params(axis="x", nbins=5)
    place.grid(axis="x", alpha=0.3)
    if len(explained) > 1:
        place.legend(fontsize=8, loc="lower right")
