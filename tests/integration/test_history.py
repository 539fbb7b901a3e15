"""The catalogue as of an instant is what had happened by then, whatever happened later."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.time import Period
from smcatalog.services.history import find_maps
from smcatalog.services.validate import Grouping, validate
from tests.factories.catalogue import GRID, Catalogue, centre
from tests.factories.inputs import COARSE, FIRST
from tests.factories.publishing import Press

START = datetime(2024, 5, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def in_force(engine, instant=None, **more):
    return {(m.product, m.day): m.item_id for m in find_maps(engine, as_of=instant, **more)}


@pytest.mark.parametrize("seed", range(3))
def test_as_of_is_a_replay_up_to_the_instant(database, tmp_path, seed):
    """Publish, publish again and withdraw at random, with clocks that sometimes run behind."""
    chance = random.Random(seed)
    presses = [Press.of(database.engine, tmp_path, name=name) for name in ("one", "two")]
    days = [FIRST + timedelta(days=i) for i in range(3)]
    events: list[tuple[datetime, tuple[str, date], str | None]] = []
    last: dict[tuple[str, date], datetime] = {}
    for step in range(25):
        press, day = chance.choice(presses), chance.choice(days)
        key = press.definition.name, day
        clock = START + (step - chance.choice([0, 0, 5])) * MINUTE
        item = None
        if chance.random() < 0.3:
            if press.withdraw(day, now=clock) is None:
                continue
        else:
            item = press.publish(day, now=clock).item_id
        # one whose clock runs behind is dated by the end of its day's history so far
        last[key] = max(clock, last.get(key, clock))
        events.append((last[key], key, item))

    def replay(until: datetime) -> dict[tuple[str, date], str]:
        state = {key: item for at, key, item in events if at <= until}
        return {key: item for key, item in state.items() if item is not None}

    for step in range(-6, 26):
        for instant in (START + step * MINUTE, START + step * MINUTE - timedelta(microseconds=1)):
            assert in_force(database.engine, instant) == replay(instant)
    now = replay(START + timedelta(days=1))
    assert in_force(database.engine) == in_force(database.engine, datetime.now(UTC)) == now
    assert in_force(database.engine, START - timedelta(days=1)) == {}
    # and the STAC catalogue says the same of the present: one item a product and day, unless withdrawn
    for press in presses:
        current = {name for name, item in press.items().items() if not item["deprecated"]}
        name = press.definition.name
        assert current == {item for (product, _), item in now.items() if product == name}


def test_search_by_product_day_and_place(database, tmp_path):
    one, two = (Press.of(database.engine, tmp_path, name=name) for name in ("one", "two"))
    for day in range(3):
        one.publish(FIRST + timedelta(days=day))
    two.publish(FIRST)
    engine = database.engine
    assert len(in_force(engine)) == 4
    assert set(in_force(engine, products=["two"])) == {("two", FIRST)}
    assert len(in_force(engine, products=["one"], first=FIRST + timedelta(days=1))) == 2
    assert len(in_force(engine, last=FIRST)) == 2
    west, south, east, north = COARSE.bbox()
    assert len(in_force(engine, bbox=COARSE.bbox())) == 4
    assert in_force(engine, bbox=(east + 1, south, east + 2, north)) == {}
    assert in_force(engine, bbox=(170.0, south, -170.0, north)) == {}
    assert len(in_force(engine, bbox=(170.0, south, west + 0.1, north))) == 4  # round the globe
    with pytest.raises(UsageError, match="before the first"):
        find_maps(engine, first=FIRST, last=FIRST - timedelta(days=1))


def test_scores_as_of_an_instant_are_those_of_the_maps_of_then(database, tmp_path):
    catalogue = Catalogue(database.engine, tmp_path / "store")
    product = catalogue.product()
    version = catalogue.version(product)
    model = catalogue.model(version)
    sensor = catalogue.sensor(catalogue.station("NET", "one", centre(GRID, 10, 20)))
    days = [FIRST, FIRST + timedelta(days=1)]
    for day in days:
        catalogue.observe_day(sensor, day, 0.2)

    def publish(day, value, revision):
        field = np.full((1, *GRID.shape), value)
        return catalogue.map(product, version, model, Period.of_day(day), field, revision=revision)

    def dated(map_id, begins, ends=None, by=None, reason=None):
        catalogue.run(
            "UPDATE smcatalog.maps SET published_at = :begins, superseded_at = :ends, superseded_by = :by, "
            "withdrawn_reason = :reason WHERE id = :id",
            id=map_id, begins=begins, ends=ends, by=by, reason=reason,
        )  # fmt: skip

    def bias(as_of=None, **more):
        report = validate(
            database.engine, catalogue.store, "test", by=Grouping.ALL, as_of=as_of, **more
        )
        assert report.as_of == as_of
        return {(row.map.n, round(row.map.bias, 3)) for row in report.rows}

    # the first day's map is replaced, the second's withdrawn: before anybody looked at their scores
    old = publish(days[0], 0.30, 1)
    gone = publish(days[1], 0.40, 1)
    dated(gone, START, START + 5 * MINUTE, reason="wrong")
    dated(old, START, reason=None)
    catalogue.run("UPDATE smcatalog.maps SET superseded_at = :at, withdrawn_reason = 'x' WHERE id = :id",
                  at=START + 3 * MINUTE, id=old)  # fmt: skip
    new = publish(days[0], 0.25, 2)
    dated(new, START + 3 * MINUTE)
    dated(old, START, START + 3 * MINUTE, by=new)

    assert bias() == {(1, 0.05)}
    assert bias(START - MINUTE) == set()
    assert bias(START) == {(2, 0.15)}
    assert bias(START + 3 * MINUTE) == {(2, 0.125)}
    assert bias(START + 3 * MINUTE, first=days[1]) == {(1, 0.2)}
    assert bias(START + 5 * MINUTE) == {(1, 0.05)}
    assert bias() == {(1, 0.05)}  # looking back changes nothing of the present
    [view] = catalogue.rows("SELECT n, bias FROM views.product_metrics")
    assert (view["n"], round(view["bias"], 3)) == (1, 0.05)
    catalogue.observe_day(sensor, days[1] + timedelta(days=1), 0.9)
    catalogue.run("UPDATE smcatalog.observations SET value = 0.1")
    assert bias(START) == {(2, 0.25)}  # observations have no history


def test_a_withdrawn_map_needs_its_reason_and_a_live_one_has_none(database, tmp_path):
    press = Press.of(database.engine, tmp_path)
    press.publish(FIRST)
    with pytest.raises(UsageError, match="say why"):
        press.withdraw(FIRST, "  ")
    other = Press.of(database.engine, tmp_path, name="other")
    press.version = other.version
    with pytest.raises(UsageError, match="not the key of the product"):
        press.withdraw(FIRST)


def test_no_scores_of_a_product_that_is_not_there(database, tmp_path):
    with pytest.raises(NotFoundError):
        validate(database.engine, Catalogue(database.engine, tmp_path).store, "none", as_of=START)
