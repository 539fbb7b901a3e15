"""What the simulated world writes of coarse products, rain and a model: readable, conserved, and not the truth itself."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.sources import amsr_nn_writer, cci_writer, gldas_writer, imerg_writer
from ingest.world.cells import Cells
from ingest.world.orbits import AMSR2, Overpass, passes
from ingest.world.quarters import DegreeCells
from smcatalog.core.raster import InputQuality, Raster
from tests.factories import granules as make
from tests.factories.probes import FIRST, even_state, small_land, written

LAND = small_land("bma", size_km=150)
MAKERS = {
    "cci": cci_writer.WRITER,
    "nn": amsr_nn_writer.WRITER,
    "imerg": imerg_writer.WRITER,
    "gldas": gldas_writer.WRITER,
}


def rasters_of(path: Path) -> list[Raster]:
    return list(read(examine(make.candidate(path))))


def opened(path: Path):
    xarray = pytest.importorskip("xarray")
    return xarray.open_dataset(path, engine="h5netcdf")


def of_days(make_writer, folder: Path, days: int = 6, **overrides: object) -> dict[str, Path]:
    writer = make_writer(LAND, folder)
    for i in range(days):
        writer.day(even_state(LAND, FIRST + timedelta(days=i), **overrides))
    writer.end()
    return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def flat(value: float) -> np.ndarray:
    return np.full(LAND.grid.shape, value, np.float32)


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_same_seed_gives_the_same_bytes(name, tmp_path):
    one, other = (written(MAKERS[name], tmp_path / place, LAND, 3) for place in "ab")
    assert one
    assert {n: p.read_bytes() for n, p in one.items()} == {
        n: p.read_bytes() for n, p in other.items()
    }


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_day_alone_is_that_day_of_a_longer_run(name, tmp_path):
    third = FIRST + timedelta(days=2)
    whole = of_days(MAKERS[name], tmp_path / "whole", 3)
    writer = MAKERS[name](LAND, tmp_path / "alone")
    writer.day(even_state(LAND, third))
    alone = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert alone.keys() <= whole.keys()
    assert alone == {n: whole[n].read_bytes() for n in alone}


class TestMerged:
    def test_it_follows_the_water_with_less_contrast(self, tmp_path):
        means = {}
        for water in (0.15, 0.30):
            files = of_days(cci_writer.WRITER, tmp_path / str(water), water=water)
            values = [r.values for path in files.values() for r in rasters_of(path)]
            means[water] = np.mean([np.nanmean(v) for v in values])
        assert means[0.30] - means[0.15] == pytest.approx(0.85 * 0.15, abs=0.005)
        assert means[0.15] == pytest.approx(0.157, abs=0.03)

    def test_frozen_ground_is_flagged_and_has_no_value(self, tmp_path):
        frozen = np.zeros(LAND.grid.shape, bool)
        frozen[: LAND.grid.shape[0] // 2] = True
        files = of_days(cci_writer.WRITER, tmp_path, frozen=frozen)
        cold = warm = 0
        for path in files.values():
            (raster,) = rasters_of(path)
            bits = (raster.quality & InputQuality.FROZEN) != 0
            assert np.isnan(raster.values[bits]).all()
            cold, warm = cold + bits.sum(), warm + np.isfinite(raster.values).sum()
        assert cold > 20
        assert warm > 20

    def test_without_any_retrieval_there_is_no_image(self, tmp_path):
        assert not of_days(cci_writer.WRITER, tmp_path, frozen=np.ones(LAND.grid.shape, bool))

    def test_dense_leaves_are_flagged(self, tmp_path):
        files = of_days(cci_writer.WRITER, tmp_path, vegetation_water=flat(7.0))
        (raster,) = rasters_of(next(iter(files.values())))
        known = np.isfinite(raster.values)
        assert (raster.quality[known] == InputQuality.NOT_RECOMMENDED).all()

    def test_an_independent_reader_sees_the_same(self, tmp_path):
        path = next(iter(of_days(cci_writer.WRITER, tmp_path, 1).values()))
        (raster,) = rasters_of(path)
        with opened(path) as dataset:
            assert dataset["sm"].shape == (1, 720, 1440)
            assert str(dataset["time"].values[0])[:10] == str(FIRST)
            x, y = raster.grid.centres()
            theirs = dataset["sm"].isel(time=0).sel(lat=y, lon=x, method="nearest")
            np.testing.assert_array_equal(theirs.values, raster.values)
            assert np.isfinite(dataset["sm"].values).sum() == np.isfinite(raster.values).sum()


class TestNetwork:
    def test_the_night_pass_is_seen_on_most_days_and_never_twice(self):
        cells = Cells(LAND, "M36")
        seen = []
        for i in range(32):
            found, hour = passes(AMSR2, date(2018, 6, 1) + timedelta(days=i), Overpass.DESCENDING,
                                 cells.longitude[None, :], cells.latitude[:, None])  # fmt: skip
            seen.append(found.mean())
            solar = (
                hour[found] + np.broadcast_to(cells.longitude[None, :], hour.shape)[found] / 15
            ) % 24
            assert ((solar > 0) & (solar < 3)).all()
        assert 0.5 < np.mean(seen) < 0.95

    def test_it_follows_the_water(self, tmp_path):
        means = {}
        for water in (0.15, 0.30):
            files = of_days(amsr_nn_writer.WRITER, tmp_path / str(water), 10, water=water)
            assert 4 <= len(files) <= 10
            means[water] = np.mean(
                [np.nanmean(r.values) for path in files.values() for r in rasters_of(path)]
            )
        assert means[0.30] - means[0.15] == pytest.approx(0.9 * 0.15, abs=0.005)

    def test_frozen_ground_has_no_value(self, tmp_path):
        assert not of_days(amsr_nn_writer.WRITER, tmp_path, frozen=np.ones(LAND.grid.shape, bool))


class TestRain:
    def test_storms_are_seen_with_an_error_whose_mean_is_none(self, tmp_path):
        half = flat(0.0)
        half[:, : LAND.grid.shape[1] // 2] = 20.0
        files = of_days(imerg_writer.WRITER, tmp_path, 20, rain=half)
        assert len(files) == 20
        wet = []
        for path in files.values():
            (raster,) = rasters_of(path)
            width = raster.grid.shape[1]
            middle = raster.values[3:-3]
            assert (middle[:, width * 3 // 4 : -3] == 0).all()
            wet.append(middle[:, 3 : width // 4].mean())
        assert np.mean(wet) == pytest.approx(20, rel=0.15)
        assert np.std(wet) > 0.5

    def test_lost_half_hours_are_counted(self, tmp_path):
        partial = 0
        for path in of_days(imerg_writer.WRITER, tmp_path, 60, rain=flat(5.0)).values():
            (raster,) = rasters_of(path)
            partial += bool((raster.quality == InputQuality.PARTIAL_COVERAGE).any())
        assert 0 < partial < 12

    def test_an_independent_reader_sees_the_same(self, tmp_path):
        path = next(iter(of_days(imerg_writer.WRITER, tmp_path, 1, rain=flat(5.0)).values()))
        (raster,) = rasters_of(path)
        with opened(path) as dataset:
            assert dataset["precipitation"].dims == ("time", "lon", "lat")
            x, y = raster.grid.centres()
            theirs = (
                dataset["precipitation"]
                .isel(time=0)
                .sel(lon=x, lat=y, method="nearest")
                .transpose("lat", "lon")
            )
            np.testing.assert_array_equal(theirs.values, raster.values)


class TestModel:
    def test_each_layer_is_the_mean_of_the_worlds(self, tmp_path):
        files = of_days(gldas_writer.WRITER, tmp_path, 1)
        assert list(files) == [
            f"GLDAS_NOAH025_3H.A{FIRST:%Y%m%d}.{hour}.021.nc4" for hour in ("0000", "1200")
        ]
        first, second = (rasters_of(path) for path in files.values())
        found = {r.variable.name: r.values.astype(float) for r in first}
        # the world's layer i has 0.2 + i / 100
        profile = 0.2 + np.arange(10) / 100
        expected = {
            "sm_0_10cm": profile[:2].mean(), "sm_10_40cm": profile[2:5].mean(),
            "sm_40_100cm": np.average(profile[5:], weights=(10, 10, 10, 15, 15)), "sm_100_200cm": profile[9],
        }  # fmt: skip
        # the bias of a place is the same in all layers
        top = found["sm_0_10cm"]
        for name, water in expected.items():
            difference = found[name] - top
            np.testing.assert_allclose(
                difference[np.isfinite(difference)],
                0.75 * (water - expected["sm_0_10cm"]),
                atol=2e-4,
            )
        assert 0.004 < np.nanstd(top) < 0.06
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.values, other.values)

    def test_an_independent_reader_sees_the_same(self, tmp_path):
        path = next(iter(of_days(gldas_writer.WRITER, tmp_path, 1).values()))
        raster = rasters_of(path)[0]
        with opened(path) as dataset:
            x, y = raster.grid.centres()
            theirs = dataset["SoilMoi0_10cm_inst"].isel(time=0).sel(lat=y, lon=x, method="nearest")
            np.testing.assert_allclose(theirs.values / 100, raster.values, rtol=1e-6)
            assert str(dataset["time"].values[0])[:16] == f"{FIRST}T00:00"


class TestCells:
    def test_means_are_conserved(self):
        cells = DegreeCells(LAND, 4, least=0.999)
        values = np.random.default_rng(1).random(LAND.grid.shape)
        assert np.nanmean(cells.mean(values, land=False)) == pytest.approx(values.mean(), abs=0.005)
        assert np.nanmax(cells.mean(np.ones(LAND.grid.shape))) == 1

    def test_a_larger_region_shows_the_same_noise(self):
        small, large = DegreeCells(LAND, 4), DegreeCells(small_land("bma", size_km=300), 4)
        one, other = (cells.noise("x", longest=2.0, shortest=0.5) for cells in (small, large))
        (west, north), (left, top) = (
            (c.grid.transform.c, c.grid.transform.f) for c in (small, large)
        )
        row, column = round((top - north) * 4), round((west - left) * 4)
        rows, columns = one.shape
        np.testing.assert_allclose(
            other[row : row + rows, column : column + columns], one, atol=1e-9
        )
