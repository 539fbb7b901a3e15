"""The whole chain on a small simulated world, through the command line."""

from __future__ import annotations

import json
import re
from importlib.resources import files as resources
from pathlib import Path

import pytest

from ingest.world.writers import WRITERS
from tests.factories.commands import Place
from tests.factories.states import files, final_state, rows
from tests.fixtures.databases import Server

DEMO = ("SPL3SMP", "MOD11A1", "MOD13A2", "SRTMGL3", "SoilGrids", "ISMN")
"""What the demo's product and its validation read."""
FIRST, LAST = "2018-06-10", "2018-06-25"  # one period of 16 days


def recipe_of(bbox: list[float]) -> str:
    """The demo's product for a smaller region."""
    text = resources("smcatalog").joinpath("products/builtin/demo.toml").read_text("utf-8")
    west, south, east, north = bbox
    inside = [west + 0.01, south + 0.01, east - 0.01, north - 0.01]
    text = re.sub(r"bbox = \[.*\]", f"bbox = {inside}", text)
    text = text.replace('name = "demo"', 'name = "small"', 1)
    return text.replace("min_samples = 100", "min_samples = 25")


@pytest.fixture(scope="module")
def world(database_server: Server, tmp_path_factory: pytest.TempPathFactory):
    """A home into which a world was ingested, and where the world is."""
    folder = tmp_path_factory.mktemp("world")
    with database_server.database() as database:
        place = Place(tmp_path_factory.mktemp("home"), database.url)
        made = place.answer(
            "simulate", folder, "--size", 150, "--seed", 11, "--from", FIRST, "--to", LAST,
            *(word for source in DEMO for word in ("--source", source)),
        )  # fmt: skip
        yield place, database, folder, made


@pytest.fixture(scope="module")
def ingested(world):
    place, database, folder, _ = world
    return place.run("ingest", folder / "granules"), place, database, folder


@pytest.fixture(scope="module")
def produced(ingested, world):
    _, place, database, folder = ingested
    recipe = Path(place.home) / "small.toml"
    recipe.write_text(recipe_of(world[3]["bbox"]), encoding="utf-8")
    place.run("products", "add", recipe)
    return place.answer("produce", "small"), place, database, folder


def test_every_file_goes_in_without_a_word(ingested, world):
    done, _, database, _ = ingested
    assert done.stderr == ""
    number = re.search(r"(\d+) files ingested .* 0 known, 0 refused", done.stdout)
    granules = {k: v for k, v in world[3]["files"].items() if k not in {"truth", "ISMN"}}
    assert number
    assert int(number[1]) >= sum(granules.values()) + 6  # and each sensor of the archive
    assert rows(database)["observations"] > 2000


def test_a_second_time_changes_nothing(ingested):
    _, place, database, folder = ingested
    before, held = rows(database), files(place)
    again = place.run("ingest", folder / "granules")
    assert re.search(r"^0 files ingested .* 0 refused", again.stdout, re.MULTILINE)
    assert (rows(database), files(place)) == (before, held)


def test_the_truth_is_never_an_input(ingested):
    _, place, database, folder = ingested
    before = rows(database)
    done = place.run("ingest", folder / "truth", code=3)
    assert re.search(r"^0 files ingested", done.stdout, re.MULTILINE)
    after = rows(database)
    assert {k: v for k, v in after.items() if k != "quarantine"} == {
        k: v for k, v in before.items() if k != "quarantine"
    }


def test_a_map_for_each_day_that_the_surface_was_seen(produced):
    report, place, database, _ = produced
    made = [day["day"] for day in report["days"] if day["outcome"] == "made"]
    with database.connect() as connection:
        seen = connection.execute(
            "SELECT DISTINCT day::text FROM smcatalog.layers WHERE variable = 'lst_day' ORDER BY 1"
        ).fetchall()
    assert made == [day for (day,) in seen]
    assert len(report["days"]) == len(made) > 10
    before = final_state(place, database)
    again = place.answer("produce", "small")
    assert {day["outcome"] for day in again["days"]} == {"current"}
    assert final_state(place, database) == before


def test_the_map_knows_more_than_the_coarse_product_laid_flat(produced):
    _, place, _, folder = produced
    report = place.answer("validate", "small", "--truth", folder / "truth")
    rows_of = {row["subject"]: row for row in report["rows"]}
    assert rows_of["map"]["scores"]["r"] > 0.4
    assert rows_of["map"]["within_cell_r"] > 0.2
    assert rows_of["coarse"]["scores"]["n"] == rows_of["map"]["scores"]["n"] > 10_000


def test_a_picture_of_it_all(produced, tmp_path):
    _, place, _, folder = produced
    out = tmp_path / "map.png"
    place.run(
        "picture", "small", "clearest", out, "--truth", folder / "truth",
        "--station", "SIM-NINGXIA/C01-1",
    )  # fmt: skip
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert out.stat().st_size > 50_000


@pytest.mark.long
@pytest.mark.parametrize("preset", ["stacking", "rao2022", "song2022", "bma", "smci"])
def test_every_source_of_a_preset_goes_in_without_a_word(preset, database, tmp_path):
    place = Place(tmp_path / "home", database.url)
    made = place.answer(
        "simulate", tmp_path / "world", "--preset", preset, "--size", 50,
        "--from", "2018-07-12", "--to", "2018-07-12",
    )  # fmt: skip
    granules = {k: v for k, v in made["files"].items() if k != "truth"}
    assert granules.keys() == WRITERS.keys()
    done = place.run("ingest", "--json", tmp_path / "world" / "granules")
    assert done.stderr == ""
    files = json.loads(done.stdout)["files"]
    assert {file["outcome"] for file in files} == {"ingested"}
    read = {file["source"].partition(":")[0] for file in files}
    assert read == {source for source, number in granules.items() if number}
    assert len(read) > 0.75 * len(granules)  # composites need their days, AMSR its nights
    again = place.answer("ingest", tmp_path / "world" / "granules")
    assert {file["outcome"] for file in again["files"]} == {"known"}
