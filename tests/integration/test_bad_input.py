"""A folder of bad files of every kind beside some good ones: what is good goes in, and of the rest nothing but its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ingest.service import ingest
from smcatalog.core.fingerprint import sha256_file
from smcatalog.services.workspace import Workspace
from tests.factories import inputs, modis, smap, viirs
from tests.factories.commands import Place
from tests.factories.corruption_kinds import KINDS
from tests.factories.corruptions import Case, contents, every, valid
from tests.factories.granules import SAMPLES, Sample
from tests.fixtures.databases import Database, Server

GOOD = tuple(
    sample
    for sample in SAMPLES
    if sample.source in {"MYD11A1", "MYD13A2", "ERA5", "MCD12Q1", "ANUClimate-v2-0"}
    or sample.name in {"SMAP_China_2020-01-02.nc", "basins.shp"}
)
TABLES = (
    "granules",
    "layers",
    "layer_granules",
    "networks",
    "stations",
    "sensors",
    "observations",
    "zones",
)


def _cheapest(samples: list[Sample]) -> Sample:
    # those that are slow to read last, others by size
    return min(
        samples,
        key=lambda s: (
            s.source in {"SPL3SMP_E", "SPL4SMGP"},
            sum(map(len, contents(s).values())),
            s.name,
        ),
    )


def _bad() -> list[Case]:
    """Return each kind with one sample, of none that is among the good ones."""
    cases = []
    for kind in KINDS:
        samples = [s for s in SAMPLES if s not in GOOD and every(s) and kind.applies(s)]
        if samples:
            cases.append(Case(kind, _cheapest(samples)))
    return cases


@pytest.fixture
def workspace(database, tmp_path: Path) -> Workspace:
    return inputs.workspace(database.engine, tmp_path / "home")


@pytest.fixture
def other(database_server: Server, tmp_path: Path) -> Iterator[tuple[Workspace, Database]]:
    """A second home, in which nothing bad ever was."""
    with database_server.database() as fresh:
        yield inputs.workspace(fresh.engine, tmp_path / "other"), fresh


def rows(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM smcatalog.{table}").fetchone()[0]
            for table in TABLES
        }


def query(database: Database, statement: str) -> list[tuple]:
    with database.connect() as connection:
        return sorted(tuple(row) for row in connection.execute(statement))


def stored(root: Path) -> set[str]:
    """Return the files of a store, temporary ones included."""
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def test_of_bad_files_nothing_goes_in_but_their_reasons(database, other, tmp_path):
    place, folder = Place(tmp_path / "home", database.url), tmp_path / "in"
    expected: dict[str, str] = {}
    checksums: set[tuple[str, str]] = set()
    for number, case in enumerate(_bad()):
        path = case.into(folder / f"{number:03d} {case.kind.name}".replace("%", ""))
        expected[str(path)] = case.pattern
        if path.suffix not in {".bil", ".shp"}:
            checksums.add((path.name, sha256_file(path)))
    for sample in GOOD:
        valid(sample, folder / "good")
    assert len(expected) >= 60
    answer = place.answer("ingest", folder, code=3)
    refused = {
        file["name"]: file["reason"] for file in answer["files"] if file["outcome"] == "refused"
    }
    assert refused.keys() == expected.keys()
    untrue = {
        name: refused[name]
        for name, pattern in expected.items()
        if not re.search(pattern, refused[name])
    }
    assert not untrue
    others = [file for file in answer["files"] if file["outcome"] != "refused"]
    assert len(others) == len(GOOD)
    assert {file["outcome"] for file in others} == {"ingested"}

    # all is as if the bad ones had never been there
    clean, clean_database = other
    assert ingest(clean, [folder / "good"]).count("ingested") == len(GOOD)
    assert rows(database) == rows(clean_database)
    for statement in (
        "SELECT source, name, sha256 FROM smcatalog.granules",
        "SELECT source, variable, grid, key, sha256 FROM smcatalog.layers",
    ):
        assert query(database, statement) == query(clean_database, statement)
    assert stored(place.store) == stored(clean.store.root)
    keys = {key for (key,) in query(database, "SELECT key FROM smcatalog.layers")}
    assert {name for name in stored(place.store) if name.endswith(".tif")} == keys

    # in quarantine each one with its reason, and what was known of it
    quarantine = query(database, "SELECT name, sha256, reason FROM smcatalog.quarantine")
    assert checksums <= {(name, sha256) for name, sha256, _ in quarantine}
    assert {reason for _, _, reason in quarantine} == set(refused.values())
    assert query(clean_database, "SELECT name FROM smcatalog.quarantine") == []

    # again: the same is said, and nothing changes
    before = rows(database), stored(place.store), quarantine
    again = place.answer("ingest", folder, code=3)
    assert {f["name"]: f["reason"] for f in again["files"] if f["outcome"] == "refused"} == refused
    assert {f["outcome"] for f in again["files"]} == {"known", "refused"}
    quarantine = query(database, "SELECT name, sha256, reason FROM smcatalog.quarantine")
    assert (rows(database), stored(place.store), quarantine) == before


def test_of_a_granule_whose_second_part_is_bad_the_first_is_not_kept(workspace, database, tmp_path):
    """The day's temperature is good and its layer is written before the night's turns out to be in °C."""
    day, night = np.full((300, 300), 15000), np.full((300, 300), 1200)
    path = modis.lst(tmp_path / modis.MOD11A1_NAME, day, night)
    report = ingest(workspace, [path])
    assert "values of lst_night are outside" in report.refused[0].reason
    assert rows(database) == dict.fromkeys(TABLES, 0)
    assert list(workspace.store.files()) == []


@pytest.mark.parametrize(
    "write", [modis.lst, modis.vi, viirs.vi, smap.spl2smp], ids=lambda w: w.__module__ + w.__name__
)
def test_the_same_bytes_under_another_name_are_known(write, workspace, database, tmp_path):
    name = {modis.lst: modis.MOD11A1_NAME, modis.vi: modis.MOD13A2_NAME, viirs.vi: viirs.VNP13A2_NAME,
            smap.spl2smp: smap.SPL2SMP_NAME}[write]  # fmt: skip
    path = write(tmp_path / name)
    assert ingest(workspace, [path]).count("ingested") == 1
    before = rows(database), list(workspace.store.files())
    copy = path.rename(tmp_path / f"копия 2{path.suffix}")
    assert ingest(workspace, [copy]).count("known") == 1
    assert (rows(database), list(workspace.store.files())) == before


def test_other_bytes_under_the_same_name_take_the_place_of_the_older(workspace, database, tmp_path):
    for level in (15000, 15100):
        path = modis.lst(tmp_path / modis.MOD11A1_NAME, np.full((300, 300), level))
        assert ingest(workspace, [path]).count("ingested") == 1
    found = query(
        database, "SELECT superseded_at IS NULL, count(*) FROM smcatalog.layers GROUP BY 1"
    )
    assert found == [(False, 2), (True, 2)]
    assert rows(database)["granules"] == 2


REPROCESSED = {
    "SPL3SMP": (smap.spl3smp, smap.SPL3SMP_NAME, ("R19240_001", "R19240_002"), "sm_am"),
    "SPL2SMP": (smap.spl2smp, smap.SPL2SMP_NAME, ("R18290_001", "R19240_001"), "sm_am"),
    "SPL4SMGP": (smap.spl4smgp, smap.SPL4SMGP_NAME, ("Vv7032_001", "Vv8010_001"), "sm_surface"),
    "VNP13A2": (viirs.vi, viirs.VNP13A2_NAME, ("2020018120000", "2021100120000"), "ndvi"),
}


@pytest.mark.parametrize("source", REPROCESSED)
@pytest.mark.parametrize("newer_first", [False, True])
def test_the_newer_production_counts_and_the_older_stays_in_the_lineage(
    source, newer_first, workspace, database, tmp_path
):
    write, old, (release, later), variable = REPROCESSED[source]
    paths = []
    for name, number in ((old, 0), (old.replace(release, later), 1)):
        changes = {"ndvi": np.full((300, 300), 5000 + 500 * number)}
        if source != "VNP13A2":
            cells = tuple(smap.Cell(c.row, c.column, 0.2 + 0.1 * number) for c in (
                smap.CELLS if source != "SPL4SMGP" else smap.ENHANCED_CELLS))  # fmt: skip
            first = {"SPL3SMP": "am", "SPL2SMP": "cells", "SPL4SMGP": "surface"}[source]
            changes = {first: cells}
        paths.append(write(tmp_path / name, name=name, **changes))
    for path in reversed(paths) if newer_first else paths:
        assert ingest(workspace, [path]).count("ingested") == 1
    found = query(
        database,
        "SELECT g.name, l.superseded_at IS NULL FROM smcatalog.layers l "
        "JOIN smcatalog.layer_granules lg ON lg.layer_id = l.id "
        f"JOIN smcatalog.granules g ON g.id = lg.granule_id WHERE l.variable = '{variable}'",
    )
    assert found == sorted([(paths[0].stem, False), (paths[1].stem, True)])
