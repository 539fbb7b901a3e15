"""Samples laid out in space and time, zones of cells, seasons."""

from dataclasses import fields

import numpy as np
import pytest

from smcatalog.core.errors import UsageError
from smcatalog.methods import Samples
from smcatalog.methods.averaging.cube import SampleCube
from smcatalog.methods.averaging.days import season_of
from smcatalog.methods.averaging.learning import Chains
from smcatalog.methods.averaging.settings import LearnerSettings
from smcatalog.methods.averaging.weights import Prior
from smcatalog.methods.averaging.windows import Growth
from smcatalog.methods.averaging.zonemap import ZoneMap
from smcatalog.methods.cells import numbers_of, rows_and_columns
from smcatalog.products.learners import LOCAL, WEIGHTS, WINDOWS
from smcatalog.products.windows import window_days

FIRST = np.datetime64("2018-02-27")


def samples(rows=4, columns=5, days=3, seed=0):
    rng = np.random.default_rng(seed)
    time, row, column = (x.ravel() for x in np.indices((days, rows, columns)))
    kept = rng.random(len(time)) < 0.7
    time, row, column = time[kept], row[kept], column[kept]
    n = len(time)
    return Samples(
        ("a", "b"),
        rng.normal(size=(n, 2)),
        rng.uniform(0.1, 0.4, (n, 1)),
        numbers_of(186 + row, 1167 + column),
        FIRST + time,
    )


def test_samples_come_back_from_where_they_were_laid():
    data = samples()
    cube = SampleCube.of(data, margin=2)
    assert np.isfinite(cube.target).sum() == len(data)
    place = cube.place(data.groups)
    time = (data.days - FIRST).astype(int)
    assert np.array_equal(cube.target.reshape(3, -1)[time, place], data.target[:, 0])
    assert np.array_equal(cube.features.reshape(2, 3, -1)[:, time, place].T, data.features)
    assert np.array_equal(cube.numbers.ravel()[place], data.groups)
    assert cube.place(np.array([numbers_of(np.array(1), np.array(1)), -1])).tolist() == [-1, -1]
    rows, columns = rows_and_columns(data.groups)
    assert np.array_equal(numbers_of(rows, columns), data.groups)


def test_days_around_a_day_are_there_even_where_nothing_is_known():
    cube = SampleCube.of(samples())
    for offset in range(-3, 6):
        near = cube.around(FIRST + offset, 1, 2)
        assert near.target.shape == (4, *cube.shape)
        assert near.features.shape == (2, 4, *cube.shape)
        assert near.first == FIRST + offset - 1
        for step in range(4):
            day = offset - 1 + step
            known = cube.target[day] if 0 <= day < 3 else np.full(cube.shape, np.nan)
            assert np.array_equal(near.target[step], known, equal_nan=True)


def test_two_samples_of_a_cell_and_day_are_refused():
    data = samples()
    twice = Samples(
        data.names, data.features, data.target, data.groups * 0 + data.groups[0], data.days
    )
    with pytest.raises(UsageError, match="different cells and days"):
        SampleCube.of(twice)
    empty = Samples(data.names, data.features[:0], data.target[:0], data.groups[:0], data.days[:0])
    with pytest.raises(UsageError, match="needs samples"):
        SampleCube.of(empty)


def test_zones_go_from_dry_to_wet_and_reach_cells_without_a_mean():
    cube = SampleCube.of(samples(8, 9, 20))
    zones = ZoneMap.learned(cube, 3, seed=0)
    found = zones.of(zones.numbers)
    assert sorted(set(found.tolist())) == [0, 1, 2]
    means = [zones.means[found == zone].mean() for zone in range(3)]
    assert means == sorted(means)
    beside = zones.numbers[:1] - 1  # a column to the west of the region
    assert zones.of(beside).tolist() == found[:1].tolist()


def test_the_first_season_begins_with_december():
    days = np.arange("2018-12", "2019-12", dtype="datetime64[M]").astype("datetime64[D]")
    assert [season_of(day, 4) for day in days] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [season_of(day, 12) for day in days] == list(range(12))
    assert {season_of(day, 1) for day in days} == {0}


@pytest.mark.parametrize("length", range(1, 6))
@pytest.mark.parametrize("past_only", [False, True])
def test_products_know_how_far_windows_reach(length, past_only):
    windows = {"last_days": length, "past_only": past_only}
    asked = window_days("bayesian_model_averaging", {"windows": windows})
    assert asked == Growth(**windows).reach(1, length)[1]
    assert window_days("bayesian_model_averaging", {}) == Growth().reach(1, Growth().last_days)[1]
    assert window_days("random_forest", {}) is None


def test_products_know_the_keys_of_windows_learners_and_weights():
    def kinds(made):
        return {field.name: type(getattr(made, field.name)) for field in fields(made)}

    assert kinds(Growth()) == WINDOWS
    assert {name: kinds(getattr(LearnerSettings(), name)) for name in LOCAL} == LOCAL
    assert {"prior": kinds(Prior()), "chains": kinds(Chains())} == WEIGHTS
