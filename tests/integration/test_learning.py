"""What learners scored as they learned, kept with the models and summarised."""

import json
from datetime import timedelta

import numpy as np
import pytest

from smcatalog.cli.output import print_json
from smcatalog.cli.stacks import print_stack
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.time import Period
from smcatalog.products import Covariate, MethodChoice, TimeRule
from smcatalog.services.learning import draw_learning, learning
from smcatalog.services.produce import produce
from smcatalog.services.stacks import stack_learning
from tests.factories import inputs as make

DAYS = make.days(14)
BEFORE = Period.of_days(DAYS[0] - timedelta(days=200), DAYS[0] - timedelta(days=100))
LEARNERS = ["linear_regression", "random_forest"]
BEST = MethodChoice(
    "ensemble",
    {
        "learners": LEARNERS,
        "options": {"tune": False},
        "parameters": {"random_forest": {"n_estimators": 10}},
    },
)


@pytest.fixture
def place(database, tmp_path):
    place = make.workspace(database.engine, tmp_path)
    make.put_static(place)
    for day in DAYS:
        make.put_day(place, day)
    return place


def test_scores_of_all_learners_are_kept_and_drawn(place, tmp_path):
    produce(place, make.definition(method=BEST), DAYS[0], DAYS[1])
    found = learning(place, "tiny")
    assert (found.version, found.own, found.borrowed) == (1, ("all",), ())
    rows = {row.learner: row for row in found.rows}
    assert list(rows) == [*LEARNERS, "combined"]
    # the planted relation is linear: it wins by the rule and makes all maps
    assert (rows["linear_regression"].chosen, rows["random_forest"].chosen) == (1, 0)
    assert rows["combined"].test == rows["linear_regression"].test
    assert rows["linear_regression"].test["rmse"] < 0.001 < rows["random_forest"].test["rmse"]
    shares = {(one.learner, one.feature): one.mean for one in found.importances}
    for learner in LEARNERS:
        assert sum(shares[learner, name] for name in ("swvl1", "elevation")) == pytest.approx(1)
    assert found.reports["all"]["split"]["alike"] is True
    # besides: the whole method on what it learned from, and with cells or days left out
    splits = {row.split: row for row in found.splits}
    assert list(splits) == ["train", "cells_left_out", "days_left_out"]
    assert len({row.n for row in splits.values()}) == 1
    assert {row.partitions for row in splits.values()} == {1}
    assert all(row.scores["rmse"] < 0.001 for row in splits.values())
    drawn = draw_learning(found, tmp_path / "figures")
    assert [path.name for path in drawn] == ["r.png", "rmse.png", "importances.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in drawn)


def test_a_stack_is_compared_with_its_learners(place):
    options = {"explained": 50}
    stack = MethodChoice("ensemble", {**BEST.parameters, "combine": "stacking", "options": options})
    produce(place, make.definition(method=stack), DAYS[0], DAYS[1])
    rows = {row.learner: row for row in learning(place, "tiny").rows}
    assert list(rows) == [*LEARNERS, "combined"]
    assert {row.chosen for row in rows.values()} == {0}  # none makes the maps alone
    assert rows["combined"].test["rmse"] < 0.001 < rows["random_forest"].test["rmse"]
    shares = [one for one in learning(place, "tiny").importances if one.learner == "combined"]
    assert sum(one.mean for one in shares) == pytest.approx(1)


def test_a_product_with_one_learner_has_nothing_to_compare(place, tmp_path):
    produce(place, make.definition(), DAYS[0], DAYS[0])
    found = learning(place, "tiny")
    assert (found.rows, found.stack) == ((), None)
    assert "train" in {row.split for row in found.splits}
    with pytest.raises(UsageError, match="nothing to draw"):
        draw_learning(found, tmp_path)


def test_stacks_by_zone_stand_beside_one_for_all_zones(place, tmp_path, capsys):
    """Table 3 and figures 4 and 10 of Xu et al. (2024), and what zones are worth."""
    halves = np.where(np.indices(make.FINE.shape)[1] < 54, 1.0, 2.0)
    make.put(place, "zones:halves", "zone", make.FINE, halves, None)
    cover = np.where(np.indices(make.FINE.shape)[0] // 5 % 2, 1.0, 7.0)
    make.put(place, "M", "land_cover_pft", make.FINE, cover, BEFORE)
    learners = ["linear_regression", "random_forest"]
    definition = make.definition(
        training_until=DAYS[-1],
        covariates=(
            *make.definition().covariates,
            Covariate("land_cover_pft", "M", TimeRule.HOLDING, max_age_days=400,
                      classes=(("forest", (1,)), ("crop", (7,)))),
            Covariate("zone", "zones:halves", TimeRule.STATIC),
        ),
        method=MethodChoice(
            "ensemble",
            {
                "learners": learners,
                "combine": "stacking",
                "zones": "zone",
                "zone_min_samples": 20,
                "options": {"explained": 30, "shown": 20, "folds": 2},
                "parameters": {"random_forest": {"n_estimators": 5}},
            },
        ),
    )  # fmt: skip
    produce(place, definition, DAYS[0], DAYS[0])
    found = learning(place, "tiny")
    stack = found.stack
    assert stack.learners == (*learners, "stacking")
    assert [zone.zone for zone in stack.zones] == ["1", "2"]
    counts = [zone.samples for zone in stack.zones]
    assert stack.together.samples == sum(counts) == len(DAYS) * 6
    for zone in (*stack.zones, stack.together):
        for half in ("train", "test"):
            own, other = zone.zoned[half], zone.without_zones[half]
            assert set(own) == set(other) == set(stack.learners)
            assert {s["n"] for s in own.values()} == {s["n"] for s in other.values()}
            best = zone.best[half]["rmse"]
            assert own[best]["rmse"] == min(s["rmse"] for s in own.values())
        # the one-hot features are one predictor
        assert set(zone.importances) == {"swvl1", "elevation", "land_cover_pft"}
        assert list(zone.importances.values()) == sorted(zone.importances.values(), reverse=True)
    # all zones together are scored as if at once
    parts = [zone.zoned["test"]["stacking"] for zone in stack.zones]
    squares = sum(s["n"] * s["rmse"] ** 2 for s in parts) / sum(s["n"] for s in parts)
    assert stack.together.zoned["test"]["stacking"]["rmse"] == pytest.approx(squares**0.5)
    # the one for all zones is no partition beside those of zones
    assert {row.partitions for row in found.rows} == {2}
    print_json(found)
    plain = json.loads(capsys.readouterr().out)["stack"]
    assert plain["zones"][1]["without_zones"]["test"] == stack.zones[1].without_zones["test"]
    assert plain["together"]["importances"] == stack.together.importances
    drawn = draw_learning(found, tmp_path / "figures")
    assert [path.name for path in drawn] == ["test.png", "shap.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in drawn)
    again = [path.read_bytes() for path in drawn]
    assert [path.read_bytes() for path in draw_learning(found, tmp_path / "figures")] == again
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="cannot make the folder"):
        draw_learning(found, tmp_path / "taken" / "figures")


def test_the_table_of_stacks_marks_the_best(capsys):
    def scored(r, rmse):
        return {"n": 9, "r": r, "rmse": rmse, "bias": 0.0, "ubrmse": rmse, "mean_estimate": 0.2,
                "mean_reference": 0.2, "sd_estimate": 0.05, "sd_reference": 0.05}  # fmt: skip

    def report(zone, own, stacked):
        halves = {"a": own, "stacking": stacked}
        return {
            "zone": zone, "weights": {"a": [1.0]}, "constant": [0.0],
            "scores": {"train": halves, "test": halves},
        }  # fmt: skip

    across = {"test": {"a": scored(0.5, 0.05), "stacking": scored(0.6, 0.04)}}
    reports = [
        report("1", scored(0.9, 0.02), scored(0.95, 0.01)),
        report("12", scored(None, 0.03), scored(None, 0.05)),
        {
            **report("all", scored(0.1, 0.9), scored(0.1, 0.9)),
            "by_zone": {"1": across, "12": across},
        },
    ]
    print_stack(stack_learning(reports, {"1": "Plain"}, {}))
    table = capsys.readouterr().out
    lines = table.splitlines()
    assert lines[0].split() == ["learner", "part", "score", "1", "Plain", "12", "all", "zones"]
    cells = {tuple(line.split()[:3]): line.split()[3:] for line in lines[3:11]}
    assert cells["stacking", "test", "RMSE"][:2] == ["0.0100*", "0.0500"]
    assert cells["a", "test", "RMSE"][:2] == ["0.0200", "0.0300*"]
    assert cells["stacking", "test", "R"][:2] == ["0.9500*", "–"]
    assert "one for all zones, on the same samples of the test:" in lines
    assert "in 1 of 2 zones" in lines[-1]


def test_reports_that_cannot_be_joined_say_what_to_do():
    old = {"n": 5, "r": 0.9, "rmse": 0.1, "bias": 0.0, "ubrmse": 0.1}
    one = {"weights": {"a": [1.0]}, "constant": [0.0], "scores": {"train": {"stacking": old}}}
    with pytest.raises(NotFoundError, match="produce the product again"):
        stack_learning([one, one], {}, {})
