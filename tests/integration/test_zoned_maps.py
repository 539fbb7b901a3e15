"""Maps by zones, with gaps filled from both sides, land cover in groups and the day of the year."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from smcatalog.core.encoding import NODATA, Quality
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from smcatalog.database.engine import transaction
from smcatalog.products import Covariate, DayOfYear, MethodChoice, Step, TimeRule
from smcatalog.resample import cell_index
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.inputs import LayerIndex
from smcatalog.services.plan import DayState, preview
from smcatalog.services.produce import produce
from tests.factories import inputs as make
from tests.fixtures.filled import filling

DAYS = make.days(24)
EMPTY = DAYS[12]
"""No temperature was seen on this day."""
ROWS, COLUMNS = np.indices(make.FINE.shape)
ZONE = np.where(ROWS < 30, 1.0, 4.0)
ZONE[:, 80:90] = np.nan
COVER = np.where((ROWS // 5 + COLUMNS // 7) % 2, 1.0, 7.0)
COVER[40:42, 50:52] = 0.0  # water
EARLIER = Period.of_days(DAYS[0] - timedelta(days=200), DAYS[0] - timedelta(days=100))


def definition(**changes):
    return make.definition(
        step=Step.DAY,
        look_ahead_days=4,
        training_until=DAYS[-1],
        day_of_year=DayOfYear.NUMBER,
        covariates=(
            Covariate("lst_day", "L", TimeRule.INTERPOLATED, within_days=4),
            Covariate(
                "land_cover_pft",
                "M",
                TimeRule.HOLDING,
                max_age_days=400,
                classes=(("forest", (1, 2)), ("crop", (7,))),
            ),
            Covariate("zone", "zones:halves", TimeRule.STATIC),
        ),
        method=MethodChoice(
            "ensemble",
            {
                "learners": ["linear_regression"],
                "combine": "stacking",
                "zones": "zone",
                "zone_min_samples": 20,
            },
        ),
        **changes,
    )


def warmth(day):
    return 290 + 8 * np.sin(COLUMNS / 17 + (day - DAYS[0]).days / 3) + 4 * np.cos(ROWS / 9)


def truth(day):
    """Warm land is dry in zone 1 and wet in zone 4."""
    slope = np.where(ROWS < 30, -0.008, 0.006)
    return 0.2 + slope * (warmth(day) - 290) + np.where(COVER == 1, 0.02, 0.0)


def fill(place):
    make.put(place, "zones:halves", "zone", make.FINE, ZONE, None)
    make.put(place, "M", "land_cover_pft", make.FINE, COVER, EARLIER)
    for day in DAYS:
        mean = cell_index(make.FINE, make.COARSE).mean(truth(day)).mean
        make.put(place, "C", "sm", make.COARSE, mean, day)
        seen = warmth(day)
        seen[(ROWS + COLUMNS + day.toordinal()) % 5 == 0] = np.nan
        if day != EMPTY:
            make.put(place, "L", "lst_day", make.FINE, seen, day)


@pytest.fixture(scope="module")
def filled(database_server, tmp_path_factory):
    with filling(database_server, tmp_path_factory.mktemp("filled"), fill) as made:
        yield made


@pytest.fixture
def place(filled, tmp_path):
    with filled.copy(tmp_path) as (place, _):
        yield place


def read_day(place, asked, day):
    index = transaction(place.engine, lambda c: LayerIndex(c, asked, day, day))
    (inputs,) = index.days(day, day)
    return CovariateReader(place.store, asked).read(inputs, make.FINE)


def test_covariates_of_a_day_are_filled_grouped_and_complete(place):
    asked = definition()
    found = read_day(place, asked, EMPTY)
    assert found.names == (
        *("lst_day", "land_cover_pft_forest", "land_cover_pft_crop", "zone", "day_of_year"),
    )
    lst, forest, crop, zone, number = found.values
    assert np.isfinite(lst).all()
    assert np.abs(lst - warmth(EMPTY)).max() < 1.5  # a line over up to four days of a wave
    assert (found.quality & Quality.LST_FILLED).all()
    water = COVER == 0
    assert np.isnan(forest[water]).all()
    assert np.array_equal(forest[~water] + crop[~water], np.ones((~water).sum()))
    assert np.array_equal(zone, np.nan_to_num(ZONE))
    assert (number == 13).all()
    seen = read_day(place, asked, DAYS[10])
    gap = (ROWS + COLUMNS + DAYS[10].toordinal()) % 5 == 0
    assert np.array_equal((seen.quality & Quality.LST_FILLED) != 0, gap)
    assert np.abs(seen.values[0] - warmth(DAYS[10]))[~gap].max() < 0.01


def test_maps_of_zones_bring_each_zones_relation_back(place):
    asked = definition()
    report = produce(place, asked)
    made = [day.day for day in report.days if day.outcome == "made"]
    # the first and the last day are seen but for gaps that nothing closes on one side
    assert made == DAYS
    with place.engine.connect() as connection:
        key, report = connection.exec_driver_sql(
            "SELECT f.key, o.scores -> 'report' FROM smcatalog.maps m "
            "JOIN smcatalog.map_files f ON f.map_id = m.id AND f.kind = 'soil_moisture' "
            "JOIN smcatalog.models o ON o.id = m.model_id WHERE m.day = %s",
            (EMPTY,),
        ).one()
    assert set(report["zones"]) == {"all", "1", "4"}
    mean = place.store.read(key)[0]
    assert ((mean == NODATA) == (COVER == 0)).all()
    error = np.where(COVER == 0, np.nan, mean * 1e-4 - truth(EMPTY))
    assert np.nanmean(np.abs(error[50:, :80])) < 0.02
    with_zones = np.sqrt(np.nanmean(error[:, :80] ** 2))
    assert with_zones < 0.03


def test_other_zones_and_layers_ahead_make_days_stale(place):
    asked = definition()
    produce(place, asked)
    assert {day.state for day in preview(place.engine, asked).days} == {DayState.CURRENT}
    make.put(place, "L", "lst_day", make.FINE, warmth(EMPTY), EMPTY, "late")
    stale = [day.day for day in preview(place.engine, asked).days if day.cause == "inputs"]
    assert stale == DAYS[8:17]
    make.put(place, "zones:halves", "zone", make.FINE, ZONE[::-1], None, "2")
    days = preview(place.engine, asked).days
    assert {day.cause for day in days} == {"inputs"}


def test_bits_of_the_last_layer_up_to_the_day_are_kept(place):
    frozen = np.where(ROWS < 3, InputQuality.FROZEN, 0)
    make.put(place, "L", "lst_day", make.FINE, warmth(DAYS[11]), DAYS[11], "2", frozen)
    found = read_day(place, definition(), EMPTY)
    assert np.array_equal((found.quality & Quality.FROZEN_OR_SNOW) != 0, ROWS < 3)
