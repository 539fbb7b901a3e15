"""Local learners beside those of libraries, and what they recover."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.svm import SVR
from xgboost import XGBRegressor

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.local import LocalLearners
from smcatalog.methods.averaging.settings import (
    LEARNERS,
    BoostingSettings,
    ForestSettings,
    LearnerSettings,
    LinearSettings,
    SupportSettings,
)
from smcatalog.methods.averaging.tuning import cross_validated, tune
from smcatalog.methods.averaging.windows import adaptive_windows

# what they test takes half a minute to compile
pytestmark = pytest.mark.long

FREE = (-np.inf, np.inf)


def world(seed=0, p=3, t=3, rows=8, columns=9, gaps=0.2):
    """Coarse cubes in numbers that single precision holds: libraries compare in it."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(p, t, rows, columns)).astype(np.float32).astype(float)
    target = 0.2 + 0.05 * features[0] - 0.03 * features[1] * features[2]
    target = (target + rng.normal(0, 0.005, target.shape)).astype(np.float32).astype(float)
    target[rng.random(target.shape) < gaps] = np.nan
    return features, target


def window_of(features, target, windows, cell):
    own = windows.members[cell]
    own = own[own >= 0]
    return features.reshape(len(features), -1).T[own], target.ravel()[own]


def fine(n=200, p=3, seed=9):
    return np.random.default_rng(seed).normal(size=(n, p)).astype(np.float32).astype(float)


@pytest.fixture(scope="module")
def case():
    features, target = world()
    return features, target, adaptive_windows(features, target, 1)


def predict(case, cell, settings, rows, seed=0):
    features, target, windows = case
    local = LocalLearners(windows, features, target, settings, seed=seed, bounds=FREE)
    return local.predict(rows, np.full(len(rows), cell))


@pytest.mark.parametrize("cell", [0, 31, 71])
def test_lines_are_least_squares(case, cell):
    x, y = window_of(*case, cell)
    found = predict(case, cell, LearnerSettings(), fine())[:, 1]
    assert np.allclose(found, LinearRegression().fit(x, y).predict(fine()), atol=1e-10)


def test_lines_survive_constant_and_collinear_predictors():
    features, target = world()
    features[1] = 3.0
    features[2] = 2 * features[0] + 1e-9 * features[2]
    case = features, target, adaptive_windows(features, target, 1)
    rows = fine()
    rows[:, 2] = 2 * rows[:, 0]
    rows[:, 1] = 1e6  # says nothing: it never varied
    found = predict(case, 31, LearnerSettings(), rows)[:, 1]
    x, y = window_of(*case, 31)
    line = LinearRegression().fit(x[:, :1], y).predict(rows[:, :1])
    assert np.allclose(found, line, atol=2e-3 * np.abs(line).max())


@pytest.mark.parametrize("cost", [0.3, 3.0, 100.0])
@pytest.mark.parametrize("cell", [0, 31, 71])
def test_support_vectors_are_those_of_libsvm(case, cell, cost):
    x, y = window_of(*case, cell)
    settings = LearnerSettings(support=SupportSettings(cost, tube=0.1, width=0.3, tolerance=1e-7))
    found = predict(case, cell, settings, fine())[:, 2]
    centre, scale, middle, unit = x.mean(axis=0), x.std(axis=0), y.mean(), y.std()
    theirs = SVR(C=cost, epsilon=0.1, gamma=0.3, tol=1e-7)
    theirs.fit((x - centre) / scale, (y - middle) / unit)
    expected = theirs.predict((fine() - centre) / scale) * unit + middle
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize("cell", [0, 31, 71])
@pytest.mark.parametrize(
    ("depth", "rate", "shrink", "gamma", "weight"),
    [(1, 0.3, 1.0, 0.0, 1.0), (3, 0.1, 1.0, 0.0, 1.0), (3, 0.3, 0.1, 0.002, 3.0)],
)
def test_boosted_trees_are_xgboosts(case, cell, depth, rate, shrink, gamma, weight):
    x, y = window_of(*case, cell)
    settings = LearnerSettings(boosting=BoostingSettings(8, depth, rate, shrink, gamma, weight))
    found = predict(case, cell, settings, fine())[:, 3]
    theirs = XGBRegressor(
        n_estimators=8, max_depth=depth, learning_rate=rate, reg_lambda=shrink, gamma=gamma,
        min_child_weight=weight, tree_method="exact", n_jobs=1,
    ).fit(x, y)  # fmt: skip
    # they gain in single precision: a split that is as good elsewhere may fall there
    apart = np.abs(found - theirs.predict(fine()))
    assert np.quantile(apart, 0.9) < 1e-6
    assert apart.max() < 0.01


@pytest.mark.parametrize(("tries", "least"), [(1, 1), (2, 2), (3, 5)])
def test_forests_are_distributed_as_scikit_learns(case, tries, least):
    x, y = window_of(*case, 31)
    settings = LearnerSettings(forest=ForestSettings(25, tries, least))
    ours = np.array([predict(case, 31, settings, fine(60), seed)[:, 0] for seed in range(40)])
    theirs = np.array(
        [
            RandomForestRegressor(
                25, max_features=tries, min_samples_leaf=least, random_state=seed, n_jobs=1
            )
            .fit(x, y)
            .predict(fine(60))
            for seed in range(40)
        ]
    )
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 40)
    z = (ours.mean(axis=0) - theirs.mean(axis=0)) / error
    # rows share trees, so z of the rows are not independent: each is of unit variance nevertheless
    assert np.sqrt((z**2).mean()) < 2.0
    assert np.abs(z).max() < 5.0
    assert ours.std(axis=0).mean() == pytest.approx(theirs.std(axis=0).mean(), rel=0.15)


def test_threads_and_blocks_do_not_matter(case, monkeypatch):
    features, target, windows = case
    local = LocalLearners(windows, features, target, seed=3)
    cells = np.random.default_rng(0).integers(-1, windows.side.size, 900)
    rows = fine(900)
    rows[5, 1] = np.nan
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    whole = local.predict(rows, cells)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert np.array_equal(whole, local.predict(rows, cells), equal_nan=True)
    parts = [local.predict(rows[i : i + 100], cells[i : i + 100]) for i in range(0, 900, 100)]
    assert np.array_equal(whole, np.concatenate(parts), equal_nan=True)
    assert np.isnan(whole[cells < 0]).all()
    assert np.isnan(whole[5]).all()
    known = (cells >= 0) & windows.exists[cells] & np.isfinite(rows).all(axis=1)
    assert np.isfinite(whole[known]).all()
    assert whole[known].min() >= 0.0
    assert whole[known].max() <= 0.6


def test_a_part_of_the_grid_draws_what_the_whole_does(case):
    features, target, _ = case
    numbers = np.arange(72).reshape(8, 9)
    part = (slice(None), slice(None), slice(1, 8), slice(1, 9))
    whole = LocalLearners(adaptive_windows(features, target, 1), features, target)
    sub = features[part], target[part[1:]]
    windows = adaptive_windows(*sub, 1)
    local = LocalLearners(windows, *sub, identity=numbers[1:, 1:])
    row, column = 4, 5  # its window ends at no edge
    cell = np.array([row * 9 + column])
    inside = np.array([(row - 1) * 8 + column - 1])
    assert np.array_equal(whole.predict(fine(1), cell), local.predict(fine(1), inside))


def test_each_zone_has_its_own_settings(case):
    features, target, windows = case
    coarse = LearnerSettings(ForestSettings(5), LinearSettings(), boosting=BoostingSettings(1))
    zones = np.zeros(windows.side.shape, int)
    zones[4:] = 1
    zones[:, 0] = -1
    local = LocalLearners(windows, features, target, (LearnerSettings(), coarse), groups=zones)
    cells = np.arange(windows.side.size)
    found = local.predict(fine(len(cells)), cells)
    for number, settings in enumerate((LearnerSettings(), coarse)):
        alone = LocalLearners(windows, features, target, settings).predict(fine(len(cells)), cells)
        own = zones.ravel() == number
        assert np.array_equal(found[own], alone[own])
    assert np.isnan(found[zones.ravel() < 0]).all()


def test_a_relation_that_changes_in_space_and_time_comes_back():
    rng = np.random.default_rng(4)
    t, rows, columns = 9, 20, 24
    features = rng.normal(size=(2, t, rows, columns))
    day, row, column = np.indices((t, rows, columns))

    def relation(x, day, row, column):
        slope = 0.03 * np.cos(2 * np.pi * column / columns)
        return 0.25 + slope * x[0] + 0.02 * np.sin(np.pi * (row + day) / 10) * x[1]

    target = relation(features, day, row, column)
    errors = []
    for now in (2, 6):
        windows = adaptive_windows(features, target, now)
        cells = np.repeat(np.arange(rows * columns), 8)
        x = rng.normal(size=(len(cells), 2)) * 0.8
        truth = relation(x.T, now, cells // columns, cells % columns)
        local = LocalLearners(windows, features, target)
        errors.append(np.sqrt(((local.predict(x, cells) - truth[:, None]) ** 2).mean(axis=0)))
        everywhere = LinearRegression().fit(features.reshape(2, -1).T, target.ravel())
        flat = np.sqrt(((everywhere.predict(x) - truth) ** 2).mean())
    found = dict(zip(LEARNERS, np.mean(errors, axis=0), strict=True))
    assert flat > 0.015  # one line for all does not see it
    assert found["linear"] < 0.005
    assert found["support"] < 0.008
    assert max(found.values()) < 0.012


def test_settings_are_chosen_by_errors_at_samples_left_out(case):
    features, target, windows = case
    cells = np.arange(0, windows.side.size, 6)
    grids = {"support": {"cost": (0.001, 3.0)}, "boosting": {"rounds": (1, 60)}}
    best, errors = tune(windows, features, target, cells=cells, grids=grids, folds=5)
    assert best.support.cost == 3.0
    assert best.boosting.rounds == 60
    assert set(errors) == set(grids)
    again = cross_validated(windows, features, target, best, cells=cells, folds=5)
    assert again[LEARNERS.index("support")] == errors["support"]
    # the same by hand, for the line: folds do not overlap and every sample is left out once
    x, y = window_of(features, target, windows, int(cells[0]))
    one = cross_validated(windows, features, target, best, cells=cells[:1], folds=len(y))[1]
    left_out = [
        LinearRegression().fit(np.delete(x, i, 0), np.delete(y, i)).predict(x[i : i + 1])[0]
        for i in range(len(y))
    ]
    assert one == pytest.approx(np.sqrt(((np.clip(left_out, 0, 0.6) - y) ** 2).mean()))
    with pytest.raises(UsageError, match="no local learner"):
        tune(windows, features, target, cells=cells, grids={"tree": {}})
    with pytest.raises(UsageError, match="grid of 'forest'"):
        tune(windows, features, target, cells=cells, grids={"forest": {"leaves": (1,)}})
    with pytest.raises(UsageError, match="two folds"):
        cross_validated(windows, features, target, best, cells=cells, folds=1)


def test_what_cannot_be_is_refused(case):
    features, target, windows = case
    local = LocalLearners(windows, features, target)
    with pytest.raises(UsageError, match="rows to predict"):
        local.predict(fine(4, 2), np.zeros(4, int))
    with pytest.raises(UsageError, match="not among"):
        local.predict(fine(1), np.array([9999]))
    with pytest.raises(UsageError, match="do not belong"):
        LocalLearners(windows, features[..., 1:], target[..., 1:])
    with pytest.raises(UsageError, match="groups up to 3"):
        LocalLearners(windows, features, target, groups=np.full(windows.side.shape, 3))
    with pytest.raises(UsageError, match="trees"):
        LearnerSettings(ForestSettings(trees=0))
    with pytest.raises(UsageError, match="cost"):
        LearnerSettings(support=SupportSettings(cost=0))
    with pytest.raises(UsageError, match="shrink"):
        LearnerSettings(boosting=BoostingSettings(shrink=-1))
    assert LearnerSettings().as_dict()["forest"]["trees"] == 50
