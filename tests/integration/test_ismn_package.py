"""The simulated stations' archive, opened by the network's own package and by our reader."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ingest.files import walk
from ingest.granules import examine, read
from ingest.stations import ismn_writer
from ingest.world.sensors import Record, stations
from ingest.world.sensors import read as readings
from smcatalog.core.stations import StationSeries
from tests.factories.probes import even_days, small_land, written

LAND = small_land()
DAYS = 60
NAME = "Data_separate_files_header_20180601_20180730_SIM-NINGXIA.zip"

pytestmark = [
    # the package is written for pandas 2
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ismn")
    files = written(ismn_writer.WRITER, folder, LAND, days=DAYS)
    assert list(files) == [NAME]
    return files[NAME]


@pytest.fixture(scope="module")
def record() -> Record:
    record = Record(stations(LAND))
    for state in even_days(LAND, DAYS):
        record.add(state)
    return record


def _sensors(record: Record):
    """Yield index, station, sensor of every probe."""
    for index, station in enumerate(record.stations):
        for sensor in station.sensors:
            yield index, station, sensor


def test_our_reader_takes_every_file_and_refuses_none(archive, record):
    found: dict[tuple, StationSeries] = {}
    for candidate in walk([archive]):
        granule = examine(candidate)
        assert granule.identity.source == "ISMN"
        (series,) = read(granule)
        found[series.site, series.depth] = series
    assert found.keys() == {(s.site, sensor.depth) for _, s, sensor in _sensors(record)}
    for index, station, sensor in _sensors(record):
        series = found[station.site, sensor.depth]
        expected = readings(LAND, record, index, sensor)
        there = ~np.isnan(expected.values)
        assert (series.sensor, series.step_hours) == (sensor.instrument, 1)
        np.testing.assert_array_equal(series.times, expected.times[there])
        np.testing.assert_allclose(series.values, expected.values[there], atol=1e-6)
        assert series.flags.tolist() == expected.flags[there].tolist()
        assert (series.good == (series.flags == "G")).all()
    flags = {str(flag) for series in found.values() for flag in np.unique(series.flags)}
    assert "G" in flags
    assert any("D06" in flag for flag in flags)


@pytest.mark.parametrize("unpacked", [False, True], ids=["zip", "folder"])
def test_the_networks_package_reads_the_same(archive, record, tmp_path, unpacked):
    ismn = pytest.importorskip("ismn.interface")
    place = archive
    if unpacked:
        place = tmp_path / "unpacked"
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(place)
    data = ismn.ISMN_Interface(
        place, meta_path=tmp_path / "meta", temp_root=tmp_path / "temp", parallel=False
    )
    try:
        assert list(data.networks) == ["SIM-NINGXIA"]
        found = data.networks["SIM-NINGXIA"].stations
        assert sorted(found) == sorted(s.site.station for s in record.stations)
        seen = 0
        for index, station, sensor in _sensors(record):
            (probe,) = (
                one
                for one in found[station.site.station].sensors.values()
                if (one.depth.start, one.depth.end) == (sensor.depth.top, sensor.depth.bottom)
            )
            expected = readings(LAND, record, index, sensor)
            frame = probe.read_data()
            assert (
                frame.index.to_numpy().astype("datetime64[s]").tolist() == expected.times.tolist()
            )
            np.testing.assert_allclose(
                frame["soil_moisture"], np.where(np.isnan(expected.values), -9999, expected.values),
                atol=1e-9,
            )  # fmt: skip
            assert frame["soil_moisture_flag"].tolist() == expected.flags.tolist()
            told = probe.metadata
            assert (told["latitude"].val, told["longitude"].val, told["elevation"].val) == (
                station.site.latitude, station.site.longitude, station.site.elevation,
            )  # fmt: skip
            assert told["instrument"].val == sensor.instrument.replace(" ", "-")
            assert told["saturation"].val == station.saturation
            at = station.row, station.column
            assert told["sand_fraction"].val == pytest.approx(100 * LAND.sand[at], abs=0.51)
            assert told["lc_2010"].val in {20, 60, 130}
            seen += 1
        assert seen == sum(len(s.sensors) for s in record.stations)
    finally:
        data.close_files()


def test_the_same_seed_gives_the_same_bytes(archive, tmp_path):
    again = written(ismn_writer.WRITER, tmp_path / "again", LAND, days=DAYS)
    assert again[NAME].read_bytes() == archive.read_bytes()
    other = written(ismn_writer.WRITER, tmp_path / "other", small_land(seed=2), days=DAYS)
    assert other[NAME].read_bytes() != archive.read_bytes()


def test_files_are_laid_out_and_named_as_the_network_does(archive, record):
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        assert packed.testzip() is None
        assert b"simulated" in packed.read("Readme.txt").lower()
    assert len(names) == len(set(names))
    for _, station, sensor in _sensors(record):
        start = f"SIM-NINGXIA/{station.site.station}/SIM-NINGXIA_SIM-NINGXIA_{station.site.station}"
        depth = f"{sensor.depth.top:.6f}_{sensor.depth.bottom:.6f}"
        probe = sensor.instrument.replace(" ", "-")
        assert f"{start}_sm_{depth}_{probe}_20180601_20180730.stm" in names
        assert f"{start}_static_variables.csv" in names


def test_without_a_day_there_is_no_archive(tmp_path):
    assert written(ismn_writer.WRITER, tmp_path / "none", LAND) == {}
