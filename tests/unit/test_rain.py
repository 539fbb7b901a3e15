"""IMERG's days and half hours, and what is made of the rain of the days before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.reader import Identity
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.methods.antecedents import WeightedSum, antecedents, window_sums
from smcatalog.products import Covariate, TimeRule
from tests.factories import coarse
from tests.factories import granules as make

BASE = "latlon(-180,90,0.1,0.1,3600,1800)"


def values_of(path: Path) -> tuple[Identity, Raster]:
    granule = examine(make.candidate(path))
    (raster,) = read(granule)
    return granule.identity, raster


def refusal(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        list(read(examine(make.candidate(path))))
    return caught.value.reason


def half_hours(day: date) -> list[tuple[str, datetime]]:
    found = []
    for step in range(48):
        start = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=30 * step)
        end = start + timedelta(minutes=29, seconds=59)
        name = f"3B-HHR.MS.MRG.3IMERG.{start:%Y%m%d}-S{start:%H%M%S}-E{end:%H%M%S}.{30 * step:04d}.V07B.HDF5"
        found.append((name, start))
    return found


class TestImerg:
    def test_a_day_is_brought_from_longitude_and_latitude_onto_the_globes_grid(self, tmp_path):
        values = np.arange(20.0).reshape(4, 5)
        values[0, 0] = np.nan
        identity, raster = values_of(coarse.imerg(tmp_path / coarse.IMERG_NAME, values))
        assert (identity.source, identity.period) == ("GPM_3IMERGDF", Period.of_day(coarse.DAY))
        assert (raster.variable.name, raster.grid.base) == ("precipitation", BASE)
        np.testing.assert_array_equal(raster.values, values.astype("f4"))
        rows, columns, _ = raster.grid.locate(105.35, 37.75)
        assert raster.values[rows[0], columns[0]] == values[2, 3]

    def test_a_day_of_fewer_half_hours_is_of_partial_coverage_and_of_none_has_no_value(
        self, tmp_path
    ):
        counts = np.full((4, 5), 48)
        counts[0, 0], counts[1, 1] = 0, 47
        _, raster = values_of(coarse.imerg(tmp_path / coarse.IMERG_NAME, counts=counts))
        assert np.argwhere(np.isnan(raster.values)).tolist() == [[0, 0]]
        assert np.argwhere(raster.quality).tolist() == [[1, 1]]
        assert raster.quality[1, 1] == InputQuality.PARTIAL_COVERAGE

    def test_the_mean_over_a_days_half_hours_is_the_days_rain(self, tmp_path):
        rng = np.random.default_rng(3)
        rates = rng.gamma(0.2, 3.0, (48, 4, 5)).round(2)  # mm in an hour
        rasters, periods = [], []
        for (name, start), rate in zip(half_hours(coarse.DAY), rates, strict=True):
            identity, raster = values_of(
                coarse.half_hour(tmp_path / name, rate, name=name, start=start)
            )
            assert identity.source == "GPM_3IMERGHH"
            rasters.append(raster.values)
            periods.append(raster.period)
        np.testing.assert_allclose(np.mean(rasters, axis=0), rates.sum(axis=0) / 2, rtol=1e-5)
        assert periods[0].start == Period.of_day(coarse.DAY).start
        assert periods[-1].end == Period.of_day(coarse.DAY).end
        assert all(one.end == other.start for one, other in pairwise(periods))

    def test_later_runs_and_releases_replace_earlier_ones(self, tmp_path):
        days = ["3B-DAY-E.MS.MRG.3IMERG.20200102-S000000-E235959.V07C.nc4", "3B-DAY-L.MS.MRG.3IMERG.20200102-S000000-E235959.V07C.nc4",
                "3B-DAY.MS.MRG.3IMERG.20200102-S000000-E235959.V06B.nc4", coarse.IMERG_NAME]  # fmt: skip
        found = [values_of(coarse.imerg(tmp_path / name, name=name))[0] for name in days]
        assert len({identity.subject for identity in found}) == 1
        productions = [identity.production for identity in found]
        assert productions == sorted(productions)
        assert len(set(productions)) == 4

    def test_release_six_and_subsets_are_read(self, tmp_path):
        name = coarse.IMERG_NAME.replace("V07B.nc4", "V06.nc4")
        for suffix in ("", ".SUB.nc4", ".nc4"):
            path = coarse.imerg(
                tmp_path / (name + suffix), name=name, variable="precipitationCal", unit="mm"
            )
            identity, raster = values_of(path)
            assert identity.name == name.removesuffix(".nc4")
            assert raster.values.max() == 19

    def test_the_heaviest_half_hours_are_rain(self, tmp_path):
        _, raster = values_of(
            coarse.half_hour(tmp_path / coarse.HALF_HOUR_NAME, np.full((4, 5), 200.0))
        )
        assert (raster.values == 4800).all()

    def test_unfit_files_are_refused(self, tmp_path):
        path = tmp_path / coarse.IMERG_NAME
        later = coarse.IMERG_NAME.replace("20200102", "20200103")
        for kwargs, reason in (
            ({"unit": "mm/hr"}, "is in 'mm/hr', expected"),
            ({"unit": "kg m-2 s-1"}, "is in 'kg m-2 s-1', expected"),
            ({"values": np.full((4, 5), -1.0)}, "outside 0 to 6500"),
            ({"values": np.full((4, 5), np.nan)}, "holds no value at all"),
            ({"corner": (105.04, 38.0)}, "cells are not those of the global grid of 1/10 degree"),
            (
                {"day": date(2020, 1, 3)},
                "its name says 2020-01-02 00:00, its time 2020-01-03 00:00",
            ),
            (
                {"name": later},
                "its name says 20200102 000000, inside it is 20200103 000000: files mixed up",
            ),
        ):
            assert reason in refusal(coarse.imerg(path, **kwargs)), kwargs
        bare = coarse.half_hour(tmp_path / coarse.HALF_HOUR_NAME, variable="")
        assert "holds no rain at all: it has only lat, lon, time" in refusal(bare)

    def test_what_says_itself_what_it_is_may_be_called_anything(self, tmp_path):
        identity, raster = values_of(coarse.half_hour(tmp_path / "bounds.nc4"))
        assert identity.name == "bounds"
        assert raster.period.start == datetime(2020, 1, 2, 1, 30, tzinfo=UTC)


class TestWindows:
    def test_by_hand(self):
        rain = np.array([1.0, 2.0, 0.0, 4.0, 8.0])
        sums = window_sums(rain, [1, 2, 4])
        np.testing.assert_array_equal(sums[0], rain)
        np.testing.assert_array_equal(sums[1], [np.nan, 3, 2, 4, 12])
        np.testing.assert_array_equal(sums[2], [np.nan, np.nan, np.nan, 7, 14])

    def test_a_missing_day_is_taken_as_the_mean_of_the_others(self):
        rain = np.array([3.0, np.nan, 3.0, 6.0])
        assert window_sums(rain, [4], least=0.75)[0, 3] == 16
        assert np.isnan(window_sums(rain, [4], least=0.9)[0, 3])
        assert np.isnan(window_sums(np.full(4, np.nan), [2], least=0.1)).all()

    def test_nine_of_ten_days_are_nine_tenths(self):
        rain = np.ones(10)
        rain[4] = np.nan
        assert window_sums(rain, [10], least=0.9)[0, 9] == pytest.approx(10)

    def test_a_longer_window_is_the_sum_of_shorter_ones(self):
        rain = np.random.default_rng(1).gamma(0.3, 5, (60, 3, 2))
        week, fortnight = window_sums(rain, [7, 14], least=1)
        np.testing.assert_allclose(fortnight[13:], week[13:] + week[6:-7])

    @pytest.mark.parametrize(("windows", "least"), [([0], 1), ([3], 0), ([3], 1.1)])
    def test_nonsense_is_refused(self, windows, least):
        with pytest.raises(UsageError):
            window_sums(np.ones(3), windows, least=least)


class TestAntecedents:
    TIMES = (2.0, 7.5, 30.0)

    def test_the_recursion_is_the_closed_form(self):
        rain = np.random.default_rng(2).gamma(0.3, 5, (400, 4))
        found = antecedents(rain, self.TIMES, least=0.99)
        for place, time in enumerate(self.TIMES):
            decay = np.exp(-1 / time)
            for day in (399, 300, 250):
                weights = decay ** np.arange(day + 1)
                expected = weights @ rain[day::-1]
                # what lies before the first day counts as the mean of the rest
                expected /= 1 - decay ** (day + 1)
                np.testing.assert_allclose(found[place, day], expected, rtol=1e-12)

    def test_without_gaps_it_is_todays_rain_and_what_is_left_of_yesterdays(self):
        rain = np.random.default_rng(2).gamma(0.3, 5, 2000)
        (found,) = antecedents(rain, [7.5])
        np.testing.assert_allclose(
            found[1500:], rain[1500:] + np.exp(-1 / 7.5) * found[1499:-1], rtol=1e-9
        )

    def test_constant_rain_gives_its_limit_whatever_is_missing(self):
        rain = np.full((200, 2), 3.0)
        rain[20:40, 0], rain[::7, 1] = np.nan, np.nan
        for time, found in zip(self.TIMES, antecedents(rain, self.TIMES, least=0.5), strict=True):
            known = np.isfinite(found)
            assert known[-1].all()
            np.testing.assert_allclose(found[known], 3 / (1 - np.exp(-1 / time)), rtol=1e-9)

    def test_the_first_sum_comes_when_enough_weight_is_known(self):
        (found,) = antecedents(np.ones(60), [10.0], least=0.75)
        first = np.flatnonzero(np.isfinite(found))[0]
        # 1 - exp(-n / 10) >= 3/4 from n = 13.86 days on
        assert first == 13

    def test_a_long_gap_ends_it_and_a_day_of_rain_counts_at_once(self):
        rain = np.ones(100)
        rain[50:70] = np.nan
        (found,) = antecedents(rain, [5.0], least=0.75)
        assert np.isfinite(found[49])
        assert np.isnan(found[52:70]).all()
        assert np.isfinite(found[80])
        spike = np.zeros(100)
        spike[60] = 10.0
        (found,) = antecedents(spike, [5.0])
        assert found[59] == 0
        assert found[60] == pytest.approx(10, rel=1e-5)
        assert found[65] == pytest.approx(10 / np.e, rel=1e-5)

    @pytest.mark.parametrize(("times", "least"), [([0.0], 0.5), ([3.0], 1.0), ([3.0], 0.0)])
    def test_nonsense_is_refused(self, times, least):
        with pytest.raises(UsageError):
            antecedents(np.ones(3), times, least=least)


class TestWeightedSum:
    @pytest.mark.parametrize("missing", [(), (3,), (0, 5, 11)])
    def test_it_is_the_last_of_the_antecedents_and_of_the_window_sums(self, missing):
        rng = np.random.default_rng(4)
        daily = rng.gamma(0.5, 6.0, (60, 3, 4))
        daily[list(missing)] = np.nan
        for rule, days in ((TimeRule.ANTECEDENT, 2.5), (TimeRule.ANTECEDENT, 12.0)):
            # what is cut off at the far end is 2 % of the weights, and scaled up as what is missing
            covariate = Covariate("precipitation", "P", rule, days=days)
            found = _weighted(daily, covariate)
            (whole,) = antecedents(daily, [days])
            held = len(covariate.day_weights)
            past = np.concatenate([np.full((200, 3, 4), np.nan), daily[-held:]])
            np.testing.assert_allclose(found, antecedents(past, [days])[0][-1], rtol=1e-12)
            np.testing.assert_allclose(found, whole[-1], rtol=0.15)
        week = Covariate("precipitation", "P", TimeRule.WINDOW_SUM, days=7)
        np.testing.assert_allclose(
            _weighted(daily, week), window_sums(daily, [7])[0][-1], rtol=1e-12
        )

    def test_too_few_known_days_are_no_sum(self):
        daily = np.ones((4, 1))
        daily[1:3] = np.nan
        week = Covariate("precipitation", "P", TimeRule.WINDOW_SUM, days=4)
        assert np.isnan(_weighted(daily, week)).all()

    def test_weights(self):
        week = Covariate("precipitation", "P", TimeRule.WINDOW_SUM, days=7)
        fading = Covariate("precipitation", "P", TimeRule.ANTECEDENT, days=5)
        assert (week.name, fading.name) == (
            "precipitation_window_sum_7d",
            "precipitation_antecedent_5d",
        )
        assert week.day_weights == (1.0,) * 7
        assert sum(fading.day_weights) / fading.whole_weight == pytest.approx(1 - np.exp(-4))
        assert fading.day_weights[5] == pytest.approx(np.exp(-1))
        assert Covariate("precipitation", "P", TimeRule.DAY).day_weights == ()


def _weighted(daily: np.ndarray, covariate: Covariate) -> np.ndarray:
    past = WeightedSum(daily.shape[1:], covariate.whole_weight)
    for field, weight in zip(daily[::-1], covariate.day_weights, strict=False):
        past.add(field, weight)
    return past.value()
