"""Dump, restore into an empty cluster, and see that everything is there and goes on."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest

from smcatalog.core.errors import ConfigurationError, DatabaseUnavailable, UsageError
from smcatalog.database import backup, migrations
from smcatalog.database.backup import dump, restore
from smcatalog.database.cluster import Cluster
from smcatalog.database.cluster_binaries import find_client
from smcatalog.database.engine import connect
from smcatalog.database.upgrade import check
from smcatalog.services.produce import produce
from smcatalog.services.verify import verify
from tests.factories import inputs as make
from tests.factories.catalogue import Catalogue

DAYS = make.days(13)
SCHEMAS = ["smcatalog", "views", "pgstac", "procrastinate"]

RIGHTS = {
    "relations": """
        SELECT n.nspname, c.relname, c.relkind::text, pg_get_userbyid(c.relowner),
               array(SELECT a::text FROM unnest(c.relacl) a ORDER BY 1)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY (%s)
          -- every upgrade, and so a restore, gives the writer those made since the last one by name
          AND NOT (n.nspname = 'smcatalog' AND c.relispartition)
    """,
    "functions": """
        SELECT n.nspname, p.oid::regprocedure::text, pg_get_userbyid(p.proowner), p.prosecdef,
               p.proconfig, array(SELECT a::text FROM unnest(p.proacl) a ORDER BY 1), md5(p.prosrc)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ANY (%s)
    """,
    "schemas": """
        SELECT nspname, pg_get_userbyid(nspowner), array(SELECT a::text FROM unnest(nspacl) a ORDER BY 1)
        FROM pg_namespace WHERE nspname = ANY (%s)
    """,
    "defaults": """
        SELECT pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype::text,
               array(SELECT a::text FROM unnest(d.defaclacl) a ORDER BY 1)
        FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace
        WHERE n.nspname = ANY (%s)
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype::text, convalidated,
               -- PostgreSQL writes lists of ours another way once it has read its own dump of them
               CASE n.nspname WHEN 'pgstac' THEN pg_get_constraintdef(c.oid) END
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = ANY (%s)
    """,
    "sequences": """
        SELECT schemaname, sequencename, last_value FROM pg_sequences WHERE schemaname = ANY (%s)
    """,
    "members": """
        SELECT r.rolname, m.rolname, g.admin_option FROM pg_auth_members g
        JOIN pg_roles r ON r.oid = g.roleid JOIN pg_roles m ON m.oid = g.member WHERE %s::text[] IS NOT NULL
    """,
    "settings": """
        SELECT coalesce(r.rolname, ''), s.setconfig FROM pg_db_role_setting s
        LEFT JOIN pg_roles r ON r.oid = s.setrole
        WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
          AND %s::text[] IS NOT NULL
    """,
    "database": """
        SELECT pg_get_userbyid(datdba), array(SELECT a::text FROM unnest(datacl) a ORDER BY 1)
        FROM pg_database WHERE datname = current_database() AND %s::text[] IS NOT NULL
    """,
}


@pytest.fixture(scope="module")
def empty_cluster() -> Iterator[Cluster]:
    """A second private cluster, as on another machine."""
    folder = Path(tempfile.mkdtemp(prefix="smc-", dir="/tmp"))
    folder.chmod(0o755)
    cluster = Cluster(folder / "home", durable=False)
    cluster.start()
    yield cluster
    cluster.destroy()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fresh_url(empty_cluster: Cluster) -> Iterator[str]:
    """An empty database in the other cluster."""
    with psycopg.connect(empty_cluster.libpq_url(database="postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE fresh TEMPLATE template0")
    yield empty_cluster.libpq_url(database="fresh")
    with psycopg.connect(empty_cluster.libpq_url(database="postgres"), autocommit=True) as admin:
        admin.execute("DROP DATABASE fresh WITH (FORCE)")


@pytest.fixture(scope="module")
def filled(module_database, tmp_path_factory):
    """A catalogue with maps, a replaced one, and observations; and its dump."""
    folder = tmp_path_factory.mktemp("filled")
    place = make.workspace(module_database.engine, folder / "home")
    make.put_static(place)
    for day in DAYS[:12]:
        make.put_day(place, day)
    produce(place, make.definition(), DAYS[10])
    make.put(place, "W", "swvl1", make.FINE, make.wetness(DAYS[11]) + 0.05, DAYS[11], granule="2")
    produce(place, make.definition(), DAYS[10])
    catalogue = Catalogue(module_database.engine, place.store.root)
    sensor = catalogue.sensor(catalogue.station("NET", "one", (146.0, -35.0)))
    for year in (2019, 2020):
        catalogue.observe_day(sensor, date(year, 6, 1), 0.2)
    report = dump(module_database.url, folder / "catalogue.dump")
    return module_database, place, report


def asked(url: str, query: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = pg_catalog")
        return sorted(connection.execute(query, values).fetchall(), key=repr)


def content(url: str) -> dict[str, object]:
    """Number of rows and checksum of every table, whichever schema of ours it is in."""
    tables = asked(
        url,
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY (%s)",
        SCHEMAS,
    )
    return {
        f"{schema}.{table}": asked(
            url,
            "SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) "
            f"FROM {schema}.{table} t",
        )
        for schema, table in tables
    }


def test_a_restored_catalogue_is_the_same_and_goes_on(filled, empty_cluster, tmp_path):
    database, place, report = filled
    assert (report.revision, report.server) == (migrations.head(), 15)
    assert report.sha256 == hashlib.sha256(report.file.read_bytes()).hexdigest()
    assert report.file.stat().st_mode & 0o077 == 0
    url = empty_cluster.libpq_url()
    assert not restore(url, report.file, dry_run=True).done
    assert content(url) == {}
    restored = restore(url, report.file)
    assert (restored.done, restored.revision) == (True, report.revision)
    shutil.copytree(place.store.root, tmp_path / "store")

    old = database.libpq_url()
    check(url)
    assert content(url) == content(old)
    for what, query in RIGHTS.items():
        assert asked(url, query, SCHEMAS) == asked(old, query, SCHEMAS), what
    search = 'SELECT pgstac.search(\'{"collections": ["tiny"], "limit": 100}\')'
    with (
        psycopg.connect(empty_cluster.libpq_url("smcatalog_api")) as new,
        psycopg.connect(database.libpq_url("smcatalog_api")) as before,
    ):
        found, wanted = (c.execute(search).fetchone()[0] for c in (new, before))
        assert found["features"] == wanted["features"]
        assert found["numberMatched"] == 3
        assert new.execute("SELECT count(*) FROM maps").fetchone() == (3,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            new.execute("SELECT * FROM smcatalog.maps")

    engine = connect(empty_cluster.url("smcatalog_writer"))
    there = make.workspace(engine, tmp_path)
    try:
        assert verify(there).findings == []
        assert {day.outcome for day in produce(there, make.definition(), DAYS[10]).days} == {
            "current"
        }
        make.put_day(there, DAYS[12])
        made = [
            day.day
            for day in produce(there, make.definition(), DAYS[10]).days
            if day.outcome == "made"
        ]
        assert made == [DAYS[12]]
        assert verify(there).findings == []
    finally:
        engine.dispose()
    with pytest.raises(DatabaseUnavailable, match="not empty"):
        restore(url, report.file)


def test_a_dump_that_was_cut_off_leaves_the_database_empty(filled, fresh_url, tmp_path):
    whole = filled[2].file.read_bytes()
    half = tmp_path / "half.dump"
    half.write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises((DatabaseUnavailable, UsageError)) as error:
        restore(fresh_url, half)
    assert "half.dump" in str(error.value)
    assert content(fresh_url) == {}


def test_an_error_in_the_database_leaves_it_empty(filled, fresh_url):
    with psycopg.connect(fresh_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.postgis_version() RETURNS int LANGUAGE sql AS 'SELECT 1'"
        )
    with pytest.raises(DatabaseUnavailable, match=r"nothing of it was: .*PostGIS is already"):
        restore(fresh_url, filled[2].file)
    assert content(fresh_url) == {}


def test_what_is_no_dump_of_a_catalogue_is_refused(filled, fresh_url, tmp_path):
    file = tmp_path / "x"
    with pytest.raises(UsageError, match="there is no file"):
        restore(fresh_url, file)
    file.write_text("no dump")
    with pytest.raises(UsageError, match="not a dump"):
        restore(fresh_url, file)
    foreign = tmp_path / "foreign"
    backup._run(find_client("pg_dump", 15), fresh_url, "--format=custom", f"--file={foreign}")
    with pytest.raises(UsageError, match="not of a catalogue"):
        restore(fresh_url, foreign)
    assert content(fresh_url) == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("migrations.known", dict, "has the schema"),
        ("PGSTAC_VERSION", "0.9.0", "newer than 0.9.0"),
    ],
)
def test_a_dump_of_a_newer_version_is_refused(filled, fresh_url, monkeypatch, name, value, said):
    monkeypatch.setattr(f"smcatalog.database.backup.{name}", value)
    with pytest.raises(UsageError, match=said):
        restore(fresh_url, filled[2].file)


def test_dumps_are_never_written_over_others(filled, tmp_path, fresh_url):
    database, _, report = filled
    with pytest.raises(UsageError, match="there already"):
        dump(database.url, report.file)
    with pytest.raises(UsageError, match="no folder"):
        dump(database.url, tmp_path / "absent" / "x")
    with pytest.raises(DatabaseUnavailable, match="no catalogue"):
        dump(fresh_url, tmp_path / "x")
    assert dump(database.url, tmp_path / "x", dry_run=True).size is None
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_on_no_command_line(monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    command, environment = backup._command(
        "pg_dump", "postgresql+psycopg://me:s3cr%40t@db.example/catalogue?sslmode=require"
    )
    assert "s3cr" not in " ".join(command)
    assert "sslmode=require" in command[1]
    assert environment["PGPASSWORD"] == "s3cr@t"
    assert "PGPASSWORD" not in os.environ
    with pytest.raises(ConfigurationError, match="sslpassword"):
        backup._command("pg_dump", "postgresql://me@db.example/c?sslpassword=x")


def test_programs_that_are_too_old_are_not_used(monkeypatch):
    assert find_client("pg_dump", 15).endswith("/pg_dump")
    with pytest.raises(
        DatabaseUnavailable, match="pg_dump of PostgreSQL 99 or newer was not found"
    ):
        find_client("pg_dump", 99)
