"""`verify`, `db dump` and `db restore` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smcatalog.services.produce import produce
from tests.factories import inputs as make
from tests.factories.commands import Place

DAYS = make.days(10)


@pytest.fixture
def place(database, tmp_path):
    workspace = make.workspace(database.engine, tmp_path / "home")
    make.put_static(workspace)
    for day in DAYS:
        make.put_day(workspace, day)
    produce(workspace, make.definition(), DAYS[9])
    return Place(tmp_path / "home", database.url)


def test_damage_is_named_and_mended(place):
    answer = place.answer("verify")
    assert (answer["well"], answer["maps"], answer["findings"]) == (True, 1, [])
    assert answer["hashed"] == answer["files"] > 20
    assert "all well" in place.run("verify").stdout

    (quality,) = place.store.rglob("*_quality_*.tif")
    key = quality.relative_to(place.store).as_posix()
    quality.write_bytes(b"x")
    said = place.run("verify", code=3).stdout
    assert f"found: damaged file: {key}: it has 1 bytes" in said
    (planned,) = place.answer("verify", "--repair", "--dry-run", code=3)["findings"]
    assert (planned["kind"], planned["key"], planned["outcome"]) == ("damaged file", key, "planned")
    assert quality.exists()
    answer = place.answer("verify", "--repair", code=3)
    assert (answer["counts"], answer["findings"][0]["outcome"]) == ({"damaged file": 1}, "marked")
    assert not quality.exists()
    old = place.store / "models" / "old.json"
    old.touch()
    assert place.answer("verify", "--kind", "models")["counts"] == {"fresh file": 1}
    assert place.answer("verify", "--kind", "models", "--product", "tiny")["counts"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dry-run"], "go with --repair"),
        (["--kind", "clouds"], "maps, layers, models"),
        (["--sample", "2"], "share"),
    ],
)
def test_wrong_use_is_told(database, tmp_path, arguments, said):
    done = Place(tmp_path, database.url).run("verify", *arguments, code=2)
    assert said in done.stderr


@pytest.mark.long
def test_a_dump_fills_an_empty_database(place, empty_database, tmp_path: Path):
    file = tmp_path / "a.dump"
    assert "would be written" in place.run("db", "dump", file, "--dry-run").stdout
    assert not file.exists()
    report = place.answer("db", "dump", file)
    assert report["size"] == file.stat().st_size
    assert "there already" in place.run("db", "dump", file, code=2).stderr
    assert "not empty" in place.run("db", "restore", file, code=1).stderr

    other = Place(place.home, empty_database.url)
    assert "can be restored" in other.run("db", "restore", file, "--dry-run").stdout
    restored = json.loads(other.run("db", "restore", file, "--json").stdout)
    assert (restored["done"], restored["revision"]) == (True, report["revision"])
    other.run("db", "check")
    assert other.answer("verify")["well"]
