"""From candidates to checked values: what all sources share."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from ingest.candidate import Candidate
from ingest.checks import checked, checked_identity, within_range
from ingest.granules import examine, read
from ingest.reader import Identity
from ingest.registry import identify
from smcatalog.core.errors import RefusedInput
from smcatalog.core.fingerprint import sha256_file
from smcatalog.core.grids import Grid
from smcatalog.core.raster import Raster
from smcatalog.core.stations import Depth, Site, StationSeries
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from tests.factories import granules as make

NOW = datetime(2020, 6, 15, 12, tzinfo=UTC)
GRID = Grid.latlon(0, 10, 1, (10, 20))


def _raster(values: np.ndarray, day: date | None = date(2020, 6, 1)) -> Raster:
    return Raster.good(variable("sm"), GRID, values, Period.of_day(day) if day else None)


def _series(times: list[str], values: list[float], good: list[bool] | None = None) -> StationSeries:
    n = len(times)
    return StationSeries(
        Site("N", "S", 1.0, 2.0, 1), "s", "sm", Depth(0, 0.05), 1, np.array(times, "datetime64[s]"),
        np.array(values, "f4"), np.full(n, "G"), np.array(good or [True] * n),
    )  # fmt: skip


class TestChecks:
    def test_a_few_values_out_of_range_are_masked_and_many_are_refused(self):
        values = np.full(GRID.shape, 0.2)
        values[0, :2] = [-0.1, 1.5]
        (raster,) = checked([_raster(values)], NOW)
        assert np.isnan(raster.values[0, :2]).all()
        assert np.isnan(raster.values).sum() == 2
        values[0, :3] = 20
        with pytest.raises(RefusedInput, match=r"3 of 200 values of sm are outside 0 to 1 m3 m-3"):
            list(checked([_raster(values)], NOW))

    def test_the_share_is_of_the_valid_values(self):
        values = np.full(GRID.shape, np.nan)
        values[0] = 0.2
        values[0, 0] = 2
        with pytest.raises(RefusedInput, match="1 of 20 values"):
            list(checked([_raster(values)], NOW))

    def test_infinite_values_are_out_of_range(self):
        values = np.full(GRID.shape, 0.2)
        values[0, 0] = np.inf
        assert np.isnan(within_range(values, variable("sm"))[0, 0])

    def test_nothing_but_fill_is_refused(self):
        with pytest.raises(RefusedInput, match="nothing but fill"):
            list(checked([_raster(np.full(GRID.shape, np.nan))], NOW))
        with pytest.raises(RefusedInput, match="nothing but fill"):
            list(checked([_series([], [])], NOW))
        with pytest.raises(RefusedInput, match="holds no value at all"):
            list(checked([], NOW))

    @pytest.mark.parametrize(("days", "accepted"), [(0, True), (1, False), (400, False)])
    def test_the_future_begins_a_day_from_now(self, days, accepted):
        day = NOW.date() + timedelta(days=days)
        identity = Identity("s", "n", Period.of_day(day))
        if accepted:
            assert checked_identity(identity, NOW) is identity
            assert len(list(checked([_raster(np.full(GRID.shape, 0.2), day)], NOW))) == 1
            return
        with pytest.raises(RefusedInput, match=f"covers {day}…{day}, which is in the future"):
            checked_identity(identity, NOW)
        with pytest.raises(RefusedInput, match="which is in the future"):
            list(checked([_raster(np.full(GRID.shape, 0.2), day)], NOW))

    def test_days_before_1970_are_refused(self):
        with pytest.raises(RefusedInput, match="before 1970"):
            checked_identity(Identity("s", "n", Period.of_day(date(1969, 12, 30))), NOW)

    @pytest.mark.parametrize(
        ("times", "reason"),
        [
            (["2020-01-01T01", "2020-01-01T01"], "do not rise strictly"),
            (["2020-01-01T01", "NaT"], "do not rise strictly"),
            (["2020-01-01T01", "2020-06-17T00"], "2020-06-17 00:00, which is in the future"),
            (["1960-01-01T01", "2020-01-01T01"], "before 1970"),
            (["0000-01-01T01", "2020-01-01T01"], "0000-01-01 01:00, before 1970"),
            (["2020-01-01T01", "12000-01-01T01"], "in the future"),
        ],
    )
    def test_impossible_times_of_a_series_are_refused(self, times, reason):
        with pytest.raises(RefusedInput, match=reason):
            list(checked([_series(times, [0.1, 0.2])], NOW))

    def test_what_the_provider_flags_as_impossible_stays(self):
        series = _series(["2020-01-01T01", "2020-01-01T02"], [0.1, 7.0], [True, False])
        assert list(checked([series], NOW)) == [series]

    def test_good_values_out_of_range_lose_their_trust_or_are_refused(self):
        times = [str(np.datetime64("2020-01-01T00", "h") + i) for i in range(200)]
        (series,) = checked([_series(times, [2.0] + [0.1] * 199)], NOW)
        assert not series.good[0]
        assert series.good[1:].all()
        with pytest.raises(RefusedInput, match="1 of 2 values of sm"):
            list(checked([_series(times[:2], [2.0, 0.1])], NOW))


class TestExamine:
    def test_a_granule_knows_its_file(self, tmp_path):
        path = make.smap_points(tmp_path / make.SMAP_NAME)
        granule = examine(make.candidate(path))
        assert granule.sha256 == sha256_file(path)
        assert granule.size == path.stat().st_size
        assert granule.identity.source == granule.reader.source == "SMAP-36km-points"
        assert granule.name == str(path)

    def test_a_problem_on_the_way_is_the_reason(self, tmp_path):
        problem = Candidate(tmp_path / "x", "x", "x", "is empty")
        for function in (examine, identify):
            with pytest.raises(RefusedInput) as caught:
                function(problem)
            assert caught.value.reason == "is empty"

    def test_a_window_in_the_future_is_refused(self, tmp_path):
        path = make.smap_points(tmp_path / "SMAP_20990101_20990103.nc")
        with pytest.raises(
            RefusedInput, match="covers 2099-01-01…2099-01-03, which is in the future"
        ):
            examine(make.candidate(path))

    def test_a_file_that_went_away_is_refused(self, tmp_path):
        with pytest.raises(RefusedInput, match="cannot be read"):
            examine(Candidate(tmp_path / "gone.nc", "gone.nc", "gone.nc"))

    @pytest.mark.parametrize(
        ("content", "name", "reason"),
        [
            (b"", "a.nc", "is empty"),
            (b"<!DOCTYPE html><html><body>Log in</body></html>", make.SMAP_NAME, "HTML page, not a gran"),
            (bytes(range(128, 228)), make.ERA5_NAME, "no known format: it begins with the bytes 80 81"),
            (b"a,b,c\n1,2,3\n", "x.csv", r"found a, b, c; expected insitu_sm, lat, lon, time"),
            (b"hello\n", "x.txt", "text in no known format; it begins: 'hello'"),
            (b"\x89HDF\r\n\x1a\n" + b"\0" * 90, make.SMAP_NAME, "broken or truncated"),
            (b"CDF\x02" + b"\xff" * 90, make.ERA5_NAME, "broken or truncated NetCDF/HDF5"),
            (b"II*\0" + b"\0" * 90, "x.tif", "TIFF whose name matches none"),
            (b"\x0e\x03\x13\x01", "MOD11A1.hdf", "broken or truncated HDF4"),
            (b"\x1f\x8b\x08", "x.gz", "gzip"),
        ],
    )  # fmt: skip
    def test_what_no_reader_knows_is_called_what_it_is(self, tmp_path, content, name, reason):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RefusedInput, match=reason):
            examine(make.candidate(tmp_path / name))

    def test_a_netcdf_file_of_another_source_is_told_by_its_variables(self, tmp_path):
        import h5py

        with h5py.File(tmp_path / "x.nc", "w") as file:
            file["rain"] = np.zeros(3)
            file.create_group("Grid")
        with pytest.raises(RefusedInput, match="no known source; it holds: rain, Grid/"):
            examine(make.candidate(tmp_path / "x.nc"))

    @pytest.mark.parametrize("hole", [b"\0", b"\xff"])
    def test_a_damaged_heap_of_texts_does_not_hang_the_library(self, tmp_path, hole):
        path = make.era5(tmp_path / make.ERA5_NAME)
        content = bytearray(path.read_bytes())
        heap = content.index(b"GCOL")
        content[heap + 100 : heap + 200] = hole * 100
        path.write_bytes(content)
        with pytest.raises(RefusedInput, match="heap of texts is damaged"):
            examine(make.candidate(path))


class TestRead:
    def test_values_pass_the_checks(self, tmp_path):
        path = make.era5(tmp_path / make.ERA5_NAME, field=np.full((48, 2, 3), 7.0))
        with pytest.raises(RefusedInput, match="6 of 6 values of swvl1 are outside 0 to 1"):
            list(read(examine(make.candidate(path))))

    def test_days_in_the_future_inside_a_file_are_refused(self, tmp_path):
        path = make.era5(tmp_path / make.ERA5_NAME)
        granule = examine(make.candidate(path))
        with pytest.raises(RefusedInput, match="in the future"):
            list(read(granule, now=datetime(2020, 1, 1, 12, tzinfo=UTC)))

    def test_a_station_value_in_the_future_is_refused(self, tmp_path):
        path = make.ismn(tmp_path / make.ISMN_NAME, ["2099/01/01 00:00 0.1 G M"])
        with pytest.raises(RefusedInput, match="2099-01-01 00:00, which is in the future"):
            list(read(examine(make.candidate(path))))

    @pytest.mark.parametrize("when", ["before", "during"])
    def test_a_file_that_changes_is_refused(self, tmp_path, when):
        path = make.era5(tmp_path / make.ERA5_NAME)
        granule = examine(make.candidate(path))
        values = read(granule)
        if when == "during":
            next(values)
        with path.open("ab") as stream:
            stream.write(b"more")
        with pytest.raises(RefusedInput, match="changed while it was read"):
            list(values)

    def test_a_change_that_keeps_size_and_time_is_seen_by_the_checksum(self, tmp_path):
        path = make.table(tmp_path / make.TABLE_NAME)
        granule = examine(make.candidate(path))
        path.write_bytes(path.read_bytes().replace(b"0.101", b"0.102"))
        ((_, changed),) = granule.state
        os.utime(path, ns=(changed, changed))
        with pytest.raises(RefusedInput, match="changed while it was read"):
            list(read(granule))

    def test_a_fault_of_the_one_who_takes_the_values_is_not_the_files(self, tmp_path):
        granule = examine(make.candidate(make.era5(tmp_path / make.ERA5_NAME)))
        values = read(granule)
        next(values)
        with pytest.raises(ValueError, match="mine"):
            values.throw(ValueError("mine"))
