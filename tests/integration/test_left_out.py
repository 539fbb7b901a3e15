"""Learners at stations that they never saw, over a planted truth."""

from datetime import timedelta

import numpy as np
import pytest
from pyproj import Transformer

from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.time import utc_midnight
from smcatalog.methods import Samples, create
from smcatalog.services.left_out import (
    COARSE,
    COARSE_ALONE,
    Together,
    leave_groups_out,
    stations_left_out,
)
from tests.factories import inputs as make
from tests.factories.catalogue import Catalogue
from tests.fixtures.filled import filling

DAYS = make.days(40)
PIXELS = [(5, 7), (12, 60), (25, 95), (40, 20), (55, 75), (66, 101)]
LINEAR = {"linear_regression": {}}


def place_of(row, column):
    """Longitude and latitude of a pixel's centre."""
    x, y = make.FINE.transform * (column + 0.5, row + 0.5)
    return Transformer.from_crs(str(make.FINE.crs), 4326, always_xy=True).transform(x, y)


def fill(place):
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


def observe(place, name, pixel, days=DAYS, network="NET"):
    """Record a station that observes the truth at a pixel, day by day."""
    known = Catalogue(place.engine, place.store.root)
    sensor = known.sensor(known.station(network, name, place_of(*pixel)))
    values = [(utc_midnight(day), float(make.truth(day)[pixel])) for day in days]
    hours = [timedelta(hours=hour) for hour in range(24)]
    known.observe(sensor, [(start + hour, value) for start, value in values for hour in hours])


def asked(**changes):
    return make.definition(first_day=DAYS[0], last_day=DAYS[-1], **changes)


def test_what_holds_everywhere_is_found_at_stations_never_seen(place):
    for number, pixel in enumerate(PIXELS):
        observe(place, f"s{number}", pixel)
    report = stations_left_out(place, asked(), LINEAR)
    rows = {row.subject: row.scores for row in report.rows}
    assert list(rows) == [COARSE, COARSE_ALONE, "linear_regression"]
    assert {(s.stations, s.n) for s in rows.values()} == {(len(PIXELS), len(PIXELS) * len(DAYS))}
    assert (report.first, report.last) == (DAYS[0], DAYS[-1])
    # the truth is linear in the covariates, which are stored in steps of a ten-thousandth
    assert rows["linear_regression"].rmse < 0.001
    assert rows["linear_regression"].r > 0.999
    assert rows[COARSE].rmse > 0.02
    assert rows[COARSE_ALONE].rmse > 0.02
    assert report.left_out_together == ()


def test_copies_of_a_station_are_left_out_together(place):
    for name, pixel in (("a", PIXELS[0]), ("b", PIXELS[1]), ("copy", PIXELS[0])):
        observe(place, name, pixel)
    report = stations_left_out(place, asked(), {})
    assert report.left_out_together == (("NET/a", "NET/copy"),)
    assert {row.scores.stations for row in report.rows} == {3}


def test_stations_of_a_cell_are_left_out_together(place):
    near = {"s0": PIXELS[0], "s1": (6, 9)}
    for name, pixel in near.items():
        observe(place, name, pixel, network="NEAR")
    for name, pixel in (("s3", PIXELS[3]), ("s5", PIXELS[5]), ("copy", PIXELS[5])):
        observe(place, name, pixel)
    report = stations_left_out(place, asked(), LINEAR, together=Together.CELL)
    assert report.left_out_together == (("NEAR/s0", "NEAR/s1"), ("NET/copy", "NET/s5"))
    assert {row.scores.n for row in report.rows} == {5 * len(DAYS)}
    with pytest.raises(UsageError, match="or cells"):  # one cell alone
        stations_left_out(place, asked(), LINEAR, network="NEAR", together=Together.CELL)


def test_only_a_network_and_only_days_are_asked_for(place):
    for number, pixel in enumerate(PIXELS):
        observe(place, f"s{number}", pixel, network="ODD" if number % 2 else "EVEN")
    report = stations_left_out(place, asked(), {}, DAYS[3], DAYS[22], "ODD")
    assert {(row.scores.stations, row.scores.n) for row in report.rows} == {(3, 60)}


def test_without_stations_it_says_what_is_missing(place):
    with pytest.raises(NotFoundError, match="ingest stations"):
        stations_left_out(place, asked(), LINEAR)
    observe(place, "only", PIXELS[0])
    with pytest.raises(UsageError, match="at least two"):
        stations_left_out(place, asked(), LINEAR)


def test_no_group_is_predicted_by_what_saw_it():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(5), 40)
    features = np.column_stack([groups == g for g in range(5)]).astype(float)
    samples = Samples(
        tuple("abcde"),
        features,
        (0.1 * groups + rng.normal(0, 0.001, 200))[:, np.newaxis],
        groups,
        np.full(200, np.datetime64("2020-01-01", "D")),
    )
    seen = create("random_forest", {}).fit(samples).predict_samples(features)[:, 0]
    unseen = leave_groups_out(lambda: create("random_forest", {}), samples)
    assert np.abs(seen - samples.target[:, 0]).max() < 0.05
    # each group's own feature is constant in the others: nothing tells what its value is
    for group in (0, 1, 3, 4):
        others = samples.target[groups != group, 0]
        assert abs(unseen[groups == group].mean() - 0.1 * group) > 0.05
        assert others.min() <= unseen[groups == group].mean() <= others.max()
