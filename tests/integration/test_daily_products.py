"""Maps for days, models for periods of 16 days, composites, qualities: over a small planted truth."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from smcatalog.core.encoding import NODATA, Quality
from smcatalog.core.errors import SmcatalogError
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period, utc_midnight
from smcatalog.database.engine import rehearse, transaction
from smcatalog.database.inputs import Refusal, refuse
from smcatalog.database.training import trained_partitions
from smcatalog.products import Accept, Coarse, Covariate, Partitioning, Step, TimeRule
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.fit import training_inputs
from smcatalog.services.gathering import gather_samples
from smcatalog.services.inputs import LayerIndex
from smcatalog.services.plan import DayState, make_plan, preview
from smcatalog.services.produce import produce
from tests.factories import inputs as make
from tests.fixtures.filled import filling

DAYS = make.days(40)  # periods 2020001 (16 days), 2020017 (16) and 2020033 (8)
ONE, TWO, THREE = DAYS[:16], DAYS[16:32], DAYS[32:]
GREEN = 0.3 + 0.2 * np.sin(np.indices(make.FINE.shape)[0] / 11)


def definition(**changes):
    """Six coarse cells: up to 96 samples in a period, of which 24 are asked for."""
    made = make.definition(
        step=Step.DAY,
        partitions=Partitioning.SIXTEEN_DAYS,
        min_samples=24,
        training_until=DAYS[-1],
        covariates=(
            Covariate("lst_day", "L", TimeRule.DAY, Accept.RECOMMENDED),
            Covariate("ndvi", "N", TimeRule.HOLDING, max_age_days=16),
            Covariate("elevation", "D", TimeRule.STATIC),
        ),
    )
    return replace(made, **changes)


def warmth(day):
    """Land surface temperature [K]: cooler where it is wet."""
    return 320 - 60 * make.wetness(day)


def put_lst(place, day, granule="1", quality=None):
    make.put(place, "L", "lst_day", make.FINE, warmth(day), day, granule, quality)


def put_ndvi(place, first, offset=0.0, granule="1"):
    period = Period.of_days(first, first + timedelta(days=15))
    make.put(place, "N", "ndvi", make.FINE, GREEN + offset, period, granule)


def fill(place):
    """Forty days of temperature, the first composite; the coarse product on even days of 1 and 2."""
    make.put_static(place)
    put_ndvi(place, ONE[0])
    for day in DAYS:
        put_lst(place, day)
    for day in (*ONE[::2], *TWO[::2]):
        make.put_coarse(place, day)


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


def training(place, definition):
    """Inputs of the days that teach, of all partitions."""

    def find(connection):
        plan = make_plan(connection, definition)
        return [
            day
            for partition in trained_partitions(connection, plan.version.id)
            for day in training_inputs(connection, definition, plan.version, partition)
        ]

    return rehearse(place.engine, find)


def to_make(place, definition):
    return [day.day for day in plan_of(place, definition).days if day.to_make]


def stored(place, day, kind="quality"):
    with place.engine.connect() as connection:
        key = connection.exec_driver_sql(
            """
            SELECT f.key FROM smcatalog.maps m JOIN smcatalog.map_files f ON f.map_id = m.id
            WHERE m.superseded_at IS NULL AND m.day = %s AND f.kind = %s
            """,
            (day, kind),
        ).scalar_one()
    return place.store.read(key)[0]


def has(place, day, bit):
    found = (stored(place, day) & bit) != 0
    assert found.all() or not found.any()
    return bool(found.all())


def models(place):
    with place.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            """
            SELECT p.period, p.start_time::date, p.end_time::date, m.n_samples, m.scores ->> 'learned_in',
                   m.scores ->> 'own_samples'
            FROM smcatalog.models m JOIN smcatalog.partitions p ON p.id = m.partition_id ORDER BY m.id
            """
        )
        return [tuple(row) for row in rows]


def made(report):
    return [day.day for day in report.days if day.outcome == "made"]


def test_a_map_for_each_day_that_has_its_covariates_and_a_model_for_each_period(place):
    report = produce(place, definition())
    # the first composite holds until 16 January and serves 16 days more
    assert made(report) == [*ONE, *TWO]
    assert report.refused == []
    assert models(place) == [
        ("2020001", date(2020, 1, 1), date(2020, 1, 16), 48, None, None),
        ("2020017", date(2020, 1, 17), date(2020, 2, 1), 48, None, None),
    ]
    for day in (ONE[0], ONE[1], TWO[3]):  # with and without a coarse product of that day
        error = stored(place, day, "soil_moisture") / 1e4 - make.truth(day)
        assert np.abs(error).max() < 0.01
    assert not has(place, ONE[-1], Quality.INCOMPLETE_PERIOD)
    assert has(place, TWO[0], Quality.INCOMPLETE_PERIOD)  # the composite is of before
    assert has(place, TWO[0], Quality.LST_OBSERVED)
    assert not has(place, TWO[0], Quality.EARLIER_MODEL)
    again = produce(place, definition())
    assert {day.outcome for day in again.days} == {"current"}
    assert len(models(place)) == 2


def test_a_late_composite_makes_exactly_the_days_stale_that_read_it(place):
    asked = definition(training_until=ONE[-1])
    produce(place, asked)
    put_ndvi(place, TWO[0], offset=0.01)
    # the days that made do with the older one, and those that had none
    assert to_make(place, asked) == [*TWO, *THREE]
    report = produce(place, asked)
    assert made(report) == [*TWO, *THREE]
    assert not has(place, TWO[0], Quality.INCOMPLETE_PERIOD)
    assert to_make(place, asked) == []
    # a reprocessed one of the first period changes what its model learned: all days read that
    put_ndvi(place, ONE[0], offset=0.01, granule="2")
    assert to_make(place, asked) == list(DAYS)


def test_a_granule_makes_the_days_of_its_period_stale_and_no_others(place):
    produce(place, definition())
    make.put_coarse(place, TWO[1])
    assert to_make(place, definition()) == TWO
    report = produce(place, definition())
    assert made(report) == TWO
    assert models(place)[-1][3] == 54
    put_lst(place, ONE[1], granule="2", quality=np.full(make.FINE.shape, InputQuality.FROZEN))
    assert to_make(place, definition()) == [ONE[1]]  # no coarse product then: it taught nothing


def test_days_after_the_horizon_use_the_last_model_and_teach_nothing(place):
    asked = definition(training_until=ONE[-1])
    produce(place, asked)
    assert [row[0] for row in models(place)] == ["2020001"]
    assert has(place, TWO[0], Quality.EARLIER_MODEL)
    assert not has(place, ONE[0], Quality.EARLIER_MODEL)
    make.put_coarse(place, TWO[2], offset=0.1, granule="2")
    make.put_coarse(place, TWO[1])
    assert to_make(place, asked) == []


def test_too_few_samples_use_the_model_of_the_period_before(place):
    put_ndvi(place, TWO[0])
    put_ndvi(place, TWO[-1] + timedelta(days=1))
    for day in THREE[:3]:
        make.put_coarse(place, day)  # 18 samples, 24 are needed
    produce(place, definition())
    assert models(place)[2] == ("2020033", date(2020, 2, 2), date(2020, 2, 5), 48, "2020017", "18")
    assert has(place, THREE[0], Quality.EARLIER_MODEL)
    assert not has(place, TWO[0], Quality.EARLIER_MODEL)
    assert to_make(place, definition()) == []
    # both what was too little and what stood in for it were read
    make.put_coarse(place, TWO[0], offset=0.01, granule="2")
    assert to_make(place, definition()) == [*TWO, *THREE]
    produce(place, definition())
    assert to_make(place, definition()) == []
    make.put_coarse(place, ONE[0], offset=0.01, granule="2")
    assert to_make(place, definition()) == ONE
    # now they are enough
    make.put_coarse(place, THREE[3])
    assert to_make(place, definition()) == [*ONE, *THREE]
    produce(place, definition())
    assert models(place)[-1] == ("2020033", date(2020, 2, 2), date(2020, 2, 6), 24, None, None)
    assert not has(place, THREE[0], Quality.EARLIER_MODEL)


@pytest.mark.long
def test_several_periods_in_a_row_may_have_too_few(place):
    put_ndvi(place, TWO[0])
    put_ndvi(place, THREE[0])
    make.put_coarse(place, THREE[0])
    asked = definition(min_samples=48, training_until=DAYS[-1])
    make.put_coarse(place, ONE[1])  # 54 samples; the second period has 48
    asked = replace(asked, min_samples=50)
    produce(place, asked)
    found = [(row[0], row[4], row[5]) for row in models(place)]
    assert found == [
        ("2020001", None, None), ("2020017", "2020001", "48"), ("2020033", "2020001", "6"),
    ]  # fmt: skip
    assert has(place, THREE[0], Quality.EARLIER_MODEL)
    assert to_make(place, asked) == []
    # a run of another process finds them without drawing samples again
    for path in place.store.root.rglob("layers/C/**/*.tif"):
        path.unlink()
    put_lst(place, THREE[1], granule="2", quality=np.full(make.FINE.shape, InputQuality.FROZEN))
    assert made(produce(place, asked)) == [THREE[1]]
    make_stale = to_make(place, asked)
    assert make_stale == []


def test_a_first_period_with_too_few_samples_is_refused_with_its_number(place):
    asked = definition(coarse=Coarse("C2", "sm", "M36", 0.5))
    mean = make.cell_index(make.FINE, make.COARSE).mean
    for day in (ONE[0], *TWO[::2]):
        make.put(place, "C2", "sm", make.COARSE, mean(make.truth(day)).mean, day)
    for _ in range(2):
        report = produce(place, asked)
        assert [day.day for day in report.refused] == ONE
        assert "has 6 samples up to 2020-01-01, 24 are needed" in report.refused[0].reason
    assert {day.outcome for day in report.days if day.day in TWO} == {"current"}
    # with enough of them they are made
    for day in ONE[2::2]:
        make.put(place, "C2", "sm", make.COARSE, mean(make.truth(day)).mean, day)
    assert made(produce(place, asked)) == ONE


def test_days_before_the_first_sample_are_refused(place):
    asked = definition(coarse=Coarse("C2", "sm", "M36", 0.5))
    mean = make.cell_index(make.FINE, make.COARSE).mean
    for day in TWO[::2]:
        make.put(place, "C2", "sm", make.COARSE, mean(make.truth(day)).mean, day)
    report = produce(place, asked)
    assert [day.day for day in report.refused] == ONE
    assert "2020017" in report.refused[0].reason
    assert made(report) == TWO


def test_what_is_not_recommended_frozen_or_water_does_not_teach(place):
    flags = np.zeros(make.COARSE.shape)
    flags[0] = InputQuality.NOT_RECOMMENDED, InputQuality.FROZEN, InputQuality.WATER
    mean = make.cell_index(make.FINE, make.COARSE).mean(make.truth(ONE[0])).mean
    make.put(place, "C2", "sm", make.COARSE, mean, ONE[0], quality=flags)
    for accept, number in ((Accept.RECOMMENDED, 3), (Accept.RETRIEVED, 4)):
        asked = definition(coarse=Coarse("C2", "sm", "M36", 0.5, accept))
        (day,) = training(place, asked)
        samples = gather_samples(asked, [day], CovariateReader(place.store, asked))
        assert len(samples) == number
    nothing = np.full(make.COARSE.shape, InputQuality.FROZEN)
    make.put(place, "C2", "sm", make.COARSE, mean, ONE[0], granule="2", quality=nothing)
    (day,) = training(place, asked)
    assert gather_samples(asked, [day], CovariateReader(place.store, asked)) is None


def test_values_that_are_not_accepted_leave_their_pixels_empty(place):
    flags = np.zeros(make.FINE.shape)
    flags[:5] = InputQuality.NOT_RECOMMENDED
    flags[5:9] = InputQuality.FILLED
    flags[-1] = InputQuality.FROZEN
    put_lst(place, ONE[1], granule="2", quality=flags)
    produce(place, definition(), ONE[0], ONE[1])
    moisture, quality = stored(place, ONE[1], "soil_moisture"), stored(place, ONE[1])
    assert (moisture[:5] == NODATA).all()
    assert (moisture[5:] != NODATA).all()
    assert (quality[5:9] & (Quality.LST_FILLED | Quality.LST_OBSERVED) == Quality.LST_FILLED).all()
    assert (quality[9:] & (Quality.LST_FILLED | Quality.LST_OBSERVED) == Quality.LST_OBSERVED).all()
    assert (quality[-1] & Quality.FROZEN_OR_SNOW != 0).all()
    retrieved = tuple(replace(c, accept=Accept.RETRIEVED) for c in definition().covariates)
    produce(place, definition(covariates=retrieved), ONE[1], ONE[1])
    assert (stored(place, ONE[1], "soil_moisture") != NODATA).all()


def test_samples_do_not_depend_on_blocks(place, monkeypatch):
    day = training(place, definition())[0]
    reader = CovariateReader(place.store, definition())
    whole = gather_samples(definition(), [day], reader)
    monkeypatch.setattr("smcatalog.core.blocks.TILE", 7)
    monkeypatch.setattr("smcatalog.core.blocks._PIXELS", 98)
    parts = gather_samples(definition(), [day], reader)
    assert np.allclose(parts.features, whole.features, rtol=1e-12)
    assert np.array_equal(parts.target, whole.target)
    assert np.array_equal(parts.groups, whole.groups)


def test_blocks_of_days_are_left_out_of_a_period(place):
    produce(place, definition(), ONE[0], ONE[0])
    with place.engine.connect() as connection:
        scores = connection.exec_driver_sql("SELECT scores FROM smcatalog.models").scalar_one()
    assert scores["days_left_out"]["n"] == scores["train"]["n"] == 48
    assert scores["days_left_out"]["rmse"] > scores["train"]["rmse"]
    assert "months_left_out" not in scores


def test_the_plan_knows_a_day_by_the_database_alone(place):
    produce(place, definition())
    for path in place.store.root.rglob("*.tif"):
        path.unlink()
    assert len(training(place, definition())) == 16
    plan = plan_of(place, definition())
    assert {day.state for day in plan.days} == {DayState.CURRENT}


def test_a_refused_granule_of_a_day_is_named(place):
    late = DAYS[-1] + timedelta(days=1)
    put_ndvi(place, THREE[0])
    refusal = Refusal("L-late.hdf", "holds nothing", "0" * 64, 1, "L", Period.of_day(late))
    transaction(place.engine, lambda c: refuse(c, [refusal]))
    (refused,) = produce(place, definition()).refused
    assert (refused.day, refused.reason) == (late, "L-late.hdf: holds nothing")


def test_without_a_coarse_product_nothing_can_be_learned(place):
    asked = definition(coarse=Coarse("C2", "sm", "M36", 0.5))
    with pytest.raises(SmcatalogError, match="no sample"):
        produce(place, asked)


def test_of_a_model_s_steps_those_of_the_chosen_hours_are_averaged(database, tmp_path):
    place = make.workspace(database.engine, tmp_path)
    day = DAYS[3]
    for hour in range(-6, 9, 3):
        start = utc_midnight(day) + timedelta(hours=hour)
        values = np.full(make.COARSE.shape, 0.2 + hour / 100)
        period = Period(start, start + timedelta(hours=3))
        make.put(place, "C", "sm", make.COARSE, values, period)
    chosen = definition(coarse=Coarse("C", "sm", "M36", 0.5, hours=(-3, 3)))
    with place.engine.connect() as connection:
        inputs = LayerIndex(connection, chosen, day, day).inputs(Period.of_day(day))
        others = LayerIndex(connection, definition(), day, day).inputs(Period.of_day(day))
    mean = CovariateReader(place.store, chosen).coarse(inputs, make.COARSE)
    np.testing.assert_allclose(mean, 0.2 - 0.03 / 2, atol=1e-4)  # 21 to 24 and 0 to 3
    assert (len(inputs.coarse), len(others.coarse)) == (2, 3)


def test_rain_of_the_days_before_is_summed_up_and_read_by_exactly_the_days_behind_it(place):
    rain = {day: np.full(make.FINE.shape, 1.0 + n) for n, day in enumerate(DAYS)}
    for day, field in rain.items():
        make.put(place, "P", "precipitation", make.FINE, field, day)
    sums = (
        Covariate("precipitation", "P", TimeRule.WINDOW_SUM, days=3),
        Covariate("precipitation", "P", TimeRule.ANTECEDENT, days=2),
    )
    asked = definition(covariates=(*definition().covariates, *sums))
    read = {day.period.day: day for day in training(place, asked)}
    chosen = next(day for day in sorted(read) if day >= DAYS[10])
    n = DAYS.index(chosen)
    found = CovariateReader(place.store, asked).read(read[chosen], make.FINE)
    assert found.names[-2:] == ("precipitation_window_sum_3d", "precipitation_antecedent_2d")
    np.testing.assert_allclose(found.values[-2], 3 * n, atol=0.2)  # n - 1 + n + n + 1
    weights = np.exp(-np.arange(8) / 2)
    mean = (weights * (1.0 + n - np.arange(8))).sum() / weights.sum()
    np.testing.assert_allclose(found.values[-1], mean / (1 - np.exp(-0.5)), rtol=0.02)
    # the first days have no past that is known
    assert min(read) >= DAYS[2]

    def chosen_of() -> list[tuple[object, ...]]:
        with place.engine.connect() as connection:
            index = LayerIndex(connection, asked, DAYS[0], DAYS[-1])
            return [index.inputs(Period.of_day(day)).covariates[-2] for day in DAYS]

    before = chosen_of()
    make.put(place, "P", "precipitation", make.FINE, rain[DAYS[20]] + 5, DAYS[20], granule="2")
    pairs = zip(before, chosen_of(), strict=True)
    assert [n for n, (old, new) in enumerate(pairs) if old != new] == [20, 21, 22]
