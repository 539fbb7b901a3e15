"""Tiles become layers of the size of what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingest.service import ingest
from smcatalog.core.grids import grid, sinusoidal_tile
from smcatalog.database.inputs import LayerRecord, layers_of
from smcatalog.resample import area_weights, layer_grid
from smcatalog.services.layers import read_layer
from smcatalog.services.workspace import Workspace
from tests.factories import inputs, modis


@pytest.fixture
def workspace(database, tmp_path: Path) -> Workspace:
    return inputs.workspace(database.engine, tmp_path)


def _ingest(workspace: Workspace, path: Path, variable: str = "lst_day") -> list[LayerRecord]:
    report = ingest(workspace, [path])
    assert not report.refused
    with workspace.engine.connect() as connection:
        return layers_of(connection, [("MOD11A1", variable)])["MOD11A1", variable]


def test_a_region_in_a_tile_makes_a_small_layer(workspace, tmp_path):
    stored = np.zeros((300, 300), np.uint16)
    stored[100:120, 50:90] = 15000
    (layer,) = _ingest(workspace, modis.lst(tmp_path / modis.MOD11A1_NAME, stored))
    kept = grid(layer.grid)
    assert kept.shape[0] < 30
    assert kept.shape[1] < 120
    around = grid("M01").window(
        slice(kept.row - 5, kept.row + kept.shape[0] + 5),
        slice(kept.column - 5, kept.column + kept.shape[1] + 5),
    )
    values = read_layer(workspace.store, layer, around).values
    assert np.isfinite(values).sum() == pytest.approx(800 * 926.625**2 / 1000.895**2, rel=0.1)
    assert np.nanmax(np.abs(values - 300.0)) < 0.01


def test_a_pixel_that_covers_no_cell_half_makes_no_layer(workspace, tmp_path):
    window = sinusoidal_tile(18, 5).window(slice(800, 1000), slice(0, 200))
    weights = area_weights(window, layer_grid(window)).matrix
    largest = weights.max(axis=0).toarray().reshape(window.shape)
    largest[:5], largest[:, :5] = 0, 0  # on the edge parts of cells are kept
    row, column = np.argwhere((largest > 0.1) & (largest < 0.49))[0]
    stored = np.zeros(window.shape, np.uint16)
    stored[row, column] = 15000
    night = np.full(window.shape, 14000, np.uint16)
    path = modis.lst(tmp_path / modis.MOD11A1_NAME, stored, night, corner=(0, 800))
    assert not _ingest(workspace, path, "lst_day")
    (kept,) = _ingest(workspace, path, "lst_night")
    assert grid(kept.grid) == layer_grid(window)
