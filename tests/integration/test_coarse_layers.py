"""Coarse and reference products go in on their own grids; a newer release of a day takes the older one's place."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest.service import ingest
from ingest.sources import amsr_nn_writer, cci_writer, gldas_writer, imerg_writer
from smcatalog.core.grids import EASE2_GRIDS, grid
from smcatalog.database.inputs import LayerRecord, layers_of
from smcatalog.services.layers import read_layer
from smcatalog.services.workspace import Workspace
from tests.factories import coarse, inputs
from tests.factories.probes import FIRST, even_state, small_land

QUARTER = "latlon(-180,90,0.25,0.25,1440,720)"
BASES = {
    ("ESACCI-SM-COMBINED", "sm"): QUARTER, ("AMSR-NN", "sm"): "M36", ("GLDAS-Noah", "sm_0_10cm"): QUARTER,
    ("GLDAS-Noah", "sm_100_200cm"): QUARTER, ("GPM_3IMERGDF", "precipitation"): "latlon(-180,90,0.1,0.1,3600,1800)",
}  # fmt: skip


@pytest.fixture
def workspace(database, tmp_path: Path) -> Workspace:
    return inputs.workspace(database.engine, tmp_path / "home")


@pytest.fixture(scope="module")
def granules(tmp_path_factory) -> Path:
    """Write a few days of what the simulated world has of these sources."""
    folder = tmp_path_factory.mktemp("granules")
    land = small_land("bma", size_km=150)
    for name, module in (
        ("c", cci_writer),
        ("n", amsr_nn_writer),
        ("g", gldas_writer),
        ("i", imerg_writer),
    ):
        writer = module.WRITER(land, folder / name)
        for i in range(4):
            writer.day(
                even_state(
                    land, FIRST + timedelta(days=i), rain=np.full(land.grid.shape, 5, np.float32)
                )
            )
        writer.end()
    return folder


def live(workspace: Workspace, source: str, variable: str) -> list[LayerRecord]:
    with workspace.engine.connect() as connection:
        return layers_of(connection, [(source, variable)])[source, variable]


def test_simulated_files_become_layers_on_their_own_grids_and_again_nothing(workspace, granules):
    report = ingest(workspace, [granules])
    assert not report.refused
    before = {}
    for (source, variable), base in BASES.items():
        layers = live(workspace, source, variable)
        assert layers, source
        assert {grid(layer.grid).base for layer in layers} == {base}
        assert {layer.period.day for layer in layers} <= {
            FIRST + timedelta(days=i) for i in range(4)
        }
        before[source, variable] = layers
    again = ingest(workspace, [granules])
    assert again.count("known") == len(again.files) == len(report.files)
    assert {key: live(workspace, *key) for key in before} == before


def test_a_layer_lies_flat_over_the_cells_of_a_map(workspace, granules):
    ingest(workspace, [granules / "c"])
    layer = live(workspace, "ESACCI-SM-COMBINED", "sm")[0]
    own = read_layer(workspace.store, layer, grid(layer.grid))
    west, south, east, north = own.grid.bbox()
    fine = read_layer(
        workspace.store,
        layer,
        EASE2_GRIDS["M01"].crop((west + 0.3, south + 0.3, east - 0.3, north - 0.3)),
    )
    inside = fine.values[np.isfinite(fine.values)]
    assert inside.size
    assert set(np.unique(inside)) <= set(np.unique(own.values))


def test_the_newer_release_of_a_day_counts_in_any_order(workspace, tmp_path):
    for new in ("06.1", "04.7"):  # the older one comes last
        name = coarse.COMBINED_NAME.replace("04.5", new)
        water = {"06.1": 0.3, "04.7": 0.2}[new]
        assert not ingest(
            workspace, [coarse.cci(tmp_path / name, np.full((4, 5), water), name=name)]
        ).refused
    (layer,) = live(workspace, "ESACCI-SM-COMBINED", "sm")
    assert layer.period.day == date(2020, 1, 2)
    assert read_layer(workspace.store, layer, grid(layer.grid)).values.max() == pytest.approx(
        0.3, abs=1e-4
    )


def test_both_resolutions_of_a_scene_stand_side_by_side(workspace, tmp_path):
    assert not ingest(workspace, [coarse.scene(tmp_path / coarse.SCENE_NAME)]).refused
    (three,), (one,) = (live(workspace, "SPL2SMAP_S", name) for name in ("sm", "sm_1km"))
    assert (grid(three.grid).base, grid(one.grid).base) == ("M03", "M01")
