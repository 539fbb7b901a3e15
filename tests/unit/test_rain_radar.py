"""CHIRPS and Sentinel-1: what their readers make of files, and what the simulated world writes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from ingest.granules import examine, read
from ingest.sources import chirps_writer, sentinel1_writer
from ingest.sources.rasters import declared
from smcatalog.core.errors import DefinitionError, RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.resample import layer_grid, regrid
from tests.factories import granules as make
from tests.factories.granules import SCENE
from tests.factories.probes import even_state, small_land

LAND = small_land()
RAIN_NAME = "chirps-v2.0.2018.06.10.tif"
PASS = date(2018, 6, 3)
"""A day on which the simulated radar sees the region."""


def _one(path: Path) -> tuple[object, Raster]:
    granule = examine(make.candidate(path))
    (raster,) = read(granule)
    return granule.identity, raster


def _refusal(path: Path) -> str:
    with pytest.raises(RefusedInput) as caught:
        list(read(examine(make.candidate(path))))
    return caught.value.reason


class TestRain:
    def test_a_day_on_its_own_cells(self, tmp_path):
        values = np.full((40, 60), 2.5, "f4")
        values[:3] = -9999
        # the provider's step, as float32 has it
        step = 0.05000000074505806
        where = Affine(step, 0, 105, 0, -step, 38)
        identity, raster = _one(make.geotiff(tmp_path / RAIN_NAME, values, transform=where))
        assert (identity.source, identity.period) == ("CHIRPS", Period.of_day(date(2018, 6, 10)))
        assert (raster.variable.name, raster.period) == ("precipitation", identity.period)
        assert np.isnan(raster.values[:3]).all()
        assert (raster.values[3:] == 2.5).all()
        assert layer_grid(raster.grid) is raster.grid

    def test_the_whole_globe_is_on_earth(self, tmp_path):
        step = 0.05000000074505806
        values = np.zeros((2000, 7200), "f4")
        path = make.geotiff(
            tmp_path / RAIN_NAME, values, transform=Affine(step, 0, -180, 0, -step, 50),
            compress="DEFLATE",
        )  # fmt: skip
        _, raster = _one(path)
        assert raster.values.shape == (2000, 7200)

    @pytest.mark.parametrize(
        ("value", "reason"),
        [(-9999, "holds no value at all"), (-99, "outside 0 to 2000 mm d-1"), (9e6, "outside 0")],
    )
    def test_unfit_values_are_refused(self, tmp_path, value, reason):
        path = make.geotiff(tmp_path / RAIN_NAME, np.full((4, 5), value, "f4"))
        assert reason in _refusal(path)

    def test_what_is_simulated_is_the_days_rain_with_an_error(self, tmp_path):
        rain = np.zeros(LAND.grid.shape, "f4")
        rain[:, : LAND.grid.shape[1] // 2] = 20.0
        writer = chirps_writer.WRITER(LAND, tmp_path)
        means = []
        for day in range(1, 13):
            writer.day(even_state(LAND, date(2018, 6, day), rain=rain))
        writer.end()
        for path in sorted(tmp_path.iterdir()):
            _, raster = _one(path)
            wet, dry = raster.values[2:-2, 2:6], raster.values[2:-2, -6:-2]
            assert (dry == 0).all()
            means.append(wet.mean())
            assert 0 < wet.std() < 15
        assert np.mean(means) == pytest.approx(20, rel=0.25)
        assert np.std(means) > 1
        with rasterio.open(path) as file:
            assert (file.nodata, file.dtypes) == (None, ("float32",))
            assert file.res == pytest.approx((0.05, 0.05))
            assert file.bounds.left * 20 == pytest.approx(round(file.bounds.left * 20), abs=1e-6)
            assert file.read(1).min() == -9999

    def test_drizzle_is_not_seen(self, tmp_path):
        drizzle = np.full(LAND.grid.shape, 0.05, "f4")
        chirps_writer.WRITER(LAND, tmp_path).day(even_state(LAND, date(2018, 6, 1), rain=drizzle))
        _, raster = _one(next(tmp_path.iterdir()))
        assert np.nanmax(raster.values) == 0


class TestRadar:
    UTM = Affine(20, 0, 500_000, 0, -20, 4_200_000)

    @pytest.mark.parametrize(
        ("end", "variable"), [("_Sigma0_VV", "vv"), ("_VH", "vh"), ("_rtc_x2_VV", "vv")]
    )
    def test_powers_become_decibels(self, tmp_path, end, variable):
        values = np.full((4, 5), 0.1, "f4")
        values[0] = 0  # border of the scene
        identity, raster = _one(make.geotiff(tmp_path / f"{SCENE}{end}.tif", values))
        assert (identity.source, identity.period) == (
            "Sentinel-1",
            Period.of_day(date(2018, 6, 10)),
        )
        assert raster.variable.name == variable
        assert np.isnan(raster.values[0]).all()
        np.testing.assert_allclose(raster.values[1:], -10.0, atol=1e-5)

    def test_pixels_of_20_m_in_utm_give_the_mean_power_of_a_kilometre(self, tmp_path):
        powers = np.random.default_rng(5).gamma(4, 0.02 / 4, (400, 400)).astype("f4")
        path = make.geotiff(
            tmp_path / f"{SCENE}_VH.tif", powers, crs="EPSG:32648", transform=self.UTM
        )
        _, raster = _one(path)
        layer = regrid(raster, layer_grid(raster.grid))
        assert layer.grid.base == "M01"
        inner = layer.values[np.isfinite(layer.values)]
        assert inner.size > 40
        np.testing.assert_allclose(inner, 10 * np.log10(0.02), atol=0.3)
        # the mean of the decibels is lower by more than half a dB
        assert np.nanmean(raster.values) < np.mean(inner) - 0.4

    def test_a_few_negative_powers_are_noise_and_missing(self, tmp_path):
        values = np.full((20, 20), 0.1, "f4")
        values[3, 4] = -1e-4
        _, raster = _one(make.geotiff(tmp_path / f"{SCENE}_VV.tif", values))
        assert np.argwhere(np.isnan(raster.values)).tolist() == [[3, 4]]

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (-12.0, "20 of 20 values are negative, expected powers: they are in dB already"),
            (0.0, "nothing but nought"),
            (np.nan, "holds no value at all"),
            (4e4, "outside -50 to 25 dB"),  # digital numbers, not calibrated
        ],
    )
    def test_what_are_no_powers_is_refused(self, tmp_path, value, reason):
        path = make.geotiff(tmp_path / f"{SCENE}_VV.tif", np.full((4, 5), value, "f4"))
        assert reason in _refusal(path)

    def test_a_scene_without_polarisation_in_its_name_is_of_no_source(self, tmp_path):
        assert "declare it in rasters.toml" in _refusal(make.geotiff(tmp_path / f"{SCENE}.tif"))

    def _simulated(
        self, folder: Path, water: float = 0.2, **overrides: object
    ) -> dict[str, Raster]:
        writer = sentinel1_writer.WRITER(LAND, folder)
        writer.day(even_state(LAND, PASS, water, **overrides))
        writer.end()
        found = {}
        for path in sorted(folder.iterdir()):
            _, raster = _one(path)
            found[raster.variable.name] = raster
        return found

    def test_what_is_simulated_lies_on_the_region_once_in_twelve_days(self, tmp_path):
        writer = sentinel1_writer.WRITER(LAND, tmp_path)
        seen = []
        for day in range(1, 25):
            before = len(list(tmp_path.iterdir()))
            writer.day(even_state(LAND, date(2018, 6, day)))
            if len(list(tmp_path.iterdir())) > before:
                seen.append(day)
        assert seen == [3, 15]
        for path in tmp_path.iterdir():
            identity, raster = _one(path)
            assert identity.period.day.day in seen
            assert raster.grid.crs.epsg == 32648
            layer = regrid(raster, LAND.grid)
            assert np.isfinite(layer.values).mean() > 0.95
            with rasterio.open(path) as file:
                assert (file.nodata, file.res) == (0.0, (200.0, 200.0))

    def test_wet_soil_echoes_more_and_water_and_frost_less(self, tmp_path):
        dry, wet = (self._simulated(tmp_path / str(w), w) for w in (0.1, 0.3))
        frozen = self._simulated(tmp_path / "ice", 0.3, frozen=np.ones(LAND.grid.shape, bool))
        for band in ("vv", "vh"):
            layers = [regrid(one[band], LAND.grid).values for one in (dry, wet, frozen)]
            rise = np.nanmedian(layers[1] - layers[0])
            assert 3 < rise < 8
            assert np.nanmedian(layers[2] - layers[1]) == pytest.approx(-5, abs=0.2)
            lake = layers[1][LAND.water]
            assert np.nanmedian(lake) < np.nanmedian(layers[1]) - 5
        assert np.nanmedian(wet["vh"].values) < np.nanmedian(wet["vv"].values) - 5

    def test_a_canopy_hides_the_soil(self, tmp_path):
        green = {"vegetation_water": np.full(LAND.grid.shape, 5, "f4")}
        bare = [self._simulated(tmp_path / f"b{w}", w)["vv"] for w in (0.1, 0.3)]
        below = [self._simulated(tmp_path / f"g{w}", w, **green)["vv"] for w in (0.1, 0.3)]
        rises = [np.nanmedian(wet.values - dry.values) for dry, wet in (bare, below)]
        assert 0 < rises[1] < 0.5 * rises[0]


@pytest.mark.parametrize("make_writer", [chirps_writer.WRITER, sentinel1_writer.WRITER])
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path, make_writer):
    def run(name: str, seed: int) -> list[bytes]:
        land = small_land(seed=seed)
        rain = np.full(land.grid.shape, 9, "f4")
        make_writer(land, tmp_path / name).day(even_state(land, PASS, rain=rain))
        return [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]

    first = run("a", 1)
    assert run("b", 1) == first
    assert all(one != other for one, other in zip(run("c", 2), first, strict=True))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            'variable = "ndvi"\nunit = "1"\npower = true\nvalid = [0, 1]',
            "of a variable in dB, not ndvi",
        ),
        (
            'variable = "vv"\nunit = "dB"\npower = true\nvalid = [-9, 9]',
            "of a variable in dB, not vv",
        ),
        ('variable = "vv"\nunit = "1"\nvalid = [-9, 9]', "give scale and offset"),
        (
            'variable = "ndvi"\nunit = "1"\nterrain = true\nvalid = [0, 1]',
            "made of elevation, not ndvi",
        ),
        ('variable = "ndvi"\nunit = "1"\nfill = "x"\nvalid = [0, 1]', "could not convert"),
    ],
)
def test_wrong_declarations_are_named(entry, reason):
    text = f"[[source]]\nname = 'a'\ntitle = 'b'\n[[source.raster]]\npattern = 'x'\ncovers = 'static'\n{entry}"
    with pytest.raises(DefinitionError, match=reason):
        declared(text)


def test_a_file_in_decibels_may_be_declared_too(tmp_path):
    (reader,) = declared(
        "[[source]]\nname = 'a'\ntitle = 'b'\n[[source.raster]]\npattern = 'c\\.tif'\n"
        "variable = 'vv'\nunit = 'dB'\nvalid = [-40, 10]\ncovers = 'static'"
    )
    path = make.geotiff(tmp_path / "c.tif", np.full((4, 5), -12, "f4"))
    identity = reader.identify(path, path.name)
    (raster,) = reader.read(path, identity)
    assert (raster.values == -12).all()
