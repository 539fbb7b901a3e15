"""Station readers on small files whose answer can be worked out by hand."""

from __future__ import annotations

import time
from datetime import date

import numpy as np
import pytest

from ingest.stations import ismn, tables
from ingest.stations.tables import StationTables, declared
from smcatalog.core.errors import DefinitionError, RefusedInput
from smcatalog.core.stations import Depth, Site
from tests.factories import granules as make


def _read(reader, path, name=None):
    identity = reader.identify(path, name or path.name)
    assert identity is not None
    return list(reader.read(path, identity))


class TestIsmn:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\r", " \r"])
    def test_whichever_way_lines_end(self, tmp_path, end):
        (series,) = _read(ismn.READER, make.ismn(tmp_path / make.ISMN_NAME, end=end))
        assert series.site == Site("NET", "First_Place", -34.72835, 146.29317, 5, 136.0)
        assert series.depth == Depth(0.0, 0.05)
        assert (series.sensor, series.variable, series.step_hours) == ("Probe X", "sm", 1)
        assert len(series.times) == 24
        assert series.times[5] == np.datetime64("2020-01-01T05:00")
        assert series.times.dtype == np.dtype("datetime64[s]")
        assert series.values[5] == pytest.approx(0.105)
        assert series.values.dtype == np.float32
        assert series.good.all()

    def test_fill_and_missing_are_left_out_and_doubt_is_kept_as_doubt(self, tmp_path):
        lines = [
            "2020/01/01 00:00  -0.9900 M M",
            "2020/01/01 01:00   0.2000 M M",
            "2020/01/01 02:00  -9999.0000 G M",
            "2020/01/01 03:00      NaN G M",
            "2020/01/01 04:00   0.2000 G M",
            "2020/01/01 05:00   0.7000 C03 M",
            "2020/01/01 06:00   0.3000 D01,D03 OK flag",
            "2020/01/01 07:00   0.4000 U",
            "2020/01/01 08:00  -0.0100 C01 M",
        ]
        (series,) = _read(ismn.READER, make.ismn(tmp_path / make.ISMN_NAME, lines))
        np.testing.assert_allclose(series.values, [0.2, 0.7, 0.3, 0.4, -0.01], atol=1e-6)
        assert series.flags.tolist() == ["G", "C03", "D01,D03", "U", "C01"]
        assert series.good.tolist() == [True, False, False, False, False]

    def test_lines_are_sorted_and_of_duplicates_the_last_is_kept(self, tmp_path):
        lines = [
            "2020/01/01 02:00 0.3 G M",
            "2020/01/01 01:00 0.1 G M",
            "2020/01/01 01:00 0.2 U M",
        ]
        (series,) = _read(ismn.READER, make.ismn(tmp_path / make.ISMN_NAME, lines))
        np.testing.assert_allclose(series.values, [0.2, 0.3], atol=1e-6)
        assert series.flags.tolist() == ["U", "G"]

    def test_ceop_of_one_sensor(self, tmp_path):
        name = "COSMOS_COSMOS_ARM-1_sm_0.000000_0.190000_Cosmic-ray-Probe_20170810_20180809.stm"
        lines = [
            make.ceop_line("2017/08/10 00:00", "0.00    0.19", "0.1410 G M"),
            make.ceop_line("2017/08/10 01:00", "0.00    0.19", "-999.99 M M"),
            make.ceop_line("2017/08/10 02:00", "0.00    0.19", "0.6000 C03 M"),
        ]
        (series,) = _read(ismn.READER, make.ceop(tmp_path / name, lines))
        assert series.site == Site("COSMOS", "ARM-1", 36.6054, -97.4878, 5, 322.0)
        assert (series.depth, series.sensor) == (Depth(0.0, 0.19), "Cosmic-ray-Probe")
        np.testing.assert_allclose(series.values, [0.141, 0.6], atol=1e-6)
        assert series.times[1] == np.datetime64("2017-08-10T02:00")
        assert series.good.tolist() == [True, False]

    def test_ceop_of_one_file_gives_a_series_for_each_depth_and_no_temperature(self, tmp_path):
        lines = [
            make.ceop_line("2017/08/10 00:00", "-   0.10", "12.20 U   0.2913 U"),
            make.ceop_line("2017/08/10 00:00", "0.00   0.05", "-999.99 M   0.2462 G"),
            make.ceop_line("2017/08/10 01:00", "-   0.10", "12.20 U   0.2900 D01"),
            make.ceop_line("2017/08/10 01:00", "-   0.20", "12.20 U   -999.99 M"),
        ]
        path = make.ceop(tmp_path / "SMOSMANIA_SMOSMANIA_NBN_20100304_20130801.stm", lines)
        upper, deeper = _read(ismn.READER, path)
        assert (upper.depth, deeper.depth) == (Depth(0, 0.05), Depth(0.1, 0.1))
        np.testing.assert_allclose(upper.values, [0.2462], atol=1e-6)
        np.testing.assert_allclose(deeper.values, [0.2913, 0.29], atol=1e-6)
        assert deeper.flags.tolist() == ["U", "D01"]
        assert upper.sensor == deeper.sensor == "unknown"

    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            ([make.ceop_line("2017/08/10 00:00", "0.00    0.19", "0.1 G M"),
              make.ceop_line("2017/08/10 01:00", "0.05    0.19", "0.1 G M")], "several stations or sensors"),
            ([make.ceop_line("2017/08/10 00:00", "0.00    0.19", "0.1 G M"), "2017/08/10 01:00 2017/08"],
             "line 2 .*cut off"),
            (["2017/08/10 00:00 2017/08/10 00:00 NET"], "and then is damaged"),
            ([make.ceop_line("2017/08/10 00:00", "0.30    0.39", "0.1 G M")], "files mixed up"),
        ],
    )  # fmt: skip
    def test_damage_of_ceop_is_named(self, tmp_path, lines, reason):
        path = make.ceop(tmp_path / make.CEOP_NAME, lines)
        with pytest.raises(RefusedInput, match=reason):
            _read(ismn.READER, path)

    def test_depths_that_the_header_rounds_to_centimetres_agree_with_the_name(self, tmp_path):
        header = make.ISMN_HEADER.replace("0.0000 0.0500", "0.10 0.10")
        name = make.ISMN_NAME.replace("0.000000_0.050000", "0.101600_0.101600")
        (series,) = _read(ismn.READER, make.ismn(tmp_path / name, header=header))
        assert series.depth == Depth(0.1, 0.1)
        with pytest.raises(RefusedInput, match="files mixed up"):
            _read(
                ismn.READER, make.ismn(tmp_path / name.replace("0.1016", "0.1116"), header=header)
            )

    def test_other_variables_and_silent_names_are_refused(self, tmp_path):
        path = make.ismn(tmp_path / "x.stm")
        with pytest.raises(RefusedInput, match="variable ta is not stored"):
            ismn.READER.identify(path, make.ISMN_NAME.replace("_sm_", "_ta_"))
        with pytest.raises(RefusedInput, match="does not say what it measures"):
            ismn.READER.identify(path, "renamed.stm")

    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            ([], "no values: cut off"),
            (["2020/01/01 00:00 0.1 G M", "2020/01/0"], "line 3 .*last line is cut off"),
            (["2020/01/01 00:00 0.1 G M", "2020/01/01 01:00 0."], "line 3 .*cut off"),
            (
                ["2020/01/01 00:00 0.1 G M", "x", "2020/01/01 01:00 0.1 G M"],
                "line 3 .*damaged line",
            ),
            (["2020/01/01 00:00 zero G M", "2020/01/01 01:00 0.1 G M"], "line 2 .*damaged line"),
            (["2020/13/01 00:00 0.1 G M"], "impossible time"),
            (["2020/01/01 00:00 -0.99 M M"], "1 lines, all fill"),
        ],
    )
    def test_damage_is_named_with_its_line(self, tmp_path, lines, reason):
        with pytest.raises(RefusedInput, match=reason):
            _read(ismn.READER, make.ismn(tmp_path / make.ISMN_NAME, lines))

    def test_an_impossible_place_is_refused(self, tmp_path):
        header = make.ISMN_HEADER.replace("-34.72835", "-94.72835")
        with pytest.raises(RefusedInput, match="impossible header"):
            _read(ismn.READER, make.ismn(tmp_path / make.ISMN_NAME, header=header))

    def test_five_years_of_hours_take_a_fraction_of_a_second(self, tmp_path):
        stamps = np.datetime64("2017-01-01T00", "h") + np.arange(41_000)
        lines = [
            f"{str(s)[:10].replace('-', '/')} {str(s)[11:]}:00 {0.1 + i % 100 / 1000:.4f} G M"
            for i, s in enumerate(stamps)
        ]
        path = make.ismn(tmp_path / make.ISMN_NAME, lines)
        seconds = []
        for _ in range(3):
            start = time.process_time()
            (series,) = _read(ismn.READER, path)
            seconds.append(time.process_time() - start)
        assert len(series.times) == 41_000
        # it takes 0.03 s of a processor; with 0.28 s a thousand station-years would miss a minute
        assert min(seconds) < 0.2


class TestTables:
    def test_a_table_gives_days_of_utc(self, tmp_path):
        (series,) = _read(tables.READER, make.table(tmp_path / make.TABLE_NAME))
        assert series.site == Site("OzNet-cleaned", "y1", -34.728, 146.29, 3)
        assert series.times.tolist() == [
            np.datetime64("2020-01-01T00:00:00").item(),
            np.datetime64("2020-01-03T00:00:00").item(),
        ]
        np.testing.assert_allclose(series.values, [0.101, 0.121], atol=1e-6)
        assert (series.variable, series.step_hours, series.depth) == ("sm", 24, Depth(0, 0.05))
        assert series.good.all()
        assert series.flags.tolist() == ["", ""]

    def test_days_of_local_time_begin_where_they_are_declared_to(self, tmp_path):
        text = (
            "[[table]]\npattern = '(?P<station>\\w+)\\.csv'\ncolumns = ['time', 'lat', 'lon', 'v']\n"
            "network = 'N'\nstation = 'name'\nlatitude = 'lat'\nlongitude = 'lon'\ntime = 'time'\n"
            "begins_hours = -10\nvalue = 'v'\nunit = 'm3 m-3'\ndepth = [0, 0.05]\nsensor = 's'\n"
            "missing = ['NA']\n"
        )
        path = tmp_path / "a.csv"
        path.write_text("time,lat,lon,v\n2020-01-02,-34.7,146.2,0.1\n")
        (series,) = _read(StationTables(declared(text)), path)
        assert series.times[0] == np.datetime64("2020-01-01T14:00")

    def test_a_list_of_stations_gives_sites_with_all_written_decimals(self, tmp_path):
        sites = _read(tables.READER, make.station_list(tmp_path / make.LIST_NAME))
        assert sites == [
            Site("OzNet-cleaned", "y5", -34.7283, 146.2932, 4),
            Site("OzNet-cleaned", "y8", -34.847, 146.414, 3),
        ]

    def test_a_wrong_header_is_refused_naming_what_is_missing(self, tmp_path):
        path = tmp_path / make.TABLE_NAME
        path.write_text("time,lat,longitude,insitu_sm\n2020-01-01,1,2,0.1\n")
        with pytest.raises(
            RefusedInput, match="lacks the columns lon of its declaration; its header is: time, lat"
        ):
            tables.READER.identify(path, path.name)

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("", "no rows"),
            ("2020-01-01,1,2\n", "line 2 has 3 fields, the header 4"),
            ("2020-01-01,1,2,0.1\n2020-01-01,1,2,0.1\n", "do not rise strictly"),
            ("2020-01-01,1,2,0.1\n2020-01-02,1,3,0.1\n", "2 places for one station"),
            ("01/02/2020,1,2,0.1\n", "not a day written"),
            ("2020-02-31,1,2,0.1\n", "does not exist"),
            ("2020-01-01,1,2,wet\n", "not a number"),
            ("2020-01-01,1,2,inf\n", "not finite"),
            ("2020-01-01,1,2,NA\n", "1 rows, all missing"),
            ("2020-01-01,91,2,0.1\n", "impossible coordinates"),
            ('2020-01-01,1,2,"0.1\n', "not a readable CSV"),
        ],
    )
    def test_damage_is_named(self, tmp_path, body, reason):
        path = tmp_path / make.TABLE_NAME
        path.write_text("time,lat,lon,insitu_sm\n" + body)
        with pytest.raises(RefusedInput, match=reason):
            _read(tables.READER, path)

    def test_a_station_that_is_listed_twice_is_refused(self, tmp_path):
        path = tmp_path / make.LIST_NAME
        path.write_text("sitename,lat,lon,iteration,cluster\ny5,1,2,3,A\ny5,1,2,3,A\n")
        with pytest.raises(RefusedInput, match="stands there twice"):
            _read(tables.READER, path)

    @pytest.mark.parametrize(
        "text", ["x = ", "a = 1", "[[table]]\npattern = 'x'", "[[table]]\npattern = '('"]
    )
    def test_wrong_declarations_are_named(self, text):
        with pytest.raises(DefinitionError, match=r"tables\.toml"):
            declared(text)

    def test_a_byte_order_mark_does_not_hide_the_first_column(self, tmp_path):
        path = make.table(tmp_path / make.TABLE_NAME, first=date(2020, 1, 1))
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert len(_read(tables.READER, path)[0].values) == 2
