"""Which observation meets which map, what is sampled, and that a second run changes nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.time import Period, utc_midnight
from smcatalog.database import matchups as db
from smcatalog.database.engine import transaction
from smcatalog.services.validate import Grouping, validate
from tests.factories.catalogue import COARSE, GRID, Catalogue, centre

DAY = date(2019, 3, 10)
ROWS, COLUMNS = GRID.shape
FIELD = (np.arange(ROWS * COLUMNS).reshape(1, ROWS, COLUMNS) % 4000) / 10_000 + 0.05
HERE = (10, 20)


@pytest.fixture
def catalogue(database, tmp_path):
    return Catalogue(database.engine, tmp_path / "store")


@pytest.fixture
def made(catalogue):
    """Return a function that publishes a map of a period."""
    product = catalogue.product()
    version = catalogue.version(product)
    model = catalogue.model(version)

    def publish(period=None, field=FIELD, **more):
        period = period or Period.of_day(DAY)
        return catalogue.map(product, version, model, period, field, **more)

    return publish


def station(catalogue, name="one", **more):
    return catalogue.station("NET", name, centre(GRID, *HERE), **more)


def run(catalogue, **more):
    return validate(catalogue.engine, catalogue.store, "test", **more)


def stored(catalogue):
    return catalogue.rows("SELECT * FROM smcatalog.matchups ORDER BY map_id, sensor_id, band")


def test_pixel_coarse_cell_and_quality_of_the_station(catalogue, made):
    coarse = np.full(COARSE.shape, 0.3)
    row, column, _ = (x[0] for x in COARSE.locate(*centre(GRID, *HERE)))
    coarse[row, column] = 0.123
    made(coarse=coarse)
    sensor = catalogue.sensor(station(catalogue))
    catalogue.observe_day(sensor, DAY, 0.25)
    report = run(catalogue)
    [found] = stored(catalogue)
    assert found["estimate"] == pytest.approx(FIELD[0][HERE], abs=6e-5)
    assert found["coarse"] == pytest.approx(0.123, abs=1e-4)
    assert found["reference"] == pytest.approx(0.25, abs=1e-7)
    assert (found["n_days"], found["quality"], found["band"]) == (1, 4, 1)
    assert (report.written, report.dropped) == (1, 0)
    [row] = report.rows
    assert (row.network, row.station, row.stations) == ("NET", "one", 1)
    assert row.map.bias == pytest.approx(FIELD[0][HERE] - 0.25, abs=1e-4)
    assert row.coarse.bias == pytest.approx(0.123 - 0.25, abs=1e-4)


@pytest.mark.parametrize(("hours", "counts"), [(11, False), (12, True), (24, True)])
def test_a_day_of_hours_needs_twelve(catalogue, made, hours, counts):
    made()
    sensor = catalogue.sensor(station(catalogue))
    catalogue.observe_day(sensor, DAY, 0.2, hours=hours)
    assert run(catalogue).written == counts


def test_values_that_are_not_good_do_not_count(catalogue, made):
    made()
    sensor = catalogue.sensor(station(catalogue))
    catalogue.observe_day(sensor, DAY, 0.2, hours=12)
    later = utc_midnight(DAY) + timedelta(hours=12)
    catalogue.observe(sensor, [(later + timedelta(hours=h), 0.9) for h in range(12)], good=False)
    run(catalogue)
    [found] = stored(catalogue)
    assert found["reference"] == pytest.approx(0.2, abs=1e-7)


def test_the_reference_is_a_mean_of_days_not_of_hours(catalogue, made):
    made(Period.of_days(DAY, DAY + timedelta(days=2)))
    sensor = catalogue.sensor(station(catalogue))
    catalogue.observe_day(sensor, DAY, 0.10, hours=12)
    catalogue.observe_day(sensor, DAY + timedelta(days=1), 0.40, hours=24)
    catalogue.observe_day(sensor, DAY + timedelta(days=2), 0.90, hours=5)
    catalogue.observe_day(sensor, DAY + timedelta(days=3), 0.90)
    catalogue.observe_day(sensor, DAY - timedelta(days=1), 0.90)
    run(catalogue)
    [found] = stored(catalogue)
    assert found["n_days"] == 2
    assert found["reference"] == pytest.approx(0.25, abs=1e-7)


@pytest.mark.parametrize(
    ("offset", "met"),
    [(0, 0), (-10, 0), (-11.9, 0), (-12, 0), (-12.1, 1), (11.9, 0), (12, -1), (8, 0)],
)
def test_a_daily_mean_belongs_to_the_day_of_its_middle(catalogue, made, offset, met):
    """``offset``: hours from UTC midnight of DAY to the start of the value's 24 hours."""
    for shift in (-1, 0, 1):
        made(Period.of_day(DAY + timedelta(days=shift)))
    sensor = catalogue.sensor(station(catalogue), step=24)
    catalogue.observe(sensor, [(utc_midnight(DAY) + timedelta(hours=offset), 0.2)])
    run(catalogue)
    days = [row["day"] for row in catalogue.rows("SELECT day FROM views.matchups")]
    assert days == [DAY - timedelta(days=met)]


def test_a_period_that_begins_within_a_day_takes_days_by_their_noon(catalogue, made):
    start = datetime(2019, 3, 10, 6, tzinfo=UTC)
    made(Period(start, start + timedelta(days=1)))
    sensor = catalogue.sensor(station(catalogue))
    for shift, value in ((-1, 0.1), (0, 0.2), (1, 0.3)):
        catalogue.observe_day(sensor, DAY + timedelta(days=shift), value)
    run(catalogue)
    [found] = stored(catalogue)
    assert (found["n_days"], found["reference"]) == (1, pytest.approx(0.2, abs=1e-7))


@pytest.mark.parametrize(
    ("top", "bottom", "bands"),
    [
        (0.0, 0.05, [1]),
        (0.05, 0.05, [1]),  # at 5 cm: in REAL this is a hair more than 0.05
        (0.0, 0.0, [1]),
        (0.03, 0.03, [1]),
        (0.0, 0.10, [2]),
        (0.0, 0.02, [1]),
        (0.05, 0.10, [2]),
        (0.10, 0.10, [2]),
        (0.0, 1.0, []),
        (0.2, 0.2, []),
    ],
)
def test_depths(catalogue, top, bottom, bands):
    product = catalogue.product()
    version = catalogue.version(product, depths=[(0.0, 0.05), (0.05, 0.15)])
    field = np.concatenate([FIELD, FIELD + 0.1])
    catalogue.map(product, version, catalogue.model(version), Period.of_day(DAY), field)
    sensor = catalogue.sensor(station(catalogue), top, bottom)
    catalogue.observe_day(sensor, DAY, 0.2)
    run(catalogue)
    found = stored(catalogue)
    assert [row["band"] for row in found] == bands
    for row in found:
        expected = field[row["band"] - 1][HERE]
        assert row["estimate"] == pytest.approx(expected, abs=6e-5)
        [seen] = catalogue.rows("SELECT depth_top, depth_bottom FROM views.matchups")
        assert tuple(seen.values()) == [(0.0, 0.05), (0.05, 0.15)][row["band"] - 1]


def test_other_variables_and_stations_outside_do_not_meet(catalogue, made):
    made()
    catalogue.observe_day(catalogue.sensor(station(catalogue), kind="ts"), DAY, 0.2)
    outside = catalogue.station("NET", "far", (10.0, 50.0))
    catalogue.observe_day(catalogue.sensor(outside), DAY, 0.2)
    assert not run(catalogue).changed


def test_a_pixel_without_value_makes_a_matchup_without_estimate(catalogue, made):
    field = FIELD.copy()
    field[0][HERE] = np.nan
    made(field=field, coarse=np.full(COARSE.shape, 0.2))
    catalogue.observe_day(catalogue.sensor(station(catalogue)), DAY, 0.2)
    report = run(catalogue)
    [found] = stored(catalogue)
    assert found["estimate"] is None
    assert found["quality"] is None
    assert report.rows == ()
    assert not run(catalogue).changed


def test_a_second_run_changes_nothing(catalogue, made):
    made(coarse=np.full(COARSE.shape, 0.2))
    catalogue.observe_day(catalogue.sensor(station(catalogue)), DAY, 0.2)
    first = run(catalogue)
    before = stored(catalogue), catalogue.rows("SELECT * FROM smcatalog.monthly_statistics")
    second = run(catalogue)
    after = stored(catalogue), catalogue.rows("SELECT * FROM smcatalog.monthly_statistics")
    assert first.changed
    assert not second.changed
    assert second.rows == first.rows
    assert before == after


def test_new_observations_make_a_matchup_again(catalogue, made):
    made(Period.of_days(DAY, DAY + timedelta(days=1)))
    sensor = catalogue.sensor(station(catalogue))
    catalogue.observe_day(sensor, DAY, 0.2)
    run(catalogue)
    catalogue.observe_day(sensor, DAY + timedelta(days=1), 0.4)
    report = run(catalogue)
    assert (report.written, report.statistics_changed) == (1, 1)
    [found] = stored(catalogue)
    assert found["reference"] == pytest.approx(0.3, abs=1e-7)


def test_observations_that_vanish_take_their_matchup_along(catalogue, made):
    made()
    sensor = catalogue.sensor(station(catalogue))
    catalogue.observe_day(sensor, DAY, 0.2)
    run(catalogue)
    catalogue.run("UPDATE smcatalog.observations SET good = false")
    report = run(catalogue)
    assert (report.written, report.dropped, report.statistics_changed) == (0, 1, 1)
    assert stored(catalogue) == []
    assert report.rows == ()


def test_only_live_maps_count(catalogue, made):
    old = made()
    sensor = catalogue.sensor(station(catalogue))
    catalogue.observe_day(sensor, DAY, 0.2)
    before = run(catalogue)
    product = catalogue.one("SELECT id FROM smcatalog.products")
    version = catalogue.version(product, number=2)
    model = catalogue.model(version)
    # the live one of a day is unique, so the old map goes before the new one is there
    catalogue.run("UPDATE smcatalog.maps SET superseded_at = clock_timestamp(), superseded_by = id")
    new = catalogue.map(product, version, model, Period.of_day(DAY), FIELD + 0.1)
    catalogue.supersede(old, new)
    after = run(catalogue)
    assert [row.version for row in before.rows] == [1]
    assert [row.version for row in after.rows] == [2]
    assert after.rows[0].map.bias == pytest.approx(before.rows[0].map.bias + 0.1, abs=1e-4)
    assert after.statistics_changed == 2
    assert [row["version"] for row in catalogue.rows("SELECT version FROM views.matchups")] == [2]
    assert len(stored(catalogue)) == 2


def test_a_moved_station_is_sampled_again(catalogue, made):
    made()
    where = station(catalogue)
    catalogue.observe_day(catalogue.sensor(where), DAY, 0.2)
    run(catalogue)
    longitude, latitude = centre(GRID, 30, 5)
    catalogue.run(
        "UPDATE smcatalog.stations SET geometry = "
        "public.ST_SetSRID(public.ST_MakePoint(:lon, :lat), 4326)",
        lon=longitude,
        lat=latitude,
    )
    transaction(catalogue.engine, lambda c: db.forget_station(c, where))
    assert run(catalogue).written == 1
    [found] = stored(catalogue)
    assert found["estimate"] == pytest.approx(FIELD[0][30, 5], abs=6e-5)


def test_unknown_names_and_turned_days(catalogue, made):
    made()
    with pytest.raises(NotFoundError, match="no map of a product 'other'"):
        validate(catalogue.engine, catalogue.store, "other")
    with pytest.raises(NotFoundError, match="no network is called 'X'"):
        run(catalogue, network="X")
    with pytest.raises(UsageError, match="before the first day"):
        run(catalogue, first=DAY, last=DAY - timedelta(days=1))


def test_the_writer_role_can_validate(catalogue, made, database):
    made()
    catalogue.observe_day(catalogue.sensor(station(catalogue)), DAY, 0.2)
    writer = database.engine_for("smcatalog_writer")
    assert validate(writer, catalogue.store, "test").written == 1


def test_many_maps_and_stations_are_matched_once(catalogue, made):
    first = date(2018, 8, 2)
    for week in range(40):
        start = first + timedelta(days=7 * week)
        made(Period.of_days(start, start + timedelta(days=2)), coarse=np.full(COARSE.shape, 0.2))
    for number in range(12):
        catalogue.sensor(catalogue.station("NET", f"s{number}", centre(GRID, number, number)))
    for year in (2018, 2019):
        catalogue.run("SELECT smcatalog.ensure_observation_partition(:year)", year=year)
    catalogue.run(
        "INSERT INTO smcatalog.observations SELECT s.id, t, 0.2 + 0.1 * random(), true, 'G' "
        "FROM smcatalog.sensors s, generate_series(CAST(:first AS timestamptz), "
        "CAST(:last AS timestamptz), interval '1 hour') AS t",
        first=utc_midnight(first),
        last=utc_midnight(first + timedelta(days=40 * 7)),
    )
    catalogue.run("ANALYZE")
    report = run(catalogue)
    again = run(catalogue, by=Grouping.ALL)
    assert (report.written, again.changed) == (40 * 12, False)
    assert again.rows[0].map.n == 40 * 12
