"""What never changes in a simulated world, as files: elevation, soil and the truth."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ingest.files import walk
from ingest.granules import examine, read
from ingest.sources import soilgrids_writer, srtm_writer
from ingest.world import truth
from ingest.world.sensors import stations
from smcatalog.core.grids import Grid
from smcatalog.core.raster import Raster
from smcatalog.resample import regrid
from tests.factories.probes import even_days, small_land, written

GDALINFO = shutil.which("gdalinfo")
LAND = small_land()
MAKERS = {"srtm": srtm_writer.WRITER, "soil": soilgrids_writer.WRITER, "truth": truth.WRITER}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world")
    for name, make in MAKERS.items():
        written(make, root / name, LAND, days=2)
    return root


def _read(folder: Path) -> dict[str, Raster]:
    found = {}
    for candidate in walk([folder]):
        granule = examine(candidate)
        found[granule.identity.name] = next(read(granule))  # what is made of it is not asked for
    return found


@pytest.fixture(scope="module")
def tiles(folder) -> dict[str, Raster]:
    return _read(folder / "srtm")


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(folder, tmp_path, name):
    first = {p.name: p.read_bytes() for p in (folder / name).iterdir()}
    again = written(MAKERS[name], tmp_path / "again", LAND, days=2)
    assert {p.name: p.read_bytes() for p in again.values()} == first
    other = written(MAKERS[name], tmp_path / "other", small_land(seed=2), days=2)
    changed = {name for name, path in other.items() if path.read_bytes() != first[name]}
    # the even days of these tests hold the same water in every world
    assert changed >= {name for name in first if not name.startswith("sm_")}


class TestElevation:
    def test_every_degree_that_the_region_touches_has_a_tile(self, folder, tiles):
        west, south, east, north = LAND.grid.bbox()
        assert sorted(tiles) == ["N37E105", "N37E106", "N38E105", "N38E106"]
        assert 105 < west < 106 < east < 107
        assert 37 < south < 38 < north < 39
        assert sorted(p.name for p in (folder / "srtm").iterdir()) == [
            f"{tile}.SRTMGL3.hgt.zip" for tile in sorted(tiles)
        ]

    def test_heights_are_the_grounds_to_the_metre_where_the_region_is(self, tiles):
        west, south, east, north = LAND.grid.bbox()
        for raster in tiles.values():
            x, y = raster.grid.centres()
            inside = np.outer((y > south) & (y < north), (x > west) & (x < east))
            assert inside.any()
            assert not np.isnan(raster.values[inside]).any()
            expected = LAND.ground.elevation(raster.grid)
            assert np.nanmax(np.abs(raster.values - expected)) <= 0.501
            # far away nothing was made
            far = np.outer((y < south - 0.1) | (y > north + 0.1), np.ones(len(x), bool))
            assert np.isnan(raster.values[far]).all()

    def test_adjoining_tiles_share_their_nodes(self, tiles):
        np.testing.assert_array_equal(tiles["N37E105"].values[:, -1], tiles["N37E106"].values[:, 0])
        np.testing.assert_array_equal(tiles["N38E105"].values[-1], tiles["N37E105"].values[0])

    def test_gdal_opens_the_delivered_zip_at_the_right_place(self, folder):
        name = "N37E106.SRTMGL3.hgt.zip"
        with rasterio.open(f"/vsizip/{folder / 'srtm' / name}/N37E106.hgt") as file:
            assert file.driver == "SRTMHGT"
            assert file.nodata == -32768
            longitude, latitude = 106.05, 37.95
            (height,) = next(file.sample([(longitude, latitude)]))
        here = Grid.latlon(longitude - 1e-4, latitude + 1e-4, 2e-4, (1, 1))
        assert height == pytest.approx(LAND.ground.elevation(here)[0, 0], abs=1)

    @pytest.mark.skipif(GDALINFO is None, reason="the system has no gdalinfo")
    def test_the_systems_gdal_knows_the_zip_by_its_name(self, folder):
        name = folder / "srtm" / "N37E106.SRTMGL3.hgt.zip"
        done = subprocess.run(
            [GDALINFO, "-json", name], capture_output=True, text=True, check=True,
            env={"GDAL_PAM_ENABLED": "NO"},
        )  # fmt: skip
        told = json.loads(done.stdout)
        assert told["driverShortName"] == "SRTMHGT"
        half = 1 / 2400
        corner = told["cornerCoordinates"]
        assert corner["upperLeft"] == pytest.approx([106 - half, 38 + half], abs=1e-6)
        assert corner["lowerRight"] == pytest.approx([107 + half, 37 - half], abs=1e-6)

    def test_gives_the_landscapes_elevation_at_the_kilometre(self, tiles):
        """The mean over a cell differs from its middle by the small hills only."""
        parts = [regrid(raster, LAND.grid).values for raster in tiles.values()]
        mean = np.nanmean(np.stack(parts), axis=0)
        assert np.isfinite(mean).mean() > 0.999
        rough = np.nanstd(mean - LAND.elevation)
        assert rough < 0.35 * LAND.elevation.std()


class TestSoil:
    def test_the_reader_gives_fractions_that_add_up(self, folder):
        maps = {raster.variable.name: raster for raster in _read(folder / "soil").values()}
        assert sorted(maps) == ["clay", "sand", "silt"]
        assert len({raster.grid.name for raster in maps.values()}) == 1
        whole = sum(raster.values for raster in maps.values())
        assert np.nanmax(np.abs(whole - 1)) < 0.002
        assert maps["sand"].grid.cell == pytest.approx((1 / 480, 1 / 480))

    def test_files_are_as_the_provider_writes_them(self, folder):
        paths = sorted((folder / "soil").iterdir())
        assert [p.name for p in paths] == [
            f"{name}_0-5cm_mean_rao2022.tif" for name in ("clay", "sand", "silt")
        ]
        west, south, east, north = LAND.grid.bbox()
        for path in paths:
            with rasterio.open(path) as file:
                assert (file.dtypes, file.nodata, file.crs.to_epsg()) == (("int16",), -32768, 4326)
                box = file.bounds
                assert (box.left * 480) == pytest.approx(round(box.left * 480), abs=1e-6)
                assert (box.top * 480) == pytest.approx(round(box.top * 480), abs=1e-6)
                stored = file.read(1)
            assert box.left < west < east < box.right
            assert box.bottom < south < north < box.top
            assert stored[stored >= 0].min() >= 5
            assert stored.max() <= 1000

    def test_the_map_is_near_the_soil_but_not_the_soil(self, folder):
        maps = {raster.variable.name: raster for raster in _read(folder / "soil").values()}
        sand, clay = LAND.ground.texture(maps["sand"].grid)
        for name, true in (("sand", sand), ("clay", clay)):
            error = maps[name].values - true
            assert 0.01 < np.nanstd(error) < 0.06
            assert (
                np.corrcoef(*(v[~np.isnan(error)] for v in (maps[name].values, true)))[0, 1] > 0.7
            )

    def test_open_water_has_no_soil(self, folder):
        sand = next(r for r in _read(folder / "soil").values() if r.variable.name == "sand")
        assert LAND.water.any()
        values = regrid(sand, LAND.grid).values
        np.testing.assert_array_equal(np.isnan(values), LAND.water)


class TestTruth:
    def test_a_days_map_is_the_mean_of_the_upper_layer(self, folder):
        for state in even_days(LAND, 2):
            with rasterio.open(folder / "truth" / f"sm_{state.day:%Y%j}.tif") as file:
                assert (file.dtypes, file.nodata) == (("int16",), -9999)
                assert (file.scales, file.offsets, file.units) == ((0.0001,), (0.0,), ("m3 m-3",))
                assert file.crs.to_epsg() == 6933
                assert file.transform.almost_equals(LAND.grid.transform, precision=1e-6)
                band = file.read(1, masked=True)
            np.testing.assert_array_equal(np.ma.getmaskarray(band), LAND.water)
            mean = state.surface_mean()[~LAND.water]
            np.testing.assert_allclose(band.compressed() * 0.0001, mean, atol=0.51e-4)

    def test_the_ground_is_told_band_by_band(self, folder):
        with rasterio.open(folder / "truth" / "landscape.tif") as file:
            assert file.descriptions == ("elevation", "sand", "clay", "irrigated", "woody", "water")
            assert file.units == ("m", "1", "1", "1", "1", "1")
            bands = dict(zip(file.descriptions, file.read(), strict=True))
        for name, values in bands.items():
            np.testing.assert_array_equal(values, getattr(LAND, name).astype(np.float32))

    def test_the_stations_stand_in_it_with_their_faults(self, folder):
        told = json.loads((folder / "truth" / "stations.json").read_text())
        assert told["simulated"] is True
        assert (told["first_day"], told["last_day"]) == ("2018-06-01", "2018-06-02")
        plan = stations(LAND)
        assert [s["station"] for s in told["stations"]] == [s.site.station for s in plan]
        for one, station in zip(told["stations"], plan, strict=True):
            assert (one["offset"], one["factor"]) == (station.offset, station.factor)
            assert len(one["sensors"]) == len(station.sensors)

    def test_without_a_day_there_are_no_stations(self, tmp_path):
        assert sorted(written(truth.WRITER, tmp_path / "t", LAND)) == ["landscape.tif"]


def test_a_writer_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(soilgrids_writer, "under_water", fail)
    with pytest.raises(OSError, match="no space"):
        soilgrids_writer.WRITER(LAND, tmp_path)
    assert list(tmp_path.iterdir()) == []
