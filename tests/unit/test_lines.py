"""Lines looked at all at once say what a loop over them would."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.lines import numbers, stamps, words
from smcatalog.core.texts import kinds_of

TEXTS = st.lists(st.text("ab D01,", max_size=20), max_size=20)


@given(st.text(" \t\nab1", max_size=60))
def test_words_are_those_of_split(text):
    found = words(text.encode())
    lines = [line.split() for line in text.split("\n") if line.split()]
    assert found.count.tolist() == [len(line) for line in lines]
    for number in range(max(map(len, lines), default=0)):
        column = found.column(number)
        if all(len(line) > number for line in lines):
            assert column is not None
            assert [word.decode() for word in column.tolist()] == [line[number] for line in lines]
        else:
            assert column is None


def test_words_that_are_the_same_in_all_lines():
    found = words(b"1 a  b 2\n3 a  b 4\n")
    assert found.same(1, 3)
    assert not found.same(0, 1)
    assert not found.same(1, 5)
    assert not words(b"1 a  b 2\n3 a b 4\n").same(1, 3)
    assert found.column(1, widest=0) is None


@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=10))  # noqa: DTZ001
def test_stamps_come_back(times):
    text = "\n".join(f"{time:%Y/%m/%d %H:%M} x" for time in times)
    found = stamps(words(text.encode()))
    assert found is not None
    expected = [np.datetime64(t.replace(second=0, microsecond=0), "s") for t in times]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "line",
    ["2020/02/30 00:00", "2020/13/01 00:00", "2020/00/01 00:00", "2020/01/00 00:00", "2020/01/01 24:00",
     "2020/01/01 00:60", "2020-01-01 00:00", "2020/01/01 0000", "2020/01/0a 00:00", "2020/01/01", ""],
)  # fmt: skip
def test_what_no_calendar_has_is_no_stamp(line):
    assert stamps(words(f"2020/01/01 00:00\n{line} x\n".encode())) is None


@given(
    st.lists(
        st.floats(-1e6, 1e6).map(lambda x: f"{x:.6f}") | st.integers(-999, 999).map(str), min_size=1
    )
)
def test_numbers_are_those_of_python_to_the_last_bit(texts):
    np.testing.assert_array_equal(numbers(np.array(texts, "S")), [float(text) for text in texts])


@pytest.mark.parametrize("text", ["1e-3", "nan", "+.5", "5.", "0.123456789012345678901", "-inf"])
def test_unusual_numbers_are_read_too(text):
    np.testing.assert_array_equal(numbers(np.array([text, "0.1"], "S")), [float(text), 0.1])


@pytest.mark.parametrize("text", ["-", ".", "1.2.3", "1-2", "wet", "--1"])
def test_no_numbers(text):
    with pytest.raises(ValueError, match="could not convert"):
        numbers(np.array([b"0.1", text.encode()]))


@given(TEXTS)
def test_kinds_of_texts(texts):
    for array in (np.array(texts, str), np.array([t.encode() for t in texts], bytes)):
        kinds, index = kinds_of(array)
        np.testing.assert_array_equal(kinds[index], array)
        if len(array):
            assert len(set(kinds.tolist())) == len(kinds) == len(set(array.tolist()))


def test_times_are_of_utc():
    (time,) = stamps(words(b"1970/01/01 01:00 x\n")).tolist()  # type: ignore[union-attr]
    assert time.replace(tzinfo=UTC).timestamp() == 3600
