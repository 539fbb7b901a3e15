"""Values between days, smoothing, and features that are made of covariates: laws."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from scipy.signal import savgol_filter

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import grid
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from smcatalog.database.inputs import LayerRecord
from smcatalog.methods import Covariates
from smcatalog.methods.daily import between
from smcatalog.methods.sampling import cell_means, join_blocks
from smcatalog.methods.smoothing import GapFiller, smooth_weights, smoothed_centre
from smcatalog.products import Covariate, DayOfYear, TimeRule
from smcatalog.services.features import between_days, calendar_of, features_of

SHAPE = (4, 6)
DAY = date(2020, 3, 1)


def series(n, gaps, seed=0):
    """Fields of days, some of their values missing."""
    rng = np.random.default_rng(seed)
    fields = rng.uniform(0, 1, (n, *SHAPE)).astype(np.float32)
    fields[rng.uniform(size=fields.shape) < gaps] = np.nan
    return fields


def filled(fields, days, wanted, within):
    filler = GapFiller(SHAPE, np.asarray(wanted), within)
    for day, field in zip(days, fields, strict=True):
        filler.add(int(day), field)
    return filler.values


@pytest.mark.parametrize("gaps", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("within", [2, 5, 15])
def test_fields_one_by_one_give_what_all_together_give(gaps, within):
    rng = np.random.default_rng(int(10 * gaps) + within)
    days = np.sort(rng.choice(40, 25, replace=False))
    fields = series(25, gaps)
    wanted = np.arange(12, 27)
    epoch = np.datetime64("2020-01-01")
    expected = between(epoch + days, fields, epoch + wanted, reach=within)
    found = filled(fields, days, wanted, within)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.allclose(found, expected, atol=1e-6, equal_nan=True)


def test_a_linear_series_comes_back_from_its_composites():
    """Every eight days a value: between them each day lies on the line."""
    days = np.arange(4, 60, 8)
    fields = np.stack([np.full(SHAPE, 0.1 + 0.01 * day, np.float32) for day in days])
    wanted = np.arange(20, 31)
    found = filled(fields, days, wanted, 15)
    assert np.allclose(found[:, 0, 0], 0.1 + 0.01 * wanted, atol=1e-6)
    assert np.allclose(smoothed_centre(found, 4), 0.1 + 0.01 * 25, atol=1e-6)


def test_days_must_come_in_order():
    filler = GapFiller(SHAPE, np.arange(3), 5)
    filler.add(1, np.zeros(SHAPE))
    with pytest.raises(UsageError, match="order of time"):
        filler.add(1, np.zeros(SHAPE))


@pytest.mark.parametrize(("half", "order"), [(5, 4), (5, 2), (3, 3), (7, 1)])
def test_of_whole_windows_it_is_the_filter_of_savitzky_and_golay(half, order):
    fields = series(2 * half + 1, 0.0)
    expected = savgol_filter(fields.astype(float), 2 * half + 1, order, axis=0)[half]
    assert np.allclose(smoothed_centre(fields, order), expected, atol=1e-6)


@pytest.mark.parametrize("gaps", [0.2, 0.5])
def test_with_gaps_it_is_the_least_squares_through_the_days_there_are(gaps):
    fields = series(11, gaps)
    found = smoothed_centre(fields, 4)
    x = np.arange(-5, 6)
    for place in np.ndindex(SHAPE):
        one = fields[(slice(None), *place)].astype(float)
        known = np.isfinite(one)
        if not known[5]:
            assert np.isnan(found[place])
        elif known.sum() <= 5:
            assert found[place] == np.float32(one[5])
        else:
            fit = np.polynomial.Polynomial.fit(x[known], one[known], 4)
            assert found[place] == pytest.approx(fit(0), abs=1e-5)


def test_polynomials_of_the_order_stay_what_they_are_whatever_is_missing():
    x = np.arange(-5, 6, dtype=float)
    curve = 0.3 + 0.02 * x - 0.004 * x**2 + 0.0005 * x**3 + 0.0001 * x**4
    fields = np.repeat(curve[:, np.newaxis], 500, axis=1).astype(np.float32)
    rng = np.random.default_rng(2)
    fields[rng.uniform(size=fields.shape) < 0.3] = np.nan
    fields[5] = curve[5]
    assert np.allclose(smoothed_centre(fields, 4), curve[5], atol=2e-6)


def test_weights_sum_up_to_one():
    rng = np.random.default_rng(1)
    for _ in range(50):
        known = rng.uniform(size=11) < 0.6
        known[5] = True
        weights = np.array(smooth_weights(tuple(known.tolist()), 4))
        assert weights.sum() == pytest.approx(1)
        assert (weights[~known] == 0).all()
    with pytest.raises(UsageError, match="middle day"):
        smooth_weights((True, False, True), 1)


# -- as the covariates of a map's day


def layer(day):
    return LayerRecord(1, "S", "ndvi", "M01", Period.of_day(day), "k", "s")


def read(covariate, fields, first=-20):
    """Between days, of fields by day from so many days before the map's on."""
    days = [DAY + timedelta(days=first + n) for n in range(len(fields))]
    held = {day: field for day, field in zip(days, fields, strict=True) if field is not None}

    def field(same):
        values = held[same[0].period.day]
        return values, np.zeros(SHAPE, np.uint16)

    return between_days(covariate, [layer(day) for day in held], DAY, SHAPE, field)


def test_smoothing_fills_the_gaps_of_the_days_around_first():
    covariate = Covariate("ndvi", "S", TimeRule.SMOOTHED, within_days=15, half_width=5, order=4)
    fields = series(41, 0.4)
    found, quality = read(covariate, fields)
    numbers = np.arange(41)
    epoch = np.datetime64("2020-01-01")
    whole = between(epoch + numbers, fields, epoch + np.arange(15, 26), reach=15)
    assert np.isfinite(whole).all()
    expected = savgol_filter(whole, 11, 4, axis=0)[5]
    assert np.allclose(found, expected, atol=1e-5)
    own = np.isfinite(fields[20])
    assert ((quality & InputQuality.FILLED) != 0).sum() == (~own).sum()


def test_interpolation_reaches_as_far_as_it_is_told():
    covariate = Covariate("ndvi", "S", TimeRule.INTERPOLATED, within_days=3)
    one = np.ones(SHAPE, np.float32)
    fields = [None] * 41
    fields[17], fields[22] = one, 2 * one
    found, quality = read(covariate, fields)
    assert np.allclose(found, 1.6)
    assert (quality == InputQuality.FILLED).all()
    fields[17], fields[16] = None, one
    assert np.isnan(read(covariate, fields)[0]).all()


def test_groups_of_classes_are_features_and_other_classes_have_no_value():
    covariate = Covariate(
        "land_cover_pft", "M", TimeRule.HOLDING, classes=(("forest", (1, 4, 5)), ("crop", (7, 8)))
    )
    assert covariate.features == ("land_cover_pft_forest", "land_cover_pft_crop")
    classes = np.array([[1, 5, 7, 0, np.nan, 8]], np.float32)
    forest, crop = features_of(covariate, classes)
    assert np.array_equal(forest, [[1, 1, 0, np.nan, np.nan, 0]], equal_nan=True)
    assert np.array_equal(crop, [[0, 0, 1, np.nan, np.nan, 1]], equal_nan=True)


def test_a_place_in_no_zone_has_number_nought():
    covariate = Covariate("zone", "zones:terrain", TimeRule.STATIC)
    (found,) = features_of(covariate, np.array([[3, np.nan]], np.float32))
    assert found.tolist() == [[3, 0]]


def test_the_day_of_the_year():
    assert calendar_of(None, DAY) == ()
    assert calendar_of(DayOfYear.NUMBER, date(2020, 12, 31)) == (366.0,)
    sine, cosine = calendar_of(DayOfYear.CIRCLE, date(2019, 1, 1))
    assert (sine, cosine) == (0, 1)
    last = calendar_of(DayOfYear.CIRCLE, date(2020, 12, 31))
    assert math.dist(last, (sine, cosine)) == pytest.approx(2 * math.pi / 366, rel=1e-3)


# -- classes at coarse cells


def test_a_cell_is_in_the_zone_of_most_of_its_pixels():
    coarse = grid("M36").window(slice(318, 320), slice(872, 874))
    fine = grid("M01").window(slice(318 * 36, 320 * 36), slice(872 * 36, 874 * 36))
    zone = np.full(fine.shape, 7, np.float32)
    zone[:36, :36] = 2
    zone[:19, :36] = 9  # the upper left cell: 19 of 36 rows
    zone[36:, 36:54] = 3  # the lower right one: half and half
    values = np.stack([zone, np.ones(fine.shape, np.float32)])
    values[1, :36, 36:40] = np.nan
    covariates = Covariates(("zone", "b"), values, np.zeros(fine.shape, np.uint16))
    whole = cell_means(covariates, fine, coarse, {"zone"})
    assert whole.values[0].tolist() == [[9, 7], [7, 3]]
    parts = []
    for rows in (slice(0, 10), slice(10, 40), slice(40, 72)):
        part = Covariates(("zone", "b"), values[:, rows], np.zeros((1, 1), np.uint16))
        parts.append(cell_means(part, fine.window(rows, slice(None)), coarse, {"zone"}))
    joined = join_blocks(parts)
    assert np.array_equal(joined.values, whole.values)
    assert np.allclose(joined.coverage, whole.coverage)
    plain = cell_means(covariates, fine, coarse)
    assert plain.values[0, 1, 1] == 5  # a mean, which is no zone
