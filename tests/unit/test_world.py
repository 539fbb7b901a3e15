"""The simulated world: noise of place and day, conserved water, links that a method could find."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from ingest.world import physics
from ingest.world.landscape import landscape
from ingest.world.noise import field, generator, white
from ingest.world.physics import beginning, days
from ingest.world.presets import PRESETS, preset
from ingest.world.weather import night_clouds, sun_height, weather
from smcatalog.core.errors import NotFoundError, UsageError
from smcatalog.core.grids import Grid

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def land():
    return landscape(preset("rao2022"), 5, 60)


@pytest.fixture(scope="module")
def summer(land):
    return list(days(land, date(2018, 5, 20), date(2018, 8, 20)))


@pytest.fixture
def begun_late(monkeypatch):
    """Have the water balance begin no more than a season before the first day."""
    monkeypatch.setattr(physics, "beginning", lambda first: first - 80 * DAY)


class TestNoise:
    def test_a_larger_region_shows_the_same_field(self):
        x, y = np.arange(-40.0, 60.0), np.arange(10.0, 90.0)
        whole = field(3, "k", x, y, longest=50, shortest=2, roughness=0.6)
        part = field(3, "k", x[20:50], y[5:], longest=50, shortest=2, roughness=0.6)
        assert np.allclose(whole[5:, 20:50], part, atol=1e-12)

    def test_unit_variance_and_other_fields_for_other_keys(self):
        x = np.arange(0.0, 2400.0, 4.0)
        one, other = (
            field(s, k, x, x, longest=40, shortest=1, roughness=0.6)
            for s, k in ((1, "a"), (2, "a"))
        )
        assert abs(one.mean()) < 0.05
        assert one.std() == pytest.approx(1, abs=0.05)
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05

    def test_neighbours_are_alike_and_strangers_are_not(self):
        x = np.arange(0.0, 1000.0)
        f = field(1, "a", x, x, longest=64, shortest=2, roughness=0.5)
        near, far = (np.corrcoef(f[:, :-k].ravel(), f[:, k:].ravel())[0, 1] for k in (1, 200))
        assert near > 0.95
        assert abs(far) < 0.1

    def test_numbers_of_days_do_not_depend_on_the_range(self):
        assert np.array_equal(white(1, "k", 100, 20)[5:9], white(1, "k", 105, 4))
        many = white(1, "k", -5000, 10_000)
        assert abs(many.mean()) < 0.04
        assert many.std() == pytest.approx(1, abs=0.04)

    def test_generators_of_other_purposes_differ(self):
        keys = [(1, "a"), (1, "b"), (2, "a"), (1, "a", 1), (1, "a", 11), (1, "a1", 1)]
        first = [generator(*key).uniform() for key in keys]
        assert len(set(first)) == len(keys)
        assert first == [generator(*key).uniform() for key in keys]


class TestLandscape:
    def test_every_preset_is_possible(self):
        for one in PRESETS.values():
            land = landscape(one, 1, 80)
            assert (land.wilting < land.capacity).all()
            assert (land.capacity < land.porosity).all()
            assert (land.sand + land.clay < 1).all()
            assert land.elevation.min() > -100
            assert abs(land.irrigated.mean() - one.irrigated) < 0.06
            assert abs(land.woody.mean() - one.forest) < 0.06

    def test_whole_coarse_cells(self, land):
        assert land.grid.row % 36 == land.grid.column % 36 == 0
        assert land.grid.shape[0] % 36 == land.grid.shape[1] % 36 == 0

    def test_fine_ground_averages_to_the_coarse_one(self, land):
        west, south, east, north = land.grid.bbox()
        step = (east - west) / land.grid.shape[1] / 8
        rows, columns = int((north - south) / step), land.grid.shape[1] * 8
        fine = land.ground.elevation(Grid.latlon(west, north, step, (rows, columns)))
        assert fine.mean() == pytest.approx(land.elevation.mean(), rel=0.01)
        assert fine.std() == pytest.approx(land.elevation.std(), rel=0.1)

    def test_silly_sizes_and_names_are_refused(self):
        with pytest.raises(UsageError, match="50 to 2000 km"):
            landscape(preset("rao2022"), 1, 5)
        with pytest.raises(NotFoundError, match="rao2022, song2022"):
            preset("atlantis")


class TestWeather:
    def test_rain_of_the_years_is_that_of_the_climate(self):
        for name, seed in (("rao2022", 2), ("stacking", 3)):
            land = landscape(preset(name), seed, 50)
            start = date(2010, 1, 1)
            # every ninth day of eighteen years
            rain = [weather(land, start + 9 * n * DAY).rain.mean() for n in range(18 * 40)]
            assert np.mean(rain) * 365.25 == pytest.approx(land.preset.rain, rel=0.3)

    def test_clouds_go_with_rain(self, land):
        covered, open_sky = [], []
        for n in range(0, 365, 3):
            sky = weather(land, date(2018, 1, 1) + n * DAY)
            wet = sky.rain > 2
            if wet.any() and not wet.all():
                covered.append(sky.cloud_day[wet].mean())
                open_sky.append(sky.cloud_day[~wet].mean())
        assert np.mean(covered) > np.mean(open_sky) + 0.15

    def test_the_day_alone_decides(self, land):
        one, again = (weather(land, date(2018, 7, 1)) for _ in range(2))
        assert np.array_equal(one.rain, again.rain)
        nights = [night_clouds(land, date(2018, 7, 1), one.rain) for _ in range(2)]
        assert np.array_equal(*nights)
        assert not np.array_equal(nights[0], one.cloud_day)

    def test_the_sun(self):
        equator = np.array([0.0])
        assert sun_height(equator, date(2018, 3, 21), 12.0) == pytest.approx(1.0, abs=0.01)
        assert sun_height(equator, date(2018, 3, 21), 0.0) == 0


class TestWater:
    def test_not_a_drop_is_lost(self, land):
        stores, constants = physics._begin(land), physics._constants(land)
        thick = physics._THICKNESS[:, None, None].astype(float)
        wet = rained = 0
        threads = ThreadPoolExecutor(2)
        for day in (date(2018, 1, 1) + n * DAY for n in range(240)):
            sky = weather(land, day)
            held = (stores.profile * thick).sum(axis=0) + stores.snow
            brought = sky.rain + physics._irrigation(land, constants, stores.profile, sky, day)
            fluxes = physics._balance(land, constants, stores, sky, day, threads)
            left = (stores.profile * thick).sum(axis=0) + stores.snow
            went = fluxes.evaporation + fluxes.runoff + fluxes.drainage
            error = (held + brought - went - left)[~land.water]
            assert np.abs(error).max() < 2e-3  # mm, of some 300
            for flux in (fluxes.evaporation, fluxes.runoff, fluxes.drainage):
                assert flux.min() >= -1e-5
            rained += sky.rain.mean()
            wet += fluxes.evaporation.mean()
        assert rained > 100
        assert 0.4 < wet / rained < 1.6  # a dry land evaporates what falls

    def test_within_the_pores(self, land, summer):
        for state in summer:
            assert (state.after >= 0).all()
            assert (state.after <= land.porosity + 1e-6).all()

    def test_one_day_begins_where_the_other_ends(self, summer):
        for one, other in itertools.pairwise(summer):
            assert np.array_equal(one.after, other.before)
            assert np.allclose(one.surface(24.0), other.surface(0.0), atol=1e-6)

    def test_the_mean_of_a_day_lies_between_its_hours(self, summer):
        for state in summer[::7]:
            hours = np.stack([state.surface(h) for h in np.linspace(0, 24, 25)])
            mean = state.surface_mean()
            assert (mean >= hours.min(axis=0) - 1e-6).all()
            assert (mean <= hours.max(axis=0) + 1e-6).all()

    def test_rain_wets_and_drought_dries(self, land, summer):
        wetter = [
            (s.after[0] - s.before[0])[(s.rain > 8) & ~land.water].mean()
            for s in summer
            if (s.rain > 8).any()
        ]
        drier = [
            (s.after[0] - s.before[0])[(s.rain == 0) & (land.irrigated < 0.01)].mean()
            for s in summer
        ]
        assert np.mean(wetter) > 0.02
        assert np.mean(drier) < -0.001

    def test_a_later_beginning_shows_the_same_world(self, land, summer):
        assert beginning(date(2018, 5, 1)) == beginning(date(2018, 6, 1)) == date(2017, 10, 1)
        assert beginning(date(2018, 1, 1)) == date(2016, 10, 1)
        long = summer[20]
        (short,) = days(land, long.day, long.day)
        for name in ("after", "ndvi", "lst_day", "rain", "snow"):
            assert np.array_equal(getattr(long, name), getattr(short, name))

    @pytest.mark.usefixtures("begun_late")
    def test_winter_freezes_and_snows(self):
        land = landscape(preset("bma"), 1, 50)
        states = list(days(land, date(2019, 1, 10), date(2019, 1, 16)))
        assert all(state.frozen.mean() > 0.9 for state in states)
        assert any(state.snow.max() > 1 for state in states)
        assert all(state.lst_day.mean() < 278 for state in states)


class TestLinks:
    def test_wet_ground_is_cooler_by_day(self, land, summer):
        r = [
            np.corrcoef(s.surface_mean()[clear], s.lst_day[clear])[0, 1]
            for s in summer
            if (clear := ~s.cloud_day & ~land.water).mean() > 0.5
        ]
        assert len(r) > 20
        assert np.mean(r) < -0.3

    def test_vegetation_follows_water_later(self, land, summer):
        """Green tomorrow tells more about water today than green today does."""
        water = np.stack([s.after[:5].mean(axis=0)[~land.water] for s in summer])
        green = np.stack([s.ndvi[~land.water] for s in summer])

        def together(lag: int) -> float:
            a = np.diff(water[: len(water) - lag], axis=0)
            b = np.diff(green[lag:], axis=0)
            return float(np.mean(a * b))

        assert together(5) > together(0)

    @pytest.mark.usefixtures("begun_late")
    def test_irrigation_wets_the_fields_and_nothing_else(self):
        land = landscape(preset("smci"), 1, 50)
        without = replace(land, irrigated=np.zeros_like(land.irrigated))
        day = date(2018, 6, 10)
        watered, left_dry = (next(days(one, day, day)).after[1] for one in (land, without))
        fields = land.irrigated > 0.7
        assert fields.sum() > 100
        assert (watered[fields] - left_dry[fields]).mean() > 0.02
        assert np.array_equal(watered[land.irrigated < 0.02], left_dry[land.irrigated < 0.02])
