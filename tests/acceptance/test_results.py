"""The page of results from a tiny world, through the command line."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from smcatalog.results.entries import Variant, entry
from smcatalog.results.measure import WORLD, World, measure
from smcatalog.results.page import page, product_section
from smcatalog.results.steps import Answered, Commands, Steps
from tests.factories.commands import Place

pytestmark = [pytest.mark.slow, pytest.mark.long]


def quick(values: dict[str, Any]) -> None:
    """Few cells, so three predictors; two learners, nothing to choose."""
    kept = {"lst_day", "ndvi", "elevation"}
    values["covariates"] = [one for one in values["covariates"] if one["variable"] in kept]
    values["min_samples"] = 25
    parameters = values["method"]["parameters"]
    parameters["learners"] = ["linear_regression", "random_forest"]
    parameters["parameters"] = {"random_forest": {"n_estimators": 20}}
    parameters["options"] = {"tune": False}


def quick_retrieved(values: dict[str, Any]) -> None:
    quick(values)
    values["coarse"]["accept"] = "retrieved"


TINY = replace(
    entry("rao2022"),
    first=date(2018, 6, 10),
    last=date(2018, 6, 25),
    variants=(
        Variant("tiny", "recommended", quick),
        Variant("tiny-retrieved", "all", quick_retrieved),
    ),
)


def test_a_page_from_a_world(database, tmp_path):
    world = World(TINY, 150.0, 11)
    place = Place(tmp_path / "home", database.url)
    asked = []

    def run(*arguments: str) -> Answered:
        asked.append(arguments)
        if cut_off and arguments[0] == "scores":
            raise KeyboardInterrupt
        return Commands(tmp_path, place.environment())(*arguments)

    cut_off = True
    with pytest.raises(KeyboardInterrupt):
        measure(world, tmp_path, Steps(tmp_path / "answers", run))
    before, cut_off = len(asked), False
    found = measure(world, tmp_path, Steps(tmp_path / "answers", run))
    # it went on with what had not been answered
    assert asked[before] == asked[before - 1]
    assert asked[before][:2] == ("scores", "tiny")
    assert len(asked) == len(set(asked)) + 1

    text = page({"rao2022": product_section(found, "scripts/results rao2022")})
    for name in ("tiny", "tiny-retrieved"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` | map |"))
        report = place.answer("validate", name, "--truth", tmp_path / WORLD / "truth")
        ours = report["rows"][0]["scores"]
        assert f"| {ours['n']:,} |" in row
        assert f"| {ours['rmse']:.4f} | {ours['ubrmse']:.4f} | {ours['r']:.3f} |" in row
        scored = place.answer("scores", name)
        (cells,) = [s for s in scored["splits"] if s["split"] == "cells_left_out"]
        assert f"| {cells['scores']['rmse']:.4f} |" in text
    # both learn from other samples: the choice of qualities reached the models
    kept = [one["scores"]["splits"][0]["n"] for one in found["products"]]
    assert kept[0] <= kept[1]
    # the stations of the world are scored, and stay out of the maps
    assert "| `tiny` | map | " in text[text.index("### At simulated stations") :]

    asked.clear()
    assert measure(world, tmp_path, Steps(tmp_path / "answers", run), jobs=2) == found
    assert asked == []
