"""Lines of a station archive, all looked at at once: words, times, numbers.

A line is worth a microsecond here and ten in a loop. What the arithmetic does not cover is told by None or
left to Python's own conversion, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Words", "numbers", "stamps", "words"]

Bytes = NDArray[np.uint8]
Places = NDArray[np.intp]

_SPACE, _TAB, _END = b" \t\n"
_ZERO, _NINE, _POINT, _MINUS, _PLUS = b"09.-+"
_DATE: Final = 10
"""Characters of ``2017/01/01``."""
_CLOCK: Final = 5
"""Characters of ``00:00``."""
_MONTHS, _HOURS, _MINUTES = 12, 24, 60
_DIGITS: Final = 15
"""Of a number, which 64 bits hold exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of a text, line by line; lines without any are left out.

    Parameters
    ----------
    data : ndarray of uint8
        The text; lines end in LF.
    starts, ends : ndarray of int, shape (words,)
        Where each word begins and ends.
    first : ndarray of int, shape (lines,)
        Number of each line's first word.
    count : ndarray of int, shape (lines,)
        Words of each line.
    """

    data: Bytes
    starts: Places
    ends: Places
    first: Places
    count: Places

    def column(self, number: int, widest: int = 64) -> NDArray[np.bytes_] | None:
        """Return a word of each line; None when a line has not so many, or a word is wider than that."""
        if not len(self.first) or self.count.min() <= number:
            return None
        at = self.first + number
        starts, widths = self.starts[at], self.ends[at] - self.starts[at]
        width = int(widths.max())
        if width > widest:
            return None
        text = gathered(self.data, starts, width)
        text[np.arange(width) >= widths[:, None]] = 0
        return text.view(f"S{width}").ravel()

    def same(self, start: int, end: int) -> bool:
        """Say whether some of the words, and the blanks between them, are the same in all lines."""
        if not len(self.first) or self.count.min() < end:
            return False
        starts = self.starts[self.first + start]
        widths = self.ends[self.first + end - 1] - starts
        if (widths != widths[0]).any():
            return False
        text = gathered(self.data, starts, int(widths[0]))
        return bool((text == text[0]).all())


def words(body: bytes) -> Words:
    """Find the words of a text whose lines end in LF."""
    data = np.frombuffer(body + b"\n", np.uint8)
    ends = data == _END
    blank = ends | (data == _SPACE) | (data == _TAB)
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    if not blank[0]:
        edges = np.append(0, edges)
    starts, finishes = edges[::2], edges[1::2]
    # how many words begin before each line's end
    before = np.searchsorted(starts, np.flatnonzero(ends))
    first = np.append(0, before[:-1])
    count = before - first
    full = count > 0
    return Words(data, starts, finishes, first[full], count[full])


def gathered(data: Bytes, starts: Places, width: int) -> Bytes:
    """Return so many characters from each start on, shape (n, width); behind the end stand zeros."""
    if len(starts) and starts.max() + width > len(data):
        data = np.append(data, np.zeros(width, np.uint8))
    windows = np.lib.stride_tricks.sliding_window_view(data, width)
    return windows[starts]


def stamps(found: Words, number: int = 0) -> NDArray[np.datetime64] | None:
    """Return the times ``2017/01/01 00:00`` that two neighbouring words of each line make.

    Returns
    -------
    ndarray of datetime64[s], shape (lines,), or None
        None when a line has another one there, or one that no calendar has.
    """
    if not len(found.first) or found.count.min() < number + 2:
        return None
    at = found.first + number
    day, clock = found.starts[at], found.starts[at + 1]
    if (found.ends[at] - day != _DATE).any() or (found.ends[at + 1] - clock != _CLOCK).any():
        return None
    date, hour = gathered(found.data, day, _DATE), gathered(found.data, clock, _CLOCK)
    if (date[:, [4, 7]] != ord("/")).any() or (hour[:, 2] != ord(":")).any():
        return None
    digits = np.hstack([date[:, [0, 1, 2, 3, 5, 6, 8, 9]], hour[:, [0, 1, 3, 4]]]) - np.uint8(_ZERO)
    if (digits > 9).any():  # noqa: PLR2004 - a digit; what is below nought wrapped around
        return None
    d = digits.astype(np.int64).T
    year = d[0] * 1000 + d[1] * 100 + d[2] * 10 + d[3]
    month, of_month = d[4] * 10 + d[5], d[6] * 10 + d[7]
    hours, minutes = d[8] * 10 + d[9], d[10] * 10 + d[11]
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (of_month - 1)
    possible = (
        (month >= 1) & (month <= _MONTHS) & (of_month >= 1) & (days.astype("datetime64[M]") == months)
        & (hours < _HOURS) & (minutes < _MINUTES)
    )  # fmt: skip
    if not possible.all():
        return None
    times: NDArray[np.datetime64] = days.astype("datetime64[s]") + (hours * 60 + minutes) * 60
    return times


def numbers(texts: NDArray[np.bytes_]) -> NDArray[np.float64]:
    """Return the numbers that some texts are.

    Plain decimals come from whole numbers: digits without their point, divided by a power of ten, which is
    the nearest number to what stands there.

    Raises
    ------
    ValueError
        When one is no number.
    """
    width = texts.dtype.itemsize
    text = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), width)
    whole = np.zeros(len(texts), np.int64)
    decimals = np.zeros(len(texts), np.int64)
    seen = np.zeros(len(texts), np.int64)
    behind = np.zeros(len(texts), bool)
    odd = np.zeros(len(texts), bool)
    negative = np.zeros(len(texts), bool)
    for place, column in enumerate(text.T):
        digit = column - np.uint8(_ZERO)
        is_digit = digit <= 9  # noqa: PLR2004 - a digit
        np.copyto(whole, whole * 10 + digit, where=is_digit)
        seen += is_digit
        decimals += is_digit & behind
        point = column == _POINT
        odd |= (point & behind) | ~(is_digit | point | (column == 0))
        if place == 0:
            negative = column == _MINUS
            odd &= ~(negative | (column == _PLUS))
        behind |= point
    odd |= (seen == 0) | (seen > _DIGITS)
    result: NDArray[np.float64] = whole / 10.0 ** np.minimum(decimals, _DIGITS)
    np.negative(result, out=result, where=negative)
    at = np.flatnonzero(odd)
    if len(at):
        result[at] = [float(word) for word in texts[at].tolist()]
    return result
