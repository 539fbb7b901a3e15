"""Bad input: each file named with its reason, nothing half in, the others in."""

import os
import shutil
from pathlib import Path

import pytest

from ingest.service import ingest
from smcatalog.core.settings import Settings
from smcatalog.services.workspace import Workspace
from smcatalog.store import FolderStore
from tests.factories.commands import Place
from tests.factories.permissions import bound_by_permissions
from tests.fixtures.databases import Database


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    return Place(tmp_path / "home", database.url)


def bad_folder(real_data: Path, folder: Path) -> Path:
    """Three good files of Yanco among bad ones."""
    folder.mkdir()
    yanco = real_data / "yanco"
    for good in ("smap/SMAP_20180801_20180803.nc", "era5/ERA5_20180801_20180803.nc",
                 "ismn/OZNET_OZNET_Cox_sm_0.000000_0.050000_Stevens-Hydra-Probe_20170101_20220101.stm"):  # fmt: skip
        shutil.copy(yanco / good, folder)
    (folder / "random.nc").write_bytes(os.urandom(4096))
    (folder / "empty.tif").write_bytes(b"")
    whole = (yanco / "smap/SMAP_20180808_20180810.nc").read_bytes()
    (folder / "SMAP_20180808_20180810.nc").write_bytes(whole[: len(whole) // 2])
    (folder / "SMAP_20990801_20990803.nc").write_bytes(whole)
    table = (yanco / "stations/OzNet_y5_cleaned_data.csv").read_text()
    (folder / "OzNet_y5_cleaned_data.csv").write_text(table.replace("insitu_sm", "moisture", 1))
    (folder / "page.hdf").write_text("<!DOCTYPE html><html><body>Log in</body></html>")
    return folder


EXPECTED = {
    "random.nc": "no known format",
    "empty.tif": "empty",
    "SMAP_20180808_20180810.nc": "",
    "SMAP_20990801_20990803.nc": "future",
    "OzNet_y5_cleaned_data.csv": "insitu_sm",
    "page.hdf": "HTML page",
}


def counts(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM smcatalog.{table}").fetchone()[0]
            for table in ("granules", "layers", "stations", "observations", "quarantine")
        }


def test_bad_files_are_named_and_the_rest_goes_in(place, database, real_data, tmp_path):
    folder = bad_folder(real_data, tmp_path / "in")
    answer = place.answer("ingest", folder, code=3)
    refused = {
        Path(f["name"]).name: f["reason"] for f in answer["files"] if f["outcome"] == "refused"
    }
    assert refused.keys() == EXPECTED.keys()
    for name, word in EXPECTED.items():
        assert word in refused[name], (name, refused[name])
        assert len(refused[name]) > 10 or name == "empty.tif"
    found = counts(database)
    assert found["granules"] == 3
    assert found["layers"] == 1 + 3 + 1  # SMAP; three days of ERA5 and its land mask
    assert found["stations"] == 1
    assert found["observations"] > 30_000
    assert found["quarantine"] == len(EXPECTED)
    # named again at the next run, and nothing changes
    again = place.answer("ingest", folder, code=3)
    assert {
        Path(f["name"]).name for f in again["files"] if f["outcome"] == "refused"
    } == EXPECTED.keys()
    assert counts(database) == found


@pytest.mark.long
def test_a_good_file_under_a_refused_name_settles_it(place, database, real_data, tmp_path):
    folder = bad_folder(real_data, tmp_path / "in")
    place.run("ingest", folder, code=3)
    shutil.copy(real_data / "yanco/smap/SMAP_20180808_20180810.nc", folder)
    place.run("ingest", folder, code=3)
    with database.connect() as connection:
        standing = {
            row[0]
            for row in connection.execute(
                "SELECT name FROM smcatalog.quarantine WHERE resolved_at IS NULL"
            )
        }
    assert standing == EXPECTED.keys() - {"SMAP_20180808_20180810.nc"}
    assert counts(database)["granules"] == 4


def test_a_path_that_is_not_there_is_named(place, tmp_path):
    answer = place.answer("ingest", tmp_path / "nowhere", code=3)
    assert "no such file" in answer["files"][0]["reason"]


def test_what_may_not_be_read_is_named_and_the_rest_goes_in(place, database, real_data, tmp_path):
    folder = tmp_path / "in"
    closed = folder / "closed"
    closed.mkdir(parents=True)
    shutil.copy(real_data / "yanco/smap/SMAP_20180801_20180803.nc", folder)
    shutil.copy(real_data / "yanco/smap/SMAP_20180808_20180810.nc", folder / "secret.nc")
    (folder / "secret.nc").chmod(0)
    closed.chmod(0)
    workspace = Workspace(
        Settings(place.home, place.store), database.engine, FolderStore(place.store)
    )
    with database.engine.connect():  # the server's socket is behind permissions too
        pass
    try:
        with bound_by_permissions():
            report = ingest(workspace, [folder])
    finally:
        closed.chmod(0o755)
    files = {Path(file.name).name: file for file in report.files}
    assert files["SMAP_20180801_20180803.nc"].outcome == "ingested"
    assert {file.name for file in report.refused} == {str(closed), str(folder / "secret.nc")}
    assert all("no permission" in file.reason for file in report.refused)
    assert counts(database)["granules"] == 1


def test_usage_errors_exit_with_2(place, tmp_path):
    assert "no product is called" in place.run("produce", "nothing", code=1).stderr
    assert "is not a day" in place.run("produce", "yanco", "--from", "yesterday", code=2).stderr
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "x"\n')
    assert "'covariates' must be one or more" in place.run("products", "add", wrong, code=2).stderr
    assert (
        "not a setting" in place.run("--config", _config(tmp_path), "plan", "yanco", code=2).stderr
    )


def _config(folder: Path) -> Path:
    path = folder / "settings.toml"
    path.write_text('hom = "x"\n')
    return path
