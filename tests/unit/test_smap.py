"""The readers of SMAP's composites and half orbits, on files whose answer is known and on a real one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from ingest.granules import examine, read
from ingest.sources import smap_points
from ingest.sources.smap import READERS, RETRIEVALS, Spl2smp, Spl3smp
from smcatalog.core.errors import RefusedInput, UsageError
from smcatalog.core.grids import grid
from smcatalog.core.raster import InputQuality
from smcatalog.core.time import Period
from tests.factories import granules as make
from tests.factories import smap as factory
from tests.factories.smap import CELLS, SPL2SMP_NAME, SPL3SMP_NAME, Cell

GRANULE = "SMAP_L2_SM_P_02801_A_20150811T013002_R18290_001.h5"


def _read(reader, path: Path, name: str | None = None):
    identity = reader.identify(path, name or path.name)
    assert identity is not None
    return identity, list(reader.read(path, identity))


def _refusal(reader, path: Path, name: str | None = None) -> str:
    with pytest.raises(RefusedInput) as caught:
        _read(reader, path, name)
    return caught.value.reason


def _change(path: Path, group: str, name: str, change) -> None:
    """Replace a dataset by what ``change`` makes of its values; None removes it."""
    with h5py.File(path, "a") as file:
        old = file[group][name]
        values, attributes = old[...], dict(old.attrs)
        del file[group][name]
        if change is not None:
            new = file[group].create_dataset(name, data=change(values))
            new.attrs.update(attributes)


class TestDaily:
    def test_both_overpasses_on_their_windows_for_the_utc_day(self, tmp_path):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME)
        identity, (am, pm) = _read(Spl3smp(), path)
        assert identity.source == "SPL3SMP"
        assert identity.name == SPL3SMP_NAME.removesuffix(".h5")
        assert identity.period == Period.of_day(date(2020, 1, 2))
        assert [r.variable.name for r in (am, pm)] == ["sm_am", "sm_pm"]
        assert [r.grid.name for r in (am, pm)] == ["M36[80:82,760:763]", "M36[80:81,761:762]"]
        assert am.period == pm.period == identity.period
        expected = np.full((2, 3), np.nan, "f4")
        expected[0, 0], expected[1, 2] = 0.21, 0.32
        np.testing.assert_array_equal(am.values, expected)
        np.testing.assert_array_equal(pm.values, np.array([[0.25]], "f4"))

    @pytest.mark.parametrize(
        ("quality", "surface", "expected"),
        [
            (0, 0, 0),
            (0b1000, 0, 0),
            (1, 0, InputQuality.NOT_RECOMMENDED),
            (0b101, 0, InputQuality.NOT_RECOMMENDED),
            (factory.FILL_FLAGS, factory.FILL_FLAGS, InputQuality.NOT_RECOMMENDED),
            (0, 1 << 0, InputQuality.WATER),
            (0, 1 << 2, 0),
            (0, 1 << 5, InputQuality.FROZEN),
            (0, 1 << 6, InputQuality.FROZEN),
            (0, 1 << 7, InputQuality.FROZEN),
            (0, 1 << 8, InputQuality.FROZEN),
            (0, 1 << 9 | 1 << 10 | 1 << 11, 0),
            (1, 1 << 0 | 1 << 5, InputQuality.NOT_RECOMMENDED | InputQuality.WATER
             | InputQuality.FROZEN),
        ],
    )  # fmt: skip
    def test_flags(self, tmp_path, quality, surface, expected):
        cells = (Cell(80, 760, 0.2, quality, surface), Cell(80, 761, factory.FILL, 7, 0b11))
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, cells)
        _, (am, _) = _read(Spl3smp(), path)
        assert am.quality.tolist() == [[expected]]

    def test_where_nothing_is_retrieved_there_is_no_quality(self, tmp_path):
        cells = (Cell(80, 760), Cell(80, 761, factory.FILL, 7, 0b11), Cell(80, 762))
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, cells)
        _, (am, _) = _read(Spl3smp(), path)
        assert np.isnan(am.values).tolist() == [[False, True, False]]
        assert not am.quality.any()

    @pytest.mark.parametrize("missing", [(), (Cell(10, 10, factory.FILL, 7),)])
    def test_an_overpass_without_retrievals_is_left_out(self, tmp_path, missing):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, am=missing)
        _, rasters = _read(Spl3smp(), path)
        assert [r.variable.name for r in rasters] == ["sm_pm"]

    def test_neither_overpass_has_any(self, tmp_path):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, am=(), pm=())
        assert "holds no soil_moisture at all: neither" in _refusal(Spl3smp(), path)

    @pytest.mark.parametrize("suffix", ["_dca", "_option3"])
    def test_another_retrieval_and_its_own_quality(self, tmp_path, suffix):
        others = {f"soil_moisture{suffix}": 0.4, f"retrieval_qual_flag{suffix}": 1}
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, am=(Cell(80, 760, 0.2, others=others),))
        _, rasters = _read(Spl3smp("soil_moisture_dca"), path)
        assert [r.variable.name for r in rasters] == ["sm_am"]
        assert rasters[0].values.tolist() == [[np.float32(0.4)]]
        assert rasters[0].quality.tolist() == [[InputQuality.NOT_RECOMMENDED]]
        assert "holds no soil_moisture_scav at all" in _refusal(Spl3smp("soil_moisture_scav"), path)

    def test_a_renamed_granule_is_known_by_what_is_inside(self, tmp_path):
        path = factory.spl3smp(tmp_path / "data.h5")
        identity, _ = _read(Spl3smp(), path)
        assert identity.name == SPL3SMP_NAME.removesuffix(".h5")

    def test_without_metadata_the_name_says_the_day(self, tmp_path):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, name=None)
        identity, _ = _read(Spl3smp(), path)
        assert identity.name == SPL3SMP_NAME.removesuffix(".h5")
        assert identity.period == Period.of_day(date(2020, 1, 2))
        assert "does not say its day" in _refusal(Spl3smp(), path, "data.h5")

    @pytest.mark.parametrize(
        ("given", "delivered", "reason"),
        [
            ({}, SPL3SMP_NAME.replace("20200102", "20200103"), "its name says 2020-01-03"),
            ({"name": SPL3SMP_NAME.replace("0102", "0103")}, "x.h5", "the name inside says 2020-01-03"),
            ({"end": "2020-01-03T23:59:59.999Z"}, SPL3SMP_NAME, "more than a day"),
            ({"end": "2020-01-01T23:59:59.999Z"}, SPL3SMP_NAME, "must end after it starts"),
            ({"begin": "2020-13-02T00:00:00Z"}, SPL3SMP_NAME, "impossible time, '2020-13-02T00"),
            ({"name": None}, SPL3SMP_NAME.replace("0102", "0231"), "impossible day in its name"),
            ({"short_name": "SPL3SMAP"}, SPL3SMP_NAME, "is a granule of SPL3SMAP, which is not read"),
        ],
    )  # fmt: skip
    def test_contradictions_are_refused(self, tmp_path, given, delivered, reason):
        path = factory.spl3smp(tmp_path / "file", **given)
        assert reason in _refusal(Spl3smp(), path, delivered)

    @pytest.mark.parametrize(
        ("name", "change", "reason"),
        [
            ("latitude", lambda v: -np.where(v == -9999, 9999, v), "latitude runs backwards"),
            ("longitude", lambda v: -np.where(v == -9999, 9999, v), "longitude runs backwards"),
            ("longitude", lambda v: np.where(v == -9999, v, v + 0.19), "0.19 degrees beside"),
            ("latitude", lambda v: np.where(v == -9999, v, v - 0.03), "0.03 degrees beside"),
            ("latitude", lambda v: np.full_like(v, -9999), "its retrievals have no latitude"),
            ("latitude", None, "lacks latitude"),
            ("retrieval_qual_flag", None, "lacks retrieval_qual_flag"),
            ("surface_flag", None, "lacks surface_flag"),
            ("soil_moisture", lambda v: v[:-1], "the grid of 36 km (406, 964)"),
            ("surface_flag", lambda v: v.astype("i4") - 70000, "no 16-bit flags"),
            ("soil_moisture", lambda v: v.astype("S8"), "holds no numbers"),
        ],
    )
    def test_unfit_fields_are_refused(self, tmp_path, name, change, reason):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME)
        _change(path, factory.AM, name, change)
        assert reason in _refusal(Spl3smp(), path)

    def test_another_unit_is_refused(self, tmp_path):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME)
        with h5py.File(path, "a") as file:
            file[factory.AM]["soil_moisture"].attrs["units"] = np.bytes_("percent")
        assert "is in 'percent', expected" in _refusal(Spl3smp(), path)

    def test_coordinates_alone_are_refused(self, tmp_path):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME)
        for group, suffix in ((factory.AM, ""), (factory.PM, "_pm")):
            _change(path, group, f"soil_moisture{suffix}", None)
        assert "holds no retrieval at all: its groups have only EASE" in _refusal(Spl3smp(), path)

    def test_values_out_of_range_are_refused_on_the_way_in(self, tmp_path):
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, am=(Cell(80, 760, 20.0),))
        with pytest.raises(RefusedInput, match="outside 0 to 1 m3 m-3"):
            list(read(examine(make.candidate(path))))


class TestHalfOrbit:
    def test_the_morning_of_a_southward_half_orbit(self, tmp_path):
        path = factory.spl2smp(tmp_path / SPL2SMP_NAME)
        identity, (raster,) = _read(Spl2smp(), path)
        assert identity.name == SPL2SMP_NAME.removesuffix(".h5")
        assert identity.period == Period(
            datetime(2020, 1, 2, 21, 58, 5, 100_000, tzinfo=UTC),
            datetime(2020, 1, 2, 22, 51, 26, 500_000, tzinfo=UTC),
        )
        assert raster.variable.name == "sm_am"
        assert raster.period == identity.period
        assert raster.grid.name == "M36[80:82,760:763]"
        assert raster.values[0, 0] == np.float32(0.21)
        assert raster.values[1, 2] == np.float32(0.32)
        assert np.isfinite(raster.values).sum() == 2
        assert raster.quality[1, 2] == InputQuality.NOT_RECOMMENDED | InputQuality.WATER
        assert raster.quality[0, 0] == 0

    def test_the_evening_of_a_northward_one(self, tmp_path):
        path = factory.spl2smp(tmp_path / "data.h5", name="", direction="Ascending")
        _, (raster,) = _read(Spl2smp(), path)
        assert raster.variable.name == "sm_pm"

    def test_the_name_says_the_direction_when_the_metadata_do_not(self, tmp_path):
        path = factory.spl2smp(tmp_path / SPL2SMP_NAME, name="", direction="")
        _, (raster,) = _read(Spl2smp(), path)
        assert raster.variable.name == "sm_am"

    def test_entries_without_a_cell_are_left_out(self, tmp_path):
        path = factory.spl2smp(tmp_path / SPL2SMP_NAME)
        for name in ("EASE_row_index", "EASE_column_index"):
            _change(path, factory.HALF, name, lambda v: np.array([v[0], 65534], "u2"))
        _, (raster,) = _read(Spl2smp(), path)
        assert raster.values.tolist() == [[np.float32(0.21)]]

    @pytest.mark.parametrize(
        ("given", "delivered", "reason"),
        [
            ({"begin": ""}, SPL2SMP_NAME, "does not say when its half orbit began"),
            ({"short_name": "SPL2SMP_E"}, SPL2SMP_NAME, "is a granule of SPL2SMP_E"),
            ({"direction": "Ascending"}, SPL2SMP_NAME, "itself on its direction"),
            ({"direction": "sideways", "name": ""}, "x.h5", "north or south (says 'sideways')"),
            ({"direction": "", "name": ""}, "x.h5", "north or south (says None)"),
            ({}, SPL2SMP_NAME.replace("T215805", "T205805"), "its name says 2020-01-02 20:58:05"),
            ({"cells": (CELLS[0], CELLS[0])}, SPL2SMP_NAME, "a cell more than once"),
            ({"cells": (Cell(3, 4, factory.FILL, 7),)}, SPL2SMP_NAME, "nothing but fill"),
        ],
    )
    def test_contradictions_are_refused(self, tmp_path, given, delivered, reason):
        path = factory.spl2smp(tmp_path / "file", **given)
        assert reason in _refusal(Spl2smp(), path, delivered)

    @pytest.mark.parametrize(
        ("name", "change", "reason"),
        [
            ("latitude", lambda v: -v, "beside the centres"),
            ("EASE_row_index", lambda v: v + np.uint16(1), "its latitude is up to"),
            (
                "EASE_column_index",
                lambda v: v + np.uint16(1),
                "its longitude is up to 0.37 degrees",
            ),
            ("EASE_row_index", lambda v: v + np.uint16(400), "cells outside the 36 km grid"),
            ("EASE_row_index", lambda v: v[:1], "differ in shape"),
            ("soil_moisture", lambda v: v[:1], "differ in shape"),
            ("EASE_row_index", None, "lacks EASE_row_index"),
            ("soil_moisture", None, "holds no retrieval at all"),
        ],
    )
    def test_unfit_lists_are_refused(self, tmp_path, name, change, reason):
        path = factory.spl2smp(tmp_path / SPL2SMP_NAME)
        _change(path, factory.HALF, name, change)
        assert reason in _refusal(Spl2smp(), path)

    def test_a_retrieval_that_is_not_there_is_refused(self, tmp_path):
        path = factory.spl2smp(tmp_path / SPL2SMP_NAME)
        assert "holds no soil_moisture_scah" in _refusal(Spl2smp("soil_moisture_scah"), path)


@pytest.mark.parametrize("kind", [Spl3smp, Spl2smp])
def test_only_known_retrievals_can_be_chosen(kind):
    assert [kind(name).retrieval for name in RETRIEVALS] == list(RETRIEVALS)
    with pytest.raises(UsageError, match="the retrieval is one of"):
        kind("soil_moisture_xyz")


class TestRealFiles:
    @pytest.fixture
    def granule(self, real_data) -> Path:
        return real_data / "smap" / GRANULE

    def test_the_half_orbit_agrees_with_its_lists(self, granule):
        identity, (raster,) = _read(READERS[1], granule)
        assert identity.name == GRANULE.removesuffix(".h5")
        assert identity.period == Period(
            datetime(2015, 8, 11, 1, 30, 2, 239_000, tzinfo=UTC),
            datetime(2015, 8, 11, 2, 23, 23, 652_000, tzinfo=UTC),
        )
        assert raster.variable.name == "sm_pm"
        with h5py.File(granule) as file:
            lists = {k: v[...] for k, v in file[factory.HALF].items()}
        valid = np.flatnonzero(lists["soil_moisture"] != -9999)
        assert np.isfinite(raster.values).sum() == len(valid) == 1333
        for i in valid[::97]:
            row = int(lists["EASE_row_index"][i]) - raster.grid.row
            column = int(lists["EASE_column_index"][i]) - raster.grid.column
            assert raster.values[row, column] == lists["soil_moisture"][i]
            here = grid(raster.grid.name).locate(lists["longitude"][i], lists["latitude"][i])
            assert [int(k[0]) for k in here] == [row, column, 1]
            flags = int(lists["surface_flag"][i])
            quality = InputQuality(int(raster.quality[row, column]))
            assert (InputQuality.NOT_RECOMMENDED in quality) == bool(
                lists["retrieval_qual_flag"][i] & 1
            )
            assert (InputQuality.WATER in quality) == (
                lists["static_water_body_fraction"][i] > 0.05
            )
            assert (InputQuality.FROZEN in quality) == bool(flags & (32 + 64 + 128 + 256))

    def test_the_counts_of_each_quality(self, granule):
        _, (raster,) = _read(Spl2smp(), granule)
        quality = raster.quality[np.isfinite(raster.values)]
        counts = {bit.name: int((quality & bit > 0).sum()) for bit in InputQuality}
        assert counts["NOT_RECOMMENDED"] == 741
        assert counts["WATER"] == 346
        assert counts["FROZEN"] == 214

    def test_the_baseline_of_the_half_orbit_is_the_dual_channel_algorithm(self, granule):
        _, (baseline,) = _read(Spl2smp(), granule)
        _, (dual,) = _read(Spl2smp("soil_moisture_dca"), granule)
        _, (single,) = _read(Spl2smp("soil_moisture_scav"), granule)
        np.testing.assert_array_equal(baseline.values, dual.values)
        assert np.isfinite(single.values).sum() == 1342

    def test_a_subset_of_coordinates_is_refused_for_what_it_is(self, real_data):
        path = real_data / "smap" / "SC_SPL3SMP_009_prefetch.nc4"
        assert _refusal(Spl3smp(), path) == (
            "holds no retrieval at all: its groups have only "
            "latitude, latitude_pm, longitude, longitude_pm"
        )

    def test_coordinates_of_a_real_composite_are_the_centres_of_the_grid(self, real_data, tmp_path):
        """Its coordinates with planted retrievals."""
        cells = (Cell(80, 760), Cell(300, 300))
        path = factory.spl3smp(tmp_path / SPL3SMP_NAME, cells, cells)
        with h5py.File(real_data / "smap" / "SC_SPL3SMP_009_prefetch.nc4") as file:
            for group, suffix in ((factory.AM, ""), (factory.PM, "_pm")):
                for name in ("latitude", "longitude"):
                    real = file[group][f"{name}{suffix}"][...]
                    assert (real == -9999).sum() > 100_000
                    assert (real != -9999).sum() > 100_000
                    _change(path, group, f"{name}{suffix}", lambda _, real=real: real)
        identity, rasters = _read(Spl3smp(), path)
        assert identity.period == Period.of_day(date(2020, 1, 2))
        assert len(rasters) == 2

    def test_daily_point_lists_are_of_the_36_km_grid(self, real_data):
        paths = sorted((real_data / "smap" / "china").glob("*.nc"))
        days = []
        for path in paths:
            identity, (raster,) = _read(smap_points.READER, path)
            days.append(identity.period)
            assert raster.grid.base == "M36"
            with h5py.File(path) as file:
                lat, lon, sm = (file[k][...] for k in ("latitude", "longitude", "soil_moisture"))
            here = (lat == lat[0]) & (lon == lon[0])
            rows, columns, _ = raster.grid.locate(lon[:1], lat[:1])
            assert raster.values[rows[0], columns[0]] == pytest.approx(sm[here].mean(), abs=1e-6)
        assert days == [Period.of_day(date(2024, 3, n)) for n in (1, 2, 3, 4)]


def test_a_point_list_of_one_day(tmp_path):
    path = make.smap_points(tmp_path / "SMAP_China_2020-01-02.nc")
    identity, (raster,) = _read(smap_points.READER, path)
    assert identity.name == "SMAP_China_2020-01-02"
    assert raster.period == identity.period == Period.of_day(date(2020, 1, 2))
    assert "impossible day" in _refusal(smap_points.READER, path, "SMAP_China_2020-02-31.nc")
