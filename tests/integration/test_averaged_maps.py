"""Maps by learners around each pixel and day, averaged with weights from stations."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from smcatalog.core.encoding import asset_kinds
from smcatalog.core.errors import UsageError
from smcatalog.core.stations import Depth, Site, StationSeries
from smcatalog.database.engine import transaction
from smcatalog.database.observations import record_series
from smcatalog.database.products import product_version
from smcatalog.products import Covariate, InSituChoice, MethodChoice, Step, TimeRule
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.experiments import experiments
from smcatalog.services.fit import Models
from smcatalog.services.gathering import NearbySamples
from smcatalog.services.inputs import LayerIndex
from smcatalog.services.live import live_published, soil_moisture
from smcatalog.services.plan import Cause, preview
from smcatalog.services.produce import predict_map, produce
from tests.factories import inputs as make

DAYS = make.days(16)
TAUGHT = DAYS[9]
GAP = DAYS[12]
"""The coarse product has nothing on this day."""
SMALL = {
    "settings": {"forest": {"trees": 8}},
    "grids": {"support": {"cost": [1.0, 10.0]}},
    "tuned_windows": 4,
    "tune_folds": 3,
    "zones": 2,
    "seasons": 1,
    "zone_least": 20,
    "scored_days": 3,
    "chains": {"draws": 100, "warm_up": 20},
}


def definition(**changes):
    return make.definition(
        step=Step.DAY,
        look_ahead_days=1,
        training_until=DAYS[10],
        covariates=(
            Covariate("swvl1", "W", TimeRule.DAY),
            Covariate("elevation", "D", TimeRule.STATIC),
        ),
        method=MethodChoice("bayesian_model_averaging", SMALL),
        in_situ=InSituChoice(DAYS[0], TAUGHT),
        **changes,
    )


def stations():
    """Pixels of the map where stations stand."""
    return [(row, column) for row in (9, 30, 55) for column in (10, 40, 60, 95)]


def observe(place, row, column, days, offset=0.0):
    pixel = make.FINE.window(slice(row, row + 1), slice(column, column + 1))
    west, south, east, north = pixel.bbox()
    site = Site("NET", f"{row}-{column}", (south + north) / 2, (west + east) / 2, 5)
    values = np.array([make.truth(day)[row, column] + offset for day in days], np.float32)
    series = StationSeries(
        site, "probe", "sm", Depth(0.0, 0.05), 24, np.array(days, "datetime64[s]"), values,
        np.full(len(days), ""), np.ones(len(days), bool),
    )  # fmt: skip
    transaction(place.engine, lambda c: record_series(c, series))


@pytest.fixture(scope="module")
def place(module_database, tmp_path_factory):
    place = make.workspace(module_database.engine, tmp_path_factory.mktemp("averaged"))
    make.put_static(place)
    for day in DAYS:
        make.put(place, "W", "swvl1", make.FINE, make.wetness(day), day)
        if day != GAP:
            make.put_coarse(place, day)
    for row, column in stations():
        observe(place, row, column, DAYS)
    report = produce(place, definition())
    assert report.count("made") == len(DAYS)
    return place


def maps(place):
    published, _ = live_published(place, definition())
    return {one.period.day: one for one in published}


def states(place):
    found = preview(place.engine, definition()).days
    return {day.day: day.cause for day in found if day.cause is not None}


def test_maps_come_back_to_the_relation_that_was_planted(place):
    for day, published in maps(place).items():
        found = soil_moisture(place.store, published)
        assert np.isfinite(found).all()
        error = np.sqrt(np.nanmean((found - make.truth(day)) ** 2))
        assert error < (0.03 if day == GAP else 0.015), day
        spread = soil_moisture(place.store, published, uncertainty=True)
        assert 0 < spread.mean() < 0.08


def test_what_was_learned_is_kept_for_people(place):
    with place.engine.connect() as connection:
        (scores,) = connection.exec_driver_sql("SELECT scores FROM smcatalog.models").scalars()
    report = scores["report"]
    assert set(report["weights"]) == {"all", "0", "1"}
    for one in report["weights"].values():
        for estimator in ("em", "mcmc"):
            assert sum(one[estimator]["weights"].values()) == pytest.approx(1)
        assert one["model_space"]["rows"] == one["observations"]
    assert [zone["zone"] for zone in report["clusters"]] == [0, 1]
    assert report["tuned"][0]["settings"]["support"]["cost"] in {1.0, 10.0}
    assert set(report["stations"]["NET"]) == {"forest", "linear", "support", "boosting", "mixture"}
    assert set(scores) == {"train", "cells_left_out", "days_left_out", "importances", "report"}
    assert 0 < scores["train"]["rmse"] < scores["cells_left_out"]["rmse"]
    assert scores["days_left_out"]["n"] > 12


def test_a_map_can_be_walked_to_the_layers_of_the_days_around(place):
    with place.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT l.source, l.day, i.role FROM smcatalog.maps m JOIN smcatalog.map_layers i ON i.map_id = m.id "
            "JOIN smcatalog.layers l ON l.id = i.layer_id WHERE m.day = %s AND m.superseded_at IS NULL ORDER BY 1, 2",
            (DAYS[5],),
        ).all()
    around = [DAYS[4], DAYS[5], DAYS[6]]
    assert [day for source, day, _ in found if source == "W"] == around
    assert [day for source, day, _ in found if source == "C"] == around
    assert [day for source, day, role in found if role == "coarse"] == [DAYS[5]]


def test_experiments_score_later_observations(place):
    found = experiments(place, definition(), repeats=2)
    assert (found.first, found.last) == (DAYS[10], DAYS[-1])
    assert found.training == 12 * 10
    assert found.testing == 12 * 6
    network = found.networks["NET"]
    assert {one["n"] for one in network.values()} == {found.testing}
    assert network["mixture"]["r"] > 0.9
    assert [row["left_out"] for row in found.predictor_left_out] == ["", "swvl1", "elevation"]
    assert found.predictor_left_out[1]["change_r"] < 0
    assert [row["removed"] for row in found.observations_removed] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert found.predictors == []  # a zone has fewer than a hundred samples here
    with pytest.raises(UsageError, match="learns from no stations"):
        experiments(place, make.definition())


def test_the_same_inputs_give_the_same_map_with_any_number_of_threads(place, monkeypatch):
    asked, day = definition(), DAYS[6]
    with place.engine.connect() as connection:
        version = product_version(connection, "tiny")
        (inputs,) = LayerIndex(connection, asked, day, day).days(day, day)
    reader = CovariateReader(place.store, asked)
    fitted = Models(place, asked, version, reader).of("all")
    near = NearbySamples(asked, reader).around(inputs)
    published = maps(place)[day]
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        method = fitted.method.around(near, np.datetime64(day))
        found = predict_map(method, reader, inputs, asked.output_grid())
        for file, kind in zip(published.files, asset_kinds(), strict=True):
            assert np.array_equal(place.store.read(file.key), found[kind.name])


def test_a_late_coarse_day_makes_the_days_around_it_anew_and_late_observations_the_model(place):
    assert states(place) == {}
    make.put_coarse(place, DAYS[14], 0.01, "late")
    assert states(place) == {DAYS[13]: Cause.INPUTS, DAYS[14]: Cause.INPUTS, DAYS[15]: Cause.INPUTS}
    produce(place, definition())
    observe(place, 9, 10, [TAUGHT + timedelta(days=1)], 0.05)
    assert states(place) == {}
    observe(place, 9, 10, [TAUGHT], 0.05)
    assert set(states(place).values()) == {Cause.MODEL}
    produce(place, definition())
    assert states(place) == {}


def test_days_without_a_coarse_value_in_reach_have_no_map(place):
    far = DAYS[-1] + timedelta(days=3)
    make.put(place, "W", "swvl1", make.FINE, make.wetness(far), far)
    assert far not in states(place)
    make.put_coarse(place, far + timedelta(days=1))
    assert states(place)[far] is Cause.NEW
    produce(place, definition())
    empty = soil_moisture(place.store, maps(place)[far])
    assert np.isnan(empty).all()  # the day after lacks its covariates: it gives no sample
