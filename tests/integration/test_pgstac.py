from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, text

from smcatalog.core.errors import DatabaseUnavailable, NotFoundError
from smcatalog.core.versions import PGSTAC_VERSION
from smcatalog.database.upgrade import upgrade
from smcatalog.stac import pgstac
from smcatalog.stac.collections import CollectionInfo, build_collection
from smcatalog.stac.items import build_item
from tests.factories.maps import DEPTHS, GRID, described_map, replaced, window
from tests.fixtures.databases import Database

INFO = CollectionInfo(
    product="testmap",
    title="Test map",
    description="Made by the tests",
    bbox=(146.0, -35.0, 146.5, -34.5),
    first=date(2018, 1, 1),
    last=None,
    grid=GRID,
    depths=DEPTHS,
)
LOCKS = """
    SELECT DISTINCT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_backend_pid() AND n.nspname = 'pgstac'
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conname LIKE '%\\_dt' ORDER BY 1
"""


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """As the workers: the writer's role, with the collection there."""
    writer = database.engine_for("smcatalog_writer")
    with writer.begin() as conn:
        assert pgstac.upsert_collection(conn, build_collection(INFO))
    yield writer
    writer.dispose()


def published(engine: Engine, *days: date) -> None:
    for day in days:
        pgstac.ensure_year_partition(engine, "testmap", window(day))
        with engine.begin() as conn:
            pgstac.upsert_item(conn, build_item(described_map(day=day)))


def test_version_is_checked(database: Database) -> None:
    with database.engine.begin() as conn:
        assert pgstac.pgstac_version(conn) == PGSTAC_VERSION
        pgstac.check_version(conn)
        conn.execute(text("INSERT INTO pgstac.migrations (version) VALUES ('0.99.0')"))
        with pytest.raises(DatabaseUnavailable, match=r"pgstac 0\.99\.0.*db upgrade"):
            pgstac.check_version(conn)


def test_a_database_without_pgstac_is_told_apart(empty_database: Database) -> None:
    with (
        empty_database.engine.connect() as conn,
        pytest.raises(DatabaseUnavailable, match="no pgstac schema"),
    ):
        pgstac.check_version(conn)


def test_collection_is_written_once(engine: Engine) -> None:
    with engine.begin() as conn:
        assert not pgstac.upsert_collection(conn, build_collection(INFO))
        changed = build_collection(replace(INFO, title="Other"))
        assert pgstac.upsert_collection(conn, changed)
        assert not pgstac.upsert_collection(conn, changed)
        stored = conn.execute(
            text("SELECT partition_trunc, content->>'title' FROM pgstac.collections")
        ).all()
        assert stored == [("year", "Other")]


def test_item_comes_back_as_written(engine: Engine) -> None:
    published(engine, date(2018, 8, 2))
    item = build_item(described_map())
    with engine.connect() as conn:
        stored = pgstac.get_item(conn, "testmap", item.id)
        assert stored == item.to_dict(include_self_link=False, transform_hrefs=False)
        assert pgstac.get_item(conn, "testmap", "absent") is None


def test_second_upsert_leaves_the_row_alone_and_a_changed_one_replaces_it(engine: Engine) -> None:
    published(engine, date(2018, 8, 2))
    old, new = replaced(described_map())
    row = text("SELECT xmin::text, ctid::text FROM pgstac.items")
    with engine.begin() as conn:
        before = conn.execute(row).all()
        pgstac.upsert_item(conn, build_item(described_map()))
        assert conn.execute(row).all() == before
    with engine.begin() as conn:
        pgstac.upsert_item(conn, build_item(old))
        pgstac.upsert_item(conn, build_item(new))
        states = conn.execute(
            text("SELECT id, content->'properties'->>'deprecated' FROM pgstac.items ORDER BY id")
        ).all()
    assert states == [(old.item_id, "true"), (new.item_id, "false")]


def test_partition_is_made_once_and_never_widened(engine: Engine) -> None:
    assert pgstac.ensure_year_partition(engine, "testmap", window(date(2018, 6, 1)))
    assert not pgstac.ensure_year_partition(engine, "testmap", window(date(2018, 12, 31)))
    with engine.connect() as conn:
        before = conn.execute(text(CONSTRAINTS)).all()
    assert len(before) == 1
    published(engine, date(2018, 1, 2), date(2018, 8, 2), date(2018, 12, 31))
    with engine.connect() as conn:
        assert conn.execute(text(CONSTRAINTS)).all() == before
    assert pgstac.ensure_year_partition(engine, "testmap", window(date(2019, 6, 1)))


def test_upsert_takes_row_locks_only(engine: Engine) -> None:
    published(engine, date(2018, 1, 2))
    items = [build_item(described_map(day=date(2018, 2, 1) + timedelta(n))) for n in range(20)]
    with engine.begin() as conn:
        for item in items:
            pgstac.upsert_item(conn, item)
        held = conn.execute(text(LOCKS)).all()
    assert ("_items_1_2018", "RowExclusiveLock") in held
    readers_wait_for = {"AccessExclusiveLock"}
    writers_wait_for = {"ExclusiveLock", "ShareRowExclusiveLock", "ShareLock"}
    assert not [lock for lock in held if lock[1] in readers_wait_for | writers_wait_for]


def test_readers_and_upserts_do_not_wait_for_each_other(engine: Engine) -> None:
    published(engine, date(2018, 1, 2))
    with engine.begin() as writing:
        pgstac.upsert_item(writing, build_item(described_map(day=date(2018, 3, 1))))
        with engine.begin() as reading:
            reading.execute(text("SET LOCAL lock_timeout = '200ms'"))
            found = reading.execute(text("SELECT pgstac.search('{}')")).scalar_one()
            assert len(found["features"]) == 1


def test_partition_waits_for_a_reader_and_is_made_after(engine: Engine) -> None:
    published(engine, date(2018, 1, 2))
    reading = engine.connect()
    reading.execute(text("SELECT count(*) FROM pgstac.items"))
    release = threading.Timer(1.0, reading.close)
    release.start()
    assert pgstac.ensure_year_partition(engine, "testmap", window(date(2020, 6, 1)))
    release.join()


def test_partition_of_an_unknown_collection_is_refused(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match="'absent'"):
        pgstac.ensure_year_partition(engine, "absent", window(date(2018, 6, 1)))


def test_an_upgraded_database_has_the_settings_and_an_upgrade_leaves_them_alone(
    database: Database,
) -> None:
    with database.engine.begin() as conn:
        settings = dict(conn.execute(text("SELECT name, value FROM pgstac.pgstac_settings")).all())
        assert settings["context"] == "on"
        assert settings["use_queue"] == settings["update_collection_extent"] == "false"
        rows = conn.execute(text("SELECT xmin::text, ctid::text FROM pgstac.pgstac_settings")).all()
    upgrade(database.url)
    with database.engine.begin() as conn:
        assert rows == (
            conn.execute(text("SELECT xmin::text, ctid::text FROM pgstac.pgstac_settings")).all()
        )
