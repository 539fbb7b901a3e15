"""The readers on files of real providers."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ingest.files import walk
from ingest.granules import examine, read
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.stations import Site, StationSeries
from smcatalog.core.time import Period


def _all(*paths: Path) -> tuple[dict[str, list], dict[str, str]]:
    """Return values and refusals, by delivered name."""
    values, refused = {}, {}
    for candidate in walk(paths):
        try:
            granule = examine(candidate)
            values[candidate.delivered] = [granule, *read(granule)]
        except RefusedInput as error:
            refused[candidate.delivered] = error.reason
    return values, refused


def test_smap_windows_and_the_five_without_a_retrieval(real_data):
    values, refused = _all(real_data / "yanco" / "smap")
    assert len(values) == 98
    assert sorted(refused) == [
        "SMAP_20190624_20190626.nc", "SMAP_20190701_20190703.nc", "SMAP_20190708_20190710.nc",
        "SMAP_20190715_20190717.nc", "SMAP_20200427_20200429.nc",
    ]  # fmt: skip
    assert all("holds no retrieval at all" in reason for reason in refused.values())
    for granule, raster in values.values():
        assert raster.grid.base == "M36"
        assert raster.period == granule.identity.period
        assert len(list(raster.period.days())) == 3
    _, raster = values["SMAP_20190603_20190605.nc"]
    assert raster.grid.name == "M36[318:321,872:877]"
    # the mean of a cell, from the file's own list
    import h5py

    with h5py.File(real_data / "yanco" / "smap" / "SMAP_20190603_20190605.nc") as file:
        lat, lon, sm = (file[k][:] for k in ("latitude", "longitude", "soil_moisture"))
    here = (lat == lat[0]) & (lon == lon[0])
    rows, columns, _ = raster.grid.locate(lon[:1], lat[:1])
    assert raster.values[rows[0], columns[0]] == pytest.approx(np.nanmean(sm[here]), abs=1e-6)


def test_era5_days_are_those_inside(real_data):
    values, refused = _all(real_data / "yanco" / "era5", real_data / "era5")
    assert not refused
    assert len(values) == 105
    granule, *rasters = values["ERA5_20181031_20181002.nc"]
    days = [r.period.day for r in rasters if r.period]
    assert days == [date(2018, 10, 1), date(2018, 10, 2), date(2018, 10, 31)]
    assert granule.identity.period == Period.of_days(date(2018, 10, 1), date(2018, 10, 31))
    wrong = [name for name, (g, *_) in values.items() if len(list(g.identity.period.days())) > 4]
    assert len(wrong) == 7
    for _, *rasters in values.values():
        assert [r.variable.name for r in rasters][-1] == "lsm"
        assert not any(r.quality.any() for r in rasters)


def test_an_era5_day_is_the_mean_of_its_hours(real_data):
    xarray = pytest.importorskip("xarray")
    path = real_data / "yanco" / "era5" / "ERA5_20190603_20190605.nc"
    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        daily = dataset["swvl1"].groupby("valid_time.date").mean().values
    ours = [r.values for r in _all(path)[0][path.name][1:] if r.period]
    np.testing.assert_allclose(ours, daily, atol=1e-6)


def test_every_raster_is_read_at_its_own_resolution(real_data):
    folders = [real_data / "yanco" / name for name in ("static", "dynamic", "lst")]
    values, refused = _all(*folders)
    assert not refused
    assert len(values) == 12
    names = {raster.variable.name for _, *rasters in values.values() for raster in rasters}
    assert names == {
        "elevation", "slope", "aspect", "northness", "eastness", "awc", "silt", "lst_day", "precipitation", "air_temperature", "vpd",
        "solar_radiation", "evapotranspiration",
    }  # fmt: skip
    _, elevation, slope, *_ = values["DEM_100m_resampled.tif"]
    assert slope.grid == elevation.grid
    assert 0.2 < np.nanmedian(slope.values) < 1.0  # a plain
    assert 15 < np.nanmax(slope.values) < 60
    assert elevation.grid.name == "latlon(146,-34.3,0.001,0.001,1000,1000)"
    assert (elevation.values.min(), elevation.values.max()) == pytest.approx(
        (110.192, 426.218), abs=1e-3
    )
    _, awc = values["AWC_100m_resampled.tif"]
    assert np.isnan(awc.values).mean() == pytest.approx(0.003975)


def test_ismn_series_agree_with_a_plain_reading(real_data):
    values, refused = _all(real_data / "yanco" / "ismn")
    assert not refused
    assert len(values) == 14
    for name, (_, series) in values.items():
        expected = {}
        for line in (real_data / "yanco" / "ismn" / name).read_text().splitlines()[1:]:
            day, clock, value, flag = line.split()[:4]
            if flag != "M" and float(value) > -0.9:
                expected[np.datetime64(f"{day.replace('/', '-')}T{clock}", "s")] = (
                    float(value),
                    flag,
                )
        assert series.times.tolist() == [t.item() for t in sorted(expected)]
        rows = [expected[t] for t in sorted(expected)]
        np.testing.assert_allclose(series.values, [v for v, _ in rows], atol=1e-6)
        assert series.flags.tolist() == [f for _, f in rows]
        assert series.good.sum() == sum(f == "G" for _, f in rows)
        assert series.site.network == "OZNET"


def test_ismn_archives_pass_in_both_formats(real_data):
    values, refused = _all(*sorted((real_data / "ismn").glob("*.zip")))
    assert not refused
    assert len(values) == 10  # two are in two of the archives
    assert {v[1].site.network for v in values.values()} == {"MAQU", "SCAN", "SOILSCAPE", "COSMOS"}
    assert all(isinstance(series, StationSeries) for _, series in values.values())


def test_the_same_sensor_in_both_formats_of_ismn_gives_the_same(real_data):
    one, other = (
        _all(real_data / "ismn" / name)[0]
        for name in ("ceop_sep.zip", "header_values_with_static.zip")
    )
    assert len(one) == len(other) == 2
    by_station = {series.site.station: series for _, series in other.values()}
    for _, series in one.values():
        twin = by_station[series.site.station]
        assert (series.site, series.depth, series.sensor) == (twin.site, twin.depth, twin.sensor)
        assert len(series.times) > 6000
        np.testing.assert_array_equal(series.times, twin.times)
        np.testing.assert_array_equal(series.values, twin.values)
        np.testing.assert_array_equal(series.flags, twin.flags)


def test_files_whose_lines_end_with_carriage_returns_alone(real_data):
    values, refused = _all(real_data / "ismn" / "folders")
    # every one of MAQU's lines holds a value
    path = next((real_data / "ismn" / "folders" / "MAQU" / "CST-01").glob("*.stm"))
    _, maqu = values[path.name]
    assert (maqu.site.station, len(maqu.times)) == ("CST_01", path.read_bytes().count(b"\r") - 1)
    assert len(values) == 6
    (reason,) = refused.values()
    assert reason.startswith("is text in no known format; it")


def test_all_depths_of_a_station_in_one_file(real_data):
    ((_, *series),) = _all(real_data / "ismn" / "folders" / "format_ceop")[0].values()
    assert [s.depth.bottom for s in series] == [0.05, 0.1, 0.2, 0.3]
    assert {s.site.station for s in series} == {"Narbonne"}
    assert series[1].times[0] == np.datetime64("2010-10-21T01:00")
    assert series[1].values[0] == np.float32(0.2913)
    assert all(0.1 < s.values.mean() < 0.4 for s in series)


def test_station_tables_agree_with_a_plain_reading(real_data):
    values, refused = _all(real_data / "yanco" / "stations", real_data / "yanco" / "stations.csv")
    assert not refused
    assert len(values) == 18
    sites = values.pop("stations.csv")[1:]
    assert len(sites) == 17
    assert all(isinstance(site, Site) for site in sites)
    finer = {site.station: site for site in sites}
    for name, (_, series) in values.items():
        with (real_data / "yanco" / "stations" / name).open() as stream:
            rows = [row for row in csv.DictReader(stream) if row["insitu_sm"] != "NA"]
        assert series.times.astype("datetime64[D]").astype(str).tolist() == [
            r["time"] for r in rows
        ]
        np.testing.assert_allclose(series.values, [float(r["insitu_sm"]) for r in rows], atol=1e-6)
        site = finer[series.site.station]
        assert (site.latitude, site.longitude) == pytest.approx(
            (series.site.latitude, series.site.longitude), abs=0.001
        )


@pytest.mark.parametrize(
    ("station", "twin"), [("y5", "Dry-Lake"), ("y7", "Yamma-Road"), ("y10", "Cheverelis")]
)
def test_days_of_the_tables_are_24_hours_from_ten_on_ismns_clock(real_data, station, twin):
    """The finding that the tables' declaration rests on: see the comment in ``tables.toml``."""
    yanco = real_data / "yanco"
    ((_, daily),) = _all(yanco / "stations" / f"OzNet_{station}_cleaned_data.csv")[0].values()
    ((_, hourly),) = _all(next((yanco / "ismn").glob(f"*_{twin}_*")))[0].values()

    def error(shift: int) -> float:
        days = (hourly.times + np.timedelta64(shift, "h")).astype("datetime64[D]")
        names, first, count = np.unique(days, return_index=True, return_counts=True)
        means = np.add.reduceat(hourly.values.astype(float), first) / count
        full = dict(zip(names[count == 24].tolist(), means[count == 24].tolist(), strict=True))
        pairs = [
            (full[day], value)
            for day, value in zip(
                daily.times.astype("datetime64[D]").tolist(), daily.values.tolist(), strict=True
            )
            if day in full
        ]
        assert len(pairs) > 300
        return float(np.sqrt(np.mean([(a - b) ** 2 for a, b in pairs])))

    errors = {shift: error(shift) for shift in range(-12, 13)}
    assert min(errors, key=errors.get) == -10
    assert errors[-10] < 0.001
    assert errors[0] > 0.005


def test_files_of_sources_that_are_not_read_are_refused_with_what_they_are(real_data):
    folders = [
        real_data / name
        for name in ("smap", "modis", "gldas", "imerg", "terrain", "climate", "cci")
    ]
    values, refused = _all(*folders)
    sources = {granule.identity.source for granule, *_ in values.values()}
    assert sources == {
        "SPL2SMP", "SMAP-36km-points", "DEM", "GMTED2010", "Koeppen-Geiger",
        "MOD09A1", "MOD11A1", "MOD13A2", "MYD13A2", "VNP13A2", "ESACCI-SM-cut", "GLDAS-Noah", "GPM_3IMERGHH",
        "station-table",
    }  # fmt: skip
    assert "holds no rain at all" in refused["GPM_3IMERGHH_prefetch.nc4"]
    assert "found Time, DBUK1, DCLY" in refused["deos_daily_vwc.csv"]
    assert "no column of whole numbers" in refused["de_met_stations.shp"]
    assert "projected for 2071-2100" in refused["Beck_KG_V1_future_0p5.tif"]
    assert "MOD11B2" in refused["MOD11B2.A2017001.h14v04.006.2017013155631.hdf"]
    assert all(isinstance(reason, str) and len(reason) > 10 for reason in refused.values())


def test_images_of_cci_agree_with_gdal(real_data):
    values, refused = _all(real_data / "cci" / "ESAGrids.zip")
    assert not refused
    assert len(values) == 31
    days = sorted(granule.identity.period.day for granule, _ in values.values())
    assert days == [date(2018, 1, day) for day in range(1, 32)]
    for name, (granule, raster) in values.items():
        inside = f"/vsizip/{real_data}/cci/ESAGrids.zip/ESAGrids/{name}"
        with rasterio.open(inside) as file:
            theirs = file.read(1, masked=True)
            np.testing.assert_array_equal(raster.values, theirs.filled(np.nan))
            assert raster.grid.transform.almost_equals(file.transform, precision=1e-9)
        assert raster.period.start.hour == 12
        assert raster.variable.name == "sm"
        assert granule.identity.source == "ESACCI-SM-cut"


def test_stations_of_delaware_have_their_places(real_data):
    sites = _all(real_data / "cci" / "NetworkPoints.zip")[0]["deos_met.csv"][1:]
    assert len(sites) == 65
    assert {site.network for site in sites} == {"DEOS"}
    (bucktoe,) = (site for site in sites if site.station == "DBUK1")
    assert (bucktoe.latitude, bucktoe.longitude) == (39.82, -75.727222)


def test_water_of_gldas_agrees_with_xarray(real_data):
    xarray = pytest.importorskip("xarray")
    for hour in (3, 6):
        path = real_data / "gldas" / f"GLDAS_NOAH025_3H.A20160101.{hour:02d}00.021.nc4"
        ((granule, *rasters),) = _all(path)[0].values()
        assert granule.identity.period.start.isoformat() == f"2016-01-01T{hour - 2:02d}:30:00+00:00"
        assert [raster.variable.name for raster in rasters] == ["sm_0_10cm", "sm_10_40cm"]
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            for raster, (layer, depth) in zip(
                rasters, (("0_10", 100), ("10_40", 300)), strict=True
            ):
                theirs = dataset[f"SoilMoi{layer}cm_inst"].values[0, ::-1] / depth
                np.testing.assert_allclose(raster.values, theirs, rtol=1e-6)
                assert raster.grid.bbox() == (-180, -60, 180, 90)
        # a place in wet Borneo and one in the dry Sahara
        rows, columns, _ = rasters[0].grid.locate([114.0, 5.0], [1.0, 23.0])
        wet, dry = rasters[0].values[rows, columns]
        assert wet > 0.25
        assert dry < 0.1


def test_half_an_hour_of_rain_agrees_with_xarray(real_data):
    xarray = pytest.importorskip("xarray")
    path = real_data / "imerg" / "GPM_3IMERGHH_bounds.nc4"
    ((granule, raster),) = _all(path)[0].values()
    assert granule.identity.period == raster.period
    assert (
        f"{raster.period.start:%Y-%m-%d %H:%M} {raster.period.end:%H:%M}"
        == "2020-01-01 12:00 12:30"
    )
    with xarray.open_dataset(path, engine="h5netcdf", group="Grid", decode_times=False) as dataset:
        rates = dataset["precipitationCal"].isel(time=0).transpose("lat", "lon").values[::-1]
        np.testing.assert_allclose(raster.values, rates * 24, rtol=1e-6)
        assert raster.grid.bbox() == pytest.approx((-30, 30, -15, 45))
    assert 0 < np.nanmax(raster.values) < 1000


def test_an_ascii_grid_agrees_with_a_plain_reading(real_data):
    path = real_data / "terrain" / "be30_grd"
    ((granule, *rasters),) = _all(path)[0].values()
    found = {raster.variable.name: raster for raster in rasters}
    assert granule.identity.name == "be30_grd"
    assert set(found) == {"elevation", "slope", "aspect", "northness", "eastness"}
    words = path.read_text().split()
    header = dict(zip(words[:12:2], words[1:12:2], strict=True))
    shape = int(header["nrows"]), int(header["ncols"])
    heights = np.array(words[12:], float).reshape(shape)
    np.testing.assert_array_equal(found["elevation"].values, heights)
    west, south, _, _ = found["elevation"].grid.bbox()
    corner = float(header["xllcorner"]), float(header["yllcorner"])
    assert (west, south) == pytest.approx(corner, abs=1e-6)


def test_climate_zones_lie_where_gdal_has_them(real_data):
    path = real_data / "climate" / "koppen_subset.tif"
    ((_, raster),) = _all(path)[0].values()
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(raster.values, file.read(1))
        assert raster.grid.transform.almost_equals(file.transform, precision=1e-9)
    assert set(np.unique(raster.values)) == {14}  # Cfa, humid subtropical: North Carolina


def test_rasters_are_the_only_values_of_gridded_sources(real_data):
    values, _ = _all(real_data / "yanco" / "static")
    assert all(isinstance(value, Raster) for _, *rest in values.values() for value in rest)
