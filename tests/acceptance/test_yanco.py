"""The main job on real files: Yanco in, a map for each window out, safe to repeat and to kill."""

import random
import signal
import subprocess
import time
from datetime import date

import pytest

from smcatalog.core.fingerprint import sha256_file
from tests.factories.states import files, final_state, rows
from tests.fixtures.databases import Database
from tests.fixtures.yanco import SPAN, copy_of

WINDOWS, EMPTY = 98, 5
EMPTY_DAYS = ["2019-06-25", "2019-07-02", "2019-07-09", "2019-07-16", "2020-04-28"]


def test_every_file_is_named_or_in(ingested, real_data):
    _, database = ingested
    with database.connect() as connection:
        counts = dict(
            connection.execute(
                "SELECT source, count(*) FROM smcatalog.granules GROUP BY source"
            ).fetchall()
        )
        assert counts["SMAP-36km-points"] == WINDOWS
        assert counts["ERA5"] == 103
        assert counts["ISMN"] == 14
        assert counts["station-table"] == 18
        reasons = connection.execute(
            "SELECT name, reason, source, start_time FROM smcatalog.quarantine ORDER BY name"
        ).fetchall()
    assert len(reasons) == EMPTY
    for name, reason, source, start in reasons:
        assert name.startswith("SMAP_")
        assert "no retrieval" in reason
        assert source == "SMAP-36km-points"
        assert start is not None


def test_era5_days_come_from_inside_not_from_the_name(ingested):
    _, database = ingested
    with database.connect() as connection:
        days = {
            row[0]
            for row in connection.execute(
                "SELECT day FROM smcatalog.layers WHERE source = 'ERA5' AND variable = 'swvl1'"
            )
        }
    # ERA5_20181031_20181002.nc holds the last of October and its first two days, not November's
    assert {date(2018, 10, 31), date(2018, 10, 1), date(2018, 10, 2)} <= days
    assert date(2018, 11, 1) not in days


def test_twins_of_stations_are_known(ingested):
    _, database = ingested
    with database.connect() as connection:
        pairs = connection.execute(
            """
            SELECT t.name, p.name FROM smcatalog.stations t JOIN smcatalog.stations p ON p.id = t.same_site_as
            ORDER BY t.name
            """
        ).fetchall()
    assert pairs == [
        ("y10", "Cheverelis"), ("y5", "Dry_Lake"), ("y7", "Yamma_Road"), ("y8", "Wynella"), ("y9", "Yammacoona"),
    ]  # fmt: skip


def test_a_map_for_every_window_with_retrievals_and_a_reason_for_the_others(produced):
    place, database = produced
    answer = place.answer("produce", "yanco", *SPAN, code=3)
    outcomes = [day["outcome"] for day in answer["days"]]
    assert outcomes.count("current") == WINDOWS
    assert [day["day"] for day in answer["days"] if day["outcome"] == "refused"] == EMPTY_DAYS
    assert all(
        "no retrieval" in day["reason"] for day in answer["days"] if day["outcome"] == "refused"
    )
    with database.connect() as connection:
        days = connection.execute(
            "SELECT day, start_time::date, (end_time - interval '1 second')::date FROM smcatalog.maps ORDER BY day"
        ).fetchall()
    assert len(days) == WINDOWS
    assert days[0] == (date(2018, 8, 2), date(2018, 8, 1), date(2018, 8, 3))
    assert days[-1] == (date(2020, 7, 28), date(2020, 7, 27), date(2020, 7, 29))


def test_windows_with_an_incomplete_covariate_say_so(produced):
    import numpy as np
    import rasterio

    place, database = produced
    with database.connect() as connection:
        keys = dict(
            connection.execute(
                """
                SELECT m.day, f.key FROM smcatalog.maps m JOIN smcatalog.map_files f ON f.map_id = m.id
                WHERE f.kind = 'quality' AND m.day IN ('2018-11-01', '2018-10-25')
                """
            ).fetchall()
        )
    flags = {}
    for day, key in keys.items():
        with rasterio.open(place.store / key) as source:
            quality = source.read(1)
            flags[day] = bool(np.any(quality[quality != source.nodata] & 256))
    assert flags == {date(2018, 11, 1): True, date(2018, 10, 25): False}


def test_a_second_run_changes_nothing(produced, real_data):
    place, database = produced
    before = rows(database), files(place)
    with database.connect() as connection:
        items = connection.execute("SELECT id, content FROM pgstac.items ORDER BY id").fetchall()
        ingest = place.answer("ingest", real_data / "yanco", code=3)
        produce = place.answer("produce", "yanco", *SPAN, code=3)
        assert (rows(database), files(place)) == before
        again = connection.execute("SELECT id, content FROM pgstac.items ORDER BY id").fetchall()
    assert again == items
    outcomes = [file["outcome"] for file in ingest["files"]]
    assert outcomes.count("ingested") == 0
    assert outcomes.count("refused") == EMPTY  # named again at each run that meets them
    assert not [day for day in produce["days"] if day["outcome"] == "made"]


def test_lineage_goes_back_to_the_files_checksums(produced, real_data):
    _, database = produced
    with database.connect() as connection:
        found = connection.execute(
            """
            SELECT g.delivered_as, g.sha256 FROM smcatalog.maps m
            JOIN smcatalog.map_layers ml ON ml.map_id = m.id
            JOIN smcatalog.layer_granules lg ON lg.layer_id = ml.layer_id
            JOIN smcatalog.granules g ON g.id = lg.granule_id
            WHERE m.day = '2018-08-02'
            """
        ).fetchall()
    names = {name for name, _ in found}
    assert names == {
        "SMAP_20180801_20180803.nc", "ERA5_20180801_20180803.nc", "DEM_100m_resampled.tif",
        "AWC_100m_resampled.tif", "SLT_100m_resampled.tif",
    }  # fmt: skip
    for folder in ("smap", "era5", "static"):
        for path in (real_data / "yanco" / folder).iterdir():
            if path.name in names:
                assert (path.name, sha256_file(path)) in found


def wait_for_maps(database: Database, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many maps are recorded."""
    deadline = time.monotonic() + 120
    with database.connect() as connection:
        while time.monotonic() < deadline and process.poll() is None:
            (found,) = connection.execute("SELECT count(*) FROM smcatalog.maps").fetchone()
            if found >= number:
                return
            time.sleep(0.02)
    raise AssertionError(f"{number} maps were never made: {process.communicate(timeout=60)}")


@pytest.mark.long
@pytest.mark.slow
def test_killed_at_any_moment_the_end_is_the_same(
    ingested, produced, database_server, tmp_path, repetitions
):
    """SIGKILL at random moments of a produce, over and over, then once to the end."""
    # Seeded: the moments are fixed, what they hit depends on the machine.
    dice = random.Random(20180801)
    with copy_of(ingested, database_server, tmp_path / "killed") as (place, database):
        made = [0]
        for kill in range(repetitions(9) + 1):
            process = place.start("produce", "yanco", *SPAN)
            if kill < repetitions(3):  # somewhere in start-up, sampling and fitting
                time.sleep(dice.uniform(1.0, 6.0))
            else:  # a few maps on, somewhere in predicting, writing and publishing
                wait_for_maps(database, made[-1] + dice.randint(1, 9), process)
                time.sleep(dice.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            made.append(rows(database)["maps"])
        assert made == sorted(made)
        assert 6 <= made[-1] < WINDOWS, "the kills came too early or too late to show anything"
        place.run("produce", "yanco", *SPAN, code=3)
        assert final_state(place, database) == final_state(*produced)


@pytest.mark.long
def test_two_at_once_make_each_map_once(ingested, produced, database_server, tmp_path):
    with copy_of(ingested, database_server, tmp_path / "two") as (place, database):
        both = [
            place.start("produce", "yanco", "--from", "2018-08-01", "--to", "2018-10-31")
            for _ in range(2)
        ]
        for process in both:
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
        with database.connect() as connection:
            found = connection.execute(
                "SELECT day, max(revision), count(*) FROM smcatalog.maps GROUP BY day ORDER BY day"
            ).fetchall()
        assert len(found) == 13
        assert {row[1:] for row in found} == {(1, 1)}
