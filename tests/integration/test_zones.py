"""Zones in the database: what is in use, what took whose place, and who may read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from pyproj import Geod

from ingest.service import FileResult, ingest
from smcatalog.core.errors import NotFoundError
from smcatalog.core.grids import grid
from smcatalog.core.zones import ZoneSet
from smcatalog.database.inputs import LayerRecord, layers_of
from smcatalog.database.upgrade import check
from smcatalog.database.zones import zones_of
from smcatalog.services.layers import read_layer
from smcatalog.services.workspace import Workspace
from tests.factories import inputs
from tests.factories.vectors import squares, zones


@pytest.fixture
def workspace(database, tmp_path: Path) -> Workspace:
    return inputs.workspace(database.engine, tmp_path / "home")


def bring(workspace: Workspace, path: Path) -> FileResult:
    (result,) = ingest(workspace, [path]).files
    assert not result.reason
    return result


def held(workspace: Workspace, name: str) -> ZoneSet:
    with workspace.engine.connect() as connection:
        return zones_of(connection, name)


def layers(workspace: Workspace, name: str) -> list[LayerRecord]:
    wanted = (f"zones:{name}", "zone")
    with workspace.engine.connect() as connection:
        return layers_of(connection, [wanted])[wanted]


def rows(workspace: Workspace, query: str) -> list[tuple[object, ...]]:
    with workspace.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_a_set_goes_in_as_polygons_and_as_a_layer(workspace, database, tmp_path):
    planted = squares(2)
    columns = {"zone": [4, 9], "name": ["安徽", "50 %"]}
    result = bring(workspace, zones(tmp_path / "流域 A.gpkg", planted, columns))
    assert (result.outcome, result.source) == ("ingested", "zones:流域-a")
    assert (result.zones, result.layers, result.observations) == (2, 1, 0)
    found = held(workspace, "流域-a")
    assert [(z.number, z.label) for z in found.zones] == [(4, "安徽"), (9, "50 %")]
    for zone, polygon in zip(found.zones, planted, strict=True):
        assert shapely.equals(shapely.from_wkb(zone.wkb), polygon)
    (layer,) = layers(workspace, "流域-a")
    values = read_layer(workspace.store, layer, grid(layer.grid)).values
    assert set(np.unique(values[np.isfinite(values)])) == {4, 9}
    assert workspace.store.path(layer.key).is_file()
    check(database.url)


def test_the_same_again_changes_nothing(workspace, tmp_path):
    path = zones(tmp_path / "basins.gpkg")
    bring(workspace, path)
    before = rows(workspace, "SELECT * FROM smcatalog.zones ORDER BY id")
    assert bring(workspace, path).outcome == "known"
    # another file of the same content: lineage of the layer gains a granule, that is all
    other = zones(folder(tmp_path, "again") / "basins.shp")
    result = bring(workspace, other)
    assert (result.outcome, result.zones, result.layers) == ("ingested", 0, 0)
    assert rows(workspace, "SELECT * FROM smcatalog.zones ORDER BY id") == before
    assert rows(workspace, "SELECT count(*) FROM smcatalog.layer_granules") == [(2,)]
    (layer,) = layers(workspace, "basins")
    assert layer.source == "zones:basins"


def test_a_newer_delivery_takes_the_place_of_the_set_and_of_its_layer(workspace, tmp_path):
    bring(workspace, zones(tmp_path / "basins.gpkg", squares(3)))
    bring(workspace, zones(tmp_path / "other.gpkg", squares(3)))
    (older,) = layers(workspace, "basins")
    result = bring(workspace, zones(folder(tmp_path, "new") / "basins.gpkg", squares(2)))
    assert result.zones == 2
    assert len(held(workspace, "basins").zones) == 2
    assert len(held(workspace, "other").zones) == 3
    # another window: as a layer of another grid alone the older one would stay
    (newer,) = layers(workspace, "basins")
    assert newer.grid != older.grid
    assert len(layers(workspace, "other")) == 1
    kept = rows(
        workspace,
        "SELECT g.name, z.number, z.superseded_at IS NULL FROM smcatalog.zones z "
        "JOIN smcatalog.granules g ON g.id = z.granule_id WHERE zone_set = 'basins' ORDER BY z.id",
    )
    assert kept == [("basins", n, False) for n in (1, 2, 3)] + [("basins", n, True) for n in (1, 2)]


def test_a_set_that_has_become_too_small_for_cells_has_no_layer(workspace, tmp_path):
    bring(workspace, zones(tmp_path / "basins.gpkg"))
    small = [shapely.box(105, 37, 105.001, 37.001)]
    result = bring(workspace, zones(folder(tmp_path, "new") / "basins.gpkg", small))
    assert (result.zones, result.layers) == (1, 0)
    assert layers(workspace, "basins") == []


def test_a_refused_delivery_leaves_the_set_as_it_was(workspace, tmp_path):
    bring(workspace, zones(tmp_path / "basins.gpkg"))
    before = held(workspace, "basins")
    bow = shapely.Polygon([(105, 37), (106, 38), (106, 37), (105, 38)])
    path = zones(folder(tmp_path, "new") / "basins.gpkg", [*squares(1), bow])
    (result,) = ingest(workspace, [path]).files
    assert (result.outcome, result.source) == ("refused", "zones:basins")
    assert "crosses itself" in result.reason
    assert held(workspace, "basins") == before
    [(source,)] = rows(workspace, "SELECT source FROM smcatalog.quarantine")
    assert source == "zones:basins"


def test_the_view_tells_the_zones_in_use_to_analysts(workspace, database, tmp_path):
    bring(workspace, zones(tmp_path / "basins.gpkg", squares(3)))
    touching = shapely.Polygon(
        [(105, 37), (109, 37), (109, 41), (107, 41), (108, 39), (106, 39), (107, 41), (105, 41)]
    )
    path = zones(folder(tmp_path, "new") / "basins.gpkg", [touching], {"id": [8], "label": ["b"]})
    bring(workspace, path)
    with database.connect("smcatalog_analyst") as connection:
        found = connection.execute(
            "SELECT zone_set, number, label, mended, source, granule, area, "
            "ST_Contains(geometry, ST_SetSRID(ST_MakePoint(105.5, 40), 4326)), "
            "ST_Contains(geometry, ST_SetSRID(ST_MakePoint(107, 39.5), 4326)) FROM zones"
        ).fetchall()
    ((*said, area, inside, lagoon),) = found
    assert said == ["basins", 8, "b", True, "zones:basins", "basins"]
    assert (inside, lagoon) == (True, False)
    (zone,) = held(workspace, "basins").zones
    expected = Geod(ellps="WGS84").geometry_area_perimeter(shapely.from_wkb(zone.wkb))[0]
    assert area == pytest.approx(abs(expected) / 1e6, rel=1e-6)


def test_a_set_that_is_not_there(workspace, tmp_path):
    with pytest.raises(NotFoundError, match="there are none"):
        held(workspace, "basins")
    bring(workspace, zones(tmp_path / "basins.gpkg"))
    with pytest.raises(NotFoundError, match="'Basins'; there are basins"):
        held(workspace, "Basins")
