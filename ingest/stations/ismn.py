"""International Soil Moisture Network, format *header and values*.

One file is one sensor: a header line (network, station, place, depth, instrument), then a line
for each hour. Line ends differ by network and age: LF, CRLF, CR alone, even LF CR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.reader import Identity, Yield
from ingest.refusal import refusing
from ingest.sniff import Format, first_line, head, sniff
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.stations import Depth, Site, StationSeries

__all__ = ["READER", "Ismn"]

_NUMBER: Final = r"[-+]?\d+(?:\.\d*)?"
_HEADER = re.compile(
    rf"^\S+\s+(?P<network>\S+)\s+(?P<station>\S+)\s+(?P<lat>{_NUMBER})\s+(?P<lon>{_NUMBER})"
    rf"\s+(?P<elevation>{_NUMBER})\s+(?P<top>{_NUMBER})\s+(?P<bottom>{_NUMBER})(?:\s+(?P<sensor>\S.*))?$"
)
_TIME: Final = r"\d{4}/\d{2}/\d{2}\s+\d{2}:\d{2}"
_CEOP = re.compile(rf"^{_TIME}\s+{_TIME}\s+\S+\s+\S+\s+\S+\s+{_NUMBER}\s+{_NUMBER}")
_LINE = re.compile(rf"^{_TIME}\s+{_NUMBER}\s+\S+(?:\s.*)?$")
_NAME = re.compile(
    rf"_(?P<variable>[a-z]+)_(?P<top>{_NUMBER})_(?P<bottom>{_NUMBER})_.*_\d{{8}}_\d{{8}}\.stm$",
    re.IGNORECASE,
)
_STORED: Final = "sm"
_FILLS: Final = (-0.99, -99.0, -99.9, -999.0, -999.9, -999.99, -9999.0)
_NO_ELEVATION: Final = -999
_DEPTH_DIGIT: Final = 0.001
"""Metres by which name and header may differ: they write different numbers of digits."""
_STAMP: Final = 16
"""Characters of ``2017/01/01 00:00``."""


@dataclass(frozen=True, slots=True)
class Ismn:
    """Reader of ISMN's header-and-values files."""

    @property
    def source(self) -> str:
        """Name of the product family."""
        return "ISMN"

    @property
    def title(self) -> str:
        """What the source is."""
        return "International Soil Moisture Network, one sensor, hourly"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a sensor file by its first two lines; the variable stands in the name."""
        start = head(path)
        if sniff(start) is not Format.TEXT:
            return None
        line = first_line(start)
        if _CEOP.match(line):
            raise RefusedInput(
                "is in the ISMN CEOP format, which is not read yet: download 'header + values'"
            )
        header = _HEADER.match(line)
        if not header or not _begins_with_values(start):
            return None
        match = _NAME.search(name)
        if not match:
            raise RefusedInput(
                "is an ISMN file whose name does not say what it measures: it should be called "
                "…_sm_<from>_<to>_<sensor>_<first day>_<last day>.stm"
            )
        if match["variable"].lower() != _STORED:
            raise RefusedInput(f"variable {match['variable']} is not stored: only soil moisture is")
        if any(abs(float(match[k]) - float(header[k])) > _DEPTH_DIGIT for k in ("top", "bottom")):
            raise RefusedInput(
                f"its name says {match['top']} to {match['bottom']} m below ground, inside it is "
                f"{header['top']} to {header['bottom']} m: files mixed up"
            )
        return Identity(self.source, name.removesuffix(".stm"))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:  # noqa: ARG002 - the protocol's shape
        """Yield the sensor's series: fill and flag ``M`` left out, the last of duplicates kept."""
        with refusing("cannot be read", (OSError,)):
            text = path.read_bytes().replace(b"\r", b"\n")
        header, _, body = text.partition(b"\n")
        match = _HEADER.match(header.decode("utf-8", errors="replace").strip())
        if not match:
            raise RefusedInput(f"its header is damaged: {header[:80]!r}")
        site, depth = _site(match)
        lines = [line for line in body.split(b"\n") if line and not line.isspace()]
        times, values, flags = _columns(lines)
        keep = _present(values, flags)
        times, values, flags = _in_order(times[keep], values[keep], flags[keep])
        if not len(times):
            raise RefusedInput(f"holds no value at all: {len(lines)} lines, all fill or flagged M")
        yield StationSeries(
            site, (match["sensor"] or "").strip(), _STORED, depth, 1,
            times, values.astype(np.float32), flags, flags == "G",
        )  # fmt: skip


def _begins_with_values(start: bytes) -> bool:
    lines = [line for line in start.replace(b"\r", b"\n").split(b"\n")[1:] if line.strip()]
    # a header alone is of this source too, and refused on reading
    return not lines or bool(re.match(_TIME.encode(), lines[0].strip()))


def _site(match: re.Match[str]) -> tuple[Site, Depth]:
    elevation = float(match["elevation"])
    decimals = max(len(match[key].partition(".")[2]) for key in ("lat", "lon"))
    try:
        site = Site(
            match["network"], match["station"], float(match["lat"]), float(match["lon"]),
            decimals, elevation if elevation > _NO_ELEVATION else None,
        )  # fmt: skip
        return site, Depth(float(match["top"]), float(match["bottom"]))
    except UsageError as error:
        raise RefusedInput(f"has an impossible header: {error}") from error


def _columns(
    lines: list[bytes],
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.str_]]:
    """Split the lines into time, value and flag.

    The lines are looked at all at once; only when that fails one by one, to name the culprit.
    """
    if not lines:
        raise RefusedInput("holds a header and no values: cut off")
    try:
        stamps = np.array([line[:_STAMP] for line in lines], f"S{_STAMP}")
        rest = [line[_STAMP:].split(None, 2) for line in lines]
        values = np.array([fields[0] for fields in rest], np.bytes_).astype(np.float64)
        flags = np.array([fields[1] for fields in rest], np.bytes_).astype(np.str_)
        return _times(stamps), values, flags
    except (ValueError, IndexError) as error:
        raise RefusedInput(_culprit(lines, error)) from error


def _times(stamps: NDArray[np.bytes_]) -> NDArray[np.datetime64]:
    text = stamps.view(np.uint8).reshape(-1, _STAMP).copy()
    for at, written, iso in ((4, b"/", b"-"), (7, b"/", b"-"), (10, b" ", b"T"), (13, b":", b":")):
        if (text[:, at] != written[0]).any():
            raise ValueError("a line does not begin with a time")
        text[:, at] = iso[0]
    times = text.view(f"S{_STAMP}").ravel().astype(np.str_).astype("datetime64[s]")
    if np.isnat(times).any():
        raise ValueError("a line does not begin with a time")
    return times


def _culprit(lines: list[bytes], error: Exception) -> str:
    for number, line in enumerate(lines, start=2):
        text = line.decode("utf-8", errors="replace").strip()
        if not _LINE.match(text):
            where = "the last line is cut off" if number == len(lines) + 1 else "a damaged line"
            return f"line {number} is not 'time value flag': {text[:60]!r} ({where})"
    return f"has an impossible time or value ({error})"


def _present(values: NDArray[np.float64], flags: NDArray[np.str_]) -> NDArray[np.bool_]:
    fill = np.isin(np.round(values, 4), _FILLS) | ~np.isfinite(values)
    kinds, index = np.unique(flags, return_inverse=True)
    missing = np.array(["M" in str(kind).split(",") for kind in kinds], bool)
    present: NDArray[np.bool_] = ~fill & ~missing[index]
    return present


def _in_order(
    times: NDArray[np.datetime64], values: NDArray[np.float64], flags: NDArray[np.str_]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.str_]]:
    if (np.diff(times) > np.timedelta64(0, "s")).all():
        return times, values, flags
    order = np.argsort(times, kind="stable")
    times, values, flags = times[order], values[order], flags[order]
    last = np.append(times[1:] != times[:-1], True)
    return times[last], values[last], flags[last]


READER: Final = Ismn()
