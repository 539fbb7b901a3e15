"""Running an experiment: world, files, products, maps and scores, all by the command line."""

from __future__ import annotations

import calendar
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.core.grids import BBox, grid
from smcatalog.results.entries import Entry, Variant
from smcatalog.results.steps import Steps
from smcatalog.results.toml import as_toml

__all__ = ["WORLD", "World", "measure", "measure_stations", "recipe", "region", "sources"]

WORLD: Final = "world"
"""Folder of the simulated world in the folder of an experiment."""
_STATIONS: Final = "ISMN"
_TREES: Final = {"n_estimators", "iterations"}
"""Parameters of learners that number their trees."""
_EDGE: Final = 1e-7
"""Part of a region's length by which its box is drawn in: edges on cells' edges touch the next cell else."""


@dataclass(frozen=True, slots=True)
class World:
    """What of an experiment one may choose.

    Parameters
    ----------
    entry : Entry
        The product.
    size_km : float
        Length of the region's edges [km].
    seed : int
        Which of the region's worlds.
    trees : float
        Share of the trees that the definition gives its boosters: for a quicker look.
    """

    entry: Entry
    size_km: float
    seed: int
    trees: float = 1.0

    @property
    def folder(self) -> str:
        """Name of the folder: it says what is in it."""
        first, last = self.entry.world_first, self.entry.world_last
        return f"{self.entry.name}-{self.size_km:g}km-seed{self.seed}-{first}-{last}"


def _builtin(name: str) -> dict[str, Any]:
    text = files("smcatalog.products").joinpath("builtin", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def sources(name: str) -> list[str]:
    """Return the sources that a product of the package reads, and stations to compare with."""
    values = _builtin(name)
    read = [values["coarse"]["source"], *(one["source"] for one in values["covariates"])]
    return sorted({source.partition(":")[0] for source in read} | {_STATIONS})


def region(bbox: BBox, coarse: str) -> BBox:
    """Return the box around the cells of a coarse grid that lie wholly in a box [degrees].

    Raises
    ------
    UsageError
        When there is none: the region is too small.
    """
    try:
        west, south, east, north = grid(coarse).crop(bbox, whole_cells=True).bbox()
    except UsageError as error:
        raise UsageError(
            f"no cell of {coarse} lies wholly in {bbox}: choose a larger --size"
        ) from error
    dx, dy = _EDGE * (east - west), _EDGE * (north - south)
    return west + dx, south + dy, east - dx, north - dy


def recipe(entry: Entry, variant: Variant, bbox: BBox, trees: float = 1.0) -> str:
    """Return a variant's definition as TOML: the package's but for name, region, days and what the variant changes.

    Parameters
    ----------
    bbox : BBox
        Of the world [degrees]. The region is made of the whole coarse cells in it.
    trees : float
        Share of the boosters' trees.
    """
    values = _builtin(entry.name)
    variant.change(values)
    for given in values["method"]["parameters"].get("parameters", {}).values():
        for name in _TREES & given.keys():
            given[name] = max(1, round(given[name] * trees))
    return as_toml(
        {
            **values,
            "name": variant.name,
            "bbox": list(region(bbox, values["coarse"]["grid"])),
            "first_day": entry.first,
            "last_day": entry.last,
            # all days of maps teach: what they read ahead lies before this, too
            "training_until": entry.taught_until
            or date.fromordinal(entry.last.toordinal() + int(values.get("look_ahead_days", 0))),
        }
    )


def measure(world: World, folder: Path, steps: Steps, jobs: int = 1) -> dict[str, Any]:
    """Simulate a world, take it in, make the products, and ask how good they are.

    Parameters
    ----------
    folder : Path
        Of this experiment; commands run in it.
    steps : Steps
        Where answers are kept.
    jobs : int
        Variants that are made side by side; the answers are the same.

    Returns
    -------
    dict
        ``world``, ``ingest``, ``versions`` and ``products``: the commands' answers, for
        `smcatalog.results.page`.

    Raises
    ------
    SmcatalogError
        When a command fails.
    """
    entry = world.entry
    chosen = [word for source in sources(entry.name) for word in ("--source", source)]
    made = steps.ask(
        "simulate", "simulate", WORLD, "--preset", entry.preset, "--seed", str(world.seed),
        "--from", f"{entry.world_first}", "--to", f"{entry.world_last}", "--size", f"{world.size_km:g}",
        *chosen, "--json",
    )["answer"]  # fmt: skip
    taken = steps.ask("ingest", "ingest", f"{WORLD}/granules", "--json", keep=_counted)

    def make(variant: Variant) -> dict[str, Any]:
        return _made(world, variant, made["bbox"], folder, steps)

    return {
        "name": entry.name,
        "world": {
            "preset": entry.preset,
            "size_km": world.size_km,
            "seed": world.seed,
            "trees": world.trees,
            "first": f"{entry.world_first}",
            "last": f"{entry.world_last}",
            "files": made["files"],
        },
        "days": [f"{entry.first}", f"{entry.last}"],
        "ingest": taken["answer"],
        "products": _each(make, entry.variants, jobs),
    }


def _each(
    make: Callable[[Variant], dict[str, Any]], variants: Sequence[Variant], jobs: int
) -> list[dict[str, Any]]:
    """Make variants, some side by side; after a failure none is begun any more."""
    if jobs == 1:
        return [make(one) for one in variants]
    with ThreadPoolExecutor(jobs) as side_by_side:  # threads only wait: commands are processes
        running = [side_by_side.submit(make, one) for one in variants]
        try:
            return [one.result() for one in running]
        except BaseException:
            side_by_side.shutdown(wait=False, cancel_futures=True)
            raise


def _made(
    world: World, variant: Variant, bbox: list[float], folder: Path, before: Steps
) -> dict[str, Any]:
    west, south, east, north = bbox
    text = recipe(world.entry, variant, (west, south, east, north), world.trees)
    name = variant.name
    steps = before.branch(name)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    steps.ask("add", "products", "add", f"{name}.toml", given=text)
    produced = steps.ask("produce", "produce", name, "--json", keep=_days)
    days, refused = produced["answer"]["days"], produced["answer"]["refused"]
    if not days:
        why = refused[0]["reason"] if refused else "it has nothing to make in these days"
        raise SmcatalogError(
            f"{name} has no map at all: {why}. Choose a larger --size or more days"
        )

    def truth(step: str, *span: str) -> Any:
        return steps.ask(
            step, "validate", name, "--truth", f"{WORLD}/truth", *span, "--json"
        )["answer"]  # fmt: skip

    return {
        "name": name,
        "what": variant.what,
        "versions": produced["versions"],
        "produced": produced["answer"],
        "truth": truth("truth"),
        "months": {
            month: truth(f"truth-{month}", "--from", f"{month}-01", "--to", _end(month))
            for month in sorted({day[:7] for day in days})
        },
        "scores": steps.ask("scores", "scores", name, "--json")["answer"],
        "stations": steps.ask("stations", "validate", name, "--by", "station", "--json")["answer"],
        "experiments": steps.ask("experiments", "experiments", name, "--json")["answer"]
        if "in_situ" in tomllib.loads(text)
        else None,
    }


def _end(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{month}-{calendar.monthrange(year, number)[1]:02d}"


def _counted(answer: dict[str, Any]) -> dict[str, Any]:
    """Keep of thousands of files how many there were, and those that were refused."""
    found = answer["files"]
    return {
        "outcomes": dict(Counter(one["outcome"] for one in found)),
        "refused": [
            {"name": one["name"], "reason": one["reason"]}
            for one in found
            if one["outcome"] == "refused"
        ],
    }


def _days(answer: dict[str, Any]) -> dict[str, Any]:
    """Keep of a product's days those with a map, and why others have none."""
    days = answer["days"]
    return {
        "version": answer["version"],
        "days": [one["day"] for one in days if one["item_id"]],
        "refused": [
            {"day": one["day"], "reason": one["reason"]} for one in days if not one["item_id"]
        ],
    }


def measure_stations(product: str, data: Path, steps: Steps) -> dict[str, Any]:
    """Take in a folder of files of real providers, and leave stations out, then coarse cells, with all single learners.

    Parameters
    ----------
    product : str
        Whose covariates and coarse product are the predictors.
    data : Path
        Of the files.

    Returns
    -------
    dict
        For `smcatalog.results.page`.

    Raises
    ------
    SmcatalogError
        When a command fails.
    """
    taken = steps.ask("ingest", "ingest", str(data), "--json", keep=_counted)
    asked = {
        together: steps.ask(
            f"left-out-{together}", "left-out", product, "--together", together, "--json"
        )
        for together in ("station", "cell")
    }
    return {
        "product": product,
        "ingest": taken["answer"],
        "versions": asked["station"]["versions"],
        "together": {together: one["answer"] for together, one in asked.items()},
    }
