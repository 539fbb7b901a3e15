"""Reading a product's definition from TOML, with errors that name line and key."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Final

from smcatalog.core.errors import DefinitionError, NotFoundError, SmcatalogError
from smcatalog.core.grids import grid
from smcatalog.core.stations import Depth
from smcatalog.products.covariate_tables import read_covariates
from smcatalog.products.definition import (
    Accept,
    Aggregate,
    Coarse,
    Covariate,
    DayOfYear,
    Definition,
    InSituChoice,
    MethodChoice,
    Reprocess,
    Step,
    Update,
)
from smcatalog.products.learners import least_samples, read_method
from smcatalog.products.partitions import Partitioning
from smcatalog.products.tables import Table, read_variable
from smcatalog.products.windows import AVERAGING, window_days

__all__ = ["builtin_names", "load_builtin", "read_definition"]

_NAME: Final = re.compile(r"^[a-z][a-z0-9-]{0,39}$")
_DAY: Final = "a day, YYYY-MM-DD without quotes"
_MIN_SAMPLES: Final = {Partitioning.ALL: 1, Partitioning.SIXTEEN_DAYS: 100}
"""Samples that a partition needs when the definition does not say: 100 after Rao et al. (2022)."""


def builtin_names() -> list[str]:
    """Return the names of the products that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in files("smcatalog.products").joinpath("builtin").iterdir()
        if entry.name.endswith(".toml")
    )


def load_builtin(name: str) -> Definition:
    """Return a product that comes with the package.

    Raises
    ------
    NotFoundError
        When none is called so.
    """
    if name not in builtin_names():
        raise NotFoundError(
            f"no product is called '{name}'; there are {', '.join(builtin_names())}"
        )
    entry = files("smcatalog.products").joinpath("builtin", f"{name}.toml")
    return parse_definition(entry.read_text(encoding="utf-8"), f"{name}.toml")


def read_definition(path: Path) -> Definition:
    """Read a product's definition from a file.

    Raises
    ------
    DefinitionError
        When the file cannot be read or is wrong; the message gives line, key and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"cannot read {path}: {error}") from error
    return parse_definition(text, path.name)


def parse_definition(text: str, file: str) -> Definition:
    """Parse a definition's TOML text; ``file`` is named in errors.

    Raises
    ------
    DefinitionError
        As for `read_definition`.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{file} is not valid TOML: {error}") from error
    top = Table(values, "", text, file)
    top.check_keys(
        ("name", "title", "description", "license", "citation", "bbox", "grid", "depths",
         "first_day", "last_day", "training_until", "step", "partitions", "min_samples", "look_ahead_days",
         "reprocess", "update", "season", "day_of_year", "coarse", "covariates", "method", "in_situ")
    )  # fmt: skip
    name = top.get("name", str, "a text")
    if not _NAME.match(name):
        raise top.error("name", "lower-case letters, digits and hyphens, at most 40")
    partitions = top.choice("partitions", Partitioning, Partitioning.ALL)
    covariates = read_covariates(top)
    step = top.choice("step", Step, Step.COARSE)
    method = read_method(top.table("method"))
    calendar = top.choice("day_of_year", DayOfYear) if "day_of_year" in values else None
    features = sum(len(c.features) for c in covariates) + (calendar is not None) * len(DayOfYear)
    definition = Definition(
        name=name,
        title=top.get("title", str, "a text"),
        description=top.get("description", str, "a text").strip(),
        license=top.get("license", str, "an SPDX identifier or 'other'"),
        citation=top.get("citation", str, "a text", " ").strip(),
        bbox=_bbox(top),
        grid=_grid(top),
        depths=_depths(top),
        first_day=top.get("first_day", date, _DAY),
        last_day=top.get("last_day", date, _DAY) if "last_day" in values else None,
        training_until=top.get("training_until", date, _DAY),
        coarse=_coarse(top.table("coarse"), step),
        covariates=covariates,
        method=method,
        step=step,
        partitions=partitions,
        min_samples=_min_samples(top, partitions, least_samples(method, features)),
        look_ahead_days=_look_ahead(top, covariates, method),
        reprocess=top.choice("reprocess", Reprocess, Reprocess.ALWAYS),
        update=top.choice("update", Update, Update.CLOSING),
        season=_season(top),
        day_of_year=calendar,
        in_situ=_in_situ(top, method),
    )
    if definition.class_features and definition.coarse.aggregate is Aggregate.CUBIC:
        wrong = ", ".join(sorted(definition.class_features))
        expected = f"'mean' or 'nearest': {wrong} is of classes, which have no average"
        raise top.table("coarse").error("aggregate", expected)
    try:
        definition.output_grid()
        definition.coarse_grid()
    except SmcatalogError as error:
        raise top.error("bbox", f"a box on both grids ({error})") from error
    return definition


def _bbox(top: Table) -> tuple[float, float, float, float]:
    expected = "[west, south, east, north] in degrees"
    box = top.get("bbox", list, expected)
    if len(box) != 4 or not all(isinstance(x, float | int) for x in box):  # noqa: PLR2004
        raise top.error("bbox", expected)
    west, south, east, north = (float(x) for x in box)
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):  # noqa: PLR2004
        raise top.error("bbox", expected)
    return west, south, east, north


def _grid(table: Table) -> str:
    name = table.get("grid", str, "the name of a grid")
    try:
        return grid(name).name
    except SmcatalogError as error:
        raise table.error("grid", f"the name of a grid ({error})") from error


def _depths(top: Table) -> tuple[Depth, ...]:
    expected = "a list of [top, bottom] in metres, at least one"
    pairs = top.get("depths", list, expected)
    try:
        depths = tuple(Depth(float(a), float(b)) for a, b in pairs)
    except (TypeError, ValueError, SmcatalogError) as error:
        raise top.error("depths", expected) from error
    if not depths:
        raise top.error("depths", expected)
    return depths


def _min_samples(top: Table, partitions: Partitioning, enough: int) -> int:
    # with fewer a method does not fit, and the whole product would stop at that partition
    least = 1 if partitions is Partitioning.ALL else enough
    expected = f"a number of samples, at least {least}"
    default = max(least, _MIN_SAMPLES[partitions])
    return top.count("min_samples", expected, least=least, default=default)


def _look_ahead(top: Table, covariates: tuple[Covariate, ...], method: MethodChoice) -> int:
    furthest = max(covariates, key=lambda covariate: covariate.ahead_days)
    window = window_days(method.name, method.parameters)
    learned = window[1] if window else 0
    least = furthest.ahead_days + learned
    expected = "a number of days, 0 or more"
    if least:
        what = f"'{furthest.name}' is read" if furthest.ahead_days else "windows in time reach"
        expected = f"a number of days, at least {least}: so far ahead {what}"
    if least and "look_ahead_days" not in top.values:
        raise top.error("look_ahead_days", expected)
    return top.count("look_ahead_days", expected, least=least, default=0)


def _in_situ(top: Table, method: MethodChoice) -> InSituChoice | None:
    if method.name != AVERAGING:
        if "in_situ" in top.values:
            raise top.error("in_situ", f"left out: method '{method.name}' learns from no stations")
        return None
    if "in_situ" not in top.values:
        expected = (
            f"a table with first_day and last_day: method '{method.name}' learns from stations"
        )
        raise top.error("in_situ", expected)
    table = top.table("in_situ")
    table.check_keys(("first_day", "last_day", "networks"))
    first, last = (table.get(name, date, _DAY) for name in ("first_day", "last_day"))
    horizon = top.get("training_until", date, _DAY)
    if not first <= last <= horizon:
        raise table.error("last_day", f"a day from first_day to training_until ({horizon})")
    expected = "a list of networks' names, left out for all"
    networks = table.get("networks", list, expected, [])
    if "networks" in table.values and not networks:
        raise table.error("networks", expected)
    if not all(isinstance(name, str) for name in networks):
        raise table.error("networks", expected)
    return InSituChoice(first, last, tuple(networks))


def _season(top: Table) -> tuple[tuple[int, int], tuple[int, int]] | None:
    if "season" not in top.values:
        return None
    expected = '[first, last] day of the year, as in ["04-01", "11-01"]'
    pair = top.get("season", list, expected)
    try:
        # a leap year: 29 February is a day too
        first, last = (date.fromisoformat(f"2000-{text}") for text in pair)
    except (TypeError, ValueError) as error:
        raise top.error("season", expected) from error
    return (first.month, first.day), (last.month, last.day)


def _coarse(table: Table, step: Step) -> Coarse:
    table.check_keys(("source", "variable", "grid", "min_coverage", "accept", "hours", "aggregate"))
    coverage = table.get("min_coverage", float, "a share between 0 and 1", 0.5)
    if not 0 < coverage <= 1:
        raise table.error("min_coverage", "a share above 0 and at most 1")
    return Coarse(
        source=table.get("source", str, "the name of a source"),
        variable=read_variable(table),
        grid=_grid(table),
        min_coverage=coverage,
        accept=table.choice("accept", Accept, Accept.RECOMMENDED),
        hours=_hours(table, step),
        aggregate=table.choice("aggregate", Aggregate, Aggregate.MEAN),
    )


def _hours(table: Table, step: Step) -> tuple[float, float] | None:
    if "hours" not in table.values:
        return None
    if step is not Step.DAY:
        raise table.error("hours", f"left out, or step '{Step.DAY}'")
    expected = "[first, last] in hours from midnight in UTC, at most 24 apart, from -24 to 48"
    pair = table.get("hours", list, expected)
    if len(pair) != 2 or not all(isinstance(x, float | int) for x in pair):  # noqa: PLR2004
        raise table.error("hours", expected)
    first, last = (float(x) for x in pair)
    if not (-24 <= first < last <= 48 and last - first <= 24):  # noqa: PLR2004
        raise table.error("hours", expected)
    return first, last
