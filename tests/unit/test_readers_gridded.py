"""Gridded readers on tiny files whose answer can be worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from affine import Affine

from ingest import geotiff as geotiff_module
from ingest.reader import Identity
from ingest.sources import era5, rasters, smap_points
from ingest.sources.rasters import declared
from ingest.sources.smap_points import SmapPoints
from smcatalog.core.errors import DefinitionError, RefusedInput, UsageError
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories import granules as make

_ERA5, _LAND = era5.READERS


def _read(reader, path: Path, name: str | None = None):
    identity = reader.identify(path, name or path.name)
    assert identity is not None
    return identity, list(reader.read(path, identity))


class TestSmapPoints:
    def test_cells_that_occur_more_than_once_are_averaged(self, tmp_path):
        identity, (raster,) = _read(smap_points.READER, make.smap_points(tmp_path / make.SMAP_NAME))
        assert identity.period == Period.of_days(date(2020, 1, 1), date(2020, 1, 3))
        assert raster.period == identity.period
        assert raster.variable.name == "sm"
        assert raster.grid.name == "M36[318:321,872:875]"
        expected = np.full((3, 3), np.nan)
        expected[0, 0], expected[2, 2] = 0.15, 0.3
        np.testing.assert_allclose(raster.values, expected, atol=1e-6)
        assert raster.values.dtype == np.float32

    def test_missing_retrievals_do_not_count(self, tmp_path):
        path = make.smap_points(
            tmp_path / make.SMAP_NAME, [(318, 872), (318, 872), (318, 873)], [0.1, np.nan, np.nan]
        )
        _, (raster,) = _read(smap_points.READER, path)
        np.testing.assert_allclose(raster.values, [[0.1, np.nan]], atol=1e-6)

    def test_the_other_retrieval_can_be_chosen(self, tmp_path):
        path = make.smap_points(tmp_path / make.SMAP_NAME, [(318, 872)], [0.1])
        _, (raster,) = _read(SmapPoints("soil_moisture_dca"), path)
        assert raster.values[0, 0] == pytest.approx(0.11)
        with pytest.raises(UsageError, match="one of"):
            SmapPoints("soil_moisture_xyz")

    def test_a_list_without_points_is_known_and_refused_on_reading(self, tmp_path):
        path = make.smap_points(tmp_path / make.SMAP_NAME, [], [])
        identity = smap_points.READER.identify(path, path.name)
        assert identity is not None
        assert identity.period == Period.of_days(date(2020, 1, 1), date(2020, 1, 3))
        with pytest.raises(RefusedInput, match="holds no retrieval at all"):
            list(smap_points.READER.read(path, identity))

    def test_nothing_but_missing_retrievals_is_refused(self, tmp_path):
        path = make.smap_points(tmp_path / make.SMAP_NAME, [(318, 872)], [np.nan])
        with pytest.raises(RefusedInput, match="holds no retrieval at all: 1 points"):
            _read(smap_points.READER, path)

    def test_points_beside_the_centres_are_of_another_grid(self, tmp_path):
        near = make.smap_points(tmp_path / make.SMAP_NAME, [(318, 872)], [0.1], shift=0.29 * 0.3734)
        assert len(_read(smap_points.READER, near)[1]) == 1
        far = make.smap_points(tmp_path / make.SMAP_NAME, [(318, 872)], [0.1], shift=0.32 * 0.3734)
        with pytest.raises(RefusedInput, match="of another grid"):
            _read(smap_points.READER, far)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("SMAP_20200231_20200302.nc", "impossible day"),
            ("SMAP_20200105_20200103.nc", "check the name"),
            ("SMAP_20200101_20201231.nc", "check the name"),
            ("SMAP_points.nc", "name does not say its window"),
        ],
    )
    def test_the_window_in_the_name_must_be_possible(self, tmp_path, name, reason):
        with pytest.raises(RefusedInput, match=reason):
            smap_points.READER.identify(make.smap_points(tmp_path / name), name)

    def test_impossible_values_are_refused_before_they_are_averaged_away(self, tmp_path):
        path = make.smap_points(tmp_path / make.SMAP_NAME, [(318, 872)] * 3, [0.1, 0.1, -9999.0])
        with pytest.raises(RefusedInput, match="1 of 3 values of sm are outside"):
            _read(smap_points.READER, path)

    def test_points_without_coordinates_are_refused(self, tmp_path):
        path = make.smap_points(tmp_path / make.SMAP_NAME, [(318, 872)], [0.1], shift=np.nan)
        with pytest.raises(RefusedInput, match="without coordinates"):
            _read(smap_points.READER, path)


class TestEra5:
    def test_each_day_inside_gives_its_mean_and_land_comes_once(self, tmp_path):
        field = np.broadcast_to(np.arange(48)[:, None, None] / 100, (48, 2, 3))
        identity, (first, second, land) = _read(
            _ERA5, make.era5(tmp_path / make.ERA5_NAME, field=field)
        )
        assert identity.period == Period.of_days(date(2020, 1, 1), date(2020, 1, 2))
        np.testing.assert_allclose(first.values, 0.115, atol=1e-6)
        np.testing.assert_allclose(second.values, 0.355, atol=1e-6)
        assert first.period == Period.of_day(date(2020, 1, 1))
        assert second.period == Period.of_day(date(2020, 1, 2))
        assert not first.quality.any()
        assert first.grid.name == "latlon(145.875,-34.375,0.25,0.25,3,2)"
        assert (land.variable.name, land.period) == ("lsm", None)
        np.testing.assert_allclose(land.values, 0.75)

    def test_days_come_from_inside_and_never_from_the_name(self, tmp_path):
        times = np.concatenate(
            [make.hours(date(2018, 10, 1), 48), make.hours(date(2018, 10, 31), 24)]
        )
        identity, values = _read(_ERA5, make.era5(tmp_path / "ERA5_20181031_20181002.nc", times))
        days = [r.period.day for r in values if r.period]
        assert days == [date(2018, 10, 1), date(2018, 10, 2), date(2018, 10, 31)]
        assert identity.period == Period.of_days(date(2018, 10, 1), date(2018, 10, 31))

    def test_hours_out_of_order_reach_their_days(self, tmp_path):
        times = make.hours(date(2020, 1, 1), 48)
        order = np.random.default_rng(1).permutation(48)
        field = np.broadcast_to(np.arange(48)[:, None, None] / 100, (48, 2, 3))
        _, (first, second, _) = _read(
            _ERA5, make.era5(tmp_path / make.ERA5_NAME, times[order], field[order])
        )
        np.testing.assert_allclose(first.values, 0.115, atol=1e-6)
        np.testing.assert_allclose(second.values, 0.355, atol=1e-6)

    def test_a_part_of_a_day_is_marked_and_a_few_hours_are_left_out(self, tmp_path):
        times = make.hours(date(2020, 1, 1), 24 + 12 + 24, skip=12)
        _, values = _read(_ERA5, make.era5(tmp_path / make.ERA5_NAME, times[:-13], land=False))
        assert [r.period.day.day for r in values] == [1, 2]
        assert (values[0].quality == InputQuality.PARTIAL_COVERAGE).all()
        assert not values[1].quality.any()

    def test_a_file_of_a_few_hours_is_refused(self, tmp_path):
        path = make.era5(tmp_path / make.ERA5_NAME, make.hours(date(2020, 1, 1), 11))
        with pytest.raises(RefusedInput, match="11 hours and no day with 12"):
            _read(_ERA5, path)

    def test_missing_hours_of_single_cells_count_for_those_cells(self, tmp_path):
        field = np.full((24, 2, 3), 0.2)
        field[:13, 0, 0] = np.nan
        field[:12, 1, 1] = np.nan
        _, (day, _) = _read(
            _ERA5,
            make.era5(tmp_path / make.ERA5_NAME, make.hours(date(2020, 1, 1), 24), field),
        )
        assert np.isnan(day.values).sum() == 1
        assert np.isnan(day.values[0, 0])
        assert day.quality[1, 1] == InputQuality.PARTIAL_COVERAGE
        assert day.quality[0, 1] == 0

    @pytest.mark.parametrize(
        ("latitudes", "longitudes", "rows", "columns", "name"),
        [
            ((-34.75, -34.5), (146.0, 146.25, 146.5), [1, 0], [0, 1, 2],
             "latlon(145.875,-34.375,0.25,0.25,3,2)"),
            ((10.0, 9.75), (0.0, 100.0, 270.0), [0, 1], None, None),
            ((10.0, 9.75), (0.0, 90.0, 180.0, 270.0), [0, 1], [2, 3, 0, 1],
             "latlon(-225,10.125,90,0.25,4,2)"),
        ],
    )  # fmt: skip
    def test_arrays_are_turned_north_up_and_west_to_east(
        self, tmp_path, latitudes, longitudes, rows, columns, name
    ):
        field = np.arange(len(longitudes) * 2).reshape(2, -1) / 10
        path = make.era5(
            tmp_path / make.ERA5_NAME, make.hours(date(2020, 1, 1), 24),
            np.broadcast_to(field, (24, *field.shape)), latitudes=latitudes, longitudes=longitudes,
        )  # fmt: skip
        if name is None:
            with pytest.raises(RefusedInput, match="no regular grid"):
                _read(_ERA5, path)
            return
        _, (day, _) = _read(_ERA5, path)
        assert day.grid.name == name
        np.testing.assert_allclose(day.values, field[np.ix_(rows, columns)], atol=1e-6)

    def test_the_old_layout_joins_final_and_preliminary_hours(self, tmp_path):
        field = np.full((24, 2, 2, 3), np.nan)
        field[:20, 0] = 0.2  # expver 1
        field[18:, 1] = 0.44  # expver 5
        field[:, :, 0] += 0.1  # the southern row
        identity, (day,) = _read(_ERA5, make.era5_old(tmp_path / "old.nc", field))
        assert identity.period == Period.of_day(date(2020, 1, 1))
        mean = (20 * 0.2 + 4 * 0.44) / 24
        np.testing.assert_allclose(day.values[0], mean, atol=1e-4)
        np.testing.assert_allclose(day.values[1], mean + 0.1, atol=1e-4)

    def test_dry_ground_a_little_below_zero_is_zero(self, tmp_path):
        path = make.era5(tmp_path / make.ERA5_NAME, field=np.full((48, 2, 3), -0.003))
        assert (_read(_ERA5, path)[1][0].values == 0).all()

    def test_the_finer_land_product_is_not_taken_for_era5(self, tmp_path):
        path = make.era5(tmp_path / make.ERA5_NAME, longitudes=(146.0, 146.1, 146.2))
        assert _ERA5.identify(path, path.name) is None
        identity, _ = _read(_LAND, path)
        assert identity.source == "ERA5-Land"

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda f: f["valid_time"].attrs.modify("units", "fortnights"), "is 'fortnights'"),
            (lambda f: f["valid_time"].attrs.modify("calendar", "360_day"), "calendar"),
            (lambda f: f["swvl1"].attrs.modify("units", "kg m-2"), "is in 'kg m-2'"),
            (lambda f: f["valid_time"].write_direct(f["valid_time"][:] // 7200 * 7200), "more than once"),
            (lambda f: f["valid_time"].write_direct(f["valid_time"][:] + 60), "not whole hours"),
            (lambda f: f["latitude"].write_direct(np.array([95.0, 94.75])), "damaged coordinates"),
        ],
    )  # fmt: skip
    def test_contradictions_are_refused(self, tmp_path, change, reason):
        path = make.era5(tmp_path / make.ERA5_NAME)
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(RefusedInput, match=reason):
            _read(_ERA5, path)


def _raster_reader(source: str):
    return next(reader for reader in rasters.READERS if reader.source == source)


class TestRasters:
    def test_a_static_raster(self, tmp_path):
        values = np.arange(20, dtype="f4").reshape(4, 5) + 100
        path = make.geotiff(tmp_path / "DEM_100m_resampled.tif", values)
        identity, (raster, *_) = _read(_raster_reader("DEM-100m"), path)
        assert identity == Identity("DEM-100m", "DEM_100m_resampled", None)
        assert (raster.variable.name, raster.period) == ("elevation", None)
        assert raster.grid.name == "latlon(146,-34.3,0.001,0.001,5,4)"
        np.testing.assert_array_equal(raster.values, values)

    @pytest.mark.parametrize(
        ("name", "source", "start", "hours"),
        [
            ("MOD11A1_LST_cloudrm_20160205.tif", "MOD11A1-cloudrm", datetime(2016, 2, 5, tzinfo=UTC), 24),
            ("ANUClimate_v2-0_tavg_daily_20160205.tif", "ANUClimate-v2-0", datetime(2016, 2, 4, 14, tzinfo=UTC), 24),
            ("ANUClimate_v2-0_rain_daily_20160205.tif", "ANUClimate-v2-0", datetime(2016, 2, 3, 23, tzinfo=UTC), 24),
            ("CMRSET_Landsat_ET_2016_02_01.tif", "CMRSET-Landsat", datetime(2016, 2, 1, tzinfo=UTC), 29 * 24),
        ],
    )  # fmt: skip
    def test_what_a_dated_name_covers(self, tmp_path, name, source, start, hours):
        identity = _raster_reader(source).identify(make.geotiff(tmp_path / name), name)
        assert identity.period.start == start
        assert (identity.period.end - identity.period.start).total_seconds() == hours * 3600

    def test_a_day_that_does_not_exist_is_refused(self, tmp_path):
        name = "MOD11A1_LST_cloudrm_20160231.tif"
        with pytest.raises(RefusedInput, match="impossible day"):
            _raster_reader("MOD11A1-cloudrm").identify(make.geotiff(tmp_path / name), name)

    @pytest.mark.parametrize("nodata", [-3.4e38, -9999.0, np.nan, None])
    def test_every_kind_of_nodata_becomes_nan(self, tmp_path, nodata):
        values = np.full((4, 5), 150, "f4")
        values[0, 0] = np.nan if nodata is None else nodata
        values[1, 1] = np.float32(-3.4028235e38)
        path = make.geotiff(tmp_path / "DEM_100m_resampled.tif", values, nodata=nodata)
        _, (raster, *_) = _read(_raster_reader("DEM-100m"), path)
        assert np.isnan(raster.values[[0, 1], [0, 1]]).all()
        assert np.isnan(raster.values).sum() == 2

    def test_a_raster_stored_south_first_is_turned(self, tmp_path):
        values = np.arange(20, dtype="f4").reshape(4, 5) + 100
        path = make.geotiff(
            tmp_path / "DEM_100m_resampled.tif", values[::-1],
            transform=Affine(0.001, 0, 146, 0, 0.001, -34.304),
        )  # fmt: skip
        _, (raster, *_) = _read(_raster_reader("DEM-100m"), path)
        np.testing.assert_array_equal(raster.values, values)
        assert raster.grid.name == "latlon(146,-34.3,0.001,0.001,5,4)"

    def test_another_reference_system_gives_a_grid_with_a_name_of_its_own(self, tmp_path):
        path = make.geotiff(
            tmp_path / "DEM_100m_resampled.tif", crs="EPSG:32755",
            transform=Affine(100, 0, 400000, 0, -100, 6200000),
        )  # fmt: skip
        _, (raster, *_) = _read(_raster_reader("DEM-100m"), path)
        assert raster.grid.name == "EPSG:32755(400000,6200000,100,100,5,4)"
        assert raster.grid.crs.epsg == 32755

    def test_few_values_out_of_the_plausible_range_are_masked(self, tmp_path):
        values = np.full((20, 20), 150, "f4")
        values[0, 0] = 5000  # possible on Earth, not here
        path = make.geotiff(tmp_path / "DEM_100m_resampled.tif", values)
        _, (raster, *_) = _read(_raster_reader("DEM-100m"), path)
        assert np.isnan(raster.values[0, 0])
        assert np.isnan(raster.values).sum() == 1

    @pytest.mark.parametrize(
        ("values", "options", "reason"),
        [
            (np.full((2, 4, 5), 150, "f4"), {}, "has 2 bands"),
            (np.full((4, 5), 150, "f4"), {"crs": None}, "no coordinate reference system"),
            (np.full((4, 5), 5000, "f4"), {}, "20 of 20 values of elevation are outside -100 to 2300"),
            (np.full((4, 5), -9999, "f4"), {"nodata": -9999}, "holds no value at all"),
            (np.full((4, 5), 1 + 1j, "c8"), {}, "not plain numbers"),
            (np.full((4, 5), 150, "f4"), {"transform": Affine(0.001, 0.0005, 146, 0.0005, -0.001, -34)},
             "turned"),
            (np.full((4, 5), 150, "f4"), {"transform": Affine(0.1, 0, 359.9, 0, -0.1, -34)}, "not on Earth"),
        ],
    )  # fmt: skip
    def test_content_that_does_not_agree_is_refused(self, tmp_path, values, options, reason):
        path = make.geotiff(tmp_path / "DEM_100m_resampled.tif", values, **options)
        with pytest.raises(RefusedInput, match=reason):
            _read(_raster_reader("DEM-100m"), path)

    def test_a_file_too_large_to_be_read_whole_is_refused_with_advice(self, tmp_path, monkeypatch):
        monkeypatch.setattr(geotiff_module, "MOST_PIXELS", 19)
        path = make.geotiff(tmp_path / "DEM_100m_resampled.tif")
        with pytest.raises(RefusedInput, match="cut it into tiles"):
            _read(_raster_reader("DEM-100m"), path)

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            ('variable = "nothing"\nunit = "m"\nvalid = [0, 1]\ncovers = "static"', "no variable"),
            ('variable = "elevation"\nunit = "ft"\nvalid = [0, 1]\ncovers = "static"', "give scale"),
            ('variable = "elevation"\nunit = "m"\nvalid = [0, 1]\ncovers = "day"', "must name"),
            ('variable = "elevation"\nunit = "m"\nvalid = [9, 1]\ncovers = "static"', "no range"),
            ('variable = "elevation"\nunit = "m"\nvalid = [0, 1]\ncovers = "year"', "covers is one of"),
            ('variable = "elevation"\nunit = "m"\nvalid = [0, 1]\ncovers = "static"\nx = 1', "unknown keys"),
            ('unit = "m"\nvalid = [0, 1]\ncovers = "static"', "variable"),
        ],
    )  # fmt: skip
    def test_wrong_declarations_are_named(self, entry, reason):
        text = f"[[source]]\nname = 'a'\ntitle = 'b'\n[[source.raster]]\npattern = 'x'\n{entry}"
        with pytest.raises(DefinitionError, match=reason):
            declared(text)

    def test_a_declared_conversion_is_applied(self, tmp_path):
        (reader,) = declared(
            "[[source]]\nname = 'a'\ntitle = 'b'\n[[source.raster]]\npattern = 'c\\.tif'\n"
            "variable = 'lst_day'\nunit = 'degC'\nscale = 1\noffset = 273.15\n"
            "valid = [240, 350]\ncovers = 'static'"
        )
        _, (raster,) = _read(reader, make.geotiff(tmp_path / "c.tif", np.full((4, 5), 20, "f4")))
        np.testing.assert_allclose(raster.values, 293.15, rtol=1e-6)
