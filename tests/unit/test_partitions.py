"""Partitions of time, and which layers a rule chooses; all by hand."""

from datetime import date, timedelta

import pytest

from smcatalog.core.time import Period
from smcatalog.database.inputs import LayerRecord
from smcatalog.products import Covariate, Partitioning, TimeRule, partition_name
from smcatalog.services.inputs import LayerSeries


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2018-01-01", "2018001"),
        ("2018-01-16", "2018001"),
        ("2018-01-17", "2018017"),
        ("2018-06-10", "2018161"),
        ("2018-06-25", "2018161"),
        ("2018-06-26", "2018177"),
        ("2018-12-18", "2018337"),
        ("2018-12-19", "2018353"),
        ("2018-12-31", "2018353"),
        ("2016-12-31", "2016353"),  # day 366
        ("2019-01-01", "2019001"),
    ],
)
def test_periods_of_16_days_begin_anew_each_year(day, name):
    assert partition_name(Partitioning.SIXTEEN_DAYS, date.fromisoformat(day)) == name
    assert partition_name(Partitioning.ALL, date.fromisoformat(day)) == "all"


def test_a_year_has_23_periods_whose_names_sort_in_time():
    days = [date(2018, 1, 1) + timedelta(days=i) for i in range(365)]
    names = [partition_name(Partitioning.SIXTEEN_DAYS, day) for day in days]
    assert names == sorted(names)
    assert len(set(names)) == 23
    assert names.count("2018353") == 13


def layer(number, period):
    return LayerRecord(number, "S", "ndvi", "M01", period, f"{number}.tif", str(number))


def composite(number, first, days=16):
    start = date.fromisoformat(first)
    return layer(number, Period.of_days(start, start + timedelta(days=days - 1)))


def chosen(series, rule, day, age=0):
    covariate = Covariate("ndvi", "S", rule, max_age_days=age)
    period = Period.of_day(date.fromisoformat(day))
    return [found.id for found in series.select(covariate, period)]


TWO = LayerSeries(
    [
        composite(1, "2018-06-10"),
        composite(2, "2018-06-10"),  # another tile
        composite(3, "2018-06-26"),
    ]
)


@pytest.mark.parametrize(
    ("day", "age", "expected"),
    [
        ("2018-06-09", 16, []),
        ("2018-06-10", 0, [1, 2]),
        ("2018-06-25", 0, [1, 2]),
        ("2018-06-26", 0, [3]),
        ("2018-07-11", 0, [3]),
        ("2018-07-12", 0, []),
        ("2018-07-12", 1, [3]),  # it ended the day before
        ("2018-07-27", 16, [3]),
        ("2018-07-28", 16, []),
    ],
)
def test_the_composite_that_holds_the_day_or_the_newest_before(day, age, expected):
    assert chosen(TWO, TimeRule.HOLDING, day, age) == expected


def test_of_two_composites_that_hold_a_day_the_later_one_counts():
    # the last of a year reaches into the next one
    series = LayerSeries([composite(1, "2018-12-19"), composite(2, "2019-01-01")])
    assert chosen(series, TimeRule.HOLDING, "2018-12-31") == [1]
    assert chosen(series, TimeRule.HOLDING, "2019-01-01") == [2]
    long = LayerSeries([composite(1, "2018-01-01", 100), composite(2, "2018-02-01", 8)])
    assert chosen(long, TimeRule.HOLDING, "2018-02-05") == [2]
    assert chosen(long, TimeRule.HOLDING, "2018-03-01") == [1]


def test_days_and_static_layers():
    days = [layer(i, Period.of_day(date(2018, 6, i))) for i in (1, 2, 4)]
    series = LayerSeries([layer(9, None), *days])
    assert chosen(series, TimeRule.STATIC, "2018-06-03") == [9]
    assert chosen(series, TimeRule.DAY, "2018-06-02") == [2]
    assert chosen(series, TimeRule.DAY, "2018-06-03") == []
    mean = Covariate("ndvi", "S", TimeRule.PERIOD_MEAN)
    found = series.select(mean, Period.of_days(date(2018, 6, 2), date(2018, 6, 4)))
    assert [one.id for one in found] == [2, 4]
