"""The service that writes a simulated world: same recipe, same bytes; never into a strange folder."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from ingest.world.difficulty import difficulty
from ingest.world.landscape import landscape
from ingest.world.physics import days
from ingest.world.presets import preset
from ingest.world.simulation import Recipe, simulate
from ingest.world.writers import TRUTH, WRITERS
from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import sha256_file

RECIPE = Recipe("rao2022", date(2018, 4, 14), date(2018, 4, 18), 3, 50.0, tuple(WRITERS))


def contents(folder):
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    told = []
    made = simulate(folder, RECIPE, WRITERS, TRUTH, tell=lambda *args: told.append(args))
    assert made.made
    assert told == [(i, told[0][1]) for i in range(told[0][1])]
    return folder


def test_every_source_and_the_truth_are_there(world):
    manifest = json.loads((world / "simulation.json").read_text())
    assert set(manifest["files"]) == {*WRITERS, "truth"}
    assert all(number > 0 for number in manifest["files"].values())
    names = [path.name for path in (world / "truth").iterdir()]
    assert sorted(n for n in names if n.startswith("sm_")) == [
        f"sm_20181{day:02}.tif" for day in range(4, 9)
    ]
    assert "simulated" in (world / "README.txt").read_text()


def test_the_same_recipe_gives_the_same_bytes(world, tmp_path):
    again = tmp_path / "again"
    simulate(again, RECIPE, WRITERS, TRUTH)
    assert contents(again) == contents(world)
    other = tmp_path / "other"
    statics = replace(RECIPE, seed=4, last=RECIPE.first, sources=("SRTMGL3", "SoilGrids"))
    simulate(other, statics, WRITERS, TRUTH)
    one, another = contents(world), contents(other)
    assert all(one[name] != another[name] for name in another if name.endswith((".tif", ".zip")))


def test_a_folder_that_holds_it_is_left_alone(world):
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    assert not simulate(world, RECIPE, WRITERS, TRUTH).made
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before


def test_what_is_missing_is_made_again(world, tmp_path):
    small = replace(RECIPE, last=RECIPE.first, sources=("SoilGrids",))
    simulate(tmp_path, small, WRITERS, TRUTH)
    whole = contents(tmp_path)
    next((tmp_path / "granules" / "SoilGrids").iterdir()).unlink()
    (tmp_path / "simulation.json").rename(tmp_path / "simulation.unfinished.json")
    assert simulate(tmp_path, small, WRITERS, TRUTH).made
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9}, "another recipe"),
        ({"sources": ("MOD99",)}, "no writer for MOD99; there are ISMN"),
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


def test_downscaling_is_neither_trivial_nor_hopeless():
    land = landscape(preset("rao2022"), 7, 100)
    summer = days(land, date(2018, 7, 1), date(2018, 7, 29))
    found = difficulty(state for state in summer if state.day.day % 7 == 1)
    assert 0.15 < found.within < 0.75
    assert -0.85 < found.temperature < -0.2
    assert 0.4 < found.ceiling < 0.95
    assert 0.2 < found.clear < 0.95
