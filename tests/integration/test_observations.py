"""Observations go into the database as they are, and never without their sensor."""

from __future__ import annotations

import threading
import time

import numpy as np
import psycopg
import pytest
from psycopg import errors

from smcatalog.core.stations import Depth, Site, StationSeries
from smcatalog.database import observations
from smcatalog.database.engine import transaction
from smcatalog.database.observations import record_series

SITE = Site("NET", "one", 10.0, 20.0, 3)


def series(flags, values=None, *, start="2019-12-31T20", depth=0.05) -> StationSeries:
    n = len(flags)
    times = (np.datetime64(start, "h") + np.arange(n)).astype("datetime64[s]")
    values = np.linspace(0.1, 0.3, n) if values is None else values
    texts = np.array(flags, np.str_)
    return StationSeries(
        SITE,
        "probe",
        "sm",
        Depth(0, depth),
        1,
        times,
        np.asarray(values, "f4"),
        texts,
        texts == "G",
    )


def load(database, *several: StationSeries, role="smcatalog_writer") -> None:
    for one in several:
        transaction(
            database.engine_for(role), lambda connection, s=one: record_series(connection, s)
        )


def stored(
    database, query="SELECT time, value, good, flag FROM smcatalog.observations ORDER BY time"
):
    with database.connect() as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("at_once", [3, 65_536])
@pytest.mark.parametrize(
    "flags",
    [["G"] * 8, [""] * 8, ["G", "", "D01,D03", "C01", "", "süß", "G", "D01,D03,C02,C03,D04,D05"],
     ["tab\t", "back\\slash", "\\N", "line\n", "G", "G", "", "x"]],
)  # fmt: skip
def test_what_goes_in_comes_out(database, monkeypatch, flags, at_once):
    monkeypatch.setattr(observations, "_ROWS_AT_ONCE", at_once)
    values = [0.1, -0.01, 1e-7, 0.3333333, 0.45, 1.0, 0.0, 0.2]
    one = series(flags, values)
    load(database, one)
    rows = stored(database)
    assert [r[0].replace(tzinfo=None) for r in rows] == one.times.tolist()
    np.testing.assert_array_equal(np.array([r[1] for r in rows], "f4"), one.values)
    assert [r[2] for r in rows] == one.good.tolist()
    assert [r[3] for r in rows] == [flag or None for flag in flags]
    # over the turn of a year into two partitions
    names = {
        n
        for (n,) in stored(
            database, "SELECT DISTINCT tableoid::regclass::text FROM smcatalog.observations"
        )
    }
    assert names == {"smcatalog.observations_2019", "smcatalog.observations_2020"}


def test_a_later_delivery_takes_the_place_of_what_it_covers(database):
    load(database, series(["G"] * 24), series(["U"] * 4, start="2020-01-01T00"))
    flags = [
        flag
        for (flag,) in stored(database, "SELECT flag FROM smcatalog.observations ORDER BY time")
    ]
    assert flags == ["G"] * 4 + ["U"] * 4 + ["G"] * 16


def test_there_is_no_observation_without_its_sensor(database):
    load(database, series(["G"] * 3))
    with database.connect("smcatalog_writer") as connection:
        (known,) = connection.execute("SELECT id FROM smcatalog.sensors").fetchone()
        for statement in (
            "INSERT INTO smcatalog.observations VALUES (4711, now(), 0.2, true)",
            "INSERT INTO smcatalog.observations SELECT x, now(), 0.2, true FROM unnest(%s) x",
            "UPDATE smcatalog.observations SET sensor_id = sensor_id + 4711",
        ):
            connection.execute(
                "SELECT smcatalog.ensure_observation_partition(extract(year FROM now())::int)"
            )
            with pytest.raises(errors.ForeignKeyViolation, match="there is no sensor 47"):
                connection.execute(statement, [[known, 4711]] if "%s" in statement else None)
    assert len(stored(database)) == 3


def test_a_sensor_stays_while_it_has_observations(database):
    load(database, series(["G"] * 3), series(["G"] * 3, depth=0.1))
    with database.connect() as connection:
        for statement in (
            "DELETE FROM smcatalog.sensors",
            "TRUNCATE smcatalog.sensors CASCADE",
            "UPDATE smcatalog.sensors SET id = DEFAULT",
        ):
            with pytest.raises(errors.ForeignKeyViolation, match="observations"):
                connection.execute(statement)
        (gone,) = connection.execute("SELECT max(id) FROM smcatalog.sensors").fetchone()
        connection.execute("DELETE FROM smcatalog.observations WHERE sensor_id = %s", [gone])
        connection.execute("DELETE FROM smcatalog.sensors WHERE id = %s", [gone])
    assert len(stored(database, "SELECT id FROM smcatalog.sensors")) == 1


def test_who_deletes_a_sensor_waits_for_who_loads_it(database):
    load(database, series(["G"]))
    with database.connect() as connection:
        connection.execute("DELETE FROM smcatalog.observations")
    failed: list[BaseException] = []

    def delete() -> None:
        try:
            with psycopg.connect(database.libpq_url()) as other:
                other.execute("DELETE FROM smcatalog.sensors")
        except psycopg.Error as error:
            failed.append(error)

    with database.engine_for("smcatalog_writer").begin() as connection:
        record_series(connection, series(["G"] * 3))
        thread = threading.Thread(target=delete)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        for _ in range(200):
            if stored(database, waiting) != [(0,)]:
                break
            time.sleep(0.02)
    thread.join(20)
    assert [type(error) for error in failed] == [errors.ForeignKeyViolation]
    assert len(stored(database)) == 3
