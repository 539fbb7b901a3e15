"""Soil moisture merged from many satellites: daily images of ESA CCI (releases 4 to 9) and of C3S, 0.25 degrees.

NetCDF, a file for each day and kind: COMBINED and PASSIVE in m3 m-3, ACTIVE in percent of saturation, which is another variable.
An image is dated by its reference time, midnight, and holds for each cell the retrievals nearest to it, twelve hours to
either side; what the file itself says that it covers comes first.
The flags are decoded by what the file says that they mean. GeoTIFFs that others cut out of it are declared in
``rasters.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.checks import within_range
from ingest.fields import Place, check_unit, held_part, instants
from ingest.netcdf import NetCdf, netcdf, variables_of
from ingest.reader import Identity, Yield
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import DAY, Period, parse_day, utc_midnight
from smcatalog.core.variables import variable

__all__ = ["READERS", "MergedSm"]

_NAME = re.compile(
    r"^(?P<family>ESACCI|C3S)-SOILMOISTURE-L3S-SSM[VS]-(?P<kind>[A-Z_]+)-(?:(?P<step>[A-Z]+)-)?(?P<day>\d{8})\d{6}-"
    r"(?:(?P<record>I?T?CDR)-)?(?:fv|v)(?P<version>\d+(?:\.\d+)*)"
)
_PREFIXES: Final = {"ESACCI": "ESACCI-SM", "C3S": "C3S-SM"}
_KINDS: Final = {"COMBINED": "active and passive", "ACTIVE": "active", "PASSIVE": "passive"}
_PER_DEGREE: Final = 4
_VOLUMES: Final = {"m3 m-3", "m3/m3", "m^3 m^-3", "m**3 m**-3", "m3.m-3"}
_PERCENT: Final = {"percentage (%)", "percentage", "percent", "%", "% saturation"}
_UNKNOWN: Final = 127
_LONGEST: Final = DAY + timedelta(seconds=1)

_MEANINGS: Final = (
    ("snow_coverage", InputQuality.FROZEN),
    ("temperature_below_zero", InputQuality.FROZEN),
    ("dense_vegetation", InputQuality.NOT_RECOMMENDED),
    ("no_convergence", InputQuality.NOT_RECOMMENDED),
    ("exceeds_physical_boundary", InputQuality.NOT_RECOMMENDED),
    ("weight_of_measurement_below", InputQuality.NOT_RECOMMENDED),
    ("unreliable", InputQuality.NOT_RECOMMENDED),
)
"""Parts of the provider's words, and what they stand for. Barren ground is advice: retrievals there are recommended."""
_BITS: Final = (
    "snow_coverage_or_temperature_below_zero",
    "dense_vegetation",
    "others_no_convergence_in_the_model_thus_no_valid_sm_estimates",
    "soil_moisture_value_exceeds_physical_boundary",
    "weight_of_measurement_below_threshold",
    "all_datasets_deemed_unreliable",
    "barren_ground_advisory_flag",
)
"""What the bits mean in all releases from 4 on, the lowest first; for files that do not say."""


@dataclass(frozen=True, slots=True)
class MergedSm:
    """Reader of the images of one family and kind.

    Parameters
    ----------
    family : {"ESACCI", "C3S"}
        Who makes it.
    kind : {"COMBINED", "ACTIVE", "PASSIVE"}
        Of which sensors.
    """

    family: str
    kind: str

    @property
    def source(self) -> str:
        """Name of the product family."""
        return f"{_PREFIXES[self.family]}-{self.kind}"

    @property
    def title(self) -> str:
        """What the source is."""
        maker = {"ESACCI": "ESA CCI", "C3S": "Copernicus C3S"}[self.family]
        return f"{maker} soil moisture, {_KINDS[self.kind]} sensors, 0.25 degrees, daily"

    @property
    def variable(self) -> str:
        """Name of the variable: scatterometers measure shares of saturation."""
        return "sm_saturation" if self.kind == "ACTIVE" else "sm"

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise an image by its variables and the name that stands inside.

        Raises
        ------
        RefusedInput
            When its name and what it says inside are of two images, or it is no image of a day.
        """
        if "sm" not in variables_of(path):
            return None
        with netcdf(path) as file:
            inside, outside = _NAME.match(file.text("id")), _NAME.match(name)
            match = inside or outside
            if match is None or (match["family"], match["kind"]) != (self.family, self.kind):
                if (
                    match is not None
                    and match["family"] == self.family
                    and match["kind"] not in _KINDS
                ):
                    raise RefusedInput(f"is an image of kind {match['kind']}, which is not read")
                return None
            _check_alike(inside, outside)
            if match["step"] not in {None, "DAILY"}:
                raise RefusedInput(
                    f"is a mean of more than a day ({match['step'].lower()}): fetch the daily images"
                )
            day = _day(match)
            _check_day(file, day)
            period = _period(file, day)
        stem = (file_name := inside or outside) and file_name.group()
        subject = f"{self.source}-{match['day']}"
        return Identity(self.source, stem or name, period, subject, _production(match))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield the retrievals on the smallest window of the globe's grid that holds them and the flags.

        Raises
        ------
        RefusedInput
            When it holds none, in another unit, or on other cells.
        """
        with netcdf(path) as file:
            for name in ("sm", "flag"):
                if name not in file.names:
                    raise RefusedInput(f"lacks {name}: fetch the whole image")
            check_unit(file, "sm", _PERCENT if self.kind == "ACTIVE" else _VOLUMES)
            place = Place.of(file, per_degree=_PER_DEGREE)
            target = variable(self.variable)
            values = place.read(file, "sm")
            known = np.isfinite(values)
            if not known.any():
                raise RefusedInput("holds no soil moisture at all: nothing but fill")
            quality = _quality(file, place.read(file, "flag"), known)
        part = held_part(place.grid, known, quality)
        if part is None:
            raise RefusedInput("holds no soil moisture at all: nothing but fill")
        yield Raster(
            target,
            place.grid.window(*part),
            within_range(values[part], target).astype(np.float32),
            quality[part],
            identity.period,
        )


def _check_alike(inside: re.Match[str] | None, outside: re.Match[str] | None) -> None:
    """Refuse an image whose name was changed to that of another one."""
    if inside is None or outside is None:
        return
    told = [f"{match['kind']} of {match['day']}" for match in (outside, inside)]
    if told[0] != told[1]:
        raise RefusedInput(f"its name says {told[0]}, inside it is {told[1]}: files mixed up")


def _day(match: re.Match[str]) -> date:
    try:
        return parse_day(match["day"])
    except UsageError as error:
        raise RefusedInput(f"has an impossible day in its name: {error}") from error


def _check_day(file: NetCdf, day: date) -> None:
    times = instants(file)
    if len(times) != 1:
        raise RefusedInput(f"holds {len(times)} times, expected one: files joined")
    found = times[0].date()
    if found != day:
        raise RefusedInput(f"its name says {day}, its time {found}: files mixed up")


def _period(file: NetCdf, day: date) -> Period:
    """Return what an image covers."""
    bounds = []
    for end in ("start", "end"):
        try:
            told = datetime.fromisoformat(file.text(f"time_coverage_{end}"))
        except ValueError:
            break
        bounds.append(told if told.tzinfo else told.replace(tzinfo=UTC))
    else:
        first, last = bounds
        if last.second:
            last += timedelta(seconds=60 - last.second)  # told to the last second
        if timedelta(0) < last - first <= _LONGEST and Period(first, last).day == day:
            return Period(first, last)
    midnight = utc_midnight(day)
    return Period(midnight - DAY / 2, midnight + DAY / 2)


def _production(match: re.Match[str]) -> str:
    """Return a text that rises with the release; interim records come before the final ones."""
    numbers = ".".join(number.zfill(6) for number in match["version"].split("."))
    return f"{numbers} {match['record'] or ''}".strip()


def _quality(
    file: NetCdf, flags: NDArray[np.float64], known: NDArray[np.bool_]
) -> NDArray[np.uint16]:
    """Return `InputQuality` bits: of frozen ground everywhere, of doubt where there are retrievals."""
    whole = np.where(np.isnan(flags) | (flags == _UNKNOWN), 0, flags)
    if ((whole < 0) | (whole > 0xFFFF) | (whole % 1 != 0)).any():  # noqa: PLR2004 - 16 bits
        raise RefusedInput(f"flag holds {whole.min():g} to {whole.max():g}, where bits belong")
    bits = whole.astype(np.uint16)
    quality = np.zeros(flags.shape, np.uint16)
    for mask, word in _masks(file):
        for part, meaning in _MEANINGS:
            if part in word:
                kept = meaning is InputQuality.FROZEN
                quality[(bits & np.uint16(mask) != 0) & (known | kept)] |= np.uint16(meaning)
    return quality


def _masks(file: NetCdf) -> list[tuple[int, str]]:
    """Return what each bit of the flags means.

    Releases tell it by masks, by the values of single and combined flags, or by numbers of bits.
    """
    words = str(file.attribute("flag", "flag_meanings") or "").split()
    for attribute in ("flag_masks", "flag_values"):
        numbers = _numbers(file.attribute("flag", attribute))
        if len(numbers) != len(words) or not words:
            continue
        single = {
            n: w for n, w in zip(numbers, words, strict=True) if not w.startswith("combination")
        }
        powers = {n: w for n, w in single.items() if n > 0 and n & (n - 1) == 0}
        if attribute == "flag_values" and set(range(1, len(words) + 1)) <= single.keys():
            return [(1 << (n - 1), w) for n, w in single.items() if n > 0]
        return list(powers.items())
    return [(1 << i, word) for i, word in enumerate(_BITS)]


def _numbers(value: Any) -> list[int]:
    if isinstance(value, str):
        return [int(n) for n in re.findall(r"\d+", value)]
    if isinstance(value, np.ndarray | list | int | np.integer):
        return [int(n) for n in np.ravel(value)]
    return []


READERS: Final = tuple(MergedSm(family, kind) for family in _PREFIXES for kind in _KINDS)
