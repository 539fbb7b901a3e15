"""SMAP on the grid of 9 km, the enhanced composite and the model: readers and what the simulated world writes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.sources import smap_writer
from ingest.sources.smap import READERS, Spl3smp, Spl4smgp
from ingest.sources.smap.daily import SPL3SMP_E
from smcatalog.core.errors import RefusedInput
from smcatalog.core.grids import grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.resample import layer_grid
from tests.factories import granules as make
from tests.factories import smap as factory
from tests.factories.probes import even_state, small_land, written
from tests.factories.smap import SPL3SMP_E_NAME, SPL3SMP_NAME, SPL4SMGP_NAME, Cell

ENHANCED, MODEL = Spl3smp(product=SPL3SMP_E), Spl4smgp()
LAND = small_land()


def _read(reader, path: Path, name: str | None = None):
    identity = reader.identify(path, name or path.name)
    assert identity is not None
    return identity, list(reader.read(path, identity))


def _refusal(reader, path: Path, name: str | None = None) -> str:
    with pytest.raises(RefusedInput) as caught:
        _read(reader, path, name)
    return caught.value.reason


def _change(path: Path, name: str, change) -> None:
    with h5py.File(path, "a") as file:
        values, attributes = file[name][...], dict(file[name].attrs)
        del file[name]
        if change is not None:
            file.create_dataset(name, data=change(values)).attrs.update(attributes)


class TestEnhanced:
    def test_both_overpasses_on_the_grid_of_9_km(self, tmp_path):
        identity, (am, pm) = _read(ENHANCED, factory.spl3smp_e(tmp_path / SPL3SMP_E_NAME))
        assert (identity.source, identity.name) == ("SPL3SMP_E", SPL3SMP_E_NAME.removesuffix(".h5"))
        assert (identity.subject, identity.production) == ("SMAP_L3_SM_P_E_20200102", "R19240_001")
        assert identity.period == am.period == pm.period == Period.of_day(date(2020, 1, 2))
        assert [r.variable.name for r in (am, pm)] == ["sm_am", "sm_pm"]
        assert [r.grid.name for r in (am, pm)] == [
            "M09[640:643,3060:3062]",
            "M09[641:642,3060:3061]",
        ]
        expected = np.full((3, 2), np.nan, "f4")
        expected[0, 0], expected[2, 1] = 0.21, 0.32
        np.testing.assert_array_equal(am.values, expected)
        assert am.quality[2, 1] == InputQuality.NOT_RECOMMENDED | InputQuality.WATER
        assert not am.quality[0].any()
        assert layer_grid(am.grid) is am.grid

    def test_each_grid_has_its_reader_with_and_without_metadata(self, tmp_path):
        coarse = factory.spl3smp(tmp_path / "a", name=None)
        fine = factory.spl3smp_e(tmp_path / "b", name=None)
        for path, name, source in (
            (coarse, SPL3SMP_NAME, "SPL3SMP"),
            (fine, SPL3SMP_E_NAME, "SPL3SMP_E"),
        ):
            found = [reader.identify(path, name) for reader in READERS]
            assert [one.source for one in found if one] == [source]

    def test_the_name_of_the_other_grid_says_no_day(self, tmp_path):
        path = factory.spl3smp_e(tmp_path / "x", name=None)
        assert "is not SMAP_L3_SM_P_E_YYYYMMDD" in _refusal(ENHANCED, path, SPL3SMP_NAME)

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({"name": SPL3SMP_E_NAME.replace("0102", "0103")}, "name inside says 2020-01-03"),
            ({"base": "M36", "am": (Cell(80, 760),), "pm": ()}, "the grid of 9 km (1624, 3856)"),
            ({"am": (), "pm": ()}, "holds no soil_moisture at all"),
        ],
    )
    def test_contradictions_are_refused(self, tmp_path, given, reason):
        path = factory.spl3smp_e(tmp_path / SPL3SMP_E_NAME, **given)
        assert reason in _refusal(ENHANCED, path)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda v: -np.where(v == -9999, 9999, v), "latitude runs backwards"),
            (lambda v: np.where(v == -9999, v, v - 0.09), "0.09 degrees beside the centres of the 9 km"),
        ],
    )  # fmt: skip
    def test_shifted_and_flipped_grids_are_refused(self, tmp_path, change, reason):
        path = factory.spl3smp_e(tmp_path / SPL3SMP_E_NAME)
        _change(path, f"{factory.AM}/latitude", change)
        assert reason in _refusal(ENHANCED, path)


class TestModel:
    def test_three_hours_of_both_depths(self, tmp_path):
        identity, (surface, root) = _read(MODEL, factory.spl4smgp(tmp_path / SPL4SMGP_NAME))
        assert (identity.source, identity.name) == ("SPL4SMGP", SPL4SMGP_NAME.removesuffix(".h5"))
        assert identity.subject == "SMAP_L4_SM_gph_20200102T223000"
        assert identity.production == "Vv7032_001"
        hours = Period(datetime(2020, 1, 2, 21, tzinfo=UTC), datetime(2020, 1, 3, tzinfo=UTC))
        assert identity.period == surface.period == root.period == hours
        assert [r.variable.name for r in (surface, root)] == ["sm_surface", "sm_rootzone"]
        assert [r.grid.name for r in (surface, root)] == [
            "M09[640:643,3060:3062]", "M09[640:641,3060:3061]",
        ]  # fmt: skip
        assert surface.values[2, 1] == np.float32(0.32)
        assert np.isfinite(surface.values).sum() == 2
        assert not surface.quality.any()

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ({"name": None}, "x.h5"),
            ({"name": None, "seconds": None}, SPL4SMGP_NAME),
            ({"seconds": None}, "x.h5"),
            ({"seconds": 631276269.0}, SPL4SMGP_NAME),  # that counts leap seconds
        ],
    )
    def test_one_of_the_times_is_enough(self, tmp_path, given, name):
        identity, _ = _read(MODEL, factory.spl4smgp(tmp_path / "x", **given), name)
        assert identity.period.start == datetime(2020, 1, 2, 21, tzinfo=UTC)

    def test_a_subset_of_one_depth(self, tmp_path):
        _, (raster,) = _read(MODEL, factory.spl4smgp(tmp_path / SPL4SMGP_NAME, surface=()))
        assert raster.variable.name == "sm_rootzone"

    @pytest.mark.parametrize(
        ("given", "name", "reason"),
        [
            ({}, SPL4SMGP_NAME.replace("T22", "T19"), "its name says 2020-01-02 19:30"),
            ({"seconds": 631276264.184 - 86400}, "x.h5", "its time says 2020-01-01 22:"),
            ({"begin": "2020-01-02T12:00:00Z", "end": "2020-01-02T15:00:00Z"}, "x.h5",
             "its metadata says 2020-01-02 13:30"),
            ({"name": None, "seconds": None}, SPL4SMGP_NAME.replace("T2230", "T2200"), "the middle of none"),
            ({"name": None, "seconds": None}, "x.h5", "does not say its hours"),
            ({"short_name": "SPL4SMAU"}, SPL4SMGP_NAME, "is a granule of SPL4SMAU, which is not read"),
            ({"surface": (), "rootzone": ()}, SPL4SMGP_NAME, "no soil moisture at all: its group has only surf"),
            ({"surface": (Cell(1, 1, factory.FILL),), "rootzone": ()}, SPL4SMGP_NAME, "nothing but fill"),
        ],
    )  # fmt: skip
    def test_contradictions_are_refused(self, tmp_path, given, name, reason):
        assert reason in _refusal(MODEL, factory.spl4smgp(tmp_path / "x", **given), name)

    @pytest.mark.parametrize(
        ("name", "change", "reason"),
        [
            ("cell_lat", lambda v: np.where(v == -9999, v, -v), "cell_lat runs backwards"),
            (
                "cell_lon",
                lambda v: np.where(v == -9999, v, v + 0.05),
                "its cell_lon is up to 0.05 degrees beside",
            ),
            ("cell_lon", None, "lacks cell_lon"),
            ("cell_lat", lambda v: v[:-1], "the grid of 9 km"),
            ("Geophysical_Data/sm_surface", lambda v: v[:, :-1], "the grid of 9 km (1624, 3856)"),
            ("time", lambda v: np.array([v[0], v[0]]), "holds 2 times"),
        ],
    )
    def test_unfit_fields_are_refused(self, tmp_path, name, change, reason):
        path = factory.spl4smgp(tmp_path / SPL4SMGP_NAME)
        _change(path, name, change)
        assert reason in _refusal(MODEL, path)

    def test_percent_is_refused(self, tmp_path):
        path = factory.spl4smgp(tmp_path / SPL4SMGP_NAME)
        with h5py.File(path, "a") as file:
            file["Geophysical_Data/sm_surface"].attrs["units"] = np.bytes_("percent")
        assert "is in 'percent', expected" in _refusal(MODEL, path)

    def test_another_file_with_such_a_group_is_none_of_ours(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["Geophysical_Data/wind"] = np.zeros(3)
        assert MODEL.identify(tmp_path / "x.h5", "x.h5") is None


def _rasters(folder: Path) -> dict[tuple[str, str], Raster]:
    found = {}
    for path in sorted(folder.iterdir()):
        granule = examine(make.candidate(path))
        for raster in read(granule):
            found[granule.identity.name, raster.variable.name] = raster
    return found


@pytest.mark.parametrize("make_writer", [smap_writer.ENHANCED, smap_writer.MODEL])
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path, make_writer):
    def run(name: str, land) -> dict[str, bytes]:
        files = written(make_writer, tmp_path / name, land, days=2)
        return {name: path.read_bytes() for name, path in files.items()}

    first = run("a", LAND)
    assert run("b", LAND) == first
    other = run("c", small_land(seed=2))
    assert all(other[name] != first[name] for name in first)


@pytest.fixture(scope="module")
def rasters(tmp_path_factory) -> dict[tuple[str, str], Raster]:
    """Eight days of the enhanced product, from wet in the north-west to dry in the south-east."""
    folder = tmp_path_factory.mktemp("enhanced")
    rows, columns = (np.linspace(0.3, 0.1, n) for n in LAND.grid.shape)
    water = ((rows[:, None] + columns[None, :]) / 2).astype("f4")
    profile = np.broadcast_to(water, (10, *LAND.grid.shape))
    writer = smap_writer.ENHANCED(LAND, folder)
    for day in range(1, 9):
        writer.day(even_state(LAND, date(2018, 6, day), before=profile, after=profile))
    writer.end()
    return _rasters(folder)


class TestSimulatedEnhanced:
    def test_is_read_back_on_the_cells_of_the_region(self, rasters):
        assert {name for name, _ in rasters} <= {
            f"SMAP_L3_SM_P_E_201806{day:02d}_R19240_001" for day in range(1, 9)
        }
        assert {variable for _, variable in rasters} == {"sm_am", "sm_pm"}
        first, left = (LAND.grid.row // 9, LAND.grid.column // 9)
        for raster in rasters.values():
            assert raster.grid.base == "M09"
            assert first <= raster.grid.row
            assert left <= raster.grid.column
            assert raster.grid.row + raster.grid.shape[0] <= first + LAND.grid.shape[0] // 9
        whole = max(rasters.values(), key=lambda r: r.values.size)
        assert whole.grid.shape == tuple(n // 9 for n in LAND.grid.shape)

    def test_follows_the_truth_with_smooth_errors(self, rasters):
        whole = max(rasters.values(), key=lambda r: np.isfinite(r.values).sum())
        values = whole.values
        assert np.nanmean(values[:3, :3]) > np.nanmean(values[-3:, -3:]) + 0.05
        # errors come from cells four times as wide: neighbours have nearly the same
        steps = np.diff(values, axis=0)
        assert np.nanstd(steps) < 0.5 * np.nanstd(values)


class TestSimulatedModel:
    def test_two_steps_a_day_around_the_morning_of_east_asia(self, tmp_path):
        state = even_state(LAND, date(2018, 6, 1), water=0.2)
        writer = smap_writer.MODEL(LAND, tmp_path)
        writer.day(state)
        rasters = _rasters(tmp_path)
        names = [f"SMAP_L4_SM_gph_20180601T{clock}_Vv7032_001" for clock in ("013000", "223000")]
        assert sorted({name for name, _ in rasters}) == names
        for name, hour in zip(names, (0, 21), strict=True):
            surface, root = rasters[name, "sm_surface"], rasters[name, "sm_rootzone"]
            assert surface.period.start == datetime(2018, 6, 1, hour, tzinfo=UTC)
            assert surface.grid == root.grid
            assert surface.grid.shape == tuple(n // 9 for n in LAND.grid.shape)
            # deeper layers hold more: 0.2 to 0.29 from the surface down
            assert 0.01 < np.nanmean(root.values - surface.values) < 0.10
            assert abs(np.nanmean(surface.values) - 0.2) < 0.03

    def test_coordinates_are_those_of_the_whole_grid(self, tmp_path):
        smap_writer.MODEL(LAND, tmp_path).day(even_state(LAND, date(2018, 6, 1)))
        path = next(iter(sorted(tmp_path.iterdir())))
        latitude, longitude = factory.degrees("M09")
        with h5py.File(path) as file:
            np.testing.assert_allclose(file["cell_lat"][:, 17], latitude, atol=1e-4)
            np.testing.assert_allclose(file["cell_lat"][:, -1], latitude, atol=1e-4)
            np.testing.assert_allclose(file["cell_lon"][-1], longitude, atol=1e-4)
            data = file["Geophysical_Data/sm_surface"]
            assert data.shape == grid("M09").shape
            assert (data[...] != -9999).mean() < 1e-4
            assert file["Geophysical_Data/surface_temp"].attrs["units"] == b"K"
