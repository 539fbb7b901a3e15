"""What each role can do, and what it cannot."""

from __future__ import annotations

from datetime import date

import numpy as np
import psycopg
import pytest
from psycopg import errors

from smcatalog.core.time import Period
from smcatalog.jobs import Job, enqueue
from tests.factories.catalogue import COARSE, GRID, Catalogue, centre

DAY = date(2019, 3, 10)
ROLES = ("smcatalog_writer", "smcatalog_analyst", "smcatalog_api")
VIEWS = (
    "announcements",
    "granule_impact",
    "map_lineage",
    "maps",
    "matchups",
    "month_metrics",
    "monthly_statistics",
    "network_metrics",
    "plan",
    "product_metrics",
    "product_status",
    "quarantine",
    "quarantined_jobs",
    "queue",
    "station_metrics",
    "stations",
    "step_totals",
    "stored_files",
    "workers",
    "zones",
)
COLLECTION = '{"id": "c", "type": "Collection", "stac_version": "1.1.0", "links": []}'
ITEM = (
    '{"id": "i", "type": "Feature", "collection": "c", "stac_version": "1.1.0", "links": [], '
    '"assets": {}, "geometry": {"type": "Point", "coordinates": [146, -35]}, '
    '"bbox": [146, -35, 146, -35], "properties": {"datetime": "2019-03-10T12:00:00Z"}}'
)


@pytest.fixture(scope="module")
def filled(module_database, tmp_path_factory):
    """A database with something in every view and one item in pgstac."""
    catalogue = Catalogue(module_database.engine, tmp_path_factory.mktemp("store"))
    product = catalogue.product()
    version = catalogue.version(product)
    made = catalogue.map(
        product,
        version,
        catalogue.model(version),
        Period.of_day(DAY),
        np.full((1, *GRID.shape), 0.2),
        coarse=np.full(COARSE.shape, 0.2),
    )
    layer = catalogue.one("SELECT layer_id FROM smcatalog.map_layers")
    catalogue.granule("g1", layer)
    sensor = catalogue.sensor(catalogue.station("NET", "one", centre(GRID, 1, 1)))
    catalogue.run(
        "INSERT INTO smcatalog.matchups (map_id, sensor_id, band, reference, n_days, estimate) "
        "VALUES (:map, :sensor, 1, 0.1, 1, 0.2)",
        map=made,
        sensor=sensor,
    )
    catalogue.run(
        "INSERT INTO smcatalog.monthly_statistics VALUES "
        "(:version, :sensor, 1, '2019-03-01', 'map', 1, 0.2, 0.1, 0, 0, 0, 0.1)",
        version=version,
        sensor=sensor,
    )
    catalogue.run(
        "INSERT INTO smcatalog.zones (zone_set, number, label, geometry, mended, granule_id) SELECT "
        "'basins', 1, 'a', 'SRID=4326;MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', false, min(id) "
        "FROM smcatalog.granules"
    )
    catalogue.run(
        "INSERT INTO smcatalog.announcements (kind, map_id) VALUES ('new', :map)", map=made
    )
    catalogue.run(
        "UPDATE smcatalog.product_versions SET active = true, "
        """definition = definition || '{"first_day": "2018-01-01"}' WHERE id = :version""",
        version=version,
    )
    catalogue.run(
        "INSERT INTO smcatalog.plan_days (product_version_id, day, start_time, end_time, partition, "
        "closes_at) SELECT product_version_id, day, start_time, end_time, 'all', end_time "
        "FROM smcatalog.maps"
    )
    catalogue.run("INSERT INTO smcatalog.quarantine (name, reason) VALUES ('f', 'empty')")
    catalogue.run(
        "INSERT INTO smcatalog.quarantined_jobs (job_id, task, arguments, priority, attempts, kills, "
        "first_at, error, traceback) VALUES (1, 't', '{}', 0, 5, 0, now(), 'e', '')"
    )
    catalogue.run(
        "UPDATE smcatalog.product_versions SET active = true, "
        """definition = definition || '{"first_day": "2019-01-01"}'"""
    )
    catalogue.run("INSERT INTO smcatalog.step_totals VALUES ('t', 1, 0, 1.5, 2)")
    catalogue.run("SELECT procrastinate.procrastinate_register_worker_v1()")
    with module_database.engine.begin() as connection:
        enqueue(connection, [Job("t")])
    with module_database.connect("smcatalog_writer") as connection:
        connection.execute("SET search_path = pgstac, public")
        connection.execute("SELECT pgstac.upsert_collection(%s::jsonb)", [COLLECTION])
        connection.execute("SELECT pgstac.upsert_item(%s::jsonb)", [ITEM])
    return module_database


@pytest.fixture(params=ROLES)
def role(request):
    return request.param


def ask(database, role: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.libpq_url(role), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_every_view_is_listed_here(filled):
    found = ask(filled, "smcatalog", "SELECT viewname FROM pg_views WHERE schemaname = 'views'")
    assert {name for (name,) in found} == set(VIEWS)


@pytest.mark.parametrize("view", VIEWS)
def test_all_roles_read_the_views(filled, role, view):
    assert ask(filled, role, f"SELECT * FROM {view}")


def test_all_roles_ask_for_the_maps_of_an_instant(filled, role):
    assert len(ask(filled, role, "SELECT * FROM maps_as_of(now())")) == 1
    assert ask(filled, role, "SELECT * FROM maps_as_of('2001-01-01Z')") == []
    [(plan,)] = ask(filled, role, "EXPLAIN (FORMAT json) SELECT * FROM maps_as_of(now())")
    assert "Function Scan" not in str(plan)  # inlined: conditions on days reach the indexes


def test_all_roles_ask_for_the_states_of_days(filled, role):
    rows = ask(filled, role, "SELECT state, cause, days FROM plan_summary(now())")
    assert rows == [("gone", "gone", 1)]  # nothing was planned


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.x (a int)",
        "CREATE TABLE views.x (a int)",
        "CREATE TABLE smcatalog.x (a int)",
        "CREATE SCHEMA x",
        "CREATE VIEW views.x AS SELECT 1",
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE x",
        "DROP TABLE smcatalog.observations",
        "DROP VIEW views.maps",
        "UPDATE smcatalog.alembic_version SET version_num = 'x'",
        "UPDATE views.quarantine SET reason = 'x'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
def test_no_role_changes_the_schema(filled, role, statement):
    with pytest.raises(errors.InsufficientPrivilege):
        ask(filled, role, statement)


@pytest.mark.parametrize("role", ["smcatalog_analyst", "smcatalog_api"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM smcatalog.stations",
        "SELECT * FROM smcatalog.observations",
        "DELETE FROM smcatalog.quarantine",
        "SELECT * FROM smcatalog.quarantined_jobs",
        "SELECT * FROM procrastinate.procrastinate_jobs",
        "SELECT procrastinate.procrastinate_register_worker_v1()",
        "SELECT smcatalog.ensure_observation_partition(2001)",
    ],
)
def test_readers_do_not_touch_the_tables(filled, role, statement):
    with pytest.raises(errors.InsufficientPrivilege):
        ask(filled, role, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM pgstac.items",
        "SELECT pgstac.search('{}')",
        "CREATE TEMPORARY TABLE x (a int)",
        "CREATE TABLE pgstac.x (a int)",
    ],
)
def test_analysts_have_nothing_but_the_views(filled, statement):
    with pytest.raises(errors.InsufficientPrivilege):
        ask(filled, "smcatalog_analyst", statement)


def test_the_api_searches_with_counts_and_does_not_write_items(filled):
    [(found,)] = ask(
        filled,
        "smcatalog_api",
        'SELECT pgstac.search(\'{"collections": ["c"], "limit": 1}\'::jsonb)',
    )
    assert [feature["id"] for feature in found["features"]] == ["i"]
    assert found["numberMatched"] == 1
    for statement in (
        "SELECT pgstac.delete_item('i', 'c')",
        "DELETE FROM pgstac.items",
        "UPDATE pgstac.collections SET content = '{}'",
        "CREATE TABLE pgstac.x (a int)",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            ask(filled, "smcatalog_api", statement)


def test_the_writer_writes_tables_and_items(filled):
    for statement in (
        "INSERT INTO smcatalog.networks (name) VALUES ('w')",
        "UPDATE smcatalog.networks SET title = 'W' WHERE name = 'w'",
        "DELETE FROM smcatalog.networks WHERE name = 'w'",
        "SELECT nextval(pg_get_serial_sequence('smcatalog.maps', 'id'))",
        "CREATE TEMPORARY TABLE x (a int)",
    ):
        ask(filled, "smcatalog_writer", statement)
    assert ask(filled, "smcatalog_writer", "SELECT count(*) FROM pgstac.items") == [(1,)]


def test_the_writer_makes_partitions_through_the_function_only(filled):
    for _ in range(2):
        ask(filled, "smcatalog_writer", "SELECT smcatalog.ensure_observation_partition(2031)")
    ask(
        filled,
        "smcatalog_writer",
        "INSERT INTO smcatalog.observations SELECT id, t, 0.2, true FROM smcatalog.sensors, "
        "(VALUES (timestamptz '2031-01-01 00:00Z'), ('2031-12-31 23:00Z')) AS v (t)",
    )
    # counted as the owner: the writer reaches a partition through its parent only
    owned = ask(
        filled,
        "smcatalog",
        "SELECT count(*), (SELECT tableowner FROM pg_tables WHERE tablename = 'observations_2031') "
        "FROM smcatalog.observations_2031",
    )
    assert owned == [(2, "smcatalog")]
    with pytest.raises(errors.InsufficientPrivilege):
        ask(
            filled,
            "smcatalog_writer",
            "CREATE TABLE smcatalog.p PARTITION OF smcatalog.observations "
            "FOR VALUES FROM ('2040-01-01') TO ('2041-01-01')",
        )
    with pytest.raises(errors.InvalidParameterValue, match="no observations of the year 1066"):
        ask(filled, "smcatalog_writer", "SELECT smcatalog.ensure_observation_partition(1066)")


def test_sessions_are_in_utc_and_find_views_first(filled, role):
    [(zone,)] = ask(filled, role, "SHOW timezone")
    [(path,)] = ask(filled, role, "SHOW search_path")
    assert zone == "UTC"
    assert path.split(", ")[0] == "views"
