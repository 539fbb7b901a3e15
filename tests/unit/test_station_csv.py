"""Station tables with a declaration of their own, by numbers worked out by hand."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from ingest.files import walk
from ingest.granules import examine, read
from ingest.registry import identify
from ingest.stations import mapped
from smcatalog.core.errors import RefusedInput
from smcatalog.core.stations import Depth, Site
from tests.factories import granules as make

VOLUMETRIC = make.STATION_CSV.replace('"relative"', '"volumetric"').replace("full = 0.4\n", "")


def _read(path):
    identity = mapped.READER.identify(path, path.name)
    assert identity is not None
    return list(mapped.READER.read(path, identity))


def _file(tmp_path, text=make.STATION_CSV, rows=None, **more):
    return make.station_csv(tmp_path / make.STATION_CSV_NAME, text, rows, **more)


def test_relative_content_becomes_volumetric_and_local_time_utc(tmp_path):
    (series,) = _read(
        _file(tmp_path, rows=["2018-06-01 00:00,50", "2018-06-01 01:00,", "2018-06-01 02:00,75"])
    )
    assert series.site == Site("NZW", "Xilinhot", 43.95, 116.12, 3)
    assert (series.sensor, series.depth, series.step_hours) == ("unknown", Depth(0.1, 0.1), 1)
    np.testing.assert_allclose(series.values, [0.2, 0.3], atol=1e-6)
    assert series.times.astype(str).tolist() == ["2018-05-31T16:00:00", "2018-05-31T18:00:00"]
    assert series.good.all()


def test_relative_humidity_of_agrometeorological_stations_is_of_field_capacity(tmp_path):
    text = make.STATION_CSV.replace("full = 0.4", "field_capacity = 0.24\nbulk_density = 1300")
    (series,) = _read(_file(tmp_path, text, ["2018-06-01 00:00,50"]))
    np.testing.assert_allclose(series.values, [0.5 * 0.24 * 1.3], atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [("percent", "25", 0.25), ("m3 m-3", "0.25", 0.25), ("1", "0.25", 0.25)],
)
def test_units_of_volumetric_content(tmp_path, unit, value, expected):
    text = VOLUMETRIC.replace('unit = "percent"', f'unit = "{unit}"')
    (series,) = _read(_file(tmp_path, text, [f"2018-06-01 00:00,{value}"]))
    np.testing.assert_allclose(series.values, [expected], atol=1e-6)


@pytest.mark.parametrize(
    ("time", "stamp", "start"),
    [
        ("step_hours = 24", "2018-06-01", "2018-05-31T16:00:00"),
        ('step_hours = 24\nstamps = "end"', "2018-06-02", "2018-05-31T16:00:00"),
        ('step_hours = 1\nstamps = "end"', "2018-06-01 09:00", "2018-06-01T00:00:00"),
        ('step_hours = 1\nformat = "%d.%m.%Y %H h"', "01.06.2018 08 h", "2018-06-01T00:00:00"),
    ],
)
def test_where_hours_and_days_begin(tmp_path, time, stamp, start):
    text = make.STATION_CSV.replace("step_hours = 1", time)
    (series,) = _read(_file(tmp_path, text, [f"{stamp},50"]))
    assert series.times.astype(str).tolist() == [start]
    assert series.step_hours == (24 if "24" in time else 1)


def test_several_stations_and_depths_in_one_table(tmp_path):
    text = """
        network = "N"
        station_column = "site"
        latitude_column = "lat"
        longitude_column = "lon"
        elevation = 1003.5
        separator = ";"
        [time]
        column = "day"
        utc_offset_hours = 0
        step_hours = 24
        [[sensor]]
        column = "upper"
        depth = [0, 0.05]
        name = "5TM"
        content = "volumetric"
        unit = "m3 m-3"
        missing = ["-9999"]
        flag_column = "flag"
        good_flags = ["ok"]
        [[sensor]]
        column = "lower"
        depth = [0.3, 0.3]
        content = "volumetric"
        unit = "percent"
    """
    rows = [
        "b;2.50;3;2018-06-02;0.3;30;ok", "a;1;2;2018-06-01;0.1;10;ok", "b;2.50;3;2018-06-01;0.2;20;bad",
        "a;1;2;2018-06-02;-9999;40;ok",
    ]  # fmt: skip
    b_upper, b_lower, a_upper, a_lower = _read(
        _file(tmp_path, text, rows, header="site;lat;lon;day;upper;lower;flag")
    )
    assert b_upper.site == Site("N", "b", 2.5, 3.0, 2, 1003.5)
    np.testing.assert_allclose(b_upper.values, [0.2, 0.3])
    assert b_upper.good.tolist() == [False, True]
    assert b_upper.flags.tolist() == ["bad", "ok"]
    np.testing.assert_allclose(b_lower.values, [0.2, 0.3])
    assert (len(a_upper.values), len(a_lower.values)) == (1, 2)
    assert (a_upper.sensor, a_lower.sensor) == ("5TM", "unknown")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("network =", "x =", "lacks 'network'"),
        ("[time]", "depht = 1\n[time]", "mean nothing: depht"),
        ("utc_offset_hours = 8\n", "", "lacks 'utc_offset_hours' in .time."),
        ("step_hours = 1", "step_hours = 3", "the step is 1 or 24"),
        ("step_hours = 1", 'step_hours = "1"', "step_hours = '1'"),
        ("depth = [0.1, 0.1]", "depth = [0.2, 0.1]", "a depth that is impossible"),
        ("depth = [0.1, 0.1]", "depth = [0.1]", "a depth that is impossible"),
        ("full = 0.4\n", "", "lacks 'full'"),
        ("full = 0.4", "full = 40", "full = 40"),
        ("full = 0.4", "field_capacity = 0.24", "lacks 'bulk_density'"),
        ("full = 0.4", "field_capacity = 24\nbulk_density = 1300", "field capacity is in kg kg-1"),
        ("full = 0.4", "field_capacity = 0.24\nbulk_density = 1.3", "bulk density is in kg m-3"),
        ('"percent"', '"kg"', "content = 'relative' in unit = 'kg'"),
        ('"percent"', '"m3 m-3"', "content = 'relative' in unit = 'm3 m-3'"),
        ('station = "Xilinhot"', "", "one of 'station' and 'station_column'"),
        ("[[sensor]]", "[sensor]", "sensor ="),
        ("network =", "network", "no TOML"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_named(tmp_path, old, new, reason):
    path = _file(tmp_path, make.STATION_CSV.replace(old, new))
    with pytest.raises(RefusedInput, match=reason):
        mapped.READER.identify(path, path.name)


@pytest.mark.parametrize(
    ("text", "rows", "reason"),
    [
        (make.STATION_CSV, ["2018-06-01 00:00,0.5", "2018-06-01 01:00,0.6"], "reaches 0.6 at most: fractions"),
        (make.STATION_CSV.replace('"percent"', '"1"'), ["2018-06-01 00:00,50"], "percent for fractions"),
        (make.STATION_CSV, ["2018-06-01 00:00,50", "2018-06-01 00:00,51"], "twice"),
        (make.STATION_CSV, ["01.06.2018,50"], "declare the format"),
        (make.STATION_CSV, ["2018-02-31 00:00,50"], "does not exist"),
        (make.STATION_CSV, ["2018-06-01 00:00"], "line 2 has 1 fields"),
        (make.STATION_CSV, ["2018-06-01 00:00,wet"], "not a number"),
        (make.STATION_CSV, ["2018-06-01 00:00,inf"], "not finite"),
        (make.STATION_CSV, ["2018-06-01 00:00,"], "1 rows, all missing"),
        (make.STATION_CSV, [], "no rows"),
        (make.STATION_CSV.replace("43.950", "93.950"), None, "a place of station 'Xilinhot'"),
        (make.STATION_CSV.replace('"sm"', '"vwc"'), None, "lacks the columns vwc of its declaration"),
        (make.STATION_CSV.replace("step", 'format = "%Y-%m-%d %H:%M%z"\nstep'), ["2018-06-01 00:00+0800,50"],
         "with a time zone"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_named(tmp_path, text, rows, reason):
    with pytest.raises(RefusedInput, match=reason):
        _read(_file(tmp_path, text, rows))


def test_percent_for_a_volumetric_fraction_is_out_of_range(tmp_path):
    text = VOLUMETRIC.replace('"percent"', '"m3 m-3"')
    with pytest.raises(RefusedInput, match="outside 0 to 1 m3 m-3"):
        list(read(examine(make.candidate(_file(tmp_path, text)))))


def test_a_changed_declaration_is_another_granule(tmp_path):
    path = _file(tmp_path)
    (before,) = walk([tmp_path])
    first = examine(before).sha256
    path.with_suffix(".toml").write_text(make.STATION_CSV.replace("0.4", "0.5"))
    (after,) = walk([tmp_path])
    assert after.companions
    assert examine(after).sha256 != first


def test_in_a_zip_as_in_a_folder(tmp_path):
    path = _file(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in/Xilinhot.CSV")
        archive.write(path.with_suffix(".toml"), "in/xilinhot.toml")
    (candidate,) = [(c, list(read(examine(c)))) for c in walk([tmp_path / "a.zip"])]
    assert len(candidate[1][0].times) == 24


def test_its_own_declaration_goes_before_ours(tmp_path):
    path = make.table(tmp_path / make.TABLE_NAME)
    text = VOLUMETRIC.replace('"sm"', '"insitu_sm"').replace("0.1]\n", '0.1]\nmissing = ["NA"]\n')
    path.with_suffix(".toml").write_text(text.replace('"percent"', '"m3 m-3"'))
    reader, identity = identify(next(walk([tmp_path])))
    assert (reader.source, identity.name) == ("station-csv", "OzNet_y1_cleaned_data")


def test_without_a_declaration_the_refusal_says_how_to_make_one(tmp_path):
    path = _file(tmp_path)
    path.with_suffix(".toml").unlink()
    with pytest.raises(
        RefusedInput, match=r"say what its columns mean in a xilinhot_2018\.toml beside it"
    ):
        examine(make.candidate(path))
