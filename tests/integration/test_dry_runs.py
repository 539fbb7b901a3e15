"""Dry runs say what would be done, and leave database and store as they are."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.pool import in_processes
from ingest.prepare import Known
from ingest.service import ingest
from smcatalog.services.plan import preview
from smcatalog.services.produce import produce
from tests.factories import inputs as make
from tests.factories import modis
from tests.factories.states import rows
from tests.integration.test_ingest_pool import Dying, files


@pytest.fixture
def place(database, tmp_path):
    place = make.workspace(database.engine, tmp_path / "home")
    make.put_static(place)
    for day in make.days(12):
        make.put_day(place, day)
    return place


def listing(place):
    return sorted(p for p in place.store.root.rglob("*") if p.is_file())


def test_a_dry_ingest_names_what_is_new_known_and_unfit(place, database, tmp_path):
    folder = tmp_path / "granules"
    folder.mkdir()
    known = modis.lst(folder / modis.MOD11A1_NAME, np.full((300, 300), 15000, np.uint16))
    ingest(place, [known])
    name = modis.MOD11A1_NAME.replace("2020002", "2020003", 1)
    modis.lst(folder / name, np.full((300, 300), 15000, np.uint16), name=name)
    (folder / "notes.hdf").write_bytes(b"no granule")
    before, files_before = rows(database), listing(place)
    report = ingest(place, [folder], dry_run=True)
    assert {(f.name.rsplit("/")[-1], f.outcome) for f in report.files} == {
        (modis.MOD11A1_NAME, "known"),
        (name, "new"),
        ("notes.hdf", "refused"),
    }
    assert (rows(database), listing(place)) == (before, files_before)


def test_a_preview_leaves_no_trace(place, database):
    before = rows(database)
    assert len(preview(place.engine, make.definition()).days) == 12
    assert rows(database) == before
    produce(place, make.definition())
    made = rows(database)
    changed = make.definition(min_samples=3)
    assert {d.state for d in preview(place.engine, changed).days} == {"stale"}
    assert rows(database) == made


def test_what_lies_in_the_folder_of_the_call_is_not_imported(tmp_path, monkeypatch):
    for name in ("ingest", "smcatalog", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the folder')")
    monkeypatch.chdir(tmp_path)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    found = files(inbox, ["1.txt", "2.txt"])
    assert list(in_processes(Dying, found, 2)) == [Known("1.txt"), Known("2.txt")]
