"""Maps and granules that are withdrawn: out of force, never deleted, and what was before comes back."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from ingest.service import ingest
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.time import Period
from smcatalog.database.granules import find_granules, granule_uses
from smcatalog.database.inputs import (
    GranuleRecord,
    NewLayer,
    is_outdated,
    layers_of,
    record_granule,
    record_layer,
    supersede_older,
)
from smcatalog.database.withdrawals import GranuleWithdrawal
from smcatalog.services.withdraw import withdraw_granules
from tests.factories import inputs, modis
from tests.factories.publishing import Press

DAY = date(2020, 1, 8)
NOW = datetime(2024, 5, 1, tzinfo=UTC)


# -- maps


def test_a_withdrawn_map_is_deprecated_without_a_successor_until_there_is_one(database, tmp_path):
    press = Press.of(database.engine, tmp_path)
    first = press.publish(DAY, NOW)
    gone = press.withdraw(DAY, "the  sensor\nfailed", NOW + timedelta(hours=1))
    assert gone is not None
    assert (gone.item_id, gone.deprecated, gone.withdrawn) == (
        first.item_id,
        True,
        "the sensor failed",
    )
    [item] = press.items().values()
    assert item["deprecated"] is True
    assert item["smcatalog:withdrawn"] == "the sensor failed"
    assert "successor-version" not in item
    assert press.withdraw(DAY, "again") is None
    assert press.withdraw(DAY + timedelta(days=1), "never there") is None

    later = press.publish(DAY, NOW + timedelta(hours=2))
    assert later.predecessor == first.item_id
    assert not later.deprecated
    items = press.items()
    assert items[first.item_id]["successor-version"] == later.item_id
    assert items[first.item_id]["smcatalog:withdrawn"] == "the sensor failed"
    assert items[later.item_id]["predecessor-version"] == first.item_id
    assert "smcatalog:withdrawn" not in items[later.item_id]

    newest = press.publish(DAY, NOW + timedelta(hours=3))
    assert newest.predecessor == later.item_id
    with database.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT item_id, live, successor, withdrawn_reason FROM views.maps ORDER BY revision"
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        (first.item_id, False, later.item_id, "the sensor failed"),
        (later.item_id, False, newest.item_id, None),
        (newest.item_id, True, None, None),
    ]


def test_a_clock_that_runs_behind_does_not_stop_publishing(database, tmp_path):
    press = Press.of(database.engine, tmp_path)
    press.publish(DAY, NOW)
    assert press.publish(DAY, NOW - timedelta(hours=1)).published_at == NOW
    assert press.withdraw(DAY, now=NOW - timedelta(hours=2)) is not None
    assert press.publish(DAY, NOW - timedelta(hours=3)).published_at == NOW


# -- granules, as files


OLD, NEW = (modis.MOD11A1_NAME, modis.MOD11A1_NAME.replace("2020002081500", "2020340120000"))


@pytest.fixture
def workspace(database, tmp_path: Path):
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


def live(workspace):
    with workspace.engine.connect() as connection:
        found = layers_of(connection, [("MOD11A1", "lst_day")])["MOD11A1", "lst_day"]
    return [(layer.grid, layer.key, layer.sha256) for layer in found]


def withdraw(workspace, file, **more) -> GranuleWithdrawal:
    return withdraw_granules(
        workspace, "MOD11A1", file.removesuffix(".hdf"), "bad geolocation", **more
    )


@pytest.mark.parametrize("order", [(OLD, NEW), (NEW, OLD)])
def test_the_older_production_comes_back_in_any_order(workspace, granules, order):
    ingest(workspace, [granules[OLD]])
    before = live(workspace)
    with workspace.engine.begin() as connection:
        connection.execute(text("DELETE FROM smcatalog.layer_granules"))
        connection.execute(text("DELETE FROM smcatalog.layers"))
        connection.execute(text("DELETE FROM smcatalog.granules"))
    for name in order:
        ingest(workspace, [granules[name]])
    [newest] = live(workspace)
    assert [newest] != before

    tried = withdraw(workspace, NEW, dry_run=True)
    assert tried.granules == 1
    assert live(workspace) == [newest]
    assert withdraw(workspace, NEW) == tried
    assert live(workspace) == before
    assert tried.superseded >= 1
    assert tried.restored >= 1
    again = withdraw(workspace, NEW)
    assert (again.granules, again.superseded, again.restored) == (0, 0, 0)
    with workspace.engine.connect() as connection:
        names = connection.scalars(
            text("""
                SELECT g.name FROM smcatalog.layers l
                JOIN smcatalog.layer_granules k ON k.layer_id = l.id
                JOIN smcatalog.granules g ON g.id = k.granule_id
                WHERE l.superseded_at IS NULL AND l.variable = 'lst_day'
            """)
        ).all()
    assert names == [OLD.removesuffix(".hdf")]


def test_one_that_is_withdrawn_before_the_older_one_comes_does_not_outdate_it(workspace, granules):
    ingest(workspace, [granules[NEW]])
    assert withdraw(workspace, NEW).restored == 0
    assert live(workspace) == []
    ingest(workspace, [granules[OLD]])
    assert len(live(workspace)) == 1


def test_delivered_again_it_stays_withdrawn_under_any_name(workspace, granules, tmp_path):
    ingest(workspace, granules.values())
    withdraw(workspace, NEW)
    before = live(workspace)
    report = ingest(workspace, granules.values())
    assert [file.outcome for file in report.files] == ["known", "withdrawn"]
    assert [file.reason for file in report.withdrawn] == [
        "its granule was withdrawn: bad geolocation"
    ]
    with workspace.engine.begin() as connection:  # as if it had come under another name first
        connection.execute(text("UPDATE smcatalog.granules SET delivered_as = 'x-' || name"))
    report = ingest(workspace, [granules[NEW]])
    assert [(file.outcome, file.source) for file in report.files] == [("withdrawn", "MOD11A1")]
    assert live(workspace) == before


def test_lists_and_one_with_its_layers(workspace, granules):
    ingest(workspace, granules.values())
    withdraw(workspace, NEW, now=NOW)
    with workspace.engine.connect() as connection:
        assert [g.name for g in find_granules(connection, source="MOD11A1")] == [
            OLD.removesuffix(".hdf"),
            NEW.removesuffix(".hdf"),
        ]
        [gone] = find_granules(connection, withdrawn=True)
        assert (gone.withdrawn_at, gone.withdrawn_reason) == (NOW, "bad geolocation")
        day = gone.start_time.date()
        assert len(find_granules(connection, first=day, last=day)) == 2
        assert find_granules(connection, first=day + timedelta(days=9)) == []
        assert find_granules(connection, last=day - timedelta(days=9)) == []
        uses = granule_uses(connection, "MOD11A1", gone.name)
        assert uses
        assert not any(use.live for use in uses)
        assert any(use.live for use in granule_uses(connection, "MOD11A1", OLD[:-4]))
        with pytest.raises(NotFoundError, match="granules list --source X"):
            granule_uses(connection, "X", "none")
    with pytest.raises(NotFoundError, match="no granule of X is called 'none'"):
        withdraw_granules(workspace, "X", "none", "r")
    with pytest.raises(UsageError, match="say why"):
        withdraw_granules(workspace, "MOD11A1", gone.name, " ")


def test_maps_that_were_made_of_it_are_named(database, tmp_path):
    press = Press.of(database.engine, tmp_path)
    published = press.publish(DAY)
    inputs.put(press.place, "W", "swvl1", inputs.FINE, inputs.wetness(DAY), DAY)
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO smcatalog.map_layers SELECT m.id, l.id, 'covariate' "
                "FROM smcatalog.maps m, smcatalog.layers l WHERE l.source = 'W'"
            )
        )
        name = connection.scalar(text("SELECT name FROM smcatalog.granules"))
    done = withdraw_granules(press.place, "W", name, "late correction")
    assert done.maps == (published.item_id,)
    with database.engine.connect() as connection:
        row = connection.execute(
            text("SELECT item_id, withdrawn_reason FROM views.granule_impact")
        ).one()
    assert tuple(row) == (published.item_id, "late correction")


def test_zones_in_use_are_not_taken_away(database, tmp_path):
    place = inputs.workspace(database.engine, tmp_path)
    inputs.put(place, "W", "swvl1", inputs.FINE, inputs.wetness(DAY), DAY)
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO smcatalog.zones (zone_set, number, label, geometry, mended, granule_id) "
                "SELECT 'basins', 1, 'a', 'SRID=4326;MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', false, id "
                "FROM smcatalog.granules"
            )
        )
        name = connection.scalar(text("SELECT name FROM smcatalog.granules"))
    with pytest.raises(UsageError, match="zones 'basins' in use"):
        withdraw_granules(place, "W", name, "r")


# -- granules, by law


@dataclass
class Model:
    """What should be in force, worked out from all that was delivered and not withdrawn."""

    delivered: list[tuple[str, int, int, str]] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)

    def expected(self) -> dict[str, str]:
        """Content by place: of each subject its latest production; of equal ones the last delivered."""
        places: dict[str, str] = {}
        for subject in {one[0] for one in self.delivered}:
            there = [
                one for one in self.delivered
                if one[0] == subject and name_of(one) not in self.withdrawn
            ]  # fmt: skip
            if there:
                best = max(there, key=lambda one: one[1])
                places[f"{subject}/{best[2]}"] = best[3]
        return places


def name_of(one) -> str:
    return f"{one[0]}.{one[1]}"


@pytest.mark.parametrize("seed", range(4))
def test_the_latest_production_that_is_not_withdrawn_is_in_force(database, tmp_path, seed):
    """Productions come and go in any order, with other windows or the same content as others."""
    chance = random.Random(seed)
    place = inputs.workspace(database.engine, tmp_path)
    model = Model()
    for _ in range(30):
        subject, production = chance.choice("ab"), chance.randrange(4)
        name = f"{subject}.{production}"
        known = {name_of(one) for one in model.delivered}
        if name in known and chance.random() < 0.6:
            withdraw_granules(place, "S", name, "r")
            model.withdrawn.add(name)
        elif name not in known:
            one = (subject, production, chance.randrange(2), chance.choice("xyz"))
            model.delivered.append(one)
            deliver(database.engine, one)
        with database.engine.connect() as connection:
            found = layers_of(connection, [("S", "sm")])["S", "sm"]
        assert {layer.grid: layer.key for layer in found} == model.expected()


def deliver(engine, one) -> None:
    """Record a granule as ingesting does."""
    subject, production, window, content = one
    period = Period.of_day(DAY)
    granule = GranuleRecord(
        "S", name_of(one), name_of(one), fingerprint(list(one)), 1, period, subject, str(production)
    )
    layer = NewLayer("S", "sm", f"{subject}/{window}", period, content, fingerprint(content), 1)
    with engine.begin() as connection:
        key = record_granule(connection, granule)
        assert key is not None
        record_layer(connection, layer, key, outdated=is_outdated(connection, key))
        supersede_older(connection, key)
