"""A granule produced anew takes the place of the older one, whichever comes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingest.service import ingest
from smcatalog.core.grids import grid
from smcatalog.database.inputs import layers_of
from smcatalog.services.findings import Outcome
from smcatalog.services.layers import read_layer
from smcatalog.services.repair import repair
from smcatalog.services.verify import verify
from smcatalog.services.workspace import Workspace
from tests.factories import inputs, modis

OLD, NEW = (modis.MOD11A1_NAME, modis.MOD11A1_NAME.replace("2020002081500", "2020340120000"))


@pytest.fixture
def workspace(database, tmp_path: Path) -> Workspace:
    return inputs.workspace(database.engine, tmp_path / "home")


@pytest.fixture
def granules(tmp_path: Path) -> dict[str, Path]:
    """Two productions of one day and tile, whose clouds differ: so do the windows of their layers."""
    older, newer = np.zeros((300, 300), np.uint16), np.zeros((300, 300), np.uint16)
    older[100:200, 50:150] = 15000
    newer[90:180, 60:190] = 15100
    return {
        OLD: modis.lst(tmp_path / OLD, older, name=OLD),
        NEW: modis.lst(tmp_path / NEW, newer, name=NEW),
    }


def live(workspace: Workspace) -> list:
    with workspace.engine.connect() as connection:
        return layers_of(connection, [("MOD11A1", "lst_day")])["MOD11A1", "lst_day"]


@pytest.mark.parametrize("order", [(OLD, NEW), (NEW, OLD)])
def test_the_newer_production_counts_in_any_order(workspace, granules, order):
    for name in order:
        assert not ingest(workspace, [granules[name]]).refused
    (layer,) = live(workspace)
    values = read_layer(workspace.store, layer, grid(layer.grid)).values
    assert np.nanmax(values) == np.nanmin(values) == pytest.approx(302.0)
    with workspace.engine.connect() as connection:
        kept = connection.exec_driver_sql(
            "SELECT g.name, l.superseded_at IS NULL FROM smcatalog.layers l "
            "JOIN smcatalog.layer_granules lg ON lg.layer_id = l.id "
            "JOIN smcatalog.granules g ON g.id = lg.granule_id WHERE l.variable = 'lst_day' ORDER BY g.name"
        ).fetchall()
    assert [tuple(row) for row in kept] == [
        (OLD.removesuffix(".hdf"), False),
        (NEW.removesuffix(".hdf"), True),
    ]


def test_both_again_change_nothing(workspace, granules):
    ingest(workspace, granules.values())
    before = live(workspace)
    report = ingest(workspace, granules.values())
    assert report.count("known") == 2
    assert live(workspace) == before


def test_a_lost_file_comes_back_when_its_granule_is_ingested_again(workspace, granules):
    ingest(workspace, granules.values())
    (layer,) = live(workspace)
    path = workspace.store.path(layer.key)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert ingest(workspace, granules.values()).count("known") == 2
    (found,) = repair(workspace, verify(workspace)).findings
    assert found.outcome is Outcome.MARKED
    assert f"ingest {NEW} again" in found.advice
    assert not path.exists()
    report = ingest(workspace, granules.values())
    assert [
        (Path(file.name).name, file.outcome) for file in report.files if file.outcome != "known"
    ] == [(NEW, "restored")]
    assert path.read_bytes() == content
    assert verify(workspace).findings == []
    assert live(workspace) == [layer]
    assert ingest(workspace, granules.values()).count("known") == 2


def test_other_days_and_tiles_are_left_alone(workspace, granules, tmp_path):
    other = modis.MOD11A1_NAME.replace("h18v05", "h19v05")
    values = np.full((300, 300), 15000, np.uint16)
    ingest(workspace, [granules[OLD], modis.lst(tmp_path / other, values, name=other)])
    assert len(live(workspace)) == 2
    ingest(workspace, [granules[NEW]])
    assert len(live(workspace)) == 2
