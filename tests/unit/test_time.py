from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from smcatalog.core.errors import UsageError
from smcatalog.core.time import Period, julian, parse_day, parse_instant


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


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-06T07:08:09Z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06t07:08:09z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06 09:08:09.5+02:00", datetime(2024, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)),
        ("2024-05-06T07:08:09.123456789Z", datetime(2024, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)),
        ("2024-05-06", datetime(2024, 5, 6, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("2024127", datetime(2024, 5, 6, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("9999-12-31", None),
    ],
)
def test_instants_have_a_zone_and_days_mean_their_end(text, instant):
    if instant is None:
        with pytest.raises(UsageError, match="not an instant"):
            parse_instant(text)
    else:
        assert parse_instant(text) == instant
        assert parse_instant(text).tzinfo is UTC


def test_since_a_day_is_from_its_beginning():
    assert parse_instant("2024-05-06", begins=True) == datetime(2024, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2024-05-06T07:08:09", "no time zone"),
        ("2024-05-06 07:08:09", "write 2024-05-06T07:08:09Z"),
        ("2024-05-06T07:08Z", "RFC 3339"),
        ("2024-05-06T07:08:60Z", "no such time"),
        ("2024-02-30T07:08:09Z", "no such time"),
        ("0001-01-01T00:00:00+14:00", "no such time"),
        ("now", "RFC 3339"),
        ("", "RFC 3339"),
    ],
)
def test_what_is_not_an_instant_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        parse_instant(text)
