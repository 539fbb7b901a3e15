"""Installing from nothing, doing it again, going back and forth, and agreeing with the models."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from smcatalog.core.errors import ConfigurationError, DatabaseUnavailable
from smcatalog.core.versions import PGSTAC_VERSION
from smcatalog.database import migrations, queue_schema
from smcatalog.database import upgrade as upgrades
from smcatalog.database.models import Base
from smcatalog.database.upgrade import UpgradeReport, check, downgrade, upgrade
from tests.factories.catalogue import Catalogue

REPOSITORY = Path(__file__).resolve().parents[2]


def test_from_nothing_in_order_and_then_nothing_more(empty_database):
    first = upgrade(empty_database.url)
    assert [step.split()[0] for step in first.steps] == [
        *("extension", "extension", "extension", "pgstac", "queue"),
        *(["roles"] if "roles" in first.steps else []),
        *("schema", "grants"),
    ]
    assert (first.revision, first.pgstac) == (migrations.head(), PGSTAC_VERSION)
    second = upgrade(empty_database.libpq_url())
    assert second.steps == ()
    assert not second.changed
    check(empty_database.url)


def test_nothing_to_do_loads_nothing_heavy(database):
    code = (
        "import sys; from smcatalog.database.upgrade import upgrade; "
        f"assert not upgrade({database.url!r}).changed; "
        "print([m for m in ('sqlalchemy', 'alembic', 'pypgstac') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def upgraded_at_once(*urls: str) -> list[UpgradeReport]:
    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(upgrade, urls))


def test_two_upgrades_at_once(empty_database):
    reports = upgraded_at_once(empty_database.url, empty_database.url)
    assert any(report.changed for report in reports)
    check(empty_database.url)


def test_two_databases_of_a_server_at_once(database_server, empty_database):
    """Roles, memberships and settings are rows that both of them change."""
    with database_server.database(template="template0") as other:
        reports = upgraded_at_once(empty_database.url, other.url)
        assert all("grants and settings" in report.steps for report in reports)
        check(empty_database.url)
        check(other.url)


def test_an_upgrade_goes_on_after_meeting_another_session(empty_database, monkeypatch):
    met = []

    def once(connection, name):
        if not met:
            met.append(name)
            connection.execute(
                "DO $$ BEGIN RAISE EXCEPTION 'tuple concurrently updated' "
                "USING ERRCODE = 'XX000'; END $$"
            )
        make(connection, name)

    make = upgrades._make_extension
    monkeypatch.setattr(upgrades, "_make_extension", once)
    assert upgrade(empty_database.url).steps[0] == "extension postgis"
    assert met == ["postgis"]


def test_an_upgrade_that_always_meets_another_one_says_so(empty_database, monkeypatch):
    def always(connection, name):
        connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")

    monkeypatch.setattr(upgrades, "_make_extension", always)
    monkeypatch.setattr(upgrades, "pause", lambda attempt: None)
    with pytest.raises(DatabaseUnavailable, match="Other sessions kept changing the roles"):
        upgrade(empty_database.url)


@pytest.mark.parametrize(
    "damage",
    [
        "REVOKE SELECT ON views.maps FROM smcatalog_analyst",
        "REVOKE EXECUTE ON FUNCTION views.maps_as_of FROM smcatalog_api",
        "REVOKE INSERT ON smcatalog.maps FROM smcatalog_writer",
        "GRANT SELECT ON smcatalog.stations TO smcatalog_api",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "DELETE FROM pgstac.pgstac_settings WHERE name = 'context'",
        "REVOKE INSERT ON procrastinate.procrastinate_jobs FROM smcatalog_writer",
        "GRANT SELECT ON procrastinate.procrastinate_jobs TO smcatalog_analyst",
        "ALTER FUNCTION procrastinate.procrastinate_register_worker_v1() RESET ALL",
    ],
)
def test_lost_grants_and_settings_come_back(database, damage):
    with database.connect() as connection:
        connection.execute(damage)
    assert upgrade(database.url).steps == ("grants and settings",)
    assert upgrade(database.url).steps == ()


def test_down_and_up_again_with_data(database, tmp_path):
    catalogue = Catalogue(database.engine, tmp_path)
    network = catalogue.network("NET")
    catalogue.station("NET", "one", (146.0, -35.0))
    before = structure(database)
    downgrade(database.url, "0001")
    assert catalogue.rows("SELECT 1 FROM pg_views WHERE schemaname = 'views'") == []
    assert catalogue.rows("SELECT id FROM smcatalog.networks") == [{"id": network}]
    assert upgrade(database.url).changed
    assert structure(database) == before
    assert len(catalogue.rows("SELECT * FROM views.stations")) == 1
    downgrade(database.url, "base")
    left = catalogue.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'smcatalog'")
    assert left == [{"tablename": "alembic_version"}]
    with pytest.raises(DatabaseUnavailable, match="db upgrade"):
        check(database.url)
    upgrade(database.url)
    assert structure(database) == before
    check(database.url)


def structure(database, schemas=("smcatalog", "views")) -> list[tuple[object, ...]]:
    """Everything that makes up tables and views: columns, constraints, indexes, comments."""
    with database.connect() as connection:
        connection.execute("SET search_path = public")  # so that schemas are named
        rows = connection.execute(
            """
            WITH relation AS (
                SELECT c.oid, n.nspname || '.' || c.relname AS name
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v')
                  AND NOT c.relispartition AND c.relname <> 'alembic_version'
            )
            SELECT c.name, 'column', a.attname, format_type(a.atttypid, a.atttypmod),
                   a.attnotnull::text, a.attidentity::text,
                   coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
                   coalesce(col_description(c.oid, a.attnum), '')
            FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE NOT a.attisdropped
            UNION ALL
            SELECT c.name, 'constraint', r.conname, pg_get_constraintdef(r.oid), '', '', '', ''
            FROM relation c JOIN pg_constraint r ON r.conrelid = c.oid
            UNION ALL
            SELECT c.name, 'index', '', pg_get_indexdef(i.indexrelid), '', '', '', ''
            FROM relation c JOIN pg_index i ON i.indrelid = c.oid
            UNION ALL
            SELECT c.name, 'comment', '', '', '', '', '', coalesce(obj_description(c.oid), '')
            FROM relation c
            """,
            [list(schemas)],
        ).fetchall()
    return sorted(rows)


def test_migrations_make_exactly_what_the_models_say(database, empty_database):
    """``alembic check`` sees neither CHECK constraints nor predicates of indexes: this does."""
    with empty_database.connect() as connection:
        connection.execute("CREATE EXTENSION postgis SCHEMA public")
        connection.execute("CREATE EXTENSION btree_gist SCHEMA public")
        connection.execute("CREATE SCHEMA smcatalog")
    with empty_database.engine.begin() as connection:
        connection.execute(text("SET LOCAL search_path = public"))
        Base.metadata.create_all(connection)
    assert structure(database, ["smcatalog"]) == structure(empty_database, ["smcatalog"])


def test_check_names_a_difference(database):
    with database.connect() as connection:
        connection.execute("ALTER TABLE smcatalog.networks ADD COLUMN surplus int")
    with pytest.raises(DatabaseUnavailable, match="surplus"):
        check(database.url)


def test_check_passes_over_partitions_and_others_tables(database):
    with database.connect() as connection:
        connection.execute("SELECT smcatalog.ensure_observation_partition(2019)")
        connection.execute("CREATE TABLE public.someone_elses (a int)")
    check(database.url)


def test_every_table_view_column_and_function_has_a_comment(database):
    bare = [
        row[:3] for row in structure(database) if row[1] in {"column", "comment"} and not row[7]
    ]
    assert bare == []
    with database.connect() as connection:
        functions = connection.execute(
            "SELECT proname FROM pg_proc "
            "WHERE pronamespace IN ('smcatalog'::regnamespace, 'views'::regnamespace) "
            "AND obj_description(oid) IS NULL"
        ).fetchall()
        connection.execute("SELECT smcatalog.ensure_observation_partition(2019)")
        partition = connection.execute(
            "SELECT obj_description('smcatalog.observations_2019'::regclass)"
        ).fetchone()
    assert functions == []
    assert partition == ("Observations of 2019",)


def test_an_older_pgstac_is_brought_up(empty_database):
    from importlib.resources import files

    script = files("pypgstac").joinpath("migrations/pgstac.0.9.9.sql").read_text()
    with empty_database.connect() as connection:
        connection.execute(script.encode())
    assert f"pgstac {PGSTAC_VERSION}" in upgrade(empty_database.url).steps
    assert not upgrade(empty_database.url).changed


def test_a_newer_pgstac_is_refused(database):
    with database.connect() as connection:
        connection.execute("INSERT INTO pgstac.migrations (version) VALUES ('0.99.0')")
    with pytest.raises(DatabaseUnavailable, match=r"pgstac is 0\.99\.0, newer than"):
        upgrade(database.url)


def queue_functions(database) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        return connection.execute(
            "SELECT p.oid::regprocedure::text, md5(p.prosrc), p.proconfig::text FROM pg_proc p "
            "WHERE p.pronamespace = 'procrastinate'::regnamespace ORDER BY 1"
        ).fetchall()


def test_a_database_from_before_the_queue_gets_it(database):
    before, functions = structure(database), queue_functions(database)
    downgrade(database.url, "0005")
    with database.connect() as connection:
        connection.execute("DROP SCHEMA procrastinate CASCADE")
    with pytest.raises(DatabaseUnavailable, match="the queue at nothing"):
        check(database.url)
    assert [step.split()[0] for step in upgrade(database.url).steps] == [
        *("queue", "roles", "schema", "grants")
    ]
    assert (structure(database), queue_functions(database)) == (before, functions)
    assert upgrade(database.url).steps == ()


def test_an_older_queue_gets_the_migrations_it_lacks(database):
    """As after an upgrade of procrastinate; what comes out is what a new database has."""
    functions = queue_functions(database)
    folder = queue_schema._folder() / "migrations"
    older = [path for path in sorted(folder.glob("*.sql")) if path.stem < "03.03"]
    with database.connect() as connection:
        connection.execute("DROP SCHEMA procrastinate CASCADE")
        for path in older:
            with connection.transaction():
                connection.execute(queue_schema.prepare())
                connection.execute(path.read_text().encode())
        connection.execute(queue_schema.record(older[-1].stem))
        connection.execute("RESET search_path")
    assert upgrade(database.url).steps == (
        *(f"queue {queue_schema.newest()}", "grants and settings"),
    )
    assert queue_functions(database) == functions
    assert upgrade(database.url).steps == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (queue_schema.record("99.00.00_01_later"), "install a newer smcatalog"),
        ("DROP TABLE procrastinate.installed_migrations", "that smcatalog did not install"),
    ],
)
def test_a_queue_of_others_is_left_alone(database, change, said):
    with database.connect() as connection:
        connection.execute(change)
    with pytest.raises(DatabaseUnavailable, match=said):
        upgrade(database.url)


class TestWithoutSuperuser:
    """On a server where we own the database and may create roles, and that is all."""

    @pytest.fixture
    def owned(self, empty_database):
        """The database, owned by a role of its own; SET ROLE stands in for its login."""
        role = f"owner_{empty_database.name}"
        with empty_database.connect() as connection:
            connection.execute(f"CREATE ROLE {role} CREATEROLE")
            connection.execute(f"ALTER DATABASE {empty_database.name} OWNER TO {role}")
            connection.execute(f"GRANT {role} TO smcatalog_writer")
            connection.execute(
                f"ALTER ROLE smcatalog_writer IN DATABASE {empty_database.name} SET role = {role}"
            )
        yield empty_database
        with empty_database.connect() as connection:
            connection.execute(f"ALTER DATABASE {empty_database.name} OWNER TO smcatalog")
            connection.execute(f"DROP OWNED BY {role} CASCADE")
            connection.execute(f"DROP ROLE {role}")

    def test_a_missing_extension_is_named(self, database_server, owned):
        with pytest.raises(DatabaseUnavailable, match="CREATE EXTENSION postgis SCHEMA public"):
            upgrade(owned.url_for("smcatalog_writer"))

    def test_everything_else_works(self, database_server, owned):
        with owned.connect() as connection:
            connection.execute("CREATE EXTENSION postgis SCHEMA public")
        report = upgrade(owned.url_for("smcatalog_writer"))
        assert report.changed
        assert not upgrade(owned.url_for("smcatalog_writer")).changed
        check(owned.url_for("smcatalog_writer"))
        with owned.connect("smcatalog_analyst") as connection:
            assert connection.execute("SELECT count(*) FROM maps").fetchone() == (0,)


def test_an_ordinary_role_is_refused_with_advice(database):
    with database.connect() as connection:
        connection.execute("REVOKE SELECT ON views.maps FROM smcatalog_analyst")
    with pytest.raises(DatabaseUnavailable, match="database's owner"):
        upgrade(database.url_for("smcatalog_writer"))


def test_no_server_and_no_url(tmp_path):
    with pytest.raises(DatabaseUnavailable, match="smcatalog db start"):
        upgrade(f"postgresql+psycopg:///x?host={tmp_path}")
    with pytest.raises(ConfigurationError, match="not a database URL"):
        upgrade("mysql://x/y")


def test_alembic_from_the_shell(database):
    alembic = Path(sys.executable).with_name("alembic")
    environment = os.environ | {"SMCATALOG_DATABASE_URL": database.url}
    for command in (["check"], ["current"], ["downgrade", "-1"], ["upgrade", "head"]):
        done = subprocess.run(
            [str(alembic), *command],
            check=False,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
    upgrade(database.url)
    check(database.url)


def test_locks_are_waited_for_and_then_named(database):
    from smcatalog.database.engine import transaction

    with psycopg.connect(database.libpq_url()) as other:
        other.execute("LOCK TABLE smcatalog.networks")
        started = time.perf_counter()
        with pytest.raises(DatabaseUnavailable, match="held its locks"):
            transaction(
                database.engine,
                lambda c: c.execute(text("SELECT * FROM smcatalog.networks")),
                lock_timeout_ms=50,
                retries=2,
            )
        assert time.perf_counter() - started > 0.15
    attempts = []

    def flaky(connection):
        attempts.append(1)
        if len(attempts) < 3:
            connection.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$"))
        return "done"

    assert transaction(database.engine, flaky) == "done"
    assert len(attempts) == 3
