"""``scripts/results``: measures products in simulated worlds and writes docs/results.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import platformdirs

from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.core.time import parse_day
from smcatalog.results.entries import ENTRIES, Entry, entry
from smcatalog.results.measure import World, measure, measure_stations
from smcatalog.results.page import STATIONS, page, product_section, stations_section
from smcatalog.results.steps import Answered, Commands, Steps, plain_environment

__all__ = ["main"]

_COMMAND: Final = "scripts/results"
_HOME: Final = "home"
"""Folder of an experiment's catalogue: database and store of its own."""


def _tell(line: str) -> None:
    print(f"results: {line}", file=sys.stderr, flush=True)  # noqa: T201 - this is a command


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=_COMMAND,
        description="Measure products in simulated worlds, against the truth at 1 km, and write docs/results.md. "
        "What a run that was cut off had answered is not asked again. Sections of other products stay as they are.",
    )
    parser.add_argument(
        "products", nargs="*", metavar="PRODUCT", help=f"{', '.join(ENTRIES)} (default: all)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(platformdirs.user_data_dir("smcatalog-results", appauthor=False)),
        help="work folder, for worlds, catalogues and answers (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=float, help="length of the region's edges in km (default: each its own)"
    )
    parser.add_argument(
        "--from", dest="first", help="first day of maps, YYYY-MM-DD (default: each its own)"
    )
    parser.add_argument("--to", dest="last", help="last day of maps, YYYY-MM-DD")
    parser.add_argument(
        "--seed", type=int, default=1, help="which of the region's worlds (default: 1)"
    )
    parser.add_argument(
        "--trees",
        type=float,
        default=1.0,
        help="share of the boosters' trees, where a product says how many: for a quicker look (default: 1)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="variants of a product made side by side (default: 1)"
    )
    parser.add_argument(
        "--real-data",
        type=Path,
        help="folder of the Yanco files, for learners at stations left out; without it that section stays as it is",
    )
    parser.add_argument("--only-real-data", action="store_true", help="no simulated world")
    parser.add_argument(
        "--page",
        type=Path,
        default=Path("docs/results.md"),
        help="file to write (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _chosen(name: str, options: argparse.Namespace) -> World:
    found: Entry = entry(name)
    first = parse_day(options.first) if options.first else found.first
    last = parse_day(options.last) if options.last else found.last
    if last < first:
        raise UsageError(f"the last day {last} is before the first day {first}")
    size = options.size if options.size is not None else found.size_km
    if not 0 < options.trees <= 1:
        raise UsageError(f"--trees is a share above 0 and at most 1, got {options.trees}")
    return World(replace(found, first=first, last=last), size, options.seed, options.trees)


def _command(world: World) -> str:
    span = f"--from {world.entry.first} --to {world.entry.last}"
    trees = f" --trees {world.trees:g}" if world.trees != 1 else ""
    return (
        f"{_COMMAND} {world.entry.name} --size {world.size_km:g} {span} --seed {world.seed}{trees}"
    )


def _catalogue(folder: Path) -> tuple[Commands, Steps]:
    """Return what runs commands in a folder with a catalogue of its own, and the steps kept there."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Commands(folder, plain_environment(folder / _HOME))
    return run, Steps(folder / "answers", run, _tell)


def _stopped(run: Commands) -> Answered | None:
    """Stop the catalogue's private database, if there is one."""
    return run("db", "stop") if (run.folder / _HOME / "cluster").is_dir() else None


def _write(path: Path, name: str, section: str) -> None:
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page({name: section}, before), encoding="utf-8")
    _tell(f"wrote the section {name} of {path}")


def _run(options: argparse.Namespace) -> None:
    base: Path = options.folder.resolve()
    page_file: Path = options.page.resolve()
    data: Path | None = options.real_data and options.real_data.resolve()
    if data is not None and not data.is_dir():
        raise UsageError(f"--real-data: there is no folder {data}")
    if options.jobs < 1:
        raise UsageError(f"--jobs is 1 or more, got {options.jobs}")
    if options.only_real_data and (data is None or options.products):
        raise UsageError("--only-real-data takes --real-data FOLDER and no product")
    names = [] if options.only_real_data else options.products or list(ENTRIES)
    # all are looked at before the first is measured: that takes minutes
    for world in [_chosen(name, options) for name in names]:
        run, steps = _catalogue(base / world.folder)
        try:
            found: dict[str, Any] = measure(world, run.folder, steps, options.jobs)
        finally:
            _stopped(run)
        _write(page_file, world.entry.name, product_section(found, _command(world)))
    if data is not None:
        run, steps = _catalogue(base / STATIONS)
        try:
            found = measure_stations(STATIONS, data, steps)
        finally:
            _stopped(run)
        command = f"{_COMMAND} --only-real-data --real-data FOLDER"
        _write(page_file, STATIONS, stations_section(found, command))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 0 all well, 1 failure, 2 usage."""
    options = _options(arguments)
    try:
        _run(options)
    except UsageError as error:
        _tell(f"{error}")
        return 2
    except SmcatalogError as error:
        _tell(f"{error}")
        return 1
    except KeyboardInterrupt:
        _tell("interrupted; run the same command again to go on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
