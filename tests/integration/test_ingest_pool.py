"""Files read in several processes: the same outcome as in one, in the same order; a breakdown costs one file."""

from __future__ import annotations

import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ingest import pool
from ingest.candidate import Candidate
from ingest.files import deliveries
from ingest.pool import in_processes
from ingest.prepare import Known, Refused
from ingest.service import ingest
from smcatalog.core.errors import SmcatalogError
from smcatalog.core.settings import Settings
from smcatalog.services.workspace import Workspace
from tests.factories import granules as make
from tests.factories import modis


class Dying:
    """Says the names of files and dies of some."""

    def prepare(self, candidate: Candidate):
        match candidate.delivered.split("."):
            case [_, "segv"]:
                os.kill(os.getpid(), signal.SIGSEGV)
            case [_, "kill"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case [_, "bug"]:
                raise ZeroDivisionError("a mistake of ours")
            case [_, "env"]:
                return Known(os.environ["SMCATALOG_TEST_VALUE"])
        return Known(candidate.delivered)


def files(folder: Path, names: list[str]) -> list[Candidate]:
    for name in names:
        (folder / name).write_text(name)
    return list(deliveries([folder]))


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_the_order_of_names(tmp_path, processes):
    found = files(tmp_path, [f"{n:02d}.txt" for n in range(11)])
    results = list(in_processes(Dying, found, processes))
    assert results == [Known(f"{n:02d}.txt") for n in range(11)]


def test_processes_see_the_environment_as_it_is_now(tmp_path, monkeypatch):
    found = files(tmp_path, ["1.env"])
    for value in ("before", "after"):
        monkeypatch.setenv("SMCATALOG_TEST_VALUE", value)
        assert list(in_processes(Dying, found, 1)) == [Known(value)]


@pytest.mark.parametrize("which", [(0, 10), (2, 3, 4)])
def test_a_file_on_which_the_library_breaks_down_is_refused_and_the_rest_goes_on(tmp_path, which):
    names = [f"{n:02d}.{'segv' if n in which else 'txt'}" for n in range(11)]
    results = list(in_processes(Dying, files(tmp_path, names), 2))
    assert [isinstance(r, Refused) for r in results] == [n in which for n in range(11)]
    reasons = {r.refusal.reason for r in results if isinstance(r, Refused)}
    assert reasons == {
        "is damaged: the library that reads such files reads where there is no memory"
    }
    assert [r.name for r in results if isinstance(r, Known)] == [
        f"{n:02d}.txt" for n in range(11) if n not in which
    ]


def test_a_process_that_is_killed_is_no_file_s_fault(tmp_path):
    found = files(tmp_path, ["0.txt", "1.txt", "2.kill", "3.txt"])
    with pytest.raises(SmcatalogError, match=r"2\.kill was ended from outside .*--workers"):
        list(in_processes(Dying, found, 2))


def test_mistakes_of_ours_come_out_as_they_are(tmp_path):
    found = files(tmp_path, ["0.txt", "1.bug", "2.txt"])
    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        list(in_processes(Dying, found, 2))


def test_who_stops_listening_ends_the_processes(tmp_path):
    found = files(tmp_path, [f"{n:03d}.txt" for n in range(200)])
    results = in_processes(Dying, found, 2)
    next(results)
    lanes = results.gi_frame.f_locals["lanes"]
    results.close()
    assert [lane._process.is_alive() for lane in lanes] == [False, False]


def deliver(folder: Path) -> None:
    """Fill a folder with files of many kinds, good and bad, one of them in several productions."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for day in range(1, 7):
        for produced in ("2020002081500", "2020102081500"):
            name = f"MOD11A1.A202000{day}.h18v05.061.{produced}.hdf"
            stored = rng.integers(14000, 15500, (90, 120)).astype(np.uint16)
            modis.lst(folder / name, stored, stored + np.uint16(5), name=name)
    make.ismn(folder / make.ISMN_NAME)
    make.table(folder / make.TABLE_NAME)
    make.geotiff(folder / "DEM_100m_resampled.tif", rng.uniform(100, 200, (90, 90)))
    (folder / "page.hdf").write_text("<!DOCTYPE html><html>login</html>")
    (folder / "empty.nc").write_bytes(b"")
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for n in range(3):
            name = make.ISMN_NAME.replace("First", f"S{n}")
            path = make.ismn(folder / "x", header=make.ISMN_HEADER.replace("First_Place", f"S{n}"))
            archive.write(path, f"NET/S{n}/{name}")
            path.unlink()


TABLES = (
    "SELECT source, name, subject, production, sha256 FROM smcatalog.granules ORDER BY id",
    "SELECT source, variable, grid, day, key, superseded_at IS NULL FROM smcatalog.layers ORDER BY id",
    "SELECT name, geometry::text FROM smcatalog.stations ORDER BY id",
    "SELECT count(*), sum(value) FROM smcatalog.observations",
    "SELECT name, reason, sha256 FROM smcatalog.quarantine ORDER BY id",
)


def state(database) -> list[list[tuple]]:
    with database.connect() as connection:
        return [connection.execute(query).fetchall() for query in TABLES]


def test_several_processes_make_what_one_makes(database_server, tmp_path):
    deliver(tmp_path / "in")
    outcomes = []
    for workers in (1, 3):
        home = tmp_path / f"home{workers}"
        with database_server.database() as database:
            settings = Settings(home=home, store=home / "store", database_url=database.url)
            workspace = Workspace.open(settings)
            report = ingest(workspace, [tmp_path / "in"], workers=workers)
            stored = sorted(p.relative_to(home) for p in (home / "store").rglob("*.tif"))
            outcomes.append((report, state(database), stored))
            again = ingest(workspace, [tmp_path / "in"], workers=workers)
            assert again.count("known") == report.count("ingested")
            assert state(database) == outcomes[-1][1]
            workspace.engine.dispose()
    assert outcomes[0] == outcomes[1]
    report = outcomes[0][0]
    assert (report.count("ingested"), report.count("refused")) == (18, 2)


def test_the_processes_are_started_only_when_they_pay(tmp_path, database, monkeypatch):
    home = tmp_path / "home"
    settings = Settings(home=home, store=home / "store", database_url=database.url)
    workspace = Workspace.open(settings)
    monkeypatch.setattr(pool, "_Lane", None)
    (tmp_path / "in").mkdir()
    make.table(tmp_path / "in" / make.TABLE_NAME)
    report = ingest(workspace, [tmp_path / "in"], workers=8)
    assert report.count("ingested") == 1
    workspace.engine.dispose()


def test_an_archive_of_many_files_is_read_beside_and_gives_the_same(
    database_server, tmp_path, monkeypatch
):
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "archive.zip", "w") as archive:
        for n in range(40):
            name = make.ISMN_NAME.replace("First", f"S{n:02d}")
            header = make.ISMN_HEADER.replace("First_Place", f"S{n:02d}")
            lines = None if n % 7 else ["2020/01/01 00:00 dry G M"]
            path = make.ismn(tmp_path / "x", lines, header=header)
            archive.write(path, f"NET/S{n:02d}/{name}")
    started = []
    start = pool._Lane._start
    monkeypatch.setattr(pool._Lane, "_start", lambda lane: started.append(lane) or start(lane))
    outcomes = []
    for workers in (1, 2):
        home = tmp_path / f"home{workers}"
        with database_server.database() as database:
            settings = Settings(home=home, store=home / "store", database_url=database.url)
            workspace = Workspace.open(settings)
            report = ingest(workspace, [tmp_path / "in"], workers=workers)
            outcomes.append((report, state(database)))
            workspace.engine.dispose()
        assert len(started) == workers - 1
    assert outcomes[0] == outcomes[1]
    report = outcomes[0][0]
    assert (report.count("ingested"), report.count("refused")) == (34, 6)
