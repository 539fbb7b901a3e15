"""A soil map of units goes in with its table, in blocks, whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ingest.service import ingest
from smcatalog.core.grids import EASE2_GRIDS
from smcatalog.database.inputs import LayerRecord, layers_of
from smcatalog.resample import mosaic
from smcatalog.services.layers import read_layer
from smcatalog.services.workspace import Workspace
from tests.factories import inputs, soil

WEST, NORTH = 110 - 30 / 120, 40 + 30 / 120
UNITS = np.full((60, 60), 11000)


@pytest.fixture
def workspace(database, tmp_path: Path) -> Workspace:
    return inputs.workspace(database.engine, tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "soil"
    made.mkdir()
    soil.hwsd(made / "hwsd.bil", UNITS, west=WEST, north=NORTH)
    return made


def live(workspace: Workspace, name: str) -> list[LayerRecord]:
    wanted = ("HWSD", name)
    with workspace.engine.connect() as connection:
        return layers_of(connection, [wanted])[wanted]


def values(workspace: Workspace, name: str) -> np.ndarray:
    target = EASE2_GRIDS["M01"].crop((WEST + 0.05, NORTH - 0.45, WEST + 0.45, NORTH - 0.05))
    parts = [read_layer(workspace.store, layer, target) for layer in live(workspace, name)]
    return mosaic(parts)[0]


def test_blocks_become_layers_without_seams(workspace, folder):
    (result,) = ingest(workspace, [folder]).files
    assert (result.outcome, result.source, result.layers) == ("ingested", "HWSD", 16)
    for name, expected in (("sand", 0.4), ("bulk_density", 1366.67)):
        assert len(live(workspace, name)) == 4
        np.testing.assert_allclose(values(workspace, name), expected, atol=0.06)


def test_again_changes_nothing_and_another_table_does(workspace, folder):
    ingest(workspace, [folder])
    before = live(workspace, "sand")
    assert ingest(workspace, [folder]).count("known") == 1
    (folder / "HWSD_DATA.csv").write_text(soil.table().replace("50,30,20", "80,10,10"))
    assert ingest(workspace, [folder]).count("ingested") == 1
    after = live(workspace, "sand")
    assert len(after) == len(before)
    assert not {layer.sha256 for layer in after} & {layer.sha256 for layer in before}
    np.testing.assert_allclose(values(workspace, "sand"), 0.6, atol=1e-4)


def test_a_zip_brings_the_same_as_its_folder(workspace, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "HWSD.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(folder.iterdir()):
            out.write(file, file.name)
    assert ingest(workspace, [tmp_path / "HWSD.zip"]).count("ingested") == 1
    before = live(workspace, "sand")
    assert ingest(workspace, [folder]).count("known") == 1
    assert live(workspace, "sand") == before


def test_a_fault_that_shows_at_the_end_leaves_nothing(workspace, folder):
    units = UNITS.copy()
    units[-10:] = (
        4711  # in the last blocks: a sixth of the cells is of a unit that the table does not have
    )
    soil.hwsd(folder / "hwsd.bil", units, west=WEST, north=NORTH)
    (result,) = ingest(workspace, [folder]).files
    assert result.outcome == "refused"
    assert "600 of 3600 cells are of units" in result.reason
    assert live(workspace, "sand") == []
