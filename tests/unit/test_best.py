"""The best of several learners, the splits it makes and how it tunes."""

import json
import math

import numpy as np
import pytest

from smcatalog.core.errors import UsageError
from smcatalog.methods import Samples, create, load
from smcatalog.methods.best import Best, scores_of, split_alike
from smcatalog.methods.combiners import LearnerChoice, create_combiner
from smcatalog.methods.splits import FoldsBy, fold_numbers, halves, part, stratified_subset
from smcatalog.methods.tuning import DEFAULT_GRIDS, grid_of, tune

NAMES = ("a", "b", "c", "d")
LEARNERS = ["linear_regression", "svr", "ann", "random_forest", "xgboost"]
SMALL = {
    "svr": {"importance_rows": 20},
    "ann": {"hidden": [8], "max_epochs": 20, "importance_rows": 20},
    "random_forest": {"n_estimators": 10},
    "xgboost": {"n_estimators": 15},
}
GRIDS = {
    "svr": {"C": [1.0, 10.0]},
    "ann": {"alpha": [1e-4, 1e-2]},
    "random_forest": {"min_samples_leaf": [2, 8]},
    "xgboost": {"max_depth": [2, 4]},
}


def samples(n=321, *, curved=True, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    wet = np.sin(2 * x[:, 0]) * (x[:, 1] > 0) if curved else x[:, 0]
    y = np.clip(0.25 + 0.06 * wet + rng.normal(0, 0.005, n), 0.01, 0.59)
    days = np.datetime64("2018-06-10") + rng.integers(0, 9, n)
    return Samples(NAMES, x, y[:, np.newaxis], rng.integers(0, 30, n), days)


def ensemble(**options):
    return create(
        "ensemble",
        {"learners": LEARNERS, "parameters": SMALL, "grids": GRIDS, "options": options},
    )


@pytest.fixture(scope="module")
def fitted():
    return ensemble().fit(samples())


def test_halves_have_half_of_every_day():
    days = samples().days
    train, test = halves(days, 4)
    assert sorted([*train, *test]) == list(range(len(days)))
    assert abs(len(train) - len(test)) <= 1
    for day in np.unique(days):
        assert abs((days[train] == day).sum() - (days[test] == day).sum()) <= 1
    assert halves(days, 4)[0].tolist() == train.tolist() != halves(days, 5)[0].tolist()


def test_halves_that_differ_are_drawn_again():
    data = samples(60)
    one = split_alike(data, 0.05, 100, 0)
    assert one.alike
    assert one.p > 0.05
    strict = split_alike(data, max(one.p, 0.9), 200, 0)
    assert strict.draws > 1
    assert strict.alike
    assert strict.p > max(one.p, 0.9)
    bounded = split_alike(data, 1.0, 7, 0)
    assert (bounded.alike, bounded.draws) == (False, 7)
    # of all draws that were not alike the most alike one is taken
    assert bounded.p == max(split_alike(data, 1.0, most, 0).p for most in range(1, 8))
    assert bounded.as_dict()["alike"] is False


def test_the_test_of_the_halves_is_scipys():
    from scipy.stats import ks_2samp

    data = samples()
    split = split_alike(data, 0.05, 10, 3)
    theirs = ks_2samp(data.target[split.train, 0], data.target[split.test, 0], method="asymp")
    assert (split.statistic, split.p) == (theirs.statistic, theirs.pvalue)


def test_folds_keep_cells_and_days_together():
    data = samples()
    for by, unit in ((FoldsBy.CELLS, data.groups), (FoldsBy.DAYS, data.days)):
        number = fold_numbers(data, 4, by, 1)
        assert set(number) == {0, 1, 2, 3}
        assert all(len(set(number[unit == one])) == 1 for one in np.unique(unit))
    assert np.ptp(np.bincount(fold_numbers(data, 4, "random", 1))) <= 1
    assert set(fold_numbers(data, 50, FoldsBy.DAYS, 1)) == set(range(9))
    with pytest.raises(UsageError, match="1 days cannot be divided"):
        fold_numbers(part(data, data.days == data.days[0]), 3, "days", 0)


def test_a_subset_keeps_the_shares_of_days_and_of_the_target():
    data = samples(4000)
    chosen = stratified_subset(data, 400, 2)
    assert len(set(chosen.tolist())) == 400
    for day in np.unique(data.days):
        assert (data.days[chosen] == day).sum() == pytest.approx(
            (data.days == day).sum() / 10, abs=1
        )
    assert np.quantile(data.target[chosen], [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(data.target, [0.1, 0.5, 0.9]), abs=0.01
    )
    assert stratified_subset(data, 5000, 2).tolist() == list(range(4000))


def test_the_winner_has_the_smallest_mean_of_both_errors(fitted):
    report = fitted.report
    assert list(report["learners"]) == LEARNERS
    for one in report["learners"].values():
        assert one["mean_rmse"] == (one["train"]["rmse"] + one["test"]["rmse"]) / 2
        assert set(one["importances"]) == set(NAMES)
    ranks = {name: one["mean_rmse"] for name, one in report["learners"].items()}
    assert report["winner"] == min(ranks, key=ranks.__getitem__) != "linear_regression"
    assert list(fitted.combiner_.members_) == [report["winner"]]
    straight = ensemble().fit(samples(curved=False)).report
    assert straight["winner"] == "linear_regression"


def test_scores_are_those_of_the_halves(fitted):
    data, report = samples(), fitted.report
    split = split_alike(data, 0.05, 100, 0)
    assert report["split"] == split.as_dict()
    winner = report["learners"][report["winner"]]
    for name, rows in (("train", split.train), ("test", split.test)):
        error = fitted.predict_samples(data.features[rows]) - data.target[rows]
        assert winner[name]["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
        assert winner[name]["bias"] == pytest.approx(error.mean())
        assert winner[name]["n"] == len(rows)


def test_what_was_tried_is_kept_and_the_best_of_it_chosen(fitted):
    for name, one in fitted.report["learners"].items():
        grid = one["grid"]
        assert grid["parameters"] == list(GRIDS.get(name, {}))
        if not grid["parameters"]:
            assert grid["rmse"] == []
            continue
        best = min(grid["rmse"], key=lambda row: row[-1])
        key = grid["parameters"][0]
        assert [row[0] for row in grid["rmse"]] == GRIDS[name][key]
        assert one["parameters"] == {**SMALL[name], key: best[0]}
        assert grid["folds"] == 3


def test_a_report_is_plain_and_survives_json(fitted):
    text = json.dumps(fitted.report, allow_nan=False)
    assert json.loads(text) == fitted.report
    flat = scores_of(np.full((5, 1), 0.2), np.linspace(0, 0.4, 5)[:, np.newaxis])
    assert flat["r"] is None
    assert flat["bias"] == pytest.approx(0, abs=1e-12)
    perfect = scores_of(np.linspace(0, 1, 9)[:, np.newaxis], np.linspace(0, 1, 9)[:, np.newaxis])
    assert (perfect["r"], perfect["rmse"]) == (pytest.approx(1), 0)
    json.dumps([flat, perfect], allow_nan=False)


def test_the_number_of_threads_changes_nothing(fitted, tmp_path, monkeypatch):
    files = []
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        path = tmp_path / str(threads)
        ensemble().fit(samples()).save(path)
        files.append(path.read_bytes())
    assert files[0] == files[1]
    loaded = load("ensemble", tmp_path / "1")
    assert loaded.report == fitted.report
    x = samples(seed=4).features
    assert np.array_equal(loaded.predict_samples(x), fitted.predict_samples(x))


def test_the_winner_learns_from_the_training_half_or_from_all(fitted):
    data = samples()
    name = fitted.report["winner"]
    chosen = fitted.report["learners"][name]["parameters"]
    split = split_alike(data, 0.05, 100, 0)
    half = create(name, {**chosen, "random_state": 0}).fit(part(data, split.train))
    assert np.array_equal(
        fitted.predict_samples(data.features), half.predict_samples(data.features)
    )
    again = ensemble(fitted_on="all").fit(data)
    whole = create(name, {**chosen, "random_state": 0}).fit(data)
    assert again.report["fitted_on"] == "all"
    assert np.array_equal(
        again.predict_samples(data.features), whole.predict_samples(data.features)
    )


def test_the_uncertainty_is_the_error_of_the_half_left_out(fitted):
    report = fitted.report
    member = fitted.combiner_.members_[report["winner"]]
    uncertainty = member._predict(samples().features[:5])[1]
    if report["winner"] in {"svr", "ann", "xgboost"}:
        assert np.allclose(uncertainty, report["learners"][report["winner"]]["test"]["rmse"])
        assert member.get_params()["folds"] == 3


def test_what_was_chosen_stays_chosen(fitted):
    fresh = fitted.tuned()
    winner = fitted.report["winner"]
    assert list(fresh.learners) == [winner]
    report = fresh.fit(samples()).report
    assert report["learners"][winner]["grid"]["rmse"] == [] or set(
        report["learners"][winner]["grid"]["parameters"]
    ).isdisjoint(fitted.report["learners"][winner]["grid"]["parameters"])


def test_grids_are_the_products_or_the_default_ones_for_what_is_not_given():
    assert grid_of(LearnerChoice("xgboost", {}, {"gamma": [0.0]})) == {"gamma": [0.0]}
    assert grid_of(LearnerChoice("xgboost", {}, {})) == DEFAULT_GRIDS["xgboost"]
    assert "max_depth" not in grid_of(LearnerChoice("xgboost", {"max_depth": 3}, {}))
    every = LearnerChoice("xgboost", {"max_depth": 3}, {})
    assert Best(tune=False)._tuned(every, samples(), 0).parameters == {"max_depth": 3}


@pytest.mark.parametrize("name", sorted(DEFAULT_GRIDS))
def test_default_grids_are_of_parameters_that_there_are(name):
    known = create(name, {}).get_params()
    assert set(DEFAULT_GRIDS[name]) <= set(known)


def test_tuning_finds_what_the_data_ask_for():
    rule = {"folds": 3, "folds_by": "cells", "most_samples": 300, "seed": 0}
    rng = np.random.default_rng(0)
    noise = Samples(
        NAMES, rng.normal(size=(400, 4)), rng.normal(0.2, 0.03, (400, 1)), np.arange(400) % 40,
        np.full(400, np.datetime64("2018-06-10")),
    )  # fmt: skip
    leaf = LearnerChoice("random_forest", {"n_estimators": 20}, {"min_samples_leaf": [1, 100]})
    assert tune(leaf, noise, **rule).parameters == {"n_estimators": 20, "min_samples_leaf": 100}
    found = tune(leaf, samples(400), **rule)
    assert found.parameters["min_samples_leaf"] == 1
    assert (found.n, found.folds, found.folds_by) == (300, 3, "cells")
    assert all(math.isfinite(row[-1]) for row in found.tried)


def test_samples_too_few_for_folds_are_told():
    rule = {"folds": 3, "most_samples": 300, "seed": 0}
    choice = LearnerChoice("xgboost", {"n_estimators": 2}, {"max_depth": [2, 3]})
    one = samples(40)
    lopsided = Samples(one.names, one.features, one.target, np.arange(40) // 39, one.days)
    assert tune(choice, lopsided, folds_by="cells", **rule).folds_by == "random"
    with pytest.raises(UsageError, match="too few to choose parameters in 3 folds"):
        tune(choice, samples(10), folds_by="random", **rule)
    with pytest.raises(UsageError, match="needs a list of values"):
        tune(LearnerChoice("svr", {}, {"C": 3}), one, folds_by="random", **rule)


def test_wrong_options_are_refused():
    with pytest.raises(UsageError, match="'fitted_on' must be one of train, all"):
        create_combiner("best", {"fitted_on": "test"})
    with pytest.raises(UsageError, match="combiner 'best'"):
        create_combiner("best", {"halves": 2})
    with pytest.raises(UsageError, match="no learners"):
        Best().fit(samples(), {}, 0)
    with pytest.raises(UsageError, match="too few for 4 features"):
        ensemble(tune=False).fit(samples(12))
