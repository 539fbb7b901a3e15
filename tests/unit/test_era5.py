"""Days of ERA5 and ERA5-Land, by numbers worked out by hand."""

from __future__ import annotations

import logging
from datetime import date

import numpy as np
import pytest

from ingest.sources import era5
from ingest.sources.era5 import layout
from ingest.sources.era5.days import Sum, Totals, day_of, ends_a_day
from ingest.sources.era5.fields import FIELDS, Rule
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories import granules as make

ERA5, LAND = era5.READERS
FINE = {"latitudes": (36.1, 36.0), "longitudes": (104.9, 105.0, 105.1), "land": False}
FIRST, SECOND, THIRD = (date(2020, 1, n) for n in (1, 2, 3))


def _read(reader, path, name=None):
    identity = reader.identify(path, name or path.name)
    assert identity is not None
    return identity, list(reader.read(path, identity))


def _by_day(rasters):
    return {(r.variable.name, r.period.day if r.period else None): r for r in rasters}


def _series(values) -> np.ndarray:
    return np.asarray(values, float)[:, None, None]


def _totals(amounts) -> np.ndarray:
    """Return totals since 00 UTC of hourly amounts, stamped 00, 01 … as ERA5-Land has them.

    ``amounts[i]`` came in the hour that ends at stamp ``i``; the first is of the day before.
    """
    totals, running = [], 0.0
    for i, amount in enumerate(amounts):
        running = amount if i % 24 == 1 else running + amount
        totals.append(running)
    return _series(totals)


class TestDays:
    def test_midnight_belongs_to_the_day_that_it_ends_or_begins(self):
        times = np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-02T00"], "datetime64[s]")
        assert day_of(times, Rule.MEAN).astype(str).tolist() == ["2020-01-01"] * 2 + ["2020-01-02"]
        assert day_of(times, Rule.SUM).astype(str).tolist() == ["2019-12-31"] + ["2020-01-01"] * 2
        assert ends_a_day(times).tolist() == [True, False, True]

    def test_a_sum_counts_cell_by_cell(self):
        total = Sum((1, 2))
        total.add(np.array([[[1.0, np.nan]], [[3.0, 5.0]]]))
        assert total.count.tolist() == [[2, 1]]
        np.testing.assert_array_equal(total.mean(1), [[2, 5]])
        np.testing.assert_array_equal(total.mean(2), [[2, np.nan]])
        assert np.isnan(Sum((1, 1)).mean(0)).all()

    def test_hours_that_do_not_follow_each_other_are_not_compared(self):
        watched = Totals()
        times = np.array(["2020-01-01T01", "2020-01-01T02", "2020-01-01T05"], "datetime64[s]")
        watched.add(_series([3, 1, 0]), times)
        assert (watched.fell, watched.rose, watched.steps) == (2.0, 0, 1)


class TestUnits:
    def test_each_variable_in_its_own(self, tmp_path):
        times = make.hours(FIRST, 25)
        fields = {
            "stl3": 290.0, "t2m": 273.15, "d2m": 263.15, "lai_hv": 3.0, "lai_lv": 2.0, "swvl4": 0.4,
            "tp": 0.001, "e": -0.0002, "pev": -0.0004, "ssrd": 1e6,
        }  # fmt: skip
        path = make.era5(
            tmp_path / "a.nc", times, fields={k: np.array(v) for k, v in fields.items()}, land=False
        )
        rasters = _by_day(_read(ERA5, path)[1])
        expected = {
            "stl3": 290, "air_temperature": 0, "dew_point": -10, "lai_high": 3, "lai_low": 2, "swvl4": 0.4,
            "precipitation": 24, "evaporation": 4.8, "potential_evaporation": 9.6, "solar_radiation": 24,
        }  # fmt: skip
        assert {name for name, _ in rasters} == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(rasters[name, FIRST].values, value, rtol=2e-6, atol=2e-5)
            assert not rasters[name, FIRST].quality.any()

    def test_all_that_is_declared_can_be_stored(self):
        assert len({field.variable.name for field in FIELDS.values()}) == len(FIELDS)
        for field in FIELDS.values():
            kind = field.variable
            assert (kind.valid_max - kind.offset) / kind.scale < 65535
            assert kind.offset <= kind.valid_min

    @pytest.mark.parametrize(
        ("name", "unit", "reason"),
        [("t2m", "degC", "t2m is in 'degC', expected K"), ("tp", "mm", "tp is in 'mm'"),
         ("swvl2", "%", "swvl2 is in '%'")],
    )  # fmt: skip
    def test_another_unit_is_refused(self, tmp_path, monkeypatch, name, unit, reason):
        monkeypatch.setitem(make.ERA5_UNITS, name, unit)
        path = make.era5(tmp_path / "a.nc", fields={name: np.array(1.0)})
        with pytest.raises(RefusedInput, match=reason):
            _read(ERA5, path)


class TestHourlySums:
    def test_the_hours_of_a_day_end_at_one_to_midnight(self, tmp_path):
        amounts = np.zeros(49)
        amounts[0] = 50e-3  # of the last hour of the day before
        amounts[1] = 1e-3
        amounts[24] = 2e-3  # stamped midnight of the second, fell on the first
        amounts[25:49] = 0.5e-3
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 49), fields={"tp": _series(amounts)}, land=False
        )
        identity, rasters = _read(ERA5, path)
        assert identity.period == Period.of_days(FIRST, SECOND)
        days = _by_day(rasters)
        assert set(days) == {("precipitation", FIRST), ("precipitation", SECOND)}
        np.testing.assert_allclose(days["precipitation", FIRST].values, 3, rtol=1e-5)
        np.testing.assert_allclose(days["precipitation", SECOND].values, 12, rtol=1e-5)

    def test_a_file_of_a_day_lacks_its_last_hour_and_says_so(self, tmp_path):
        amounts = np.full(24, 1e-3)
        amounts[0] = 99e-3
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 24), fields={"tp": _series(amounts)}, land=False
        )
        identity, (rain,) = _read(ERA5, path)
        assert identity.period == rain.period == Period.of_day(FIRST)
        np.testing.assert_allclose(rain.values, 24, rtol=1e-5)
        assert (rain.quality == InputQuality.PARTIAL_COVERAGE).all()

    def test_two_missing_hours_are_too_many_for_a_sum_and_few_for_a_mean(self, tmp_path):
        times = np.delete(make.hours(FIRST, 25), [5, 6])
        path = make.era5(
            tmp_path / "a.nc",
            times,
            fields={"ssrd": np.array(1e6), "t2m": np.array(280.0)},
            land=False,
        )
        ((name, day),) = _by_day(_read(ERA5, path)[1])
        assert (name, day) == ("air_temperature", FIRST)

    def test_a_cell_without_two_hours_has_no_sum(self, tmp_path):
        amounts = np.full((25, 2, 3), 1e-3)
        amounts[5:7, 0, 0] = np.nan
        amounts[5, 0, 1] = np.nan
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 25), fields={"tp": amounts}, land=False
        )
        (rain,) = _read(ERA5, path)[1]
        assert np.isnan(rain.values[0, 0])
        np.testing.assert_allclose(rain.values[0, 1:], 24, rtol=1e-5)
        assert rain.quality[0].tolist() == [2, 2, 0]

    def test_totals_since_midnight_on_coarse_cells_are_not_taken_for_hours(self, tmp_path):
        amounts = np.arange(25) % 3 * 1e-4
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 25), fields={"tp": _totals(amounts)}, land=False
        )
        with pytest.raises(RefusedInput, match="tp grows through all hours of 2020-01-01: totals"):
            _read(ERA5, path)

    def test_rain_that_never_changes_is_no_total(self, tmp_path):
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 25), fields={"tp": np.array(1e-3)}, land=False
        )
        assert len(_read(ERA5, path)[1]) == 1


class TestTotals:
    def test_midnight_holds_the_total_of_the_day_before(self, tmp_path):
        amounts = np.zeros(49)
        amounts[[1, 10, 24]] = 1e-3, 2e-3, 4e-3
        amounts[[25, 40, 48]] = 0.1e-3, 0.2e-3, 0.4e-3
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 49), fields={"tp": _totals(amounts)}, **FINE
        )
        identity, rasters = _read(LAND, path)
        # what stands at the first midnight is the whole of the day before: nothing fell
        assert identity.period == Period.of_days(date(2019, 12, 31), SECOND)
        sums = {r.period.day: r.values[0, 0] for r in rasters}
        assert sums == pytest.approx({date(2019, 12, 31): 0, FIRST: 7, SECOND: 0.7}, abs=1e-5)
        assert not any(r.quality.any() for r in rasters)

    def test_the_days_sum_is_that_of_its_hours(self, tmp_path):
        rng = np.random.default_rng(5)
        amounts = rng.gamma(0.3, 1e-3, 73)
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 73), fields={"tp": _totals(amounts)}, **FINE
        )
        sums = [r.values[1, 2] for r in _read(LAND, path)[1]][1:]
        np.testing.assert_allclose(sums, amounts[1:].reshape(3, 24).sum(axis=1) * 1000, rtol=1e-5)

    def test_files_of_single_days_give_each_day_once_and_whole(self, tmp_path):
        amounts = np.zeros(72)
        amounts[[3, 24, 30, 48]] = 1e-3, 2e-3, 4e-3, 8e-3
        totals, found = _totals(amounts), {}
        for day in range(3):
            path = make.era5(
                tmp_path / f"{day}.nc", make.hours(FIRST, 24, skip=24 * day),
                fields={"tp": totals[24 * day : 24 * day + 24]}, **FINE,
            )  # fmt: skip
            for raster in _read(LAND, path)[1]:
                assert raster.period.day not in found
                found[raster.period.day] = raster.values[0, 0]
        assert found == pytest.approx({date(2019, 12, 31): 0, FIRST: 3, SECOND: 12}, abs=1e-5)

    def test_a_missing_hour_does_not_matter_and_a_missing_midnight_does(self, tmp_path):
        totals = _totals(np.full(49, 1e-3))
        whole = make.hours(FIRST, 49)
        path = make.era5(
            tmp_path / "a.nc", np.delete(whole, 30), fields={"tp": np.delete(totals, 30, 0)}, **FINE
        )
        np.testing.assert_allclose(
            _by_day(_read(LAND, path)[1])["precipitation", SECOND].values, 24, rtol=1e-5
        )
        path = make.era5(
            tmp_path / "b.nc", np.delete(whole, 24), fields={"tp": np.delete(totals, 24, 0)}, **FINE
        )
        assert [r.period.day for r in _read(LAND, path)[1]] == [date(2019, 12, 31), SECOND]

    def test_midnights_alone_are_enough(self, tmp_path):
        times = np.arange("2020-01-02", "2020-01-05", dtype="datetime64[D]")
        path = make.era5(
            tmp_path / "a.nc", times, fields={"tp": _series([1e-3, 2e-3, 3e-3])}, **FINE
        )
        identity, rasters = _read(LAND, path)
        assert identity.period == Period.of_days(FIRST, THIRD)
        assert [r.values[0, 0] for r in rasters] == pytest.approx([1, 2, 3])

    def test_dew_may_make_the_total_of_evaporation_fall(self, tmp_path):
        amounts = np.where(np.arange(25) < 8, 0.01e-3, -0.1e-3)
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 25), fields={"e": _totals(amounts)}, **FINE
        )
        values = _by_day(_read(LAND, path)[1])
        np.testing.assert_allclose(values["evaporation", FIRST].values, 1.7 - 0.07, rtol=1e-4)

    def test_single_hours_on_fine_cells_are_not_taken_for_totals(self, tmp_path):
        sun = np.maximum(0, np.sin((np.arange(25) - 6) / 12 * np.pi)) * 2e6
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 25), fields={"ssrd": _series(sun)}, **FINE
        )
        with pytest.raises(
            RefusedInput, match="ssrd falls within 2020-01-01: no totals since midnight"
        ):
            _read(LAND, path)

    def test_states_and_totals_of_one_file_have_days_of_their_own(self, tmp_path):
        identity, rasters = _read(LAND, make.era5_land(tmp_path / "a.nc"))
        assert identity.period == Period.of_days(date(2019, 12, 31), THIRD)
        days = _by_day(rasters)
        assert {d.day for n, d in days if n == "swvl2"} == {1, 2, 3}
        assert {d.day for n, d in days if n == "precipitation"} == {31, 1, 2}
        np.testing.assert_allclose(days["evaporation", FIRST].values, 1.2, rtol=1e-5)
        np.testing.assert_allclose(days["solar_radiation", SECOND].values, 12, rtol=1e-5)

    def test_a_file_without_a_midnight_holds_no_sum(self, tmp_path):
        path = make.era5(
            tmp_path / "a.nc", make.hours(FIRST, 23, skip=1), fields={"tp": np.array(1e-3)}, **FINE
        )
        with pytest.raises(RefusedInput, match="nor a midnight"):
            _read(LAND, path)


class TestStatistics:
    DAYS = np.arange("2020-01-01", "2020-01-03", dtype="datetime64[D]")

    def _file(self, tmp_path, field, values, **other):
        return make.era5(
            tmp_path / "x.nc", self.DAYS, fields={field: _series(values)}, days=True,
            **{"land": False} | other,
        )  # fmt: skip

    def test_a_mean_is_taken_as_it_is(self, tmp_path):
        path = self._file(tmp_path, "t2m", [283.15, 293.15])
        identity, (first, second) = _read(ERA5, path, "2m_temperature_0_daily-mean.nc")
        assert identity.period == Period.of_days(FIRST, SECOND)
        np.testing.assert_allclose(first.values, 10, atol=1e-4)
        np.testing.assert_allclose(second.values, 20, atol=1e-4)
        assert not first.quality.any()

    def test_the_mean_of_hourly_amounts_is_a_24th_of_the_day(self, tmp_path):
        path = self._file(tmp_path, "tp", [1e-4, 2e-4])
        _, (first, _) = _read(ERA5, path, "total_precipitation_0_daily-mean.nc")
        np.testing.assert_allclose(first.values, 2.4, rtol=1e-5)
        _, (first, _) = _read(ERA5, path, "total_precipitation_stream-oper_daily-sum.nc")
        np.testing.assert_allclose(first.values, 0.1, rtol=1e-5)

    @pytest.mark.parametrize(
        ("name", "field", "other", "reason"),
        [
            ("x.nc", "t2m", {}, "does not say which ones"),
            ("2m_temperature_0_daily-max.nc", "t2m", {}, "holds the daily max"),
            ("2m_temperature_0_daily-sum.nc", "t2m", {}, "has no meaning"),
            ("total_precipitation_0_daily-mean.nc", "tp", FINE, "total since midnight"),
        ],
    )
    def test_what_would_mean_something_else_is_refused(self, tmp_path, name, field, other, reason):
        path = self._file(tmp_path, field, [1, 1], **other)
        with pytest.raises(RefusedInput, match=reason):
            _read(LAND if other else ERA5, path, name)


def test_days_left_out_are_told(tmp_path, caplog):
    path = make.era5(tmp_path / "a.nc", make.hours(FIRST, 30))
    with caplog.at_level(logging.WARNING):
        _read(ERA5, path)
    assert [r.getMessage() for r in caplog.records] == [
        "a.nc holds 6 hours of 2020-01-02: no daily mean"
    ]


def test_a_midnight_that_ends_a_day_is_not_left_out(tmp_path, caplog):
    fields = {"tp": np.array(1e-3), "t2m": np.array(280.0)}
    path = make.era5(tmp_path / "a.nc", make.hours(FIRST, 25), fields=fields, land=False)
    with caplog.at_level(logging.WARNING):
        assert len(_read(ERA5, path)[1]) == 2
    assert not caplog.records


def test_few_hours_at_once_give_the_same(tmp_path, monkeypatch):
    field = np.random.default_rng(3).uniform(0.1, 0.4, (48, 2, 3))
    path = make.era5(tmp_path / "a.nc", field=field)
    whole = _read(ERA5, path)[1]
    monkeypatch.setattr(layout, "_AT_ONCE", 30)
    for one, other in zip(whole, _read(ERA5, path)[1], strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-6)


def test_coordinates_in_32_bits_name_the_same_grid(tmp_path):
    exact = _read(LAND, make.era5(tmp_path / "a.nc", **FINE))[1][0]
    rounded = {k: tuple(np.float32(v).tolist()) if k != "land" else v for k, v in FINE.items()}
    assert rounded["longitudes"] != FINE["longitudes"]
    assert _read(LAND, make.era5(tmp_path / "b.nc", **rounded))[1][0].grid.name == exact.grid.name
