"""International Soil Moisture Network: its three formats.

*Header and values*: one file is one sensor, a header line (network, station, place, depth, instrument), then a
line for each hour. *CEOP, separate files*: one sensor too, and each line says all of it again but the instrument,
which the name says. *CEOP, one file*, no longer delivered: all depths of a station in one file, soil
temperature beside soil moisture. Line ends differ by network and age: LF, CRLF, CR alone, even LF CR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.lines import Words, numbers, stamps, words
from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, first_line, head, sniff
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.stations import Depth, Site, StationSeries
from smcatalog.core.texts import kinds_of

__all__ = ["READER", "Ismn"]

_NUMBER: Final = r"[-+]?\d+(?:\.\d*)?"
_TIME: Final = r"\d{4}/\d{2}/\d{2}\s+\d{2}:\d{2}"
_SITE: Final = (
    rf"\S+\s+(?P<network>\S+)\s+(?P<station>\S+)\s+(?P<lat>{_NUMBER})\s+(?P<lon>{_NUMBER})"
    rf"\s+(?P<elevation>{_NUMBER})\s+(?P<top>{_NUMBER}|-)\s+(?P<bottom>{_NUMBER})"
)
_HEADER = re.compile(rf"^{_SITE}(?:\s+(?P<sensor>\S.*))?$")
_CEOP = re.compile(rf"^{_TIME}\s+{_TIME}\s+{_SITE}\s+(?P<rest>\S+\s+\S+.*)$")
_CEOP_BEGINS = re.compile(rf"^{_TIME}\s+{_TIME}\s")
_REST: Final = rf"{_NUMBER}\s+\S+(?:\s.*)?$"
_LINE = re.compile(rf"^{_TIME}\s+{_REST}")
_SEPARATE_LINE = re.compile(rf"^{_TIME}\s+{_TIME}\s+{_SITE}\s+{_REST}")
_TOGETHER_LINE = re.compile(rf"^{_TIME}\s+{_TIME}\s+{_SITE}\s+\S+\s+\S+\s+{_REST}")
_NAME = re.compile(
    rf"_(?P<variable>[a-z]+)_(?P<top>{_NUMBER})_(?P<bottom>{_NUMBER})_(?P<sensor>.*)_\d{{8}}_\d{{8}}(?:\.stm)?$",
    re.IGNORECASE,
)
_STORED: Final = "sm"
_NO_INSTRUMENT: Final = "unknown"
"""Of the one-file format, which does not say it."""
_FILLS: Final = (-0.99, -99.0, -99.9, -999.0, -999.9, -999.99, -9999.0)
_NO_ELEVATION: Final = -999
_DEPTH_DIGIT: Final = 0.001
"""Metres by which name and header may differ at least: they write different numbers of digits."""
_WIDEST: Final = 64
"""Characters of a number or flag; more is none."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the lines of a format have what is read.

    Parameters
    ----------
    value, flag : int
        Numbers of the words.
    same : (int, int)
        Words from and up to which all lines are alike.
    line : re.Pattern
        What a sound line looks like.
    shape : str
        The same, for a person.
    """

    value: int
    flag: int
    same: tuple[int, int]
    line: re.Pattern[str]
    shape: str


_HEADED: Final = _Layout(2, 3, (0, 0), _LINE, "time value flag")
_SEPARATE: Final = _Layout(12, 13, (4, 12), _SEPARATE_LINE, "time time place depth value flag")
_TOGETHER: Final = _Layout(
    14, 15, (4, 10), _TOGETHER_LINE, "time time place depth temperature flag value flag"
)
_DEPTHS: Final = (10, 11)
"""Words of the depth in both CEOP formats."""


@dataclass(frozen=True, slots=True)
class Ismn:
    """Reader of ISMN's files."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "ISMN"

    @property
    def title(self) -> str:
        """What the source is."""
        return "International Soil Moisture Network, one sensor or station, hourly"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a file by its first two lines; the variable stands in the name.

        Of the one-file format all that is needed is inside.
        """
        start = head(path)
        if sniff(start) is not Format.TEXT:
            return None
        line = first_line(start)
        layout, match = _first(line, name)
        if match is None:
            if _CEOP_BEGINS.match(line):
                raise RefusedInput(
                    f"begins as ISMN's CEOP formats do, and then is damaged: {line[:80]!r}"
                )
            return None
        if layout is _HEADED and not _begins_with_values(start):
            return None
        if layout is not _TOGETHER:
            _check_name(name, match)
        return Identity(self.source, name.removesuffix(".stm"))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield each sensor's series: fill and flag ``M`` left out, the last of duplicates kept."""
        with refusing("cannot be read", (OSError,)):
            text = path.read_bytes().replace(b"\r", b"\n")
        header = text.lstrip().partition(b"\n")[0]
        layout, match = _first(header.decode("utf-8", errors="replace").strip(), identity.name)
        if match is None:
            raise RefusedInput(f"its header is damaged: {header[:80]!r}")
        body = text.partition(b"\n")[2] if layout is _HEADED else text
        if layout is _HEADED:
            sensor = (match["sensor"] or "").strip()
        else:
            named = None if layout is _TOGETHER else _NAME.search(identity.name)
            sensor = named["sensor"] if named else _NO_INSTRUMENT
        records = _records(body, layout)
        empty = True
        for depth, own in _by_depth(records, layout, match):
            series = _series(_site(match), sensor, depth, own)
            if series is not None:
                empty = False
                yield series
        if empty:
            count = len(records.found.first)
            raise RefusedInput(f"holds no value at all: {count} lines, all fill or flagged M")


def _first(line: str, name: str) -> tuple[_Layout, re.Match[str] | None]:
    """Return the format of a file by its first line and its name; no match when it is none."""
    match = _CEOP.match(line)
    if match is None:
        return _HEADED, _HEADER.match(line)
    pairs = len(match["rest"].split()) // 2
    # flags may be of two words: of one sensor alone the name says the variable
    return _TOGETHER if pairs > 1 and not _NAME.search(name) else _SEPARATE, match


def _check_name(name: str, header: re.Match[str]) -> None:
    """Refuse a file whose name says another variable or depth, or nothing at all."""
    match = _NAME.search(name)
    if not match:
        raise RefusedInput(
            "is an ISMN file whose name does not say what it measures: it should be called "
            "…_sm_<from>_<to>_<sensor>_<first day>_<last day>.stm"
        )
    if match["variable"].lower() != _STORED:
        raise RefusedInput(f"variable {match['variable']} is not stored: only soil moisture is")
    for key in ("top", "bottom"):
        told = header[key] if header[key] != "-" else header["bottom"]
        rounded = 0.5 * 10.0 ** -len(told.partition(".")[2])
        if abs(float(match[key]) - float(told)) > max(rounded, _DEPTH_DIGIT) + 1e-9:
            raise RefusedInput(
                f"its name says {match['top']} to {match['bottom']} m below ground, inside it is "
                f"{header['top']} to {header['bottom']} m: files mixed up"
            )


@contextmanager
def _possible() -> Iterator[None]:
    try:
        yield
    except (UsageError, ValueError) as error:
        raise RefusedInput(f"has an impossible header: {error}") from error


def _begins_with_values(start: bytes) -> bool:
    lines = [line for line in start.replace(b"\r", b"\n").split(b"\n")[1:] if line.strip()]
    # a header alone is of this source too, and refused on reading
    return not lines or bool(re.match(_TIME.encode(), lines[0].strip()))


def _site(match: re.Match[str]) -> Site:
    elevation = float(match["elevation"])
    decimals = max(len(match[key].partition(".")[2]) for key in ("lat", "lon"))
    with _possible():
        return Site(
            match["network"], match["station"], float(match["lat"]), float(match["lon"]),
            decimals, elevation if elevation > _NO_ELEVATION else None,
        )  # fmt: skip


def _depth(top: str, bottom: str) -> Depth:
    """Return a depth; a sensor without an upper end is a point."""
    with _possible():
        return Depth(float(bottom if top == "-" else top), float(bottom))


@dataclass(frozen=True, slots=True, eq=False)
class _Records:
    """What lines say.

    Parameters
    ----------
    found : Words
        The lines' words.
    times : ndarray of datetime64[s], shape (n,)
    values : ndarray of float64, shape (n,)
    kinds : ndarray of str, shape (k,)
        The different flags.
    flags : ndarray of int, shape (n,)
        Each line's flag, among the kinds.
    """

    found: Words
    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    kinds: NDArray[np.str_]
    flags: NDArray[np.intp]

    def at(self, where: NDArray[np.bool_] | NDArray[np.intp]) -> _Records:
        """Return some of the lines, or all in another order."""
        return replace(
            self, times=self.times[where], values=self.values[where], flags=self.flags[where]
        )


def _records(body: bytes, layout: _Layout) -> _Records:
    """Take the lines apart; only when that fails one by one, to name the culprit."""
    found = words(body)
    if not len(found.first):
        raise RefusedInput("holds a header and no values: cut off")
    times = stamps(found)
    values, flags = (found.column(n, _WIDEST) for n in (layout.value, layout.flag))
    if times is None or values is None or flags is None:
        raise RefusedInput(_culprit(body, layout, "times or columns"))
    try:
        read = numbers(values)
        kinds, index = kinds_of(flags)
        texts = kinds.astype(np.str_)
    except ValueError as error:
        raise RefusedInput(_culprit(body, layout, str(error))) from error
    if not all(str(kind).isprintable() for kind in texts):
        raise RefusedInput(_culprit(body, layout, "flags of no letters"))
    first, last = layout.same
    if last > first and not found.same(first, last):
        raise RefusedInput(
            "holds lines of several stations or sensors: files joined by mistake, or damaged"
        )
    return _Records(found, times, read, texts, index)


def _culprit(body: bytes, layout: _Layout, error: str) -> str:
    first = 2 if layout is _HEADED else 1
    lines = [line for line in body.split(b"\n") if line.strip()]
    for number, line in enumerate(lines, start=first):
        text = line.decode("utf-8", errors="replace").strip()
        if not layout.line.match(text):
            where = (
                "the last line is cut off" if number == len(lines) + first - 1 else "a damaged line"
            )
            return f"line {number} is not '{layout.shape}': {text[:60]!r} ({where})"
    return f"has an impossible time or value ({error})"


def _by_depth(
    records: _Records, layout: _Layout, match: re.Match[str]
) -> Iterator[tuple[Depth, _Records]]:
    """Yield the lines of each depth."""
    if layout is not _TOGETHER:
        yield _depth(match["top"], match["bottom"]), records
        return
    ends = [records.found.column(n, _WIDEST) for n in _DEPTHS]
    tops, bottoms = (np.zeros(0, "S1") if e is None else e for e in ends)
    both = np.char.add(np.char.add(tops, b" "), bottoms)
    kinds, index = kinds_of(both)
    depths = [_depth(*kind.decode(errors="replace").split()) for kind in kinds]
    for depth in sorted(set(depths)):
        same = [number for number, other in enumerate(depths) if other == depth]
        yield depth, records.at(np.isin(index, same))


def _series(site: Site, sensor: str, depth: Depth, records: _Records) -> StationSeries | None:
    """Return the values that are there, in order; None when there is none."""
    kept = _in_order(records.at(_present(records)))
    if not len(kept.times):
        return None
    return StationSeries(
        site, sensor, _STORED, depth, 1, kept.times, kept.values.astype(np.float32),
        kept.kinds[kept.flags], (kept.kinds == "G")[kept.flags],
    )  # fmt: skip


def _present(records: _Records) -> NDArray[np.bool_]:
    rounded = np.round(records.values, 4)
    present: NDArray[np.bool_] = np.isfinite(rounded)
    for fill in _FILLS:
        present &= rounded != fill
    missing = np.array(["M" in str(kind).split(",") for kind in records.kinds], bool)
    present &= ~missing[records.flags]
    return present


def _in_order(records: _Records) -> _Records:
    if (np.diff(records.times) > np.timedelta64(0, "s")).all():
        return records
    ordered = records.at(np.argsort(records.times, kind="stable"))
    return ordered.at(np.append(ordered.times[1:] != ordered.times[:-1], True))


READER: Final = Ismn()
