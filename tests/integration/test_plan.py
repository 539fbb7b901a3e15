"""The plan: kept as layers come and go, always what it would be if made from nothing."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from smcatalog.core.errors import UsageError
from smcatalog.core.time import Period
from smcatalog.database.engine import rehearse, transaction
from smcatalog.database.plan import list_days
from smcatalog.products import (
    Covariate,
    Definition,
    InSituChoice,
    MethodChoice,
    Partitioning,
    Reprocess,
    Step,
    TimeRule,
    Update,
)
from smcatalog.services import refresh as planning
from smcatalog.services.plan import Cause, DayState, make_plan, preview
from tests.factories import inputs as make
from tests.factories import plans

DAYS = make.days(366)
ELEVATION = Covariate("elevation", "D", TimeRule.STATIC)
LST = Covariate("lst_day", "L", TimeRule.DAY)
NDVI = Covariate("ndvi", "N", TimeRule.HOLDING, max_age_days=16)
RAIN = Covariate("precipitation", "P", TimeRule.WINDOW_SUM, days=5)
FILLED = Covariate("lst_day", "L", TimeRule.INTERPOLATED, within_days=4)
RADAR = Covariate("precipitation", "P", TimeRule.CENTRED_MEAN, within_days=6)
SMOOTH = Covariate("ndvi", "N", TimeRule.SMOOTHED, within_days=9, half_width=3, order=2)
SHAPES = {
    "periods": {"covariates": (Covariate("swvl1", "W", TimeRule.PERIOD_MEAN), ELEVATION)},
    "days": {"step": Step.DAY, "covariates": (LST, NDVI, ELEVATION)},
    "composites": {"step": Step.DAY, "covariates": (NDVI, ELEVATION)},
    "sums": {"step": Step.DAY, "covariates": (LST, RAIN), "partitions": Partitioning.ALL},
    "ahead": {
        "step": Step.DAY,
        "covariates": (FILLED, RADAR, ELEVATION),
        "look_ahead_days": 9,
    },
    "smoothed": {
        "step": Step.DAY,
        "covariates": (LST, SMOOTH),
        "look_ahead_days": 12,
        "partitions": Partitioning.ALL,
        "season": ((1, 20), (11, 1)),
    },
    "static": {"step": Step.DAY, "covariates": (ELEVATION,)},
    "windows": {
        "step": Step.DAY,
        "covariates": (LST, RAIN),
        "partitions": Partitioning.ALL,
        "look_ahead_days": 2,
        "method": MethodChoice("bayesian_model_averaging", {"windows": {"last_days": 5}}),
        "in_situ": InSituChoice(make.FIRST, make.FIRST + timedelta(days=30)),
    },
}


def definition(shape: str, **changes: object) -> Definition:
    made = make.definition(
        partitions=Partitioning.SIXTEEN_DAYS, min_samples=1, training_until=DAYS[-1]
    )
    return replace(made, **SHAPES[shape], **changes)


def planned(connection, version_id):
    days = connection.exec_driver_sql(
        "SELECT day, start_time, end_time, partition, inputs_fingerprint, training_fingerprint, missing, "
        "closes_at FROM smcatalog.plan_days WHERE product_version_id = %s ORDER BY day",
        (version_id,),
    ).all()
    partitions = connection.exec_driver_sql(
        "SELECT period, training_days, training_fingerprint, start_time, end_time "
        "FROM smcatalog.partitions WHERE product_version_id = %s AND training_days > 0 ORDER BY period",
        (version_id,),
    ).all()
    return days, partitions


def put(place, *arguments, **named):
    with place.engine.begin() as connection:
        plans.put_layer(connection, *arguments, **named)


def put_composite(place, first, content=0):
    put(place, "N", "ndvi", Period.of_days(first, first + timedelta(days=15)), content)


@pytest.fixture
def place(database, tmp_path):
    return make.workspace(database.engine, tmp_path)


@pytest.fixture
def year(place):
    """A year of everything that the shapes read, made up to its end, after a horizon in April."""
    days = [Period.of_day(day) for day in DAYS]
    composites = [Period.of_days(first, first + timedelta(days=15)) for first in DAYS[::16]]
    with place.engine.begin() as connection:
        plans.put_layer(connection, "D", "elevation", None)
        for source, variable in (("C", "sm"), ("L", "lst_day"), ("P", "precipitation")):
            plans.put_layers(connection, source, variable, days)
        plans.put_layers(connection, "N", "ndvi", composites)
    return place


def open_days(place, asked, **options):
    found = preview(place.engine, asked, **options).days
    return {day.day: day for day in found if day.state is not DayState.CURRENT}


def pretend(place, asked, now=None):
    return transaction(place.engine, lambda c: plans.pretend(c, asked, now))[1]


# -- the law: what is kept is what would be made from nothing


SERIES = (("W", "swvl1"), ("L", "lst_day"), ("P", "precipitation"))


def random_event(dice: random.Random, connection) -> None:
    day = make.FIRST + timedelta(days=dice.randrange(60))
    kind = dice.randrange(7)
    if kind == 0:
        length = dice.choice((0, 0, 2, 7))
        plans.put_layer(
            connection,
            "C",
            "sm",
            Period.of_days(day, day + timedelta(days=length)),
            dice.randrange(3),
        )
    elif kind == 1:
        source, name = dice.choice(SERIES)
        plans.put_layer(connection, source, name, day, dice.randrange(3))
    elif kind == 2:
        for later in range(12):
            for source, name in SERIES:
                plans.put_layer(connection, source, name, day + timedelta(days=later))
    elif kind == 3:
        first = make.FIRST + timedelta(days=16 * dice.randrange(4))
        period = Period.of_days(first, first + timedelta(days=15))
        plans.put_layer(connection, "N", "ndvi", period, dice.randrange(3))
    elif kind == 4:
        plans.take_layer(connection, dice.choice("CWLP"), day)
    elif kind == 5:
        plans.observe(connection, day, dice.choice((0.1, 0.2)), dice.choice(("one", "two")))
    else:
        plans.put_layer(connection, "D", "elevation", None, dice.randrange(2))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plan_that_is_kept_is_the_one_made_from_nothing(place, shape, repetitions):
    dice = random.Random(f"plan {shape}")
    asked = definition(shape, training_until=make.FIRST + timedelta(days=40))
    with place.engine.begin() as connection:  # so that every shape has a day
        for day in DAYS[20:28]:
            for source, variable in (("C", "sm"), *SERIES):
                plans.put_layer(connection, source, variable, day)
    for round_ in range(repetitions(12)):
        for _ in range(dice.randrange(1, 12)):
            with place.engine.begin() as connection:
                random_event(dice, connection)
        kept, anew = (
            transaction(place.engine, lambda c: planned(c, make_plan(c, asked).version.id)),
            rehearse(
                place.engine,
                lambda c: planned(c, make_plan(c, replace(asked, name="anew")).version.id),
            ),
        )
        assert kept == anew, f"round {round_}"
    assert kept[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_made_is_current_whatever_came_before(place, shape, repetitions):
    dice = random.Random(f"made {shape}")
    asked = definition(shape)
    for _ in range(repetitions(5)):
        for _ in range(dice.randrange(1, 15)):
            with place.engine.begin() as connection:
                random_event(dice, connection)
        pretend(place, asked)
        left = {day.state for day in open_days(place, asked).values()}
        assert left <= {DayState.REFUSED, DayState.GONE}


def random_mishap(dice: random.Random, connection) -> None:
    """Change what else the states of days follow from, here and there, as any service might."""
    connection.exec_driver_sql(
        dice.choice(
            [
                (
                    "UPDATE smcatalog.maps SET superseded_at = clock_timestamp(), withdrawn_reason = 'x' "
                    "WHERE id = (SELECT max(id) FROM smcatalog.maps WHERE superseded_at IS NULL)"
                ),
                (
                    "INSERT INTO smcatalog.damaged_files (key, sha256, reason) SELECT f.key, f.sha256, 'lost' "
                    "FROM smcatalog.map_files f ORDER BY md5(f.key) LIMIT 2 "
                    "ON CONFLICT (key) DO UPDATE SET repaired_at = NULL"
                ),
                "UPDATE smcatalog.damaged_files SET repaired_at = clock_timestamp()",
                (
                    "UPDATE smcatalog.partitions SET model_id = NULL WHERE id = "
                    "(SELECT min(id) FROM smcatalog.partitions WHERE model_id IS NOT NULL)"
                ),
                (
                    "UPDATE smcatalog.partitions SET refused = 'too few' WHERE id = "
                    "(SELECT max(id) FROM smcatalog.partitions)"
                ),
                "UPDATE smcatalog.partitions SET refused = NULL",
                "UPDATE smcatalog.product_versions SET algorithm = '1/other-1'",
            ]
        )
    )


def settled(place):
    with place.engine.connect() as connection:
        return connection.exec_driver_sql(
            "SELECT count(*) FROM smcatalog.plan_days WHERE settled = changes"
        ).scalar_one()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_day_that_something_happened_to_is_looked_at_again(place, shape, repetitions):
    """What is open is what is not current of all days, though days once done are not looked at."""
    dice = random.Random(f"open {shape}")
    asked = definition(shape, training_until=make.FIRST + timedelta(days=40))
    with place.engine.begin() as connection:
        days = [Period.of_day(make.FIRST + timedelta(days=n)) for n in range(60)]
        plans.put_layer(connection, "D", "elevation", None)
        for source, variable in SERIES:
            plans.put_layers(connection, source, variable, days)
        plans.put_layers(connection, "C", "sm", days[::2])
        composites = [Period.of_days(d.day, d.day + timedelta(days=15)) for d in days[::16]]
        plans.put_layers(connection, "N", "ndvi", composites)
    pretend(place, asked)
    transaction(place.engine, lambda c: make_plan(c, asked, open_only=True))
    assert settled(place) > 0  # days were set aside
    for round_ in range(repetitions(12)):
        for _ in range(dice.randrange(1, 6)):
            with place.engine.begin() as connection:
                random_event(dice, connection)
        if round_ % 3:
            pretend(place, asked)
        for _ in range(round_ and dice.randrange(3)):
            with place.engine.begin() as connection:
                random_mishap(dice, connection)
        whole, open_ones, again = transaction(
            place.engine,
            lambda c: [make_plan(c, asked, open_only=only).days for only in (False, True, True)],
        )
        left = tuple(day for day in whole if day.state is not DayState.CURRENT)
        assert open_ones == left, f"round {round_}"
        assert again == left, f"round {round_}"
        assert settled(place) == sum(day.state is DayState.CURRENT for day in whole)


# -- a year, and one late granule


@pytest.mark.parametrize(
    ("shape", "source", "variable", "ahead", "behind"),
    [
        ("days", "L", "lst_day", 0, 0),
        ("sums", "P", "precipitation", 0, 4),
        ("periods", "W", "swvl1", 0, 0),
        ("ahead", "L", "lst_day", 4, 4),
        ("ahead", "P", "precipitation", 6, 6),
        ("windows", "L", "lst_day", 2, 2),
        ("windows", "P", "precipitation", 2, 6),
        ("windows", "C", "sm", 2, 2),
    ],
)
def test_one_late_granule_in_a_year_makes_exactly_the_days_stale_that_read_it(
    year, shape, source, variable, ahead, behind
):
    if shape == "periods":
        with year.engine.begin() as connection:
            plans.put_layers(connection, "W", "swvl1", map(Period.of_day, DAYS))
    asked = definition(shape, training_until=DAYS[90])
    assert len(pretend(year, asked)) >= len(DAYS) - 5
    assert open_days(year, asked) == {}
    put(year, source, variable, DAYS[200], "late")
    stale = open_days(year, asked)
    assert sorted(stale) == DAYS[200 - ahead : 201 + behind]
    for day in stale.values():
        assert (day.state, day.cause) == (DayState.STALE, Cause.INPUTS)
        assert f"{source}-{DAYS[200]}-late" in day.granules
        assert f"{source} {variable} came: {source}-{DAYS[200]}-late" in day.reason
    assert pretend(year, asked) == DAYS[200 - ahead : 201 + behind]
    assert open_days(year, asked) == {}


def test_late_observations_make_what_learned_from_them_stale_and_nothing_else(year):
    asked = definition("windows", training_until=DAYS[90])
    pretend(year, asked)
    assert open_days(year, asked) == {}
    with year.engine.begin() as connection:
        plans.observe(connection, DAYS[31], 0.2)  # the day after those that it learns from
    assert open_days(year, asked) == {}
    with year.engine.begin() as connection:
        plans.observe(connection, DAYS[12], 0.2)
    days = open_days(year, asked)
    assert len(days) > 300
    assert {day.cause for day in days.values()} == {Cause.MODEL}
    pretend(year, asked)
    for value, left in ((0.2, 0), (0.3, len(days))):  # the same once more changes nothing
        with year.engine.begin() as connection:
            plans.observe(connection, DAYS[12], value)
        assert len(open_days(year, asked)) == left
    pretend(year, asked)
    with year.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE smcatalog.stations SET geometry = public.ST_Translate(geometry, 0.001, 0)"
        )
    assert len(open_days(year, asked)) == len(days)


def test_models_learn_nothing_from_days_that_read_beyond_the_horizon(year):
    asked = definition("ahead", training_until=DAYS[90])
    pretend(year, asked)
    for day in (DAYS[91], DAYS[95]):  # read by maps up to the horizon, and by no model
        put(year, "P", "precipitation", day, "late")
    assert {day.cause for day in open_days(year, asked).values()} == {Cause.INPUTS}
    pretend(year, asked)
    put(year, "P", "precipitation", DAYS[90], "late")
    causes = {day.cause for day in open_days(year, asked).values()}
    assert causes == {Cause.INPUTS, Cause.MODEL}


def test_a_day_whose_layers_ahead_are_to_come_is_provisional_and_made_again_when_they_are_there(
    year,
):
    asked = definition("ahead", training_until=DAYS[90])
    noon = datetime(2020, 7, 20, 12, tzinfo=UTC)
    asked = replace(asked, last_day=date(2020, 7, 19))
    (day,) = preview(year.engine, asked, date(2020, 7, 19), date(2020, 7, 19), now=noon).days
    assert (day.status, day.closes_at) == ("provisional", datetime(2020, 7, 29, tzinfo=UTC))
    (day,) = preview(year.engine, asked, date(2020, 7, 10), date(2020, 7, 10), now=noon).days
    assert day.status == "final"


def test_a_season_has_days_of_its_own_alone(year):
    asked = definition("days", season=((12, 1), (2, 10)))
    days = [day.day for day in preview(year.engine, asked).days]
    assert days[:41] == DAYS[:41]
    assert days[41] == date(2020, 12, 1)


def test_a_late_granule_that_taught_makes_its_partition_stale_and_no_other(year):
    asked = definition("days", training_until=DAYS[90])
    pretend(year, asked)
    put(year, "C", "sm", DAYS[40], "late")
    stale = open_days(year, asked)
    assert sorted(stale) == DAYS[32:48]
    assert {day.cause for day in stale.values()} == {Cause.MODEL}
    assert all(f"C-{DAYS[40]}-late" in day.reason for day in stale.values())
    put(year, "C", "sm", DAYS[100], "late")  # after the horizon: it teaches nothing
    assert sorted(open_days(year, asked)) == DAYS[32:48]
    put(year, "C", "sm", DAYS[40])  # back to what it was
    assert open_days(year, asked) == {}


def test_a_composite_that_comes_late_is_read_by_its_days_and_those_that_had_none_better(year):
    asked = definition("composites", training_until=DAYS[31])
    pretend(year, asked)
    put_composite(year, DAYS[160], "late")
    assert sorted(open_days(year, asked)) == DAYS[160:176]


def test_the_night_makes_what_the_plan_named_and_nothing_else(year):
    asked = definition("days", training_until=DAYS[90])
    pretend(year, asked)
    with year.engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM smcatalog.maps").scalar_one()
    put(year, "L", "lst_day", DAYS[300], "late")
    pretend(year, asked)
    with year.engine.connect() as connection:
        after = connection.exec_driver_sql("SELECT count(*) FROM smcatalog.maps").scalar_one()
        notes = connection.exec_driver_sql(
            "SELECT count(*) FROM smcatalog.plan_changes"
        ).scalar_one()
    assert (after - before, notes) == (1, 0)


# -- what else makes days stale


def test_a_changed_recipe_and_changed_algorithms_are_named(year, monkeypatch):
    asked = definition("days", training_until=DAYS[90])
    pretend(year, asked)
    coarser = replace(asked, coarse=replace(asked.coarse, min_coverage=0.7))
    stale = open_days(year, coarser)
    assert len(stale) == len(DAYS)
    assert stale[DAYS[5]].cause is Cause.RECIPE
    assert stale[DAYS[5]].reason == "made with version 1, now it is 2: coarse.min_coverage"
    assert open_days(year, asked) == {}  # only asked: nothing was declared
    monkeypatch.setattr(planning, "ALGORITHM", planning.ALGORITHM + 1)
    stale = open_days(year, asked)
    assert len(stale) == len(DAYS)
    assert stale[DAYS[5]].cause is Cause.ALGORITHM
    # no model of the older algorithms makes the maps anew
    assert pretend(year, asked) == DAYS
    with year.engine.connect() as connection:
        fitted = connection.exec_driver_sql(
            "SELECT count(*), count(DISTINCT partition_id) FROM smcatalog.models"
        ).one()
    assert fitted[0] == 2 * fitted[1]
    assert "now they are 2/linear_regression-1" in stale[DAYS[5]].reason


def test_an_older_version_of_the_software_plans_nothing_that_a_newer_one_has_planned(
    year, monkeypatch
):
    asked = definition("days")
    monkeypatch.setattr(planning, "ALGORITHM", planning.ALGORITHM + 1)
    transaction(year.engine, lambda c: make_plan(c, asked))
    monkeypatch.undo()
    with pytest.raises(UsageError, match="bring this machine up to date"):
        preview(year.engine, asked)


def test_days_whose_inputs_went_are_to_be_withdrawn(year):
    asked = definition("days", training_until=DAYS[90])
    pretend(year, asked)
    with year.engine.begin() as connection:
        assert plans.take_layer(connection, "L", DAYS[200])
    (day,) = open_days(year, asked).values()
    assert (day.day, day.state, day.to_make) == (DAYS[200], DayState.GONE, False)


# -- provisional and final, and what policies leave


def test_a_provisional_map_is_made_again_once_when_it_closes(year):
    asked = definition("days", training_until=DAYS[90], look_ahead_days=10)
    noon = datetime(2020, 7, 20, 12, tzinfo=UTC)
    newest = date(2020, 7, 19)
    asked = replace(asked, last_day=newest)
    pretend(year, asked, noon)
    assert open_days(year, asked, now=noon) == {}
    put(year, "L", "lst_day", newest, "late")
    (day,) = open_days(year, asked, now=noon).values()
    assert (day.state, day.status, day.cause) == (DayState.HELD, "provisional", Cause.INPUTS)
    assert "made again when it becomes final, on 2020-07-30" in day.reason
    assert pretend(year, asked, noon) == []
    eager = replace(asked, update=Update.ALWAYS)
    assert [d.state for d in open_days(year, eager, now=noon).values()] == [DayState.STALE]
    later = noon + timedelta(days=3)
    closed = open_days(year, asked, now=later)
    assert {d.cause for d in closed.values() if d.to_make} == {Cause.CLOSING}
    assert sorted(d for d in closed if closed[d].to_make) == [
        date(2020, 7, 10 + i) for i in range(3)
    ]
    last = datetime(2020, 8, 1, tzinfo=UTC)
    made = pretend(year, asked, last)
    assert made[-1] == newest
    assert len(made) == 10
    assert open_days(year, asked, now=last) == {}


def test_a_day_stays_provisional_while_its_period_still_learns(year):
    asked = definition("days", training_until=DAYS[-1])
    (day,) = preview(year.engine, asked, DAYS[34], DAYS[34]).days
    assert day.closes_at == datetime(2020, 2, 18, tzinfo=UTC)  # the period is of 2 to 17 February
    behind = definition("days", training_until=DAYS[20])
    (day,) = preview(year.engine, behind, DAYS[34], DAYS[34]).days
    assert day.closes_at == datetime(2020, 2, 5, tzinfo=UTC)


@pytest.mark.parametrize("policy", [Reprocess.NEVER, Reprocess.LISTED])
def test_a_policy_leaves_final_days_stale_and_says_so(year, policy):
    asked = definition("days", training_until=DAYS[90], reprocess=policy)
    pretend(year, asked)
    put(year, "L", "lst_day", DAYS[200], "late")
    put(year, "L", "lst_day", DAYS[201], "late")
    held = open_days(year, asked)
    assert [d.state for d in held.values()] == [DayState.HELD] * 2
    assert "left as it is" in held[DAYS[200]].reason
    assert pretend(year, asked) == []
    with year.engine.begin() as connection:
        product = connection.exec_driver_sql("SELECT id FROM smcatalog.products").scalar_one()
        list_days(connection, product, DAYS[201], DAYS[210])
    made = pretend(year, asked)
    assert made == ([DAYS[201]] if policy is Reprocess.LISTED else [])
    # a changed recipe is made all the same: it is a wish of the product's own
    anew = replace(asked, min_samples=2)
    assert len(pretend(year, anew)) == len(DAYS)


def test_policies_and_words_are_no_part_of_the_recipe():
    asked = definition("days")
    other = replace(asked, reprocess=Reprocess.NEVER, update=Update.ALWAYS, title="Other")
    assert other.recipe_fingerprint == asked.recipe_fingerprint
    for one in (asked, other, *map(definition, SHAPES)):
        assert Definition.from_dict(one.as_dict()) == one


# -- together with others


def test_a_layer_is_noted_with_its_transaction_or_not_at_all(year):
    asked = definition("days", training_until=DAYS[90])
    pretend(year, asked)
    rehearse(year.engine, lambda c: plans.put_layer(c, "L", "lst_day", DAYS[200], "late"))
    assert open_days(year, asked) == {}
    with year.engine.connect() as early:
        plans.put_layer(early, "L", "lst_day", DAYS[200], "early")
        put(year, "L", "lst_day", DAYS[201], "other")
        assert sorted(open_days(year, asked)) == [DAYS[201]]
        early.commit()
    assert sorted(open_days(year, asked)) == [DAYS[200], DAYS[201]]


def test_a_product_declared_while_a_layer_is_recorded_misses_neither(year):
    asked = definition("days", training_until=DAYS[90])
    done = threading.Event()

    def declare():
        transaction(year.engine, lambda c: make_plan(c, asked), lock_timeout_ms=20_000)
        done.set()

    with year.engine.connect() as early:
        other = replace(asked, name="first")
        transaction(year.engine, lambda c: make_plan(c, other))
        plans.put_layer(early, "L", "lst_day", DAYS[-1] + timedelta(days=1))
        thread = threading.Thread(target=declare)
        thread.start()
        assert not done.wait(0.3)  # it waits for the open transaction
        early.commit()
    thread.join(20)
    assert done.is_set()
    days = preview(year.engine, asked).days
    composite_holds = DAYS[-1] + timedelta(days=1)
    assert days[-1].day == composite_holds


def test_analysts_read_the_plan_through_a_view(year, database):
    asked = definition("days", training_until=DAYS[90])
    pretend(year, asked)
    put(year, "L", "lst_day", DAYS[200], "late")
    with year.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE smcatalog_analyst"))
        query = text("SELECT bool_and(planned), count(*) FROM views.plan WHERE product = 'tiny'")
        assert tuple(connection.execute(query).one()) == (False, len(DAYS))
    open_days(year, asked)
    with year.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE smcatalog_analyst"))
        query = text("SELECT day, state, cause, causes FROM views.plan WHERE state <> 'current'")
        ((day, state, cause, causes),) = connection.execute(query).all()
    assert (day, state, cause) == (DAYS[200], "stale", "inputs")
    assert causes[0]["granule"] == f"L-{DAYS[200]}-late"
