"""SPL3SMP of the simulated world: what is written is read again, opens elsewhere and stays the same."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.sources.smap_writer import WRITER
from ingest.world.landscape import Landscape, landscape
from ingest.world.orbits import SMAP, Overpass, passes
from ingest.world.presets import preset
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import grid
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories import granules as make
from tests.factories.world import flat_state

AM, PM = "Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data_PM"
MORNING = date(2018, 7, 1)
"""A day on which the swath of the morning covers all of the region and that of the evening none."""
BOTH = date(2018, 7, 3)


@pytest.fixture(scope="module")
def land() -> Landscape:
    """About 300 km around the centre: a quiet plain of one soil, so that a cell's answer is known."""
    found = landscape(preset("rao2022"), 3, 300)
    shape = found.grid.shape
    return _with(
        found,
        water=np.zeros(shape, bool),
        elevation=np.full(shape, 1000, "f4"),
        clay=np.full(shape, 0.2, "f4"),
        cover=np.full(shape, 0.5, "f4"),
        porosity=np.full(shape, 0.45, "f4"),
    )


def _with(land: Landscape, **changes: np.ndarray) -> Landscape:
    from dataclasses import replace

    return replace(land, **changes)


def _written(folder: Path, land: Landscape, *states) -> list[Path]:
    writer = WRITER(land, folder)
    for state in states:
        writer.day(state)
    writer.end()
    return sorted(folder.rglob("*"))


def _rasters(path: Path) -> dict[str, object]:
    return {r.variable.name: r for r in read(examine(make.candidate(path)))}


def _cell(land: Landscape, row: int, column: int) -> tuple[slice, slice]:
    """Return the 1 km cells of a cell of 36 km, counted from the region's corner."""
    return slice(36 * row, 36 * row + 36), slice(36 * column, 36 * column + 36)


def _first(land: Landscape) -> tuple[int, int]:
    return land.grid.row // 36, land.grid.column // 36


class TestOrbits:
    LATITUDES = (0.0, 20.0, 32.0, 38.0, 45.0)

    def test_a_place_is_seen_every_two_to_three_days(self):
        longitude = np.arange(-180.0, 180.0, 3.0)
        for latitude in self.LATITUDES:
            for overpass in Overpass:
                seen = np.array([
                    passes(SMAP, MORNING + timedelta(n), overpass, longitude, latitude)[0]
                    for n in range(8)
                ])  # fmt: skip
                assert 1.8 < 1 / seen.mean() < 3.0
                # the longest wait, going around the repeat
                waits = np.array([np.diff(np.flatnonzero(np.tile(s, 2))).max() for s in seen.T])
                assert (waits <= 3).mean() > 0.9
                assert waits.max() <= 5

    def test_the_track_repeats_after_eight_days_and_not_before(self):
        longitude, latitude = np.arange(-180.0, 180.0, 3.0), 37.0
        first, *rest = (
            passes(SMAP, MORNING + timedelta(n), Overpass.ASCENDING, longitude, latitude)
            for n in range(9)
        )
        np.testing.assert_array_equal(first[0], rest[-1][0])
        np.testing.assert_allclose(first[1], rest[-1][1], atol=1e-6)
        assert all((first[0] != seen).any() for seen, _ in rest[:-1])

    @pytest.mark.parametrize(("overpass", "wanted"), [("descending", 6.0), ("ascending", 18.0)])
    def test_passes_come_at_six_solar_time(self, overpass, wanted):
        longitude = np.arange(-180.0, 180.0, 1.0)
        seen, hour = passes(SMAP, MORNING, Overpass(overpass), longitude, 0.0)
        assert np.isnan(hour[~seen]).all()
        assert ((hour[seen] >= 0) & (hour[seen] < 24)).all()
        off = (hour[seen] + longitude[seen] / 15 - wanted + 12) % 24 - 12
        # half a swath is 4.5 degrees or 18 minutes
        assert abs(off).max() < 0.35
        assert abs(off.mean()) < 0.05

    def test_a_morning_in_china_is_the_evening_of_utc(self):
        _, hour = passes(SMAP, MORNING, Overpass.DESCENDING, 106.0, 37.8)
        assert 22.5 < hour < 24

    def test_a_swath_is_as_wide_as_the_instrument_sees(self):
        # along the equator the track is crossed at the inclination less the Earth's own turning
        longitude = np.arange(-180.0, 180.0, 0.05)
        seen, _ = passes(SMAP, MORNING, Overpass.ASCENDING, longitude, 0.0)
        edges = np.flatnonzero(np.diff(seen.astype(int)))
        widths = np.diff(longitude[edges])[::1] * 111.2
        assert min(abs(widths - 1000 / np.sin(np.radians(98.12)))) < 15

    def test_shapes_broadcast(self):
        seen, hour = passes(SMAP, MORNING, Overpass.ASCENDING, np.zeros((1, 5)), np.zeros((4, 1)))
        assert seen.shape == hour.shape == (4, 5)

    def test_the_swath_and_clock_of_a_real_half_orbit(self, real_data):
        path = real_data / "smap" / "SMAP_L2_SM_P_02801_A_20150811T013002_R18290_001.h5"
        with h5py.File(path) as file:
            lists = {
                k: file["Soil_Moisture_Retrieval_Data"][k][...]
                for k in ("latitude", "longitude", "tb_time_seconds")
            }
        inner = (abs(lists["latitude"]) < 60) & (lists["tb_time_seconds"] > 0)
        lat, lon, seconds = (v[inner] for v in lists.values())
        midnight = (date(2015, 8, 11) - date(2000, 1, 1)).days * 86400 - 43200
        seen, hour = passes(SMAP, date(2015, 8, 11), Overpass.ASCENDING, lon, lat)
        assert seen.mean() > 0.9
        assert np.nanmax(abs(hour * 3600 + midnight - seconds)) < 120


class TestGranule:
    def test_round_trip(self, land, tmp_path):
        """What the reader yields is what stands in the file, on the day of UTC and in place."""
        (path,) = _written(tmp_path / "SPL3SMP", land, flat_state(land, BOTH))
        assert path.name == "SMAP_L3_SM_P_20180703_R19240_001.h5"
        assert path.parent == tmp_path / "SPL3SMP"
        rasters = _rasters(path)
        assert set(rasters) == {"sm_am", "sm_pm"}
        for name, group, suffix in (("sm_am", AM, ""), ("sm_pm", PM, "_pm")):
            raster = rasters[name]
            assert raster.period == Period.of_day(BOTH)
            with h5py.File(path) as file:
                whole = file[group][f"soil_moisture{suffix}"][...]
            rows, columns = np.nonzero(whole != -9999)
            assert len(rows) == np.isfinite(raster.values).sum() > 0
            window = raster.grid
            np.testing.assert_array_equal(
                raster.values[rows - window.row, columns - window.column], whole[rows, columns]
            )
        assert land.grid.bbox()[0] - 0.01 < rasters["sm_pm"].grid.bbox()[0]

    def test_a_retrieval_is_the_mean_of_its_cell_with_an_error_of_the_right_size(
        self, land, tmp_path
    ):
        """Half a cell at 0.1 and half at 0.3 is 0.2; many days tell error and bias apart."""
        water = np.full(land.grid.shape, 0.1, "f4")
        water[:, 1::2] = 0.3
        days = [MORNING + timedelta(8 * n) for n in range(20)]
        states = [
            flat_state(land, d, before=water, after=water, vegetation_water=1.0) for d in days
        ]
        paths = _written(tmp_path, land, *states)
        values = np.array([_rasters(path)["sm_am"].values for path in paths])
        assert np.isfinite(values).all()
        error = values - values.mean(axis=0)
        assert error.std() == pytest.approx(0.015 + 0.006, rel=0.06)
        bias = values.mean(axis=0) - 0.2
        assert abs(bias.mean()) < 0.004
        assert bias.std() == pytest.approx(0.010, rel=0.35)
        # errors of neighbours and of other days are their own
        assert abs(np.corrcoef(error[:, :, :-1].ravel(), error[:, :, 1:].ravel())[0, 1]) < 0.09
        assert abs(np.corrcoef(error[:-1].ravel(), error[1:].ravel())[0, 1]) < 0.09

    def test_the_error_grows_with_the_vegetation(self, land, tmp_path):
        spread = []
        for vegetation in (0.0, 4.0):
            state = flat_state(land, MORNING, vegetation_water=vegetation)
            (path,) = _written(tmp_path / str(vegetation), land, state)
            spread.append(np.nanstd(_rasters(path)["sm_am"].values))
        # the same random numbers: 0.015 beside 0.039, each with the bias of 0.010
        assert spread[1] > 1.5 * spread[0]

    def test_the_water_is_that_of_the_hour_of_the_pass(self, land, tmp_path):
        """Evenly from 0.1 to 0.4 in the day: seen at 23 UTC in the morning, at 11 in the evening."""
        state = flat_state(land, BOTH, before=0.1, after=0.4, vegetation_water=0.0)
        (path,) = _written(tmp_path, land, state)
        means = {name: float(np.nanmean(r.values)) for name, r in _rasters(path).items()}
        with h5py.File(path) as file:
            for name, group, suffix in (("sm_am", AM, ""), ("sm_pm", PM, "_pm")):
                seconds = file[group][f"tb_time_seconds{suffix}"][...]
                hour = (seconds[seconds != -9999].mean() + 43200) / 3600 % 24
                assert means[name] == pytest.approx(0.1 + 0.3 * hour / 24, abs=0.012)
        assert means["sm_am"] - means["sm_pm"] == pytest.approx(0.15, abs=0.03)

    def test_retrievals_stay_between_the_driest_and_the_pores(self, land, tmp_path):
        states = [
            flat_state(land, MORNING, before=0.0, after=0.0, vegetation_water=4.9),
            flat_state(land, MORNING + timedelta(8), before=0.45, after=0.45, vegetation_water=4.9),
        ]
        dry, wet = (_rasters(p)["sm_am"].values for p in _written(tmp_path, land, *states))
        assert np.nanmin(dry) == np.float32(0.02)
        assert np.nanmax(wet) == np.float32(0.45)
        assert (dry == np.float32(0.02)).mean() < 0.9

    def test_only_cells_under_the_swath_are_written(self, land, tmp_path):
        (path,) = _written(tmp_path, land, flat_state(land, BOTH))
        with h5py.File(path) as file:
            am, latitude, longitude = (
                file[AM][k][...] for k in ("soil_moisture", "latitude", "longitude")
            )
        here = latitude != -9999
        assert 0 < here.sum() < 90
        seen, _ = passes(SMAP, BOTH, Overpass.DESCENDING, longitude[here], latitude[here])
        assert seen.all()
        assert (am[~here] == -9999).all()
        assert (am[here] != -9999).all()

    def test_a_day_without_a_pass_leaves_no_granule(self, land, tmp_path):
        gone = [MORNING + timedelta(n) for n in range(8)]
        small = landscape(preset("rao2022"), 3, 60)
        paths = _written(tmp_path, small, *(flat_state(small, day) for day in gone))
        assert 3 <= len(paths) < 8
        assert not any(path.name.startswith(".") for path in paths)


class TestQuality:
    def _quality(self, land, tmp_path, **overrides):
        (path,) = _written(tmp_path, land, flat_state(land, MORNING, **overrides))
        return path, _rasters(path)["sm_am"]

    def test_a_good_day_is_good_everywhere(self, land, tmp_path):
        path, raster = self._quality(land, tmp_path)
        assert np.isfinite(raster.values).all()
        assert not raster.quality.any()
        with h5py.File(path) as file:
            flags = file[AM]["retrieval_qual_flag"][...]
        assert np.unique(flags).tolist() == [0, 65534]

    def test_dense_vegetation(self, land, tmp_path):
        vegetation = np.zeros(land.grid.shape, "f4")
        vegetation[_cell(land, 2, 3)] = 5.5
        vegetation[_cell(land, 2, 4)] = 4.5
        _, raster = self._quality(land, tmp_path, vegetation_water=vegetation)
        expected = np.zeros(raster.quality.shape)
        expected[2, 3] = InputQuality.NOT_RECOMMENDED
        np.testing.assert_array_equal(raster.quality, expected)

    def test_frozen_ground_and_snow(self, land, tmp_path):
        frozen = np.zeros(land.grid.shape, bool)
        snow = np.zeros(land.grid.shape, "f4")
        frozen[_cell(land, 1, 1)] = True
        rows, columns = _cell(land, 2, 2)
        frozen[rows.start : rows.start + 20, columns] = True
        rows, columns = _cell(land, 3, 3)
        frozen[rows.start : rows.start + 10, columns] = True
        rows, columns = _cell(land, 4, 4)
        snow[rows.start : rows.start + 30, columns] = 20
        _, raster = self._quality(land, tmp_path, frozen=frozen, snow=snow)
        assert np.isnan(raster.values[1, 1])
        assert np.isnan(raster.values).sum() == 1
        both = InputQuality.NOT_RECOMMENDED | InputQuality.FROZEN
        expected = np.zeros(raster.quality.shape)
        expected[2, 2], expected[3, 3], expected[4, 4] = both, InputQuality.FROZEN, both
        np.testing.assert_array_equal(raster.quality, expected)

    def test_water(self, land, tmp_path):
        water = np.zeros(land.grid.shape, bool)
        for column, wet in ((1, 1), (2, 4), (3, 30), (4, 36)):
            rows, columns = _cell(land, 2, column)
            water[rows.start : rows.start + wet, columns] = True
        lakes = _with(land, water=water)
        path, raster = self._quality(lakes, tmp_path)
        assert np.isnan(raster.values[2]).tolist() == [n in {3, 4} for n in range(10)]
        expected = np.zeros(raster.quality.shape)
        expected[2, 2] = InputQuality.NOT_RECOMMENDED | InputQuality.WATER
        np.testing.assert_array_equal(raster.quality, expected)
        row, column = _first(land)
        with h5py.File(path) as file:
            share = file[AM]["static_water_body_fraction"][row + 2, column : column + 6]
            flags = file[AM]["retrieval_qual_flag"][row + 2, column : column + 6]
        np.testing.assert_allclose(share, [0, 1 / 36, 4 / 36, 30 / 36, 1, 0], atol=1e-6)
        assert flags.tolist() == [0, 0, 1, 7, 7, 0]

    def test_water_is_no_part_of_the_mean(self, land, tmp_path):
        water = np.zeros(land.grid.shape, bool)
        rows, columns = _cell(land, 2, 2)
        water[rows.start : rows.start + 18, columns] = True
        wet = np.where(water, 0.45, 0.2).astype("f4")
        _, lake = self._quality(_with(land, water=water), tmp_path / "a", before=wet, after=wet)
        _, dry = self._quality(land, tmp_path / "b")
        assert lake.values[2, 2] == pytest.approx(dry.values[2, 2], abs=1e-6)

    def test_steep_relief(self, land, tmp_path):
        elevation = land.elevation.copy()
        rows, columns = _cell(land, 2, 2)
        elevation[rows, columns] += (np.arange(36) % 2 * 300).astype("f4")[:, None]
        elevation[rows, columns] += np.arange(36, dtype="f4") * 100
        _, raster = self._quality(_with(land, elevation=elevation), tmp_path)
        assert raster.quality[2, 2] == InputQuality.NOT_RECOMMENDED
        assert np.count_nonzero(raster.quality) == 1


class TestFile:
    def test_structure_of_the_provider(self, land, tmp_path):
        (path,) = _written(tmp_path, land, flat_state(land, MORNING))
        with h5py.File(path) as file:
            assert set(file) == {"Metadata", AM, PM}
            assert {name.removesuffix("_pm") for name in file[PM]} == set(file[AM])
            assert all(name.endswith("_pm") for name in file[PM])
            for group in (AM, PM):
                for name, data in file[group].items():
                    assert data.shape == (406, 964), name
                    assert data.compression == "gzip"
            kinds = {name: data.dtype.str for name, data in file[AM].items()}
            assert kinds["soil_moisture"] == kinds["latitude"] == "<f4"
            assert kinds["retrieval_qual_flag"] == kinds["EASE_row_index"] == "<u2"
            assert kinds["tb_time_seconds"] == "<f8"
            assert kinds["tb_time_utc"] == "|S24"
            assert file[AM]["soil_moisture_dca"] == file[AM]["soil_moisture"]
            attributes = file[PM]["soil_moisture_pm"].attrs
            assert attributes["units"] == b"cm**3/cm**3"
            assert attributes["_FillValue"].dtype == np.float32
            assert (attributes["valid_min"], attributes["valid_max"]) == (np.float32(0.02), 0.5)
            assert attributes["coordinates"] == f"/{AM}/latitude /{AM}/longitude".encode()
            bits = file[AM]["surface_flag"].attrs
            assert len(bits["flag_masks"].split()) == len(bits["flag_meanings"].split()) == 12
            extent = file["Metadata/Extent"].attrs
            assert extent["rangeBeginningDateTime"] == "2018-07-01T00:00:00.000Z"
            assert file["Metadata/DatasetIdentification"].attrs["fileName"] == path.name
            assert "Simulated" in file["Metadata/DatasetIdentification"].attrs["abstract"]

    def test_names_types_and_attributes_are_those_of_a_real_granule(
        self, land, real_data, tmp_path
    ):
        """The provider's own description of a granule, as its server gives it."""
        import xml.etree.ElementTree as ET

        space = "{http://xml.opendap.org/ns/DAP/4.0#}"
        root = ET.parse(real_data / "smap" / "SC_SPL3SMP_008.dmr").getroot()  # noqa: S314 - a known file
        kinds = {"Float32": "<f4", "Float64": "<f8", "UInt16": "<u2", "String": "|S24"}
        (path,) = _written(tmp_path, land, flat_state(land, MORNING))
        with h5py.File(path) as file:
            for group in (AM, PM):
                place = root.find(f"{space}Group[@name='{group}']")
                known = {child.get("name"): child for child in place}
                assert len(file[group]) > 15
                for name, data in file[group].items():
                    real = known[name]
                    assert kinds[real.tag.removeprefix(space)] == data.dtype.str, name
                    texts = {
                        a.get("name"): a.findtext(f"{space}Value")
                        for a in real.findall(f"{space}Attribute")
                    }
                    texts.pop("HDF5_HARDLINK", None)
                    assert set(texts) == set(data.attrs), name
                    for key in ("units", "flag_masks", "flag_meanings", "coordinates"):
                        # the evening's meanings still speak of the radar
                        if key in texts and (group, key) != (PM, "flag_meanings"):
                            assert data.attrs[key].decode() == texts[key], (name, key)

    def test_coordinates_times_and_indices_of_the_cells(self, land, tmp_path):
        (path,) = _written(tmp_path, land, flat_state(land, MORNING))
        with h5py.File(path) as file:
            data = {name: values[...] for name, values in file[AM].items()}
        rows, columns = np.nonzero(data["latitude"] != -9999)
        assert len(rows) == 90
        found = grid("M36").locate(
            data["longitude"][rows, columns], data["latitude"][rows, columns]
        )
        np.testing.assert_array_equal(found[0], rows)
        np.testing.assert_array_equal(found[1], columns)
        np.testing.assert_array_equal(data["EASE_row_index"][rows, columns], rows)
        np.testing.assert_array_equal(data["EASE_column_index"][rows, columns], columns)
        texts = [t.decode().removesuffix("Z") for t in data["tb_time_utc"][rows, columns]]
        since = np.array(texts, "datetime64[ms]") - np.datetime64("2000-01-01T12:00", "ms")
        seconds = data["tb_time_seconds"][rows, columns]
        assert abs(since.astype(float) / 1000 - seconds).max() < 0.002
        local = (seconds / 3600 + 12 + data["longitude"][rows, columns] / 15) % 24
        # further north the satellite comes earlier on its way south, at a later solar time
        assert ((local > 5.8) & (local < 7.2)).all()
        assert abs((land.utc_hour(6.0) - (seconds / 3600 + 12).mean()) % 24 - 24) < 1

    def test_xarray_opens_an_overpass(self, land, tmp_path):
        xarray = pytest.importorskip("xarray")
        (path,) = _written(tmp_path, land, flat_state(land, MORNING))
        with xarray.open_dataset(
            path, group=AM, engine="h5netcdf", phony_dims="sort", decode_coords=False
        ) as dataset:
            field = dataset["soil_moisture"]
            assert field.shape == (406, 964)
            assert int(field.notnull().sum()) == 90
            assert 0.15 < float(field.mean()) < 0.25
            row, column = (int(k[0]) for k in np.nonzero(field.notnull().values))
            assert (row, column) == _first(land)
            lon, lat = (float(dataset[k][row, column]) for k in ("longitude", "latitude"))
        west, _, _, north = land.grid.bbox()
        assert west < lon < west + 0.38
        assert north - 0.45 < lat < north

    def test_the_same_world_gives_the_same_bytes(self, land, tmp_path):
        state = flat_state(land, BOTH)
        (one,) = _written(tmp_path / "a", land, state)
        time.sleep(1.1)  # HDF5 keeps times to the second
        # whatever was written before
        _, other = _written(tmp_path / "b", land, flat_state(land, MORNING), state)
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()

    def test_another_seed_gives_other_retrievals(self, land, tmp_path):
        from dataclasses import replace

        another = _with(land, ground=replace(land.ground, seed=4))
        (one,) = _written(tmp_path / "a", land, flat_state(land, MORNING))
        (other,) = _written(tmp_path / "b", another, flat_state(another, MORNING))
        assert (_rasters(one)["sm_am"].values != _rasters(other)["sm_am"].values).all()

    def test_a_larger_region_shows_the_same_retrievals(self, tmp_path):
        small, large = (landscape(preset("rao2022"), 3, size) for size in (100, 300))
        flat = {"before": 0.2, "after": 0.2, "vegetation_water": 1.0}
        paths = [
            _written(tmp_path / str(n), one, flat_state(one, MORNING, **flat))[0]
            for n, one in enumerate((small, large))
        ]
        one, other = (_rasters(path)["sm_am"] for path in paths)
        rows, columns = one.grid.row - other.grid.row, one.grid.column - other.grid.column
        height, width = one.values.shape
        part = other.values[rows : rows + height, columns : columns + width]
        # cover is ranked within a region: that part of the bias may differ a little
        np.testing.assert_allclose(one.values, part, atol=0.004)

    def test_a_region_that_cuts_cells_is_refused(self, land, tmp_path):
        cut = _with(land, grid=land.grid.window(slice(1, None), slice(None)))
        with pytest.raises(UsageError, match="not made of whole cells of 36 km"):
            WRITER(cut, tmp_path)
