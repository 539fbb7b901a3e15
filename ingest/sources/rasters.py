"""Single-band GeoTIFFs and Esri ASCII grids, declared by name in ``rasters.toml``: a reader for each source there."""

from __future__ import annotations

import calendar
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ingest.checks import TOLERATED, within_range
from ingest.esri import ascii_grid, is_ascii_grid
from ingest.geotiff import check_band, geotiff, grid_of, read_band
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from ingest.terrain import with_terrain
from ingest.windows import blocks
from smcatalog.core.errors import DefinitionError, NotFoundError, RefusedInput, UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import Averaging, Kind, Variable, variable

__all__ = ["READERS", "Declaration", "RasterReader", "declared"]

Covers = Literal["static", "day", "month"]

_KEYS: Final = frozenset(
    {
        "pattern", "variable", "unit", "valid", "covers", "scale", "offset", "begins_hours",
        "fill", "water", "power", "terrain", "crs",
    }
)  # fmt: skip
_SUFFIXES: Final = (".tif", ".asc", ".txt")
_AT_ONCE: Final = 16_000_000
"""Pixels of a map of classes that is read at once; the globe at 30 arc seconds has 58 times as many."""
_GLOBE: Final = 43_200 * 21_600


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the files of one name pattern hold.

    Parameters
    ----------
    pattern : re.Pattern
        Of the whole delivered name, with groups ``year``, ``month`` and ``day`` when dated.
    variable : Variable
        What the values become.
    unit : str
        Unit in the file.
    scale, offset : float
        ``value = stored * scale + offset``, in the variable's unit.
    valid : (float, float)
        Plausible range, in the variable's unit.
    covers : {"static", "day", "month"}
        What a file stands for.
    begins : timedelta
        Where the named day or month begins, from its midnight in UTC.
    fill : float or None
        Stored value that means no value, where the files do not say so themselves.
    power : bool
        Whether the file holds the powers that the variable's decibels stand for.
    terrain : bool
        Whether slope and direction of the ground are made of it too.
    water : float or None
        Stored value that means open water, where there is nothing else.
    crs : str
        Reference system of files that do not say theirs; empty: then they are refused.
    """

    pattern: re.Pattern[str]
    variable: Variable
    unit: str
    scale: float
    offset: float
    valid: tuple[float, float]
    covers: Covers
    begins: timedelta
    fill: float | None = None
    power: bool = False
    terrain: bool = False
    water: float | None = None
    crs: str = ""

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Declaration:
        """Read one entry of the TOML.

        Raises
        ------
        DefinitionError
            When the entry is incomplete or contradicts the variable it names.
        """
        if extra := table.keys() - _KEYS:
            raise DefinitionError(f"rasters.toml: unknown keys {sorted(extra)} in {table}")
        try:
            target = variable(table["variable"])
            covers = table["covers"]
            pattern = re.compile(table["pattern"])
            low, high = (float(x) for x in table["valid"])
            unit = table["unit"]
            fill, water = (
                None if key not in table else float(table[key]) for key in ("fill", "water")
            )
            power, terrain = (bool(table.get(key, False)) for key in ("power", "terrain"))
        except (KeyError, TypeError, ValueError, re.error, NotFoundError) as error:
            raise DefinitionError(f"rasters.toml: {error!r} in {table}") from error
        if covers not in get_args(Covers):
            raise DefinitionError(
                f"rasters.toml: covers is one of {get_args(Covers)}, got {covers}"
            )
        dated = {"static": set(), "day": {"year", "month", "day"}, "month": {"year", "month"}}[
            covers
        ]
        if set(pattern.groupindex) != dated:
            raise DefinitionError(f"rasters.toml: {pattern.pattern} must name {sorted(dated)}")
        if power and (target.averaging is not Averaging.POWER or unit != "1"):
            raise DefinitionError(
                f"rasters.toml: power is for files in unit '1' of a variable in dB, not {target.name}"
            )
        if terrain and target.name != "elevation":
            raise DefinitionError(f"rasters.toml: terrain is made of elevation, not {target.name}")
        if not power and (unit == target.unit) == ("scale" in table or "offset" in table):
            raise DefinitionError(
                f"rasters.toml: {target.name} is in {target.unit}; give scale and offset "
                f"exactly when the file's unit differs (it is '{unit}')"
            )
        if not target.valid_min <= low < high <= target.valid_max:
            raise DefinitionError(f"rasters.toml: {low} to {high} is no range of {target.name}")
        return cls(
            pattern, target, unit, float(table.get("scale", 1)), float(table.get("offset", 0)),
            (low, high), cast("Covers", covers), timedelta(hours=table.get("begins_hours", 0)),
            fill, power, terrain, water, str(table.get("crs", "")),
        )  # fmt: skip

    def period(self, match: re.Match[str]) -> Period | None:
        """Return what a file of a matching name covers; None when it is static.

        Raises
        ------
        RefusedInput
            When the name's day does not exist.
        """
        if self.covers == "static":
            return None
        part = {key: int(text) for key, text in match.groupdict().items()}
        try:
            first = date(part["year"], part["month"], part.get("day", 1))
            days = calendar.monthrange(first.year, first.month)[1] if self.covers == "month" else 1
            whole = Period.of_days(first, first + timedelta(days=days - 1))
            return Period(whole.start + self.begins, whole.end + self.begins)
        except (ValueError, OverflowError) as error:
            raise RefusedInput(f"has an impossible day in its name: {error}") from error


@dataclass(frozen=True)
class RasterReader:
    """Reader of one source's rasters.

    Parameters
    ----------
    source : str
        Name of the product family.
    title : str
        What it is.
    declarations : tuple of Declaration
        Its files.
    refused : tuple of (re.Pattern, str)
        Files of the source that are no input, and why.
    """

    source: str
    title: str
    declarations: tuple[Declaration, ...]
    refused: tuple[tuple[re.Pattern[str], str], ...] = ()

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """The name patterns, as they are declared."""
        return tuple(d.pattern.pattern for d in self.declarations)

    def _find(self, name: str) -> tuple[Declaration, re.Match[str]] | None:
        for declaration in self.declarations:
            if match := declaration.pattern.fullmatch(name):
                return declaration, match
        return None

    def identify(self, path: Path, name: str) -> Identity | None:
        """Recognise a TIFF or an ASCII grid by its delivered name.

        Raises
        ------
        RefusedInput
            When files of this name are declared to be none of the inputs.
        """
        found = self._find(name)
        reasons = [reason for pattern, reason in self.refused if pattern.fullmatch(name)]
        if (found is None and not reasons) or not _is_raster(head(path)):
            return None
        if found is None:
            raise RefusedInput(reasons[0])
        declaration, match = found
        return Identity(self.source, _stem(name), declaration.period(match))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield the file's raster, at its own resolution; of heights slope and direction too.

        Large maps of classes in degrees come block by block, without the blocks that hold nothing.
        """
        found = [self._find(identity.name + suffix) for suffix in ("", *_SUFFIXES)]
        declaration = next((one[0] for one in found if one is not None), None)
        if declaration is None:
            raise RefusedInput(f"{identity.name} is not a file of {self.source}")
        with geotiff(path) if sniff(head(path)) is Format.TIFF else ascii_grid(path) as file:
            for raster in _rasters(file, declaration, identity.period):
                if not declaration.terrain:
                    yield raster
                    continue
                try:
                    yield from with_terrain(raster)
                except UsageError as error:
                    raise RefusedInput(f"{error}: warp it first (gdalwarp)") from error


def _is_raster(start: bytes) -> bool:
    return sniff(start) is Format.TIFF or is_ascii_grid(start)


def _stem(name: str) -> str:
    """Return a name without the suffixes of formats that are read."""
    return next((name[: -len(s)] for s in _SUFFIXES if name.lower().endswith(s)), name)


def _rasters(file: Any, declaration: Declaration, period: Period | None) -> Iterator[Raster]:
    """Yield what an open file holds, in one piece or in blocks.

    Raises
    ------
    RefusedInput
        When it holds nothing, or nothing that can be true.
    """
    classes = declaration.variable.kind is Kind.CLASSES
    check_band(file, crs=declaration.crs or None, most=_GLOBE if classes else None)
    grid = grid_of(file, crs=declaration.crs or None)
    whole = slice(None), slice(None)
    large = classes and grid.crs.geographic and grid.shape[0] * grid.shape[1] > _AT_ONCE
    empty = True
    for rows, columns in blocks(grid) if large else (whole,):
        window = grid.window(rows, columns) if large else grid
        raster = _decoded(read_band(file, rows, columns), window, declaration, period)
        if not np.isnan(raster.values).all():
            empty = False
            yield raster
    if empty:
        raise RefusedInput("holds no value at all: nothing but nodata")


def _decoded(
    values: NDArray[np.float32], grid: Grid, declaration: Declaration, period: Period | None
) -> Raster:
    """Return stored values in the variable's unit, within what is plausible."""
    quality = np.zeros(values.shape, np.uint16)
    if declaration.fill is not None:
        values[values == np.float32(declaration.fill)] = np.nan
    if declaration.water is not None:
        wet = values == np.float32(declaration.water)
        values[wet], quality[wet] = np.nan, InputQuality.WATER
    if declaration.power and not np.isnan(values).all():
        values = _decibels(values)
    if (declaration.scale, declaration.offset) != (1.0, 0.0):
        values = values * np.float32(declaration.scale) + np.float32(declaration.offset)
    low, high = declaration.valid
    values = within_range(values, declaration.variable, low=low, high=high).astype(np.float32)
    return Raster(declaration.variable, grid, values, quality, period)


def _decibels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return powers in dB; nought, which stands for no echo and for no value alike, becomes NaN.

    Raises
    ------
    RefusedInput
        When more than a few are negative: noise was subtracted from those few.
    """
    negative = int((values < 0).sum())
    known = int(np.isfinite(values).sum())
    if negative > TOLERATED * known:
        raise RefusedInput(
            f"{negative} of {known} values are negative, expected powers: they are in dB already, "
            "or of a wrong fill value"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * np.log10(values)
    result: NDArray[np.float32] = np.where(np.isfinite(decibels), decibels, np.float32(np.nan))
    if np.isnan(result).all():
        raise RefusedInput("holds no value at all: nothing but nought")
    return result


def declared(text: str) -> tuple[RasterReader, ...]:
    """Make a reader for each source in a TOML text.

    Raises
    ------
    DefinitionError
        When the text is not TOML or an entry is wrong.
    """
    try:
        sources = tomllib.loads(text)["source"]
        return tuple(
            RasterReader(
                s["name"], s["title"], tuple(map(Declaration.from_table, s["raster"])),
                tuple((re.compile(r["pattern"]), str(r["reason"])) for r in s.get("refused", ())),
            )
            for s in sources
        )  # fmt: skip
    except (tomllib.TOMLDecodeError, KeyError, TypeError, re.error) as error:
        raise DefinitionError(f"rasters.toml: {error!r}") from error


READERS: Final = declared(files(__package__).joinpath("rasters.toml").read_text("utf-8"))
