"""Figures of the experiments (Liu et al. 2024, figures 3 and 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from smcatalog.services.experiments import Experiments
from smcatalog.services.figures import figure_folder, new_figure, save_figure

__all__ = ["draw_experiments"]

_BLUE: Final = "#1f6fb4"
_RED: Final = "#c0392b"


def draw_experiments(found: Experiments, folder: Path) -> list[Path]:
    """Draw what predictors are worth, and what leaving predictors or observations out costs.

    Parameters
    ----------
    folder : Path
        Gets ``predictors.png`` and ``left_out.png``; it is made if it is not there.

    Raises
    ------
    UsageError
        When matplotlib is not installed, or the folder or a file cannot be made.
    """
    figure_folder(folder)
    made = []
    for name, draw in (("predictors", _predictors), ("left_out", _left_out)):
        figure = new_figure(10, 4.5)
        draw(found, figure)
        made.append(save_figure(figure, folder / f"{name}.png"))
    return made


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    values = [row[key] for row in rows if row[key] is not None]
    return fmean(values) if values else float("nan")


def _predictors(found: Experiments, figure: Any) -> None:
    names = list(dict.fromkeys(row["predictor"] for row in found.predictors))
    by_name = [[r for r in found.predictors if r["predictor"] == name] for name in names]
    left, right = figure.subplots(1, 2)
    left.bar(
        names,
        [_mean(rows, "permutation") for rows in by_name],
        yerr=[_mean(rows, "permutation_sd") for rows in by_name],
        color=_BLUE,
        label="permutation: loss of R²",
    )
    left.set_ylabel("loss of R²")
    beside = left.twinx()
    beside.plot(
        names, [_mean(rows, "shap") for rows in by_name], "o", color=_RED, label="mean |SHAP|"
    )
    beside.set_ylabel("mean |SHAP|, m³ m⁻³")
    beside.set_ylim(bottom=0)
    left.set_title("importance, mean of zones", loc="left")
    right.bar(
        names,
        [_mean(rows, "correlation") for rows in by_name],
        yerr=[_mean(rows, "correlation_sd") for rows in by_name],
        color=_RED,
    )
    right.axhline(0, color="black", linewidth=0.8)
    right.set_ylabel("Pearson's R with coarse soil moisture")
    right.set_title("correlation over the cells of a day", loc="left")
    for axis in (left, right):
        axis.tick_params(axis="x", rotation=30)
    handles = [*left.get_legend_handles_labels()[0], *beside.get_legend_handles_labels()[0]]
    left.legend(handles=handles, loc="best", fontsize="small")


def _left_out(found: Experiments, figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    rows = found.predictor_left_out
    names = [row["left_out"] or "none" for row in rows]
    left.bar(names, [row["r"] for row in rows], color=_BLUE)
    left.set_ylabel("R at later observations")
    left.set_title("a predictor left out", loc="left")
    left.tick_params(axis="x", rotation=30)
    beside = left.twinx()
    beside.plot(names, [row["rmse"] for row in rows], "o", color=_RED)
    beside.set_ylabel("RMSE, m³ m⁻³ (points)", color=_RED)
    removed = [100 * row["removed"] for row in found.observations_removed]
    for axis, key, colour, label in (
        (right, "r", _BLUE, "R at later observations"),
        (right.twinx(), "rmse", _RED, "RMSE, m³ m⁻³"),
    ):
        axis.errorbar(
            removed,
            [row[key] for row in found.observations_removed],
            yerr=[row[f"{key}_sd"] for row in found.observations_removed],
            marker="o",
            color=colour,
            capsize=3,
        )
        axis.set_ylabel(label, color=colour)
    right.set_xlabel("stations removed from what the weights are learned from, %")
    right.set_title("observations removed", loc="left")
