"""ERA5-Land, MYD21A1N and MCD43A4 of the simulated world, read back."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.indices import ndvi, nmdi
from ingest.sources import era5_writer, modis_lst21_writer, modis_nadir_writer
from ingest.sources.modis_lst21_writer import at_night
from ingest.world.landscape import Landscape, landscape
from ingest.world.presets import preset
from ingest.world.reflectance import leaf_area, reflectances
from ingest.world.tiles import tile_views
from smcatalog.core.raster import InputQuality, Raster
from tests.factories import granules as make
from tests.factories.world import flat_state

SUMMER = date(2018, 6, 28)
DOUBTFUL = InputQuality.NOT_RECOMMENDED


@pytest.fixture(scope="module")
def land() -> Landscape:
    return landscape(preset("rao2022"), 3, 60.0)


def _write(maker, land: Landscape, folder: Path, *, days: int, **state: object) -> list[Path]:
    writer = maker(land, folder)
    for n in range(days):
        writer.day(flat_state(land, SUMMER + timedelta(days=n), **state))
    writer.end()
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _by_day(path: Path) -> dict[tuple[str, date], Raster]:
    return {(r.variable.name, r.period.day): r for r in read(examine(make.candidate(path)))}


@pytest.fixture(scope="module")
def found(land, tmp_path_factory):
    folder = tmp_path_factory.mktemp("era5")
    rain = {"rain": 12.0, "rain_hour": 3.0}
    june, july = _write(
        era5_writer.WRITER, land, folder, days=6, coldest=12.0, warmest=24.0, **rain
    )
    assert (june.name, july.name) == ("ERA5-Land_201806.nc", "ERA5-Land_201807.nc")
    return [_by_day(path) for path in (june, july)]


class TestEra5Land:
    def test_each_day_once_with_all_that_fell_on_it(self, found):
        days = [SUMMER + timedelta(days=n) for n in range(6)]
        for name in ("precipitation", "evaporation", "potential_evaporation", "solar_radiation"):
            assert [d for part in found for n, d in part if n == name] == days
        for name in ("swvl1", "stl4", "air_temperature", "lai_low"):
            assert [d for part in found for n, d in part if n == name] == days
        every = [r for part in found for (n, _), r in part.items() if n == "precipitation"]
        means = [float(np.nanmean(r.values)) for r in every]
        np.testing.assert_allclose(means, 12, rtol=0.03)
        assert not any(r.quality.any() for r in every)

    def test_values_are_those_of_the_world_as_a_model_has_them(self, found, land):
        first = {name: r.values for (name, day), r in found[0].items() if day == SUMMER}
        assert np.isfinite(first["swvl1"]).sum() > 10
        np.testing.assert_allclose(np.nanmean(first["swvl1"]), 0.24 - 0.7 * 0.04, atol=0.05)
        np.testing.assert_allclose(
            first["air_temperature"][np.isfinite(first["air_temperature"])], 18, atol=0.02
        )
        np.testing.assert_allclose(np.nanmean(first["stl2"]), 273.15 + 18, atol=0.1)
        assert (first["dew_point"][np.isfinite(first["dew_point"])] < 12).all()
        leaves = float(leaf_area(np.float32(0.4)))
        np.testing.assert_allclose(np.nanmax(first["lai_low"]), leaves, atol=0.02)
        # a clear midsummer day at 38 degrees north
        assert 18 < np.nanmean(first["solar_radiation"]) < 32
        assert 3 < np.nanmean(first["potential_evaporation"]) < 8
        assert (first["evaporation"] <= first["potential_evaporation"] + 1e-3)[
            np.isfinite(first["swvl1"])
        ].all()

    def test_cells_lie_on_tenths_of_a_degree(self, found, land):
        grid = next(iter(found[0].values())).grid
        longitudes, latitudes = grid.centres()
        np.testing.assert_allclose(longitudes * 10, np.rint(longitudes * 10), atol=1e-6)
        np.testing.assert_allclose(latitudes * 10, np.rint(latitudes * 10), atol=1e-6)
        west, _, east, _ = land.grid.bbox()
        assert longitudes[0] - 0.05 <= west
        assert east <= longitudes[-1] + 0.05

    def test_the_same_seed_gives_the_same_bytes(self, land, tmp_path):
        def digest(world, name):
            paths = _write(era5_writer.WRITER, world, tmp_path / name, days=2)
            return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

        first = digest(land, "a")
        assert digest(land, "b") == first
        assert digest(landscape(preset("rao2022"), 4, 60.0), "c") != first


class TestNight:
    def test_temperature_comes_back_where_it_is_clear(self, land, tmp_path):
        east = np.arange(land.grid.shape[1]) >= land.grid.shape[1] // 2
        cloud = np.broadcast_to(east, land.grid.shape)
        (path, *_) = _write(
            modis_lst21_writer.WRITER, land, tmp_path, days=1, cloud_night=cloud, lst_night=285.0
        )
        assert path.name.startswith("MYD21A1N.A2018179.h26v05.061.")
        ((_, raster),) = _by_day(path).items()
        true = float(at_night(flat_state(land, SUMMER, lst_night=285.0)).mean())
        assert 280 < true < 285
        (view, *_) = tile_views(land)
        hidden = view.nearest(cloud)
        values, quality = raster.values.ravel()[view.pixels], raster.quality.ravel()[view.pixels]
        assert np.isnan(values[hidden]).all()
        clear = np.isfinite(values) & (quality == 0)
        assert clear.sum() > 500
        assert abs(values[clear].mean() - true) < 0.15
        assert 0.7 < values[clear].std() < 1.1
        doubtful = quality == DOUBTFUL
        assert 0 < doubtful.sum() < clear.sum()
        assert values[doubtful].mean() < true - 0.3

    def test_a_cloudy_night_is_not_written(self, land, tmp_path):
        assert not _write(modis_lst21_writer.WRITER, land, tmp_path / "x", days=1, cloud_night=True)


class TestNadir:
    def test_indices_come_back(self, land, tmp_path):
        rows, columns = land.grid.shape
        green = 0.15 + 0.6 * np.linspace(0, 1, columns) * np.ones((rows, 1))
        paths = _write(modis_nadir_writer.WRITER, land, tmp_path, days=8, ndvi=green)
        assert [p.name[:16] for p in paths] == [f"MCD43A4.A2018{179 + n}" for n in range(8)]
        found = {name: r for (name, _), r in _by_day(paths[0]).items()}
        assert set(found) == {"ndvi", "nmdi", "red", "nir", "swir_1640", "swir_2130"}
        bands = reflectances(flat_state(land, SUMMER, ndvi=green), 10.5)
        (view,) = tile_views(land, 2400)
        for name, true in (
            ("ndvi", ndvi(bands["red"], bands["nir"])),
            ("nmdi", nmdi(bands["nir"], bands["swir_1640"], bands["swir_2130"])),
        ):
            error = found[name].values.ravel()[view.pixels] - view.smooth(true)
            assert abs(np.nanmedian(error)) < 0.01
            assert np.nanstd(error) < 0.06
        assert not found["ndvi"].quality.any()  # eight clear views
        assert (_by_day(paths[0])["ndvi", SUMMER].period.day) == SUMMER

    def test_few_views_are_doubtful(self, land, tmp_path):
        paths = _write(modis_nadir_writer.WRITER, land, tmp_path, days=3)
        raster = _by_day(paths[0])["ndvi", SUMMER]
        assert (raster.quality[np.isfinite(raster.values)] == DOUBTFUL).all()
