"""Predictors and observations left out, what predictors are worth, and units of stations."""

from dataclasses import replace

import numpy as np
import pytest

from smcatalog.core.errors import UsageError
from smcatalog.core.soil_water import relative_to_volumetric
from smcatalog.methods import InSitu, Samples
from smcatalog.methods.averaging.cube import SampleCube
from smcatalog.methods.averaging.days import DayLearners, station_members
from smcatalog.methods.averaging.experiments import (
    leave_predictor_out,
    remove_observations,
    scores,
)
from smcatalog.methods.averaging.importance import explain_predictors, shap_values
from smcatalog.methods.averaging.settings import ForestSettings, LearnerSettings
from smcatalog.methods.averaging.windows import Growth
from smcatalog.methods.averaging.zonemap import ZoneMap
from smcatalog.methods.cells import numbers_of

# what they test takes half a minute to compile
pytestmark = pytest.mark.long

SMALL = LearnerSettings(ForestSettings(trees=10))
NAMES = ("ndvi", "lst", "elevation")


def truth(x):
    """The first predictor says most, the last nothing."""
    return 0.2 + 0.06 * x[0] - 0.02 * x[1]


FIRST = np.datetime64("2018-06-01")


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 6, 10, 12))
    target = truth(features) + rng.normal(0, 0.003, features.shape[1:])
    time, row, column = (x.ravel() for x in np.indices(target.shape))
    cells = numbers_of(row, column)
    cube = SampleCube.of(
        Samples(NAMES, features.reshape(3, -1).T, target.reshape(-1, 1), cells, FIRST + time)
    )
    n = 240
    rows = rng.normal(size=(n, 3)) * 0.7
    days = np.arange(n) % 6
    place = rng.integers(0, 120, n)
    stations = InSitu(
        rows,
        truth(rows.T) + rng.normal(0, 0.01, n),
        numbers_of(place // 12, place % 12),
        FIRST + days,
        np.arange(n) // 6 % 20,
        tuple(f"n/{number}" for number in range(20)),
    )
    zones = ZoneMap.learned(cube, 2, seed=0)
    learners = DayLearners(
        Growth(), zones, dict.fromkeys(((0, 0), (1, 0)), SMALL), 1, 0, (-1.0, 1.0)
    )
    return cube, stations, days < 3, learners


def test_leaving_out_what_matters_costs_most(world):
    table = leave_predictor_out(*world)
    assert [row["left_out"] for row in table] == ["", *NAMES]
    change = {row["left_out"]: row["change_r"] for row in table}
    assert change[""] == 0
    assert change["ndvi"] < change["lst"] < 0.5 * (change["elevation"] - 0.02)
    assert change["ndvi"] < -0.3
    assert len({row["n"] for row in table}) == 1
    assert table[0]["r"] > 0.9
    assert table[1]["change_rmse"] > table[2]["change_rmse"] > 0


def test_members_know_nothing_of_observations(world):
    cube, stations, trains, learners = world
    other = replace(stations, observed=np.where(trains, stations.observed, 0.3))
    assert np.array_equal(*(station_members(cube, one, learners) for one in (stations, other)))
    with pytest.raises(UsageError, match="some test them"):
        leave_predictor_out(cube, stations, np.ones(len(stations), bool), learners)


def test_removing_observations_is_nested_and_by_station(world):
    cube, stations, trains, learners = world
    members = station_members(cube, stations, learners)
    zones = learners.zones.of(stations.groups)
    data = stations.observed, members, zones, trains
    table = remove_observations(*data, repeats=3, groups=stations.stations)
    assert [row["removed"] for row in table] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert table[0]["left"] == trains.sum()
    assert table[0]["r_sd"] == pytest.approx(0.0, abs=1e-12)
    assert table[-1]["left"] == pytest.approx(60, abs=1)
    assert table[-1]["w0_sd"] > 0
    for row in table:
        assert sum(row[f"w{i}"] for i in range(4)) == pytest.approx(1.0)
        assert row["r"] > 0.9
    again = remove_observations(*data, repeats=3, groups=stations.stations)
    assert again == table
    with pytest.raises(UsageError, match="shares"):
        remove_observations(*data, shares=(1.0,))


def test_scores_by_hand():
    found = scores(np.array([1.0, 2.0, 4.0, np.nan]), np.array([1.0, 1.0, 2.0, 5.0]))
    assert found["n"] == 3
    assert found["bias"] == pytest.approx(1.0)
    assert found["mae"] == pytest.approx(1.0)
    assert found["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert found["ubrmse"] == pytest.approx(np.sqrt(5 / 3 - 1))
    assert found["r"] == pytest.approx(np.corrcoef([1, 2, 4], [1, 1, 2])[0, 1])
    assert scores(np.array([np.nan]), np.array([1.0]))["n"] == 0


@pytest.mark.parametrize("learner", ["forest", "linear", "support", "boosting"])
def test_predictors_are_rated_by_zone(learner):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(900, 3))
    zones = np.repeat([0, 1, -1], [400, 450, 50])
    # the zones' relations differ
    target = 0.2 + 0.05 * features[:, 0] * (zones == 0) - 0.05 * features[:, 1] * (zones == 1)
    target = target + rng.normal(0, 0.005, 900)
    days = np.arange(900) % 10
    features[3, 0] = np.nan
    table = explain_predictors(
        NAMES, features, target, zones, days, learner=learner, rows=60, repeats=3
    )
    assert [(row["zone"], row["predictor"]) for row in table] == [
        (zone, name) for zone in (0, 1) for name in NAMES
    ]
    for zone, name, sign in ((0, "ndvi", 1), (1, "lst", -1)):
        own = {row["predictor"]: row for row in table if row["zone"] == zone}
        assert own[name]["shap_share"] > 0.6
        # of a line: |slope| E|x|
        assert own[name]["shap"] == pytest.approx(0.05 * np.sqrt(2 / np.pi), rel=0.25)
        assert own[name]["permutation"] > 1.0
        assert own["elevation"]["permutation"] < 0.1
        assert own[name]["correlation"] * sign > 0.9
        assert sum(row["shap_share"] for row in own.values()) == pytest.approx(1.0)


def test_shapley_values_over_coalitions_add_up_and_are_exact_for_a_product():
    class Product:
        def predict(self, x):
            return x[:, 0] * x[:, 1] + 2 * x[:, 2]

    rng = np.random.default_rng(0)
    x, background = rng.normal(size=(7, 4)), rng.normal(size=(50, 4))
    found = shap_values("support", Product(), x, background)
    start = Product().predict(background).mean()
    assert np.allclose(found.sum(axis=1), Product().predict(x) - start)
    assert np.allclose(found[:, 2], 2 * (x[:, 2] - background[:, 2].mean()))
    assert np.allclose(found[:, 3], 0)
    one, two = x[:, 0] * background[:, 1].mean(), background[:, 0].mean() * x[:, 1]
    both, none = x[:, 0] * x[:, 1], (background[:, 0] * background[:, 1]).mean()
    assert np.allclose(found[:, 0], 0.5 * (one - none + both - two))


def test_relative_humidity_becomes_volumetric():
    # half of a field capacity of 0.24 kg per kg, in a soil of 1300 kg per m3
    found = relative_to_volumetric(np.array([50.0, -1.0, 300.0, np.nan]), 0.24, 1300.0)
    assert found[0] == pytest.approx(0.156)
    assert np.isnan(found[1:]).all()
    assert relative_to_volumetric(np.array([80.0]), np.array([0.3]), None)[0] == pytest.approx(0.24)
    unknown = relative_to_volumetric(np.array([80.0]), np.array([np.nan]), 1300.0)
    assert np.isnan(unknown[0])
    with pytest.raises(UsageError, match="field capacity"):
        relative_to_volumetric(np.array([80.0]), 24.0, 1300.0)
    with pytest.raises(UsageError, match="kg m-3"):
        relative_to_volumetric(np.array([80.0]), 0.24, 13_000.0)
    with pytest.raises(UsageError, match="kg m-3"):
        relative_to_volumetric(np.array([80.0]), 0.24, 1.3)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="learner 'tree'"):
        explain_predictors(
            NAMES, np.ones((4, 3)), np.ones(4), np.zeros(4, int), np.zeros(4, int), learner="tree"
        )
