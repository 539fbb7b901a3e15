"""The service that writes a simulated world: same recipe, same bytes; never into a strange folder."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ingest.world import simulation
from ingest.world.difficulty import difficulty
from ingest.world.landscape import landscape
from ingest.world.physics import days
from ingest.world.presets import preset
from ingest.world.simulation import Recipe, simulate
from ingest.world.writers import COSTS, TRUTH, WRITERS
from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.core.fingerprint import sha256_file
from tests.factories.world import flat_state

RECIPE = Recipe("rao2022", date(2018, 4, 14), date(2018, 4, 18), 3, 50.0, tuple(WRITERS))
"""Five days on which each source has something."""
QUICK = replace(RECIPE, last=RECIPE.first, sources=("SoilGrids",))


def contents(folder):
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Written by one process, so that the other tests see whatever a writer raises."""
    folder = tmp_path_factory.mktemp("world")
    told = []
    made = simulate(folder, RECIPE, WRITERS, TRUTH, tell=lambda *args: told.append(args))
    assert made.made
    assert told == [(i, told[0][1]) for i in range(told[0][1])]
    return folder


@pytest.fixture
def fork(monkeypatch):
    """Have two processes share the work, whatever else runs in the process of the tests."""
    monkeypatch.setattr(simulation, "can_work_beside", lambda: True)


@pytest.fixture
def still(monkeypatch):
    """Have a world in which nothing happens on a single day."""

    def day(land, first, _last, *, tell):
        tell(first)
        yield flat_state(land, first)

    monkeypatch.setattr(simulation, "days", day)


def test_every_source_and_the_truth_are_there(world):
    manifest = json.loads((world / "simulation.json").read_text())
    assert set(manifest["files"]) == {*WRITERS, "truth"}
    assert all(number > 0 for number in manifest["files"].values())
    names = [path.name for path in (world / "truth").iterdir()]
    assert sorted(n for n in names if n.startswith("sm_")) == [
        f"sm_20181{day:02}.tif" for day in range(4, 9)
    ]
    assert "simulated" in (world / "README.txt").read_text()


@pytest.mark.long
@pytest.mark.usefixtures("fork")
def test_the_same_recipe_gives_the_same_bytes_by_two_processes(world, tmp_path):
    simulate(tmp_path, RECIPE, WRITERS, TRUTH, costs=COSTS)
    assert contents(tmp_path) == contents(world)


def test_another_seed_gives_another_world(world, tmp_path):
    simulate(tmp_path, replace(QUICK, seed=4), WRITERS, TRUTH)
    one, another = contents(world), contents(tmp_path)
    shared = one.keys() & another.keys()
    assert {name for name in shared if one[name] == another[name]} == {"README.txt"}
    assert {"truth/sm_2018104.tif", "truth/landscape.tif"} < shared


class Marked:
    """A writer that tells which process it works in; its folder's name may say what goes wrong."""

    def __init__(self, _land, folder):
        self._path = folder / "process"
        folder.mkdir(parents=True)

    def day(self, _state):
        self._path.write_text(str(os.getpid()))
        match self._path.parent.name:
            case "FAIL":
                raise OSError(28, "No space left on device")
            case "DIE":
                os.kill(os.getpid(), signal.SIGKILL)
            case "SLOW":
                time.sleep(600)

    def end(self):
        with self._path.open("a") as file:
            file.write(" done")


@pytest.mark.parametrize(
    ("costs", "others"),
    [
        # the dearest first, each to the half that is cheaper by then; this process takes the dearer
        ({"A": 300, "B": 250, "C": 120}, {"A", "truth"}),
        ({"A": 300, "B": 70}, set()),
        ({"A": 300}, set()),
        ({}, set()),
    ],
)
@pytest.mark.usefixtures("fork", "still")
def test_two_processes_share_what_is_worth_it(tmp_path, costs, others):
    recipe = replace(QUICK, sources=("A", "B", "C"))
    simulate(tmp_path, recipe, dict.fromkeys("ABC", Marked), Marked, costs=costs)
    found = {}
    for folder in (*(tmp_path / "granules").iterdir(), tmp_path / "truth"):
        pid, done = (folder / "process").read_text().split()
        assert done == "done"
        found[folder.name] = int(pid)
    assert {name for name, pid in found.items() if pid != os.getpid()} == others
    assert len(set(found.values())) == 1 + bool(others)


@pytest.mark.parametrize(
    ("other", "error", "told"),
    [
        ("FAIL", OSError, "No space left on device"),
        ("DIE", SmcatalogError, "was killed"),
    ],
)
@pytest.mark.usefixtures("fork", "still")
def test_what_fails_in_the_second_process_fails_all(tmp_path, other, error, told):
    recipe = replace(QUICK, sources=("A", other))
    costs = {"A": 300, other: 200}
    with pytest.raises(error, match=told):
        simulate(tmp_path, recipe, dict.fromkeys(recipe.sources, Marked), Marked, costs=costs)
    assert not (tmp_path / "simulation.json").exists()
    assert (tmp_path / "simulation.unfinished.json").exists()


@pytest.mark.usefixtures("fork", "still")
def test_an_interrupt_ends_both_and_leaves_no_manifest(tmp_path):
    recipe = replace(QUICK, sources=("A", "SLOW"))
    told = tmp_path / "granules" / "SLOW" / "process"

    def interrupt(_done, _total):
        while not told.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    writers = dict.fromkeys(recipe.sources, Marked)
    costs = {"A": 300, "SLOW": 200}
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, recipe, writers, Marked, costs=costs, tell=interrupt)
    assert not Path(f"/proc/{told.read_text()}").exists()
    assert not (tmp_path / "simulation.json").exists()


def test_a_folder_that_holds_it_is_left_alone(world):
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    assert not simulate(world, RECIPE, WRITERS, TRUTH).made
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before


@pytest.mark.usefixtures("still")
def test_what_is_missing_is_made_again(tmp_path):
    simulate(tmp_path, QUICK, WRITERS, TRUTH)
    whole = contents(tmp_path)
    next((tmp_path / "granules" / "SoilGrids").iterdir()).unlink()
    (tmp_path / "simulation.json").rename(tmp_path / "simulation.unfinished.json")
    assert simulate(tmp_path, QUICK, WRITERS, TRUTH).made
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9}, "another recipe"),
        ({"sources": ("MOD99",)}, "no writer for MOD99; there are .*ISMN"),
    ],
)
def test_another_world_is_refused(world, change, message):
    with pytest.raises(UsageError, match=message):
        simulate(world, replace(RECIPE, **change), WRITERS, TRUTH)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("important")
    with pytest.raises(UsageError, match="not empty"):
        simulate(tmp_path, RECIPE, WRITERS, TRUTH)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_impossible_recipes_are_refused():
    with pytest.raises(UsageError, match="before the first day"):
        replace(RECIPE, last=date(2018, 1, 1))
    with pytest.raises(UsageError, match="seed"):
        replace(RECIPE, seed=-1)


@pytest.mark.long
def test_downscaling_is_neither_trivial_nor_hopeless():
    land = landscape(preset("rao2022"), 7, 100)
    spring = days(land, date(2018, 5, 1), date(2018, 5, 29))
    found = difficulty(state for state in spring if state.day.day % 7 == 1)
    assert 0.15 < found.within < 0.75
    assert -0.85 < found.temperature < -0.2
    assert 0.4 < found.ceiling < 0.95
    assert 0.2 < found.clear < 0.95
