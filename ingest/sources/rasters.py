"""Single-band GeoTIFFs, declared by file name in ``rasters.toml``: one reader for each source there."""

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

from ingest.checks import within_range
from ingest.geotiff import check_band, geotiff, grid_of, read_band
from ingest.reader import Identity, Yield
from ingest.sniff import Format, head, sniff
from smcatalog.core.errors import DefinitionError, NotFoundError, RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import Variable, variable

__all__ = ["READERS", "Declaration", "RasterReader", "declared"]

Covers = Literal["static", "day", "month"]


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
    """

    pattern: re.Pattern[str]
    variable: Variable
    unit: str
    scale: float
    offset: float
    valid: tuple[float, float]
    covers: Covers
    begins: timedelta

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Declaration:
        """Read one entry of the TOML.

        Raises
        ------
        DefinitionError
            When the entry is incomplete or contradicts the variable it names.
        """
        known = {
            "pattern",
            "variable",
            "unit",
            "valid",
            "covers",
            "scale",
            "offset",
            "begins_hours",
        }
        if extra := table.keys() - known:
            raise DefinitionError(f"rasters.toml: unknown keys {sorted(extra)} in {table}")
        try:
            target = variable(table["variable"])
            covers = table["covers"]
            pattern = re.compile(table["pattern"])
            low, high = (float(x) for x in table["valid"])
            unit = table["unit"]
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
        if (unit == target.unit) == ("scale" in table or "offset" in table):
            raise DefinitionError(
                f"rasters.toml: {target.name} is in {target.unit}; give scale and offset "
                f"exactly when the file's unit differs (it is '{unit}')"
            )
        if not target.valid_min <= low < high <= target.valid_max:
            raise DefinitionError(f"rasters.toml: {low} to {high} is no range of {target.name}")
        return cls(
            pattern, target, unit, float(table.get("scale", 1)), float(table.get("offset", 0)),
            (low, high), cast("Covers", covers), timedelta(hours=table.get("begins_hours", 0)),
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
    """Reader of one source's GeoTIFFs.

    Parameters
    ----------
    source : str
        Name of the product family.
    title : str
        What it is.
    declarations : tuple of Declaration
        Its files.
    """

    source: str
    title: str
    declarations: tuple[Declaration, ...]

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
        """Recognise a TIFF by its delivered name."""
        found = self._find(name)
        if found is None or sniff(head(path)) is not Format.TIFF:
            return None
        declaration, match = found
        return Identity(self.source, name.removesuffix(".tif"), declaration.period(match))

    def read(self, path: Path, identity: Identity) -> Iterator[Yield]:
        """Yield the file's one raster, at its own resolution."""
        found = self._find(f"{identity.name}.tif")
        if found is None:
            raise RefusedInput(f"{identity.name} is not a file of {self.source}")
        declaration, _ = found
        with geotiff(path) as file:
            check_band(file)
            grid = grid_of(file)
            values = read_band(file)
        if np.isnan(values).all():
            raise RefusedInput("holds no value at all: nothing but nodata")
        if (declaration.scale, declaration.offset) != (1.0, 0.0):
            values = values * np.float32(declaration.scale) + np.float32(declaration.offset)
        low, high = declaration.valid
        values = within_range(values, declaration.variable, low=low, high=high).astype(np.float32)
        yield Raster.good(declaration.variable, grid, values, identity.period)


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
            RasterReader(s["name"], s["title"], tuple(map(Declaration.from_table, s["raster"])))
            for s in sources
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise DefinitionError(f"rasters.toml: {error!r}") from error


READERS: Final = declared(files(__package__).joinpath("rasters.toml").read_text("utf-8"))
