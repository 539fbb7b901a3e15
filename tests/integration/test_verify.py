"""Each kind of damage is found once, repaired, and then gone; a sound catalogue gives nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from smcatalog.core.errors import NotFoundError, StoreError, UsageError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.database.damage import invalidate_map
from smcatalog.database.engine import transaction
from smcatalog.services import findings as values
from smcatalog.services import produce as producing
from smcatalog.services import verify as verifying
from smcatalog.services.findings import FileKind, FindingKind, Outcome
from smcatalog.services.produce import produce
from smcatalog.services.repair import repair
from smcatalog.services.verify import verify
from smcatalog.stac.pgstac import delete_item, get_item
from smcatalog.store import Entry
from tests.factories import inputs as make
from tests.fixtures.filled import filling

DAYS = make.days(12)
LATE = DAYS[11]
TABLES = (
    "damaged_files", "granules", "layer_granules", "layers", "map_files", "map_layers", "maps", "models",
    "partitions", "product_versions", "products",
)  # fmt: skip


def fill(place):
    """Leave a catalogue with maps, one of which was replaced."""
    make.put_static(place)
    for day in DAYS:
        make.put_day(place, day)
    produce(place, make.definition(), DAYS[8])
    make.put(place, "W", "swvl1", make.FINE, make.wetness(LATE) + 0.05, LATE, granule="2")
    produce(place, make.definition(), DAYS[8])


@pytest.fixture(scope="module")
def filled(database_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    with filling(database_server, folder, fill, "smcatalog_writer") as made:
        yield made


@pytest.fixture
def copied(filled, tmp_path):
    with filled.copy(tmp_path / "home", "smcatalog_writer") as both:
        yield both


@pytest.fixture
def place(copied):
    return copied[0]


@pytest.fixture
def database(copied):
    return copied[1]


def query(place, statement, **parameters):
    with place.engine.begin() as connection:
        result = connection.execute(text(statement), parameters)
        return result.fetchall() if result.returns_rows else None


def state(place):
    """Everything: rows, items, files with times."""
    rows = {
        t: sorted(map(str, query(place, f"SELECT t::text FROM smcatalog.{t} t"))) for t in TABLES
    }
    rows["items"] = query(place, "SELECT id, content::text FROM pgstac.items ORDER BY id")
    rows["collections"] = query(place, "SELECT content::text FROM pgstac.collections")
    files = {
        str(path): (sha256_file(path), path.stat().st_mtime_ns)
        for path in sorted(place.settings.home.rglob("*"))
        if path.is_file()
    }
    return rows, files


def live_file(place, day=DAYS[9], kind="soil_moisture"):
    rows = query(
        place,
        "SELECT f.key FROM smcatalog.maps m JOIN smcatalog.map_files f ON f.map_id = m.id "
        "WHERE m.day = :day AND f.kind = :kind AND m.superseded_at IS NULL",
        day=day,
        kind=kind,
    )
    return rows[0][0]


def items(place):
    return dict(query(place, "SELECT id, content FROM pgstac.items").__iter__())


def one(report):
    """Return the only finding."""
    assert report.counts.total() == len(report.findings) == 1, report.findings
    return report.findings[0]


def flip(place, key, at=2000):
    path = place.store.path(key)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def orphan(place, age=timedelta(hours=2), name="maps/tiny/2020/left.tif"):
    path = place.store.path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"written by one who died")
    when = (datetime.now(UTC) - age).timestamp()
    os.utime(path, (when, when))
    return name


def test_a_sound_catalogue_gives_nothing_and_is_left_as_it_is(place):
    before = state(place)
    report = verify(place, deep=True)
    assert report.findings == []
    assert report.well
    files = list(place.store.files())
    assert (report.files, report.hashed) == (len(files), len(files))
    assert report.bytes == sum(file.size for file in files)
    assert report.maps == 5
    assert repair(place, report).findings == []
    assert state(place) == before


def _flip(place):
    flip(place, live_file(place))


def _truncate(place):
    path = place.store.path(live_file(place))
    os.truncate(path, path.stat().st_size - 1)


def _delete(place):
    place.store.remove(live_file(place))


@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        (_flip, FindingKind.DAMAGED_FILE, "its SHA-256 is"),
        (_truncate, FindingKind.DAMAGED_FILE, "bytes, recorded are"),
        (_delete, FindingKind.MISSING_FILE, "not in the store"),
    ],
)
def test_a_lost_file_of_a_map_is_made_again_with_the_same_bytes(place, damage, kind, said):
    key, rows, stored = live_file(place), state(place)[0], items(place)
    sound = sha256_file(place.store.path(key))
    damage(place)
    broken = place.store.path(key).read_bytes() if place.store.exists(key) else None
    found = one(verify(place))
    assert (found.kind, found.key, found.used_by) == (kind, key, (f"map tiny_{DAYS[9]:%Y%j}_v1r1",))
    assert said in found.detail
    assert "smcatalog produce tiny" in found.advice
    before = state(place)
    planned = one(repair(place, verify(place), dry_run=True))
    assert planned.outcome is Outcome.PLANNED
    assert state(place) == before

    marked = one(repair(place, verify(place)))
    assert (marked.outcome, marked.is_left) == (Outcome.MARKED, True)
    if broken is not None:
        (kept,) = (place.settings.home / "trash").rglob("*.tif")
        assert kept.read_bytes() == broken
    after = state(place)
    assert one(verify(place)).kind is FindingKind.MISSING_FILE
    assert one(repair(place, verify(place))).outcome is Outcome.MARKED
    assert state(place) == after

    report = produce(place, make.definition(), DAYS[8])
    assert [day.day for day in report.days if day.outcome == "made"] == [DAYS[9]]
    assert sha256_file(place.store.path(key)) == sound
    assert items(place) == stored
    assert verify(place).findings == []
    now = state(place)[0]
    assert len(now.pop("damaged_files")) == 1
    rows.pop("damaged_files")
    assert now == rows
    assert {day.outcome for day in produce(place, make.definition(), DAYS[8]).days} == {"current"}


def test_a_file_that_comes_back_by_itself_leaves_the_list(place):
    key = live_file(place)
    path = place.store.path(key)
    content = path.read_bytes()
    path.unlink()
    repair(place, verify(place))
    path.write_bytes(content)
    assert one(verify(place)).kind is FindingKind.HEALED_FILE
    assert one(repair(place, verify(place))).outcome is Outcome.REPAIRED
    assert verify(place).findings == []
    assert {day.outcome for day in produce(place, make.definition(), DAYS[8]).days} == {"current"}


def test_a_map_that_gives_other_bytes_now_is_a_new_revision(place, monkeypatch):
    """As after a change of a library: else it would be made again each night."""
    place.store.remove(live_file(place))
    repair(place, verify(place))
    predict = producing.predict_map

    def other(*arguments):
        stacks = predict(*arguments)
        stacks["soil_moisture"][:] += 1
        return stacks

    monkeypatch.setattr(producing, "predict_map", other)
    report = produce(place, make.definition(), DAYS[8])
    (made,) = [day for day in report.days if day.outcome == "made"]
    assert made.item_id == f"tiny_{DAYS[9]:%Y%j}_v1r2"
    assert {day.outcome for day in produce(place, make.definition(), DAYS[8]).days} == {"current"}
    left = one(repair(place, verify(place)))
    assert (left.outcome, left.used_by) == (Outcome.LEFT, (f"map tiny_{DAYS[9]:%Y%j}_v1r1",))


def test_a_whole_map_can_be_made_again(place):
    stored = items(place)
    (map_id,) = query(
        place, "SELECT id FROM smcatalog.maps WHERE day = :d AND superseded_at IS NULL", d=DAYS[9]
    )[0]
    noted = transaction(place.engine, lambda c: invalidate_map(c, map_id, "doubted"))
    assert noted == 3
    assert transaction(place.engine, lambda c: invalidate_map(c, map_id, "doubted")) == 0
    assert produce(place, make.definition(), DAYS[8]).count("made") == 1
    assert items(place) == stored
    assert verify(place).findings == []


def test_a_lost_file_of_a_replaced_map_is_left_with_its_name(place):
    rows = query(
        place,
        "SELECT f.key FROM smcatalog.maps m JOIN smcatalog.map_files f ON f.map_id = m.id "
        "WHERE m.superseded_at IS NOT NULL AND f.kind = 'soil_moisture'",
    )
    place.store.remove(rows[0][0])
    before = state(place)
    left = one(repair(place, verify(place)))
    assert left.outcome is Outcome.LEFT
    assert "backup" in left.advice
    assert state(place) == before


def test_a_lost_model_is_fitted_again(place):
    (model,) = place.store.root.glob("models/tiny/*.json")
    content = model.read_bytes()
    model.write_bytes(content + b" ")
    found = one(verify(place, kind=FileKind.MODELS))
    assert found.kind is FindingKind.DAMAGED_FILE
    assert found.used_by == ("model tiny v1 all all",)
    assert one(repair(place, verify(place))).outcome is Outcome.MARKED
    produce(place, make.definition(), DAYS[8])
    assert model.read_bytes() == content
    assert verify(place).findings == []


def test_files_of_layers_name_the_granules_that_bring_them_back(place):
    key = query(place, "SELECT key FROM smcatalog.layers WHERE variable = 'elevation'")[0][0]
    place.store.remove(key)
    found = one(verify(place))
    assert found.used_by[0].startswith("layer D elevation on ")
    assert "ingest D-None-1 again" in found.advice
    assert one(repair(place, verify(place))).outcome is Outcome.MARKED


@pytest.mark.parametrize("delete", [False, True])
def test_old_orphans_go_and_fresh_files_stay(place, delete):
    old, fresh = orphan(place), orphan(place, timedelta(minutes=5), "odd/fresh")
    report = verify(place)
    assert {f.key: f.kind for f in report.findings} == {
        old: FindingKind.ORPHAN_FILE,
        fresh: FindingKind.FRESH_FILE,
    }
    before = state(place)
    repair(place, report, dry_run=True, delete_orphans=delete)
    assert state(place) == before
    done = repair(place, report, delete_orphans=delete)
    assert {f.key: f.outcome for f in done.findings} == {
        old: Outcome.REPAIRED,
        fresh: Outcome.LEFT,
    }
    assert done.well
    assert (place.store.exists(old), place.store.exists(fresh)) == (False, True)
    kept = [path.read_bytes() for path in place.settings.home.glob(f"trash/*/{old}")]
    assert kept == ([] if delete else [b"written by one who died"])
    second = verify(place)
    assert [f.kind for f in second.findings] == [FindingKind.FRESH_FILE]
    assert second.well


def test_two_orphans_of_a_name_are_both_kept(place):
    for content in (b"one", b"two", b"two"):
        place.store.path(orphan(place)).write_bytes(content)
        os.utime(place.store.path(orphan.__defaults__[1]), (0, 0))
        assert repair(place, verify(place)).well
    kept = sorted(p.read_bytes() for p in place.settings.home.rglob("trash/*/maps/tiny/2020/left*"))
    assert kept == [b"one", b"two"]


def _item_deleted(place, name):
    transaction(place.engine, lambda c: delete_item(c, "tiny", name))


def _edited(path, value) -> Callable:
    def edit(place, name):
        query(
            place,
            "UPDATE pgstac.items SET content = jsonb_set(content, :path, CAST(:value AS jsonb)) "
            "WHERE id = :name",
            path=path,
            value=json.dumps(value),
            name=name,
        )

    return edit


@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        (_item_deleted, FindingKind.MISSING_ITEM, "no item"),
        (_edited(["properties", "title"], "Other"), FindingKind.OTHER_ITEM, "properties.title"),
        (_edited(["assets", "quality", "href"], "x"), FindingKind.OTHER_ITEM, "assets"),
        (_edited(["links"], []), FindingKind.OTHER_ITEM, "links"),
        (
            _edited(["properties", "deprecated"], value=True),
            FindingKind.WRONG_DEPRECATED,
            "deprecated",
        ),
    ],
)
def test_items_are_written_again_from_rows(place, damage, kind, said):
    name, stored = f"tiny_{DAYS[9]:%Y%j}_v1r1", items(place)
    damage(place, name)
    found = one(verify(place))
    assert (found.kind, found.key) == (kind, f"tiny/{name}")
    assert said in found.detail
    before = state(place)
    assert one(repair(place, verify(place), dry_run=True)).outcome is Outcome.PLANNED
    assert state(place) == before
    assert one(repair(place, verify(place))).outcome is Outcome.REPAIRED
    assert items(place) == stored
    assert verify(place).findings == []
    after = state(place)
    repair(place, verify(place))
    assert state(place) == after


def test_a_replaced_map_that_claims_to_be_in_force(place):
    name = f"tiny_{LATE:%Y%j}_v1r1"
    _edited(["properties", "deprecated"], value=False)(place, name)
    assert one(verify(place)).kind is FindingKind.WRONG_DEPRECATED
    repair(place, verify(place))
    assert items(place)[name]["properties"]["deprecated"] is True


def test_an_item_without_a_map_is_deleted_and_kept(place):
    stored = items(place)
    with place.engine.begin() as connection:
        content = get_item(connection, "tiny", f"tiny_{LATE:%Y%j}_v1r2") | {"id": "tiny_other"}
        connection.execute(
            text("SELECT pgstac.upsert_item(CAST(:content AS jsonb))"),
            {"content": json.dumps(content)},
        )
    found = one(verify(place))
    assert (found.kind, found.key) == (FindingKind.ORPHAN_ITEM, "tiny/tiny_other")
    assert one(repair(place, verify(place))).outcome is Outcome.REPAIRED
    assert items(place) == stored
    (kept,) = place.settings.home.glob("trash/*/items/tiny/tiny_other.json")
    assert json.loads(kept.read_text()) == content
    assert verify(place).findings == []


def test_a_lost_collection_comes_back_with_its_items(place, database):
    stored, (collection,) = items(place), query(place, "SELECT content FROM pgstac.collections")
    with database.connect() as connection:
        connection.execute("SELECT pgstac.delete_collection('tiny')")
    report = verify(place)
    assert report.counts == {FindingKind.MISSING_COLLECTION: 1, FindingKind.MISSING_ITEM: 5}
    done = repair(place, report)
    assert done.well, done.findings
    assert items(place) == stored
    assert query(place, "SELECT content FROM pgstac.collections") == [collection]
    assert verify(place).findings == []


def test_layers_whose_lineage_is_wrong(place):
    query(
        place,
        "DELETE FROM smcatalog.layer_granules WHERE layer_id = "
        "(SELECT id FROM smcatalog.layers WHERE variable = 'elevation')",
    )
    query(
        place,
        "INSERT INTO smcatalog.granules (source, name, subject, production, delivered_as, sha256, size) "
        "SELECT source, 'newer', subject, 'z', 'newer', repeat('0', 64), 1 FROM smcatalog.granules "
        "WHERE name = :name",
        name=f"C-{DAYS[0]}-1",
    )
    report = verify(place)
    assert report.counts == {FindingKind.LAYER_WITHOUT_GRANULE: 1, FindingKind.OUTDATED_LAYER: 1}
    (outdated,) = [f for f in report.findings if f.kind is FindingKind.OUTDATED_LAYER]
    assert outdated.used_by == (f"C-{DAYS[0]}-1",)
    done = {f.kind: f.outcome for f in repair(place, report).findings}
    assert done == {
        FindingKind.LAYER_WITHOUT_GRANULE: Outcome.LEFT,
        FindingKind.OUTDATED_LAYER: Outcome.REPAIRED,
    }
    assert one(verify(place)).kind is FindingKind.LAYER_WITHOUT_GRANULE


def test_a_map_without_the_row_of_a_file(place, database):
    query(
        place,
        "DELETE FROM smcatalog.map_files WHERE key = :key",
        key=live_file(place, kind="quality"),
    )
    report = verify(place)
    kinds = {f.kind for f in report.findings}
    assert kinds == {FindingKind.INCOMPLETE_MAP, FindingKind.FRESH_FILE}
    assert not repair(place, report).well


def test_maps_that_are_no_cogs_are_seen_by_those_who_look_deep(place):
    key = live_file(place)
    path = place.store.path(key)
    path.write_bytes(b"no raster at all")
    digest = hashlib.sha256(b"no raster at all").hexdigest()
    query(
        place,
        "UPDATE smcatalog.map_files SET sha256 = :sha, size = 16 WHERE key = :key",
        sha=digest,
        key=key,
    )
    assert one(verify(place, kind=FileKind.MAPS)).kind is FindingKind.OTHER_ITEM
    deep = {f.kind for f in verify(place, kind=FileKind.MAPS, deep=True).findings}
    assert deep == {FindingKind.NOT_A_COG, FindingKind.OTHER_ITEM}


def test_shares_of_days_in_a_row_cover_every_file_once(place):
    files = [file.key for file in place.store.files()]
    flip(place, live_file(place))
    start, found, hashed = datetime.now(UTC), 0, 0
    for day in range(4):
        report = verify(
            place, sample=0.25, now=start + timedelta(days=day), grace=timedelta(days=9)
        )
        found += report.counts[FindingKind.DAMAGED_FILE]
        hashed += report.hashed
    assert (found, hashed) == (1, len(files))
    place.store.remove(files[0])
    assert verify(place, sample=0.01).counts[FindingKind.MISSING_FILE] == 1


def test_a_part_can_be_looked_at(place):
    flip(place, live_file(place))
    place.store.remove(query(place, "SELECT key FROM smcatalog.layers LIMIT 1")[0][0])
    name = orphan(place, name="odd/one")
    assert {f.key for f in verify(place).findings} > {name}
    assert verify(place).counts.total() == 3
    assert one(verify(place, product="tiny")).kind is FindingKind.DAMAGED_FILE
    assert one(verify(place, kind=FileKind.LAYERS)).kind is FindingKind.MISSING_FILE
    assert verify(place, kind=FileKind.MODELS).findings == []
    with pytest.raises(NotFoundError, match="'nobody'"):
        verify(place, product="nobody")
    with pytest.raises(UsageError, match="layers belong to no product"):
        verify(place, product="tiny", kind=FileKind.LAYERS)
    with pytest.raises(UsageError, match="share above 0"):
        verify(place, sample=0)


def test_the_store_of_another_catalogue_is_not_touched(place, tmp_path):
    other = make.workspace(place.engine, tmp_path / "other")
    left = other.store.path("maps/tiny/2020/theirs.tif")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"theirs")
    os.utime(left, (0, 0))
    report = verify(other)
    assert report.counts[FindingKind.ORPHAN_FILE] == 1
    with pytest.raises(UsageError, match="do not belong together"):
        repair(other, report)
    assert left.exists()
    assert query(place, "SELECT count(*) FROM smcatalog.damaged_files") == [(0,)]


def test_findings_beyond_measure_are_counted_and_not_kept(place, monkeypatch):
    monkeypatch.setattr(values, "MOST", 4)
    for path in place.store.root.glob("layers/**/*.tif"):
        path.unlink()
    report = verify(place)
    assert len(report.findings) == 4
    assert report.unlisted == report.counts.total() - 4 > 4
    assert not report.well


def test_a_store_that_lists_out_of_order_is_not_believed(place, monkeypatch):
    now = datetime.now(UTC)
    monkeypatch.setattr(
        type(place.store), "files", lambda self: iter([Entry("b", 1, now), Entry("a", 1, now)])
    )
    with pytest.raises(StoreError, match="out of order"):
        verify(place)


def test_a_long_listing_is_read_in_pages(place, monkeypatch):
    monkeypatch.setattr("smcatalog.database.verification._PAGE", 3)
    monkeypatch.setattr(verifying, "_PAGE", 2)
    assert verify(place).findings == []
