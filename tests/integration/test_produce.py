"""Planning, fitting, producing and publishing over a small planted truth."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from smcatalog.core.encoding import Quality, decode
from smcatalog.core.errors import SmcatalogError, StoreError
from smcatalog.database.engine import rehearse, transaction
from smcatalog.database.inputs import Refusal, refuse
from smcatalog.database.maps import live_maps
from smcatalog.database.products import find_product
from smcatalog.database.training import trained_partitions
from smcatalog.services.plan import DayState, make_plan, preview
from smcatalog.services.produce import produce
from tests.factories import inputs as make
from tests.fixtures.filled import filling

DAYS = make.days(14)


def fill(place):
    """Fourteen days of inputs; the first ten are before the training horizon."""
    make.put_static(place)
    for day in DAYS:
        make.put_day(place, day)


@pytest.fixture(scope="module")
def filled(database_server, tmp_path_factory):
    with filling(database_server, tmp_path_factory.mktemp("filled"), fill) as made:
        yield made


@pytest.fixture
def place(filled, tmp_path):
    with filled.copy(tmp_path) as (place, _):
        yield place


def plan_of(place, definition, **options):
    return preview(place.engine, definition, **options)


def soil_moisture(place, day, kind="soil_moisture"):
    with place.engine.connect() as connection:
        key = connection.exec_driver_sql(
            """
            SELECT f.key FROM smcatalog.maps m JOIN smcatalog.map_files f ON f.map_id = m.id
            WHERE m.superseded_at IS NULL AND m.day = %s AND f.kind = %s
            """,
            (day, kind),
        ).scalar_one()
    stored = place.store.read(key)[0]
    return decode(stored) if kind != "quality" else stored


def items(place):
    with place.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, content FROM pgstac.items ORDER BY id")
        return {row[0]: row[1] for row in rows}


def test_the_planted_truth_comes_back_at_1_km(place):
    report = produce(place, make.definition())
    assert [day.outcome for day in report.days] == ["made"] * 14
    for day in (DAYS[0], DAYS[12]):  # learned from, and after the training horizon
        error = soil_moisture(place, day) - make.truth(day)
        assert np.isfinite(error).all()
        assert np.abs(error).max() < 0.002
        # the coarse product laid flat is much worse
        flat = make.truth(day).mean() - make.truth(day)
        assert np.abs(error).max() < 0.05 * np.abs(flat).max()


def test_again_there_is_nothing_to_do(place):
    produce(place, make.definition())
    before = items(place), list(place.store.files())
    report = produce(place, make.definition())
    assert {day.outcome for day in report.days} == {"current"}
    assert (items(place), list(place.store.files())) == before


def teaching(place):
    """Number of days that the product's models are to learn from."""

    def find(connection):
        plan = make_plan(connection, make.definition())
        return sum(one.days for one in trained_partitions(connection, plan.version.id))

    return rehearse(place.engine, find)


def test_a_plan_says_what_is_missing_and_only_asks_the_database(place):
    plan = plan_of(place, make.definition(), first=DAYS[2], last=DAYS[4])
    assert [day.day for day in plan.days] == DAYS[2:5]
    assert {day.state for day in plan.days} == {DayState.MISSING}
    assert teaching(place) == 10
    produce(place, make.definition(), DAYS[2], DAYS[2])
    states = [day.state for day in plan_of(place, make.definition()).days]
    assert states.count(DayState.CURRENT) == 1
    for path in place.store.root.rglob("*.tif"):
        path.unlink()
    assert len(plan_of(place, make.definition()).days) == 14


def test_a_reprocessed_day_after_the_horizon_is_made_again_and_no_other(place):
    produce(place, make.definition())
    late = DAYS[12]
    make.put(place, "W", "swvl1", make.FINE, make.wetness(late) + 0.05, late, granule="2")
    stale = [day.day for day in plan_of(place, make.definition()).days if day.to_make]
    assert stale == [late]
    report = produce(place, make.definition())
    assert [day.day for day in report.days if day.outcome == "made"] == [late]
    assert np.allclose(soil_moisture(place, late) - make.truth(late), 0.04, atol=0.003)
    old, new = (items(place)[f"tiny_{late:%Y%j}_v1r{revision}"] for revision in (1, 2))
    assert old["properties"]["deprecated"] is True
    assert new["properties"]["deprecated"] is False
    relations = {link["rel"]: link["href"] for link in [*old["links"], *new["links"]]}
    assert relations["successor-version"].endswith("v1r2")
    assert relations["predecessor-version"].endswith("v1r1")
    live = [i for i in items(place).values() if not i["properties"]["deprecated"]]
    assert len(live) == 14


def test_a_reprocessed_day_before_the_horizon_changes_the_model_and_all_maps(place):
    produce(place, make.definition())
    make.put_coarse(place, DAYS[3], offset=0.01, granule="2")
    assert all(day.to_make for day in plan_of(place, make.definition()).days)


def test_days_after_the_horizon_teach_nothing(place):
    produce(place, make.definition(), DAYS[0], DAYS[0])
    make.put_coarse(place, DAYS[13], offset=0.2, granule="2")
    plan = plan_of(place, make.definition(), first=DAYS[0], last=DAYS[0])
    assert plan.days[0].state is DayState.CURRENT


def test_a_changed_recipe_is_a_new_version_beside_the_old_one(place):
    produce(place, make.definition(), DAYS[0], DAYS[1])
    changed = make.definition(training_until=DAYS[7])
    report = produce(place, changed, DAYS[0], DAYS[0])
    assert report.version == 2
    with place.engine.connect() as connection:
        live = live_maps(connection, find_product(connection, "tiny"))
    assert {day: (m.version, m.revision) for day, m in live.items()} == {
        DAYS[0]: (2, 1),
        DAYS[1]: (1, 1),
    }
    assert items(place)[f"tiny_{DAYS[0]:%Y%j}_v1r1"]["properties"]["deprecated"] is True
    # words are no recipe
    assert produce(place, replace(changed, title="Other words"), DAYS[0], DAYS[0]).version == 2


def test_a_day_without_a_covariate_is_refused_with_its_name_and_the_rest_goes_on(place):
    late = DAYS[13] + timedelta(days=1)
    make.put_coarse(place, late)
    report = produce(place, make.definition())
    assert report.count("made") == 14
    (refused,) = report.refused
    assert refused.day == late
    assert "W swvl1" in refused.reason


def test_layers_of_other_regions_make_no_day_possible_or_stale(place):
    produce(place, make.definition())
    late = DAYS[13] + timedelta(days=1)
    elsewhere = make.grid("M01").window(slice(2000, 2040), slice(2000, 2040))
    make.put_coarse(place, late)
    for day in (DAYS[0], late):
        make.put(place, "W", "swvl1", elsewhere, np.full(elsewhere.shape, 0.3), day, granule="x")
    report = produce(place, make.definition())
    assert [day.outcome for day in report.days] == ["current"] * 14 + ["refused"]


def test_quarantined_files_of_the_coarse_product_are_named_until_good_ones_come(place):
    late = DAYS[13] + timedelta(days=1)
    refusal = Refusal("C-late.nc", "holds nothing", "0" * 64, 1, "C", make.Period.of_day(late))
    transaction(place.engine, lambda c: refuse(c, [refusal]))
    (refused,) = produce(place, make.definition()).refused
    assert (refused.day, refused.reason) == (late, "C-late.nc: holds nothing")
    make.put_day(place, late)
    report = produce(place, make.definition())
    assert report.refused == []
    assert report.count("made") == 1


def test_a_map_is_provisional_until_its_look_ahead_has_closed(place):
    definition = make.definition(look_ahead_days=5)
    closing = datetime(2020, 1, 15, tzinfo=UTC) + timedelta(days=5)
    before = plan_of(place, definition, now=closing - timedelta(seconds=1)).days[-1]
    after = plan_of(place, definition, now=closing).days[-1]
    assert (before.status, after.status) == ("provisional", "final")
    assert before.closes_at == after.closes_at == closing


def test_pixels_outside_what_was_learned_are_flagged(place):
    produce(place, make.definition())
    quality = soil_moisture(place, DAYS[0], "quality")
    outside = (quality & Quality.OUTSIDE_TRAINING) != 0
    # cell means vary less than pixels: where a pixel is beyond all means it is said so
    means = [make.cell_index(make.FINE, make.COARSE).mean(make.elevation()).mean]
    beyond = (make.elevation() > np.max(means) + 0.2) | (make.elevation() < np.min(means) - 0.2)
    assert beyond.any()
    assert outside[beyond].all()
    assert not outside.all()


def test_nothing_to_learn_from_is_told(database, tmp_path):
    place = make.workspace(database.engine, tmp_path)
    assert produce(place, make.definition()).days == ()
    make.put_static(place)
    make.put_day(place, DAYS[12])  # after the horizon
    with pytest.raises(SmcatalogError, match="no sample"):
        produce(place, make.definition())
    assert items(place) == {}


def test_a_damaged_model_is_noticed(place):
    produce(place, make.definition(), DAYS[0], DAYS[0])
    (model,) = place.store.root.glob("models/tiny/*.json")
    model.write_text(model.read_text().replace("1", "2", 1))
    with pytest.raises(StoreError, match="damaged"):
        produce(place, make.definition())


def test_scores_of_a_model_are_kept(place):
    produce(place, make.definition(), DAYS[0], DAYS[0])
    with place.engine.connect() as connection:
        scores, n = connection.exec_driver_sql(
            "SELECT scores, n_samples FROM smcatalog.models"
        ).one()
    assert n == 10 * 6
    assert scores["train"]["n"] == 60
    assert scores["cells_left_out"]["r"] > 0.99
    assert scores["importances"].keys() == {"swvl1", "elevation"}


def test_blocks_do_not_change_a_map(place, monkeypatch):
    produce(place, make.definition(), DAYS[0], DAYS[0])
    whole = soil_moisture(place, DAYS[0])
    monkeypatch.setattr("smcatalog.core.blocks.TILE", 10)
    monkeypatch.setattr("smcatalog.core.blocks._PIXELS", 200)
    produce(place, make.definition(look_ahead_days=1), DAYS[0], DAYS[0])
    assert np.array_equal(soil_moisture(place, DAYS[0]), whole)
