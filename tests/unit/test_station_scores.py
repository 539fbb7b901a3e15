"""Scores averaged over stations, and stations that are one."""

from datetime import date, timedelta

import numpy as np

from smcatalog.validation.left_out import joined, mean_scores, twins


def test_each_station_counts_the_same_however_many_pairs_it_has():
    stations = np.array([0] * 100 + [1] * 10 + [2])
    reference = np.sin(np.arange(111.0))
    estimates = reference + np.where(stations == 0, 0.1, 0.3)
    found = mean_scores(estimates, reference, stations)
    assert (found.stations, found.n) == (2, 110)  # one pair has no spread
    assert abs(found.bias - 0.2) < 1e-12
    assert abs(found.rmse - 0.2) < 1e-12
    assert found.ubrmse < 1e-7
    assert abs(found.r - 1) < 1e-12


def test_a_correlation_that_is_not_defined_is_left_out_of_the_mean():
    stations = np.repeat([0, 1], 5)
    reference = np.tile([0.1, 0.2, 0.3, 0.2, 0.1], 2)
    estimates = np.where(stations == 0, reference, 0.2)
    assert abs(mean_scores(estimates, reference, stations).r - 1) < 1e-12


def test_nothing_is_scored_without_pairs():
    found = mean_scores(np.array([0.1]), np.array([0.1]), np.array([4]))
    assert found.stations == 0
    assert np.isnan(found.rmse)


def test_copies_are_found_through_gaps_and_chance_is_not_a_copy():
    days = [date(2020, 1, 1) + timedelta(days=n) for n in range(60)]
    rng = np.random.default_rng(5)
    one = dict(zip(days, rng.uniform(0, 0.5, 60), strict=True))
    part = {day: one[day] for day in days[10:50]}
    other = dict(zip(days, rng.uniform(0, 0.5, 60), strict=True))
    short = {day: one[day] for day in days[:29]}  # too few days to say so
    assert twins([one, other, part, short]) == [0, 1, 0, 3]


def test_what_shares_any_label_hangs_together():
    assert joined([0, 1, 2, 3]) == [0, 1, 2, 3]
    # 0 and 3 share the first kind, 3 and 2 the second: all three, and 4 with 1
    assert joined([7, 8, 9, 7, 8], [1, 2, 3, 3, 4]) == [0, 1, 0, 0, 1]
