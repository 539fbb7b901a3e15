from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from smcatalog.core.errors import UsageError
from smcatalog.core.time import Period, julian, parse_day


def test_a_period_is_dated_by_its_middle_day():
    window = Period.of_days(date(2018, 12, 31), date(2019, 1, 2))
    assert window.day == date(2019, 1, 1)
    assert list(window.days()) == [date(2018, 12, 31), date(2019, 1, 1), date(2019, 1, 2)]
    assert window.last_second == datetime(2019, 1, 2, 23, 59, 59, tzinfo=UTC)
    assert Period.of_day(date(2020, 2, 29)).day == date(2020, 2, 29)


def test_periods_are_kept_in_utc():
    eastern = timezone(timedelta(hours=10))
    period = Period(datetime(2020, 1, 1, tzinfo=eastern), datetime(2020, 1, 2, tzinfo=eastern))
    assert period.start == datetime(2019, 12, 31, 14, tzinfo=UTC)
    assert period.start.tzinfo is UTC


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
        (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
        (datetime(2020, 1, 1), datetime(2020, 1, 2, tzinfo=UTC)),  # noqa: DTZ001
    ],
)
def test_impossible_periods_are_refused(start, end):
    with pytest.raises(UsageError):
        Period(start, end)


@pytest.mark.parametrize("text", ["2018-08-02", "20180802", "2018214"])
def test_days_are_read_in_three_forms(text):
    assert parse_day(text) == date(2018, 8, 2)
    assert julian(parse_day(text)) == "2018214"


@pytest.mark.parametrize("text", ["2018-13-01", "2018-8-2", "tomorrow", "", "2018366"])
def test_what_is_not_a_day_is_refused(text):
    with pytest.raises(UsageError, match="YYYY-MM-DD"):
        parse_day(text)
