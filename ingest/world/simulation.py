"""Simulating a world into a folder: native files of each source, and the truth beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from ingest.world.beside import beside, can_work_beside
from ingest.world.landscape import Landscape, landscape
from ingest.world.physics import beginning, days
from ingest.world.presets import preset
from ingest.world.writer import MakeWriter
from smcatalog.core.errors import UsageError
from smcatalog.core.time import DAY

__all__ = ["VERSION", "Recipe", "Simulation", "simulate"]

VERSION: Final = 1
"""Of the simulated world: raised whenever the same recipe gives other files."""

_Makers = dict[Path, MakeWriter]
"""By the folder that the files go to."""
_PHYSICS: Final = 100.0
"""Milliseconds that a day takes without any file."""
_CHEAP: Final = 10.0
"""Milliseconds that a day's files of a source take whose cost is not told."""

_MANIFEST: Final = "simulation.json"
_UNFINISHED: Final = "simulation.unfinished.json"
_NOTE: Final = """\
Everything in this folder is simulated. No satellite, model or station has measured any of it.

granules/  files as the providers of these sources would deliver them: ingest this folder
truth/     what the simulated world really was like: for scoring only, never to be ingested
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a simulated world is made from: the same recipe gives the same files.

    Parameters
    ----------
    preset : str
        Name of the region.
    first, last : date
        Days of UTC, both included.
    seed : int
        Which of the region's worlds.
    size_km : float
        Length of the region's edges [km].
    sources : tuple of str
        Which sources are written.
    """

    preset: str
    first: date
    last: date
    seed: int
    size_km: float
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise UsageError(f"the last day {self.last} is before the first day {self.first}")
        if self.seed < 0:
            raise UsageError(f"the seed is a whole number from 0 on, got {self.seed}")


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a folder of a simulated world holds.

    Parameters
    ----------
    folder : Path
        Where it is.
    bbox : tuple of float
        West, south, east and north of the region [degrees].
    files : dict of str to int
        Number of files of each source.
    made : bool
        Whether they were made now; False when the folder held this world already.
    """

    folder: Path
    bbox: tuple[float, float, float, float]
    files: dict[str, int]
    made: bool


def simulate(
    folder: Path,
    recipe: Recipe,
    writers: dict[str, MakeWriter],
    truth: MakeWriter,
    *,
    costs: Mapping[str, float] | None = None,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Simulation:
    """Write a simulated world.

    Parameters
    ----------
    folder : Path
        Gets ``granules/SOURCE/``, ``truth/`` and a manifest, written last.
    writers : dict of str to callable
        Of the sources that can be written.
    truth : callable
        Makes the writer of what really was.
    costs : mapping of str to float, optional
        Milliseconds that a day's files of a source take, by which two processes share the sources.
    tell : callable, optional
        Called with the number of simulated days and how many there will be.

    Raises
    ------
    UsageError
        When the folder holds another world or anything else, or a source is not known.
    """
    unknown = set(recipe.sources) - writers.keys()
    if unknown:
        raise UsageError(
            f"no writer for {', '.join(sorted(unknown))}; there are {', '.join(sorted(writers))}"
        )
    known = _known(folder, recipe)
    if known is not None:
        return known
    (folder / _UNFINISHED).write_text(_as_json(_plain(recipe)), encoding="utf-8")
    land = landscape(preset(recipe.preset), recipe.seed, recipe.size_km)
    (folder / "README.txt").write_text(_NOTE, encoding="utf-8")
    makers = {folder / "granules" / source: writers[source] for source in recipe.sources}
    makers[folder / "truth"] = truth
    start = beginning(recipe.first)
    total = (recipe.last - start) // DAY + 1
    told = lambda day: tell((day - start) // DAY, total)  # noqa: E731 - a name for one line
    _share(land, recipe, makers, costs or {}, told)
    files = _count(folder, recipe.sources)
    manifest = _plain(recipe) | {"grid": land.grid.name, "bbox": land.grid.bbox(), "files": files}
    (folder / _UNFINISHED).write_text(_as_json(manifest), encoding="utf-8")
    (folder / _UNFINISHED).replace(folder / _MANIFEST)
    return Simulation(folder, land.grid.bbox(), files, made=True)


def _share(
    land: Landscape,
    recipe: Recipe,
    makers: _Makers,
    costs: Mapping[str, float],
    tell: Callable[[date], None],
) -> None:
    """Write all files, by two processes where that is quicker.

    Each has its own physics: a day's files take several times what the day itself takes.
    """
    mine, others = _halves(makers, costs)
    if sum(costs.get(place.name, _CHEAP) for place in others) < _PHYSICS or not can_work_beside():
        _write(land, recipe, makers, tell)
        return

    def told(day: date) -> None:
        check()
        tell(day)

    with beside(lambda alive: _write(land, recipe, others, lambda _day: alive())) as check:
        _write(land, recipe, mine, told)


def _halves(makers: _Makers, costs: Mapping[str, float]) -> tuple[_Makers, _Makers]:
    """Divide makers in two of about the same cost, the dearer half first."""
    halves: tuple[_Makers, _Makers] = ({}, {})
    sums = [0.0, 0.0]
    cost = {place: costs.get(place.name, _CHEAP) for place in makers}
    for place in sorted(makers, key=lambda place: (-cost[place], place)):
        cheaper = int(sums[1] < sums[0])
        halves[cheaper][place] = makers[place]
        sums[cheaper] += cost[place]
    return halves if sums[0] >= sums[1] else halves[::-1]


def _write(land: Landscape, recipe: Recipe, makers: _Makers, tell: Callable[[date], None]) -> None:
    """Write the files of some makers, day by day."""
    running = [maker(land, place) for place, maker in makers.items()]
    for state in days(land, recipe.first, recipe.last, tell=tell):
        for writer in running:
            writer.day(state)
    for writer in running:
        writer.end()


def _known(folder: Path, recipe: Recipe) -> Simulation | None:
    """Return the world that the folder holds already; make an empty folder ready."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}") from error
    if not held:
        return None
    for name in (_MANIFEST, _UNFINISHED):
        if name not in held:
            continue
        found = _read(folder / name)
        if any(found.get(key) != value for key, value in _plain(recipe).items()):
            raise UsageError(
                f"{folder} holds a world of another recipe (see {name} there): choose another folder"
            )
        if name == _MANIFEST and found["files"] == _count(folder, recipe.sources):
            return Simulation(folder, tuple(found["bbox"]), found["files"], made=False)
        return None  # cut off, or files are gone: the same files are written again
    raise UsageError(f"{folder} is not empty and holds no simulated world: choose another folder")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}): remove its folder") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is damaged: remove its folder")
    return found


def _plain(recipe: Recipe) -> dict[str, Any]:
    plain = asdict(recipe) | {"version": VERSION}
    plain["first"], plain["last"] = recipe.first.isoformat(), recipe.last.isoformat()
    plain["sources"] = sorted(recipe.sources)
    return plain


def _as_json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _count(folder: Path, sources: tuple[str, ...]) -> dict[str, int]:
    places = {source: folder / "granules" / source for source in sorted(sources)}
    places["truth"] = folder / "truth"
    return {
        source: sum(path.is_file() for path in place.rglob("*")) if place.is_dir() else 0
        for source, place in places.items()
    }
