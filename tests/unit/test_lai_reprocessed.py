"""Reprocessed leaf area: reading, writing, and days between its steps."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.granules import examine, read
from ingest.sources import lai_reprocessed, lai_reprocessed_writer
from ingest.world.landscape import landscape
from ingest.world.presets import preset
from ingest.world.reflectance import leaf_area
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.time import Period
from smcatalog.methods.daily import between
from tests.factories import granules as make
from tests.factories.world import flat_state


def _rasters(path):
    return list(read(examine(make.candidate(path))))


class TestReader:
    def test_each_step_holds_for_its_days_and_the_last_to_the_years_end(self, tmp_path):
        values = np.arange(18.0, dtype="f4").reshape(3, 2, 3) / 4
        first, second, last = _rasters(make.lai(tmp_path / make.LAI_NAME, values))
        assert first.period == Period.of_days(date(2018, 1, 1), date(2018, 1, 8))
        assert second.period == Period.of_days(date(2018, 1, 9), date(2018, 1, 16))
        assert last.period == Period.of_days(date(2018, 12, 27), date(2018, 12, 31))
        np.testing.assert_allclose(second.values, values[1])
        assert first.variable.name == "lai"
        assert first.grid.name == "latlon(104.9,36.1,0.1,0.1,3,2)"

    def test_latitudes_that_rise_are_turned(self, tmp_path):
        values = np.zeros((3, 2, 3), "f4")
        values[:, 0] = 4.0
        path = make.lai(tmp_path / make.LAI_NAME, values, latitudes=(35.95, 36.05))
        np.testing.assert_array_equal(_rasters(path)[0].values, [[0, 0, 0], [4, 4, 4]])

    @pytest.mark.parametrize("attributes", [{}, {"scale_factor": 0.1}])
    def test_whole_numbers_are_tenths(self, tmp_path, attributes):
        values = np.full((3, 2, 3), 25, "i2")
        values[0, 0, 0] = -1
        first, *_ = _rasters(make.lai(tmp_path / make.LAI_NAME, values, **attributes))
        assert np.isnan(first.values[0, 0])
        np.testing.assert_allclose(first.values[1], 2.5, rtol=1e-6)

    def test_times_of_cf(self, tmp_path):
        path = make.lai(tmp_path / make.LAI_NAME, times=(0, 8, 360), unit="days since 2018-01-01")
        assert [r.period.start.timetuple().tm_yday for r in _rasters(path)] == [1, 9, 361]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"times": (1, 10, 20)}, "not the first days of 8 days each"),
            ({"times": (9, 1, 17)}, "out of order"),
            ({"times": (0, 9, 17)}, "no days of a year"),
            (
                {"times": (0, 8, 16), "unit": "days since 2019-01-01"},
                "says 2018, inside are days of 2019",
            ),
            ({"value_unit": "percent"}, "lai is in 'percent'"),
            ({"values": np.full((3, 2, 3), 25.0, "f4")}, "outside 0 to 10 m2 m-2"),
            ({"values": np.full((3, 2, 3), -1, "f4")}, "holds no value at all"),
            ({"scale_factor": 0.0}, "scale factor of 0"),
        ],
    )
    def test_refusals(self, tmp_path, change, reason):
        with pytest.raises(RefusedInput, match=reason):
            _rasters(make.lai(tmp_path / make.LAI_NAME, **change))

    def test_other_names_are_not_known(self, tmp_path):
        path = make.lai(tmp_path / "lai.nc")
        assert lai_reprocessed.READER.identify(path, path.name) is None


def test_what_was_in_the_world_comes_back(tmp_path):
    land = landscape(preset("rao2022"), 3, 60.0)
    writer = lai_reprocessed_writer.WRITER(land, tmp_path)
    for n, ndvi in enumerate([0.3] * 8 + [0.6] * 8):
        writer.day(flat_state(land, date(2018, 12, 19) + timedelta(days=n), ndvi=ndvi))
    writer.end()
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "lai_8-day_0.1_2018.nc",
        "lai_8-day_0.1_2019.nc",
    ]
    before, last = _rasters(tmp_path / "lai_8-day_0.1_2018.nc")
    (new,) = _rasters(tmp_path / "lai_8-day_0.1_2019.nc")
    for raster, ndvi in ((before, 0.3), (new, 0.6)):
        true = float(leaf_area(np.float32(ndvi)))
        found = raster.values[np.isfinite(raster.values)]
        assert len(found) > 10
        assert np.median(abs(np.log(found / true))) < 0.3
    assert np.nanmean(before.values) < np.nanmean(last.values) <= np.nanmean(new.values)


DAYS = np.arange("2018-01-01", "2018-02-10", dtype="datetime64[D]")
KNOTS = DAYS[4:37:8]
VALUES = st.lists(st.floats(0, 8) | st.just(np.nan), min_size=5, max_size=5)


class TestBetween:
    @given(VALUES)
    def test_it_passes_through_the_knots(self, values):
        found = between(KNOTS, np.array(values), KNOTS)
        known = np.isfinite(values)
        np.testing.assert_array_equal(found[known], np.array(values)[known])

    @given(VALUES, st.floats(0, 8))
    def test_what_is_constant_stays_so(self, values, constant):
        filled = np.where(np.isnan(values), np.nan, constant)
        found = between(KNOTS, filled, DAYS)
        assert (found[np.isfinite(found)] == constant).all()
        if np.isfinite(filled).any():
            inner = np.flatnonzero(np.isfinite(filled))
            assert np.isfinite(found[4 + 8 * inner[0] : 5 + 8 * inner[-1]]).all()

    def test_it_is_linear_and_never_beyond_the_ends(self):
        found = between(KNOTS, 2.0 * np.arange(5), DAYS)
        np.testing.assert_allclose(found[4:37], np.arange(33) / 4)
        assert np.isnan(found[:4]).all()
        assert np.isnan(found[37:]).all()

    def test_each_place_by_itself_over_its_gaps(self):
        values = np.array([[0.0, 0.0], [np.nan, 8.0], [4.0, np.nan], [4.0, np.nan], [4.0, 0.0]])
        found = between(KNOTS, values, KNOTS)
        np.testing.assert_allclose(found[:, 0], [0, 2, 4, 4, 4])
        np.testing.assert_allclose(found[:, 1], [0, 8, 16 / 3, 8 / 3, 0])
        near = between(KNOTS, values, DAYS, reach=15)
        assert np.isnan(near[4 + 12, 1])  # 20 days before the next value
        assert near[4 + 12, 0] == pytest.approx(3.0)

    def test_knots_must_rise(self):
        with pytest.raises(UsageError, match="rise strictly"):
            between(KNOTS[::-1], np.zeros(5), DAYS)
        with pytest.raises(UsageError, match="as many"):
            between(KNOTS, np.zeros(4), DAYS)
