"""Stacking, zones and contributions of features: laws, and planted relations that must come back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import nnls

from smcatalog.core.encoding import Quality
from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.core.moments import Moments
from smcatalog.methods import Covariates, Samples, create, load
from smcatalog.methods.combiners import LearnerChoice
from smcatalog.methods.density import density
from smcatalog.methods.held_out import kept_for_test
from smcatalog.methods.linear import LinearRegression
from smcatalog.methods.scores import moments_of, scores_of
from smcatalog.methods.second_layer import fit_second_layer
from smcatalog.methods.shapley import contributions
from smcatalog.methods.stacking import Stacked
from smcatalog.methods.zoned import Zoned

NAMES = ("wet", "green", "sand")
FOREST = {"n_estimators": 12, "min_samples_leaf": 4}
LEARNERS = {
    "linear_regression": LearnerChoice("linear_regression", {}, {}),
    "random_forest": LearnerChoice("random_forest", FOREST, {}),
}
BOOSTERS = {
    "xgboost": {"n_estimators": 40, "max_depth": 3},
    "lightgbm": {"n_estimators": 40, "num_leaves": 7},
    "catboost": {"iterations": 40, "depth": 3},
}
ZONES = np.array([1, 2, 5])
SLOPES = {1: 0.30, 2: -0.25, 5: 0.10}


def samples(n=400, depths=1, noise=0.004, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, 3))
    y = 0.1 + 0.2 * x[:, :1] + 0.1 * np.sin(5 * x[:, 1:2]) ** 2 - 0.05 * x[:, 2:]
    y = y + 0.02 * np.arange(depths) + rng.normal(0, noise, (n, depths))
    days = np.datetime64("2019-04-01") + np.sort(rng.integers(0, 40, n))
    return Samples(NAMES, x, y, np.arange(n) % 20, days)


def zoned_samples(n=900, seed=3):
    """Relations whose slope in the first feature differs by zone, and even in sign."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, 2))
    zone = rng.choice(ZONES, n)
    slope = np.array([SLOPES[z] for z in zone])
    y = 0.2 + slope * (x[:, 0] - 0.5) + 0.05 * x[:, 1] + rng.normal(0, 0.003, n)
    features = np.column_stack([x[:, 0], zone, x[:, 1]])
    days = np.full(n, np.datetime64("2019-05-01"))
    return Samples(("wet", "zone", "sand"), features, y[:, np.newaxis], np.arange(n) % 30, days)


def stack(**options):
    combiner = Stacked(**{"explained": 0, **options})
    combiner.fit(samples(), LEARNERS, seed=1)
    return combiner


# -- the second layer


def test_each_sample_of_the_second_layer_comes_from_a_model_that_did_not_see_it(monkeypatch):
    """A learner that remembers what it saw, and says so, knows none of the samples it is asked about."""
    seen = []

    class Remembering(LinearRegression):
        def _fit(self, data):
            super()._fit(data)
            self.known_ = {tuple(row) for row in data.features}

        def _predict(self, features):
            mean, spread = super()._predict(features)
            seen.append(sum(tuple(row) in self.known_ for row in features))
            return mean, spread

    monkeypatch.setattr("smcatalog.methods.stacking.learner", lambda *_: Remembering())
    combiner = Stacked(explained=0)
    data = samples(200)
    combiner._chosen = {"linear_regression": {}}
    combiner._unseen(data, {"linear_regression": LEARNERS["linear_regression"]})
    assert seen == [0] * 5


@pytest.mark.parametrize("by", ["random", "cells", "days"])
def test_folds_leave_out_what_they_say(by, monkeypatch):
    parts = []
    fit = LinearRegression._fit

    def noted(self, data):
        parts.append(data)
        fit(self, data)

    monkeypatch.setattr(LinearRegression, "_fit", noted)
    data = samples(300)
    combiner = Stacked(folds_by=by, test_share=0, explained=0)
    combiner.fit(data, {"linear_regression": LEARNERS["linear_regression"]}, seed=4)
    *folds, whole = parts
    assert (len(folds), len(whole)) == (5, 300)
    for fold in folds:
        left = 300 - len(fold)
        if by == "random":
            assert left == 60
        else:
            units = {"cells": data.groups, "days": data.days}[by]
            kept = {"cells": fold.groups, "days": fold.days}[by]
            out = np.setdiff1d(units, kept)
            assert len(out)
            assert np.isin(units, out).sum() == left


def test_weights_are_those_of_non_negative_least_squares():
    rng = np.random.default_rng(0)
    estimates = rng.uniform(0, 0.5, (80, 3))
    target = estimates @ [0.7, -0.4, 0.5] + rng.normal(0, 0.01, 80)
    weights, constant = fit_second_layer("nnls", estimates, target, intercept=False, strength=1e-3)
    assert np.array_equal(weights, nnls(estimates, target)[0])
    assert (weights >= 0).all()
    assert (weights[1], constant) == (0, 0)


def test_the_ridge_finds_what_was_planted_and_shrinks_as_it_is_told():
    rng = np.random.default_rng(0)
    estimates = rng.uniform(0, 0.5, (500, 2))
    target = 0.05 + estimates @ [0.8, -0.3]
    found = [
        fit_second_layer("ridge", estimates, target, intercept=True, strength=strength)
        for strength in (1e-9, 1.0)
    ]
    assert np.allclose(found[0][0], [0.8, -0.3], atol=1e-6)
    assert found[0][1] == pytest.approx(0.05, abs=1e-6)
    assert (np.abs(found[1][0]) < [0.8, 0.3]).all()


def test_a_constant_takes_a_bias_of_all_learners_out():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.1, 0.4, 300)
    estimates = np.column_stack([truth - 0.05, truth - 0.05 + rng.normal(0, 0.02, 300)])
    weights, constant = fit_second_layer("nnls", estimates, truth, intercept=True, strength=1e-3)
    assert weights == pytest.approx([1, 0], abs=1e-6)
    assert constant == pytest.approx(0.05)


def test_learners_that_say_nothing_are_worth_the_same():
    nothing = np.full((9, 2), 0.2)
    weights, constant = fit_second_layer(
        "nnls", nothing, np.full(9, 0.3), intercept=True, strength=1e-3
    )
    assert (0.2 * weights.sum() + constant, *weights) == pytest.approx((0.3, 0.5, 0.5))


# -- the stack


@pytest.mark.parametrize("second", ["nnls", "ridge"])
def test_the_stack_is_no_worse_than_its_best_learner(second):
    combiner = stack(second=second)
    test = combiner.report["scores"]["test"]
    best = min(test[name]["rmse"] for name in LEARNERS)
    assert test["stacking"]["rmse"] <= 1.02 * best
    assert test["stacking"]["n"] == 120
    assert combiner.report["scores"]["train"]["stacking"]["n"] == 280
    assert test["stacking"]["r"] > 0.95


def test_scores_are_against_the_part_that_was_kept():
    data = samples()
    combiner = stack()
    held = kept_for_test(data, 0.3, "random", 1)
    mean, _ = combiner.predict(data.features[held])
    error = mean - data.target[held]
    scores = combiner.report["scores"]["test"]["stacking"]
    assert scores["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert scores["bias"] == pytest.approx(error.mean())
    r = np.corrcoef(mean[:, 0], data.target[held][:, 0])[0, 1]
    assert scores["r"] == pytest.approx(r)
    assert scores["ubrmse"] ** 2 == pytest.approx(scores["rmse"] ** 2 - scores["bias"] ** 2)


@pytest.mark.parametrize("how", ["random", "days"])
def test_seven_to_three(how):
    data = samples(501)
    held = kept_for_test(data, 0.3, how, 7)
    assert held.sum() == 150
    assert np.array_equal(held, kept_for_test(data, 0.3, how, 7))
    assert not np.array_equal(held, kept_for_test(data, 0.3, how, 8))
    if how == "days":
        for day in np.unique(data.days):
            of_day = held[data.days == day]
            assert abs(of_day.sum() - 0.3 * len(of_day)) <= 1


def test_uncertainty_is_that_of_the_residuals_on_the_whole():
    data = samples(1500, noise=0.02)
    combiner = Stacked(explained=0)
    combiner.fit(data, LEARNERS, seed=1)
    fresh = samples(1500, noise=0.02, seed=9)
    mean, uncertainty = combiner.predict(fresh.features)
    z = (fresh.target - mean) / uncertainty
    assert (uncertainty > 0).all()
    assert z.std() == pytest.approx(1, abs=0.1)


def test_learners_are_refitted_to_all_samples_when_it_is_asked_for():
    once, again = stack(), stack(refit=True)
    assert once.report == again.report
    a, b = (c.members_["linear_regression"].coefficients_ for c in (once, again))
    whole = create("linear_regression", {}).fit(samples()).coefficients_
    assert np.array_equal(b, whole)
    assert not np.array_equal(a, whole)


def test_depths_have_weights_of_their_own():
    data = samples(depths=2)
    combiner = Stacked(explained=50)
    combiner.fit(data, LEARNERS, seed=0)
    mean, uncertainty = combiner.predict(data.features)
    assert mean.shape == uncertainty.shape == (400, 2)
    assert combiner.weights_.shape == (2, 2)
    assert (mean[:, 1] - mean[:, 0]).mean() == pytest.approx(0.02, abs=0.002)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"second": "lasso"}, "'second' is one of nnls, ridge, got 'lasso'"),
        ({"folds_by": "year"}, "'folds_by' is one of random, cells, days"),
        ({"split": "cells"}, "'split' is one of random, days"),
        ({"test_share": 1.0}, "share of the test"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        stack(**options)
    with pytest.raises(UsageError, match="layers"):
        create("ensemble", {"combine": "stacking", "options": {"layers": 3}}).fit(samples())


def ensemble(**changes):
    parameters = {
        "learners": ["linear_regression", "random_forest"],
        "combine": "stacking",
        "options": {"explained": 30},
        "parameters": {"random_forest": FOREST},
    }
    return create("ensemble", {**parameters, **changes})


@pytest.mark.parametrize("zones", [None, "zone"])
def test_a_saved_stack_is_the_same_and_has_the_same_bytes(tmp_path, zones):
    data = zoned_samples()
    twins = [ensemble(zones=zones, zone_min_samples=300).fit(data) for _ in range(2)]
    for number, twin in enumerate(twins):
        twin.save(tmp_path / str(number))
    assert sha256_file(tmp_path / "0") == sha256_file(tmp_path / "1")
    loaded = load("ensemble", tmp_path / "0")
    before, after = (one._predict(data.features) for one in (twins[0], loaded))
    assert np.array_equal(before, after)
    assert loaded.report == twins[0].report
    assert json.loads(json.dumps(loaded.report, allow_nan=False)) == loaded.report
    assert loaded.importances == twins[0].importances
    assert set(loaded.importances) == set(data.names)


def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch):
    for jobs in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(jobs))
        ensemble().fit(samples()).save(tmp_path / str(jobs))
    assert sha256_file(tmp_path / "1") == sha256_file(tmp_path / "2")


def test_what_is_fitted_again_to_be_scored_chooses_nothing_and_keeps_nothing_back():
    fitted = ensemble(zones="zone").fit(zoned_samples())
    again = fitted.tuned()
    options = again.get_params()["options"]
    assert (options["explained"], options["test_share"]) == (0, 0.0)
    assert again.zone_learners["all"]["random_forest"]["n_estimators"] == 12
    scored = again.fit(zoned_samples(seed=8))
    assert set(scored.report["zones"]["2"]["scores"]) == {"train"}
    before, after = (one.combiner_.part(2).second_layer_ for one in (fitted, scored))
    assert before == after
    assert before != fitted.combiner_.part(1).second_layer_


@pytest.mark.parametrize("zones", [None, "zone"])
def test_scoring_again_fits_each_learner_once(monkeypatch, tmp_path, zones):
    sizes = []
    fit = LinearRegression._fit

    def noted(self, data):
        sizes.append(len(data))
        fit(self, data)

    data = zoned_samples()
    again = ensemble(zones=zones, learners=["linear_regression"]).fit(data).tuned()
    monkeypatch.setattr(LinearRegression, "_fit", noted)
    again.fit(data).predict_samples(data.features)
    # with zones the stack of all serves nobody here, and is not fitted at all
    assert sorted(sizes) == (
        sorted(np.unique(data.features[:, 1], return_counts=True)[1]) if zones else [len(data)]
    )
    # but it is there as soon as a place in no zone asks for it, or it is saved
    again.save(tmp_path / "model.zip")
    assert sizes[len(SLOPES) if zones else 1 :] == ([len(data)] if zones else [])
    asked = block(0, names=data.names)
    found = load("ensemble", tmp_path / "model.zip").predict(asked).mean
    assert np.array_equal(found, again.predict(asked).mean)


def test_a_zone_that_is_left_out_as_a_whole_is_served_by_the_stack_of_all():
    data = zoned_samples()
    fitted = ensemble(zones="zone").fit(data)
    out = data.features[:, 1] == 5
    rest = Samples(
        data.names, data.features[~out], data.target[~out], data.groups[~out], data.days[~out]
    )
    again = fitted.tuned().fit(rest)
    found = again.predict_samples(data.features[out])
    of_all = fitted.combiner_.part(0).second_layer_
    assert again.combiner_.part(0).second_layer_ == of_all
    plain = ensemble(options={"explained": 0, "test_share": 0.0, "second_layer": of_all}).fit(
        Samples(("wet", "sand"), rest.features[:, [0, 2]], rest.target, rest.groups, rest.days)
    )
    expected = plain.predict_samples(data.features[out][:, [0, 2]])
    assert np.allclose(found, expected, rtol=1e-12)


def test_a_second_layer_of_other_learners_is_refused():
    given = stack().second_layer_
    with pytest.raises(UsageError, match="'second_layer' joins linear_regression, random_forest"):
        Stacked(second_layer=given).fit(
            samples(), {"linear_regression": LEARNERS["linear_regression"]}, seed=1
        )
    swapped = Stacked(explained=0, second_layer=given)
    swapped.fit(samples(), dict(reversed(LEARNERS.items())), seed=1)
    assert swapped.weights_.tolist() == [row[::-1] for row in given["weights"]]


def test_values_of_a_grid_are_compared_on_the_training_part_alone(monkeypatch):
    from smcatalog.methods import stacking

    seen = []

    def noted(choice, data, **options):
        seen.append(len(data))
        return tune(choice, data, **options)

    tune = stacking.tune
    monkeypatch.setattr(stacking, "tune", noted)
    grid = {"min_samples_leaf": [2, 150]}
    chosen = LearnerChoice("random_forest", {"n_estimators": 10}, grid)
    combiner = Stacked(explained=0, tune_folds=2)
    combiner.fit(samples(), {"random_forest": chosen}, seed=0)
    assert seen == [280]
    assert combiner.chosen == {"random_forest": {"n_estimators": 10, "min_samples_leaf": 2}}


# -- zones


def block(zone, n=50, names=("wet", "zone", "sand")):
    x = np.linspace(0.05, 0.95, n)
    values = np.stack([x, np.full(n, zone), np.full(n, 0.5)])[:, np.newaxis]
    return Covariates(names, values.astype(np.float32), np.zeros((1, n), np.uint16))


def test_relations_that_differ_by_zone_come_back():
    data = zoned_samples()
    apart = ensemble(zones="zone", learners=["linear_regression"]).fit(data)
    for zone, slope in SLOPES.items():
        found = apart.predict(block(zone))
        x = block(zone).values[0, 0]
        truth = 0.2 + slope * (x - 0.5) + 0.025
        assert np.abs(found.mean[0, 0] - truth).max() < 0.004
        assert not (found.quality & Quality.OUTSIDE_TRAINING).any()
    without = ensemble(learners=["linear_regression"]).fit(data)
    x = block(2).values[0, 0]
    wrong = without.predict(block(2)).mean[0, 0] - (0.2 - 0.25 * (x - 0.5) + 0.025)
    assert np.abs(wrong).max() > 0.05


def test_the_zone_is_no_feature_and_each_learner_saw_its_own_zone_alone():
    data = zoned_samples()
    fitted = ensemble(zones="zone").fit(data)
    combiner = fitted.combiner_
    assert isinstance(combiner, Zoned)
    assert {m.feature_names_ for m in combiner.members_.values()} == {("wet", "sand")}
    alone = Stacked(explained=30)
    rows = data.features[:, 1] == 2
    own = Samples(
        ("wet", "sand"), data.features[rows][:, [0, 2]], data.target[rows], data.groups[rows], data.days[rows]
    )  # fmt: skip
    alone.fit(own, LEARNERS, seed=0)
    expected, spread = alone.predict(own.features)
    found = fitted._predict(data.features[rows])
    assert np.allclose(found[0], expected, rtol=1e-12)
    assert np.allclose(found[1], spread, rtol=1e-9)
    assert fitted.report["zones"]["2"]["scores"] == alone.report["scores"]


def test_zones_with_too_few_samples_and_unknown_ones_are_served_by_all():
    data = zoned_samples()
    few = np.flatnonzero(data.features[:, 1] == 5)[20:]
    kept = np.setdiff1d(np.arange(len(data)), few)
    data = Samples(
        data.names, data.features[kept], data.target[kept], data.groups[kept], data.days[kept]
    )
    fitted = ensemble(zones="zone", zone_min_samples=100).fit(data)
    report = fitted.report
    assert set(report["zones"]) == {"all", "1", "2"}
    assert report["served_by_all"] == {"zones": ["5"], "samples": 20}
    of_all, fifth = fitted.predict(block(0)), fitted.predict(block(5))
    assert np.array_equal(of_all.mean, fifth.mean)
    assert np.array_equal(fitted.predict(block(77)).mean, fifth.mean)
    assert not np.array_equal(fitted.predict(block(1)).mean, fifth.mean)
    # without a test part, whose lots differ, it is that of all samples to the last digit
    whole = {"explained": 30, "test_share": 0.0}
    fitted = ensemble(zones="zone", zone_min_samples=100, options=whole).fit(data)
    plain = ensemble(options=whole).fit(
        Samples(("wet", "sand"), data.features[:, [0, 2]], data.target, data.groups, data.days)
    )
    rows = fitted.predict(block(0)).mean[0, 0]
    assert np.allclose(rows, plain.predict_samples(block(0).values[[0, 2], 0].T)[:, 0], atol=1e-6)


def test_zones_and_no_zones_are_scored_on_the_same_samples():
    data = zoned_samples()
    fitted = ensemble(zones="zone", learners=["linear_regression"]).fit(data)
    zones = fitted.report["zones"]
    beside = zones["all"]["by_zone"]
    assert set(beside) == {"1", "2", "5"}
    held = np.zeros(len(data), bool)
    for zone in SLOPES:
        rows = np.flatnonzero(data.features[:, 1] == zone)
        own = Samples(
            data.names, data.features[rows], data.target[rows], data.groups[rows], data.days[rows]
        )
        held[rows] = kept_for_test(own, 0.3, "random", 0)
    of_all = create("linear_regression", {}).fit(
        Samples(
            ("wet", "sand"), data.features[~held][:, [0, 2]], data.target[~held],
            data.groups[~held], data.days[~held],
        )
    )  # fmt: skip
    for zone in SLOPES:
        rows = held & (data.features[:, 1] == zone)
        error = of_all.estimate(data.features[rows][:, [0, 2]])[0] - data.target[rows]
        own, other = (
            one["test"]["linear_regression"]
            for one in (zones[str(zone)]["scores"], beside[str(zone)])
        )
        assert other["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-9)
        assert own["n"] == other["n"] == rows.sum()
        # both are against the same targets
        assert own["mean_reference"] == other["mean_reference"]
        # the slope of zone 5 is nearest to that of all
        assert own["rmse"] < 0.004
        assert other["rmse"] > (0.01 if zone == 5 else 0.03)


def test_scores_of_parts_join_to_those_of_the_whole():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.1, 0.4, (500, 1))
    estimate = truth + rng.normal(0.01, 0.02, (500, 1))
    parts = [scores_of(estimate[a:b], truth[a:b]) for a, b in ((0, 30), (30, 31), (31, 500))]
    total = moments_of(scores_of(estimate, truth))
    joined = Moments.total(map(moments_of, parts))
    for name in (
        "n",
        "mean_estimate",
        "mean_reference",
        "m2_estimate",
        "m2_reference",
        "co_moment",
    ):
        assert getattr(joined, name) == pytest.approx(getattr(total, name), rel=1e-9)


def test_densities_count_every_pair_where_it_lies():
    target = np.array([[0.101], [0.105], [0.2], [0.3]])
    estimate = np.array([[0.112], [0.118], [-0.003], [0.61]])
    found = density(estimate, target)
    pairs = list(zip(found["target"], found["estimate"], found["count"], strict=True))
    assert (found["step"], pairs) == (0.01, [(10, 11, 2), (20, -1, 1), (30, 61, 1)])
    report = stack().report
    assert {sum(one["count"]) for one in report["density"].values()} == {120}
    assert set(report["density"]) == {*LEARNERS, "stacking"}


def test_a_feature_for_zones_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="no zones by 'region': the features are wet, zone, sand"):
        ensemble(zones="region").fit(zoned_samples())


# -- contributions of features


@pytest.mark.parametrize("name", ["linear_regression", "random_forest", *BOOSTERS])
@pytest.mark.parametrize("depths", [1, 2])
def test_contributions_and_their_base_make_the_estimate(name, depths):
    given = {"random_forest": FOREST, **BOOSTERS}.get(name, {})
    data = samples(200, depths)
    method = create(name, given).fit(data)
    values, base = contributions(method, data.features[:60])
    assert values.shape == (60, 3, depths)
    assert np.allclose(values.sum(axis=1) + base, method.estimate(data.features[:60])[0], atol=2e-6)


def test_contributions_of_a_stack_make_its_estimate():
    data = samples(300)
    learners = {name: LearnerChoice(name, given, {}) for name, given in BOOSTERS.items()}
    combiner = Stacked(intercept=True, explained=100)
    combiner.fit(data, {**LEARNERS, **learners}, seed=2)
    values, base = combiner.contributions(data.features)
    assert np.allclose(values.sum(axis=1) + base, combiner.predict(data.features)[0], atol=5e-6)
    sizes = combiner.report["shap"]["mean_abs"]
    assert combiner.report["shap"]["samples"] == 100
    assert set(combiner.report["shap"]["points"]) == set(NAMES)
    assert min(sizes, key=sizes.get) == "sand"  # whose planted effect is the smallest


def test_contributions_kept_for_figures_are_those_of_their_samples():
    data = samples(300)
    combiner = Stacked(explained=100, shown=40)
    combiner.fit(data, LEARNERS, seed=2)
    points = combiner.report["shap"]["points"]
    kept = np.column_stack([points[name]["features"] for name in NAMES])
    assert kept.shape == (40, 3)
    # four digits are kept of the features: near enough to find the samples again
    rows = [int(np.abs(data.features - row).sum(axis=1).argmin()) for row in kept]
    assert len(set(rows)) == 40
    values, _ = combiner.contributions(data.features[rows])
    shown = np.column_stack([points[name]["contributions"] for name in NAMES])
    assert np.abs(shown - values[..., 0]).max() <= 0.51e-5


def test_a_linear_relation_is_explained_by_its_coefficients():
    data = samples(noise=0)
    method = create("linear_regression", {}).fit(data)
    values, base = contributions(method, data.features)
    slopes = (method.coefficients_[1:] / method.scale_[:, np.newaxis])[:, 0]
    assert np.allclose(values[..., 0], slopes * (data.features - data.features.mean(axis=0)))
    assert base == pytest.approx(data.target.mean(axis=0))


def test_a_method_that_cannot_be_explained_says_so():
    with pytest.raises(UsageError, match="not of ensemble"):
        contributions(ensemble().fit(samples()), samples().features)
