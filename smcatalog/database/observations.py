"""Stations and their observations: written by COPY, partition by partition."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from smcatalog.core.stations import Site, StationSeries
from smcatalog.core.texts import kinds_of
from smcatalog.database.matchups import forget_station
from smcatalog.database.models import Network, Observation, Sensor, Station

__all__ = ["SAME_SITE_METRES", "record_series", "record_site"]

SAME_SITE_METRES: Final = 100.0
"""Stations of two networks closer than this are one site under two names."""

_ROWS_AT_ONCE: Final = 65_536


def record_site(connection: Connection, site: Site) -> int:
    """Record a station and return its key.

    Of two statements of one station's place the one with more decimals is kept. A station that
    stands where one of another network does is marked as the same site.
    """
    network_id = connection.scalar(select(Network.id).where(Network.name == site.network))
    if network_id is None:
        connection.execute(insert(Network).values(name=site.network).on_conflict_do_nothing())
        network_id = connection.scalar(select(Network.id).where(Network.name == site.network))
    point = func.ST_SetSRID(func.ST_MakePoint(site.longitude, site.latitude), 4326)
    known = connection.execute(
        select(Station.id, Station.coordinate_decimals, Station.elevation).where(
            Station.network_id == network_id, Station.name == site.station
        )
    ).one_or_none()
    if known is None:
        station_id: int = connection.execute(
            insert(Station)
            .values(
                network_id=network_id,
                name=site.station,
                geometry=point,
                coordinate_decimals=site.decimals,
                elevation=site.elevation,
            )
            .returning(Station.id)
        ).scalar_one()
        _mark_same_site(connection, station_id)
        return station_id
    changes: dict[str, Any] = {}
    if site.decimals > known.coordinate_decimals:
        changes |= {"geometry": point, "coordinate_decimals": site.decimals}
    if known.elevation is None and site.elevation is not None:
        changes["elevation"] = site.elevation
    if changes:
        connection.execute(update(Station).where(Station.id == known.id).values(changes))
    if "geometry" in changes:
        _mark_same_site(connection, known.id)
        forget_station(connection, known.id)
    found: int = known.id
    return found


def _mark_same_site(connection: Connection, station_id: int) -> None:
    """Name the nearest station of another network at the same place, if there is one.

    The earlier known station is the primary; a chain is cut short, so that a primary is never
    itself the twin of another.
    """
    connection.execute(
        text("""
            UPDATE smcatalog.stations AS s
            SET same_site_as = (
                SELECT o.id FROM smcatalog.stations o
                WHERE o.network_id <> s.network_id AND o.id < s.id AND o.same_site_as IS NULL
                  AND ST_DWithin(o.geometry::geography, s.geometry::geography, :metres)
                ORDER BY ST_Distance(o.geometry::geography, s.geometry::geography), o.id
                LIMIT 1
            )
            WHERE s.id = :station
        """),
        {"station": station_id, "metres": SAME_SITE_METRES},
    )


def record_series(connection: Connection, series: StationSeries) -> int:
    """Record a sensor's observations and return how many were written.

    What the sensor had within the span of the series is replaced: a later delivery of the same
    sensor corrects an earlier one.
    """
    station_id = record_site(connection, series.site)
    sensor_id = _sensor(connection, station_id, series)
    if len(series.times) == 0:
        return 0
    years = series.times[[0, -1]].astype("datetime64[Y]").astype(int) + 1970
    connection.execute(
        text(
            "SELECT smcatalog.ensure_observation_partition(y) "
            "FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) y"
        ),
        {"first": int(years[0]), "last": int(years[1])},
    )
    first, last = (t.item().isoformat() + "Z" for t in (series.times[0], series.times[-1]))
    connection.execute(
        text("""
            DELETE FROM smcatalog.observations
            WHERE sensor_id = :sensor AND time BETWEEN CAST(:first AS timestamptz) AND CAST(:last AS timestamptz)
        """),
        {"sensor": sensor_id, "first": first, "last": last},
    )
    _copy(connection, sensor_id, series)
    return len(series.times)


def _sensor(connection: Connection, station_id: int, series: StationSeries) -> int:
    identity = {
        "station_id": station_id,
        "name": series.sensor,
        "variable": series.variable,
        "depth_top": series.depth.top,
        "depth_bottom": series.depth.bottom,
    }
    insertion = insert(Sensor).values(**identity, step_hours=series.step_hours)
    # the update changes nothing but makes RETURNING give the key of a sensor that is there
    statement = insertion.on_conflict_do_update(
        index_elements=list(identity), set_={"step_hours": insertion.excluded.step_hours}
    ).returning(Sensor.id)
    sensor_id: int = connection.execute(statement).scalar_one()
    return sensor_id


_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_EPOCH: Final = np.datetime64("2000-01-01T00:00:00", "s")
_MICROSECONDS: Final = 1_000_000
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("sensor_length", ">i4"), ("sensor", ">i8"),
        ("time_length", ">i4"), ("time", ">i8"),
        ("value_length", ">i4"), ("value", ">f4"),
        ("good_length", ">i4"), ("good", "u1"),
        ("flag_length", ">i4"),
    ]
)  # fmt: skip
"""A row in PostgreSQL's binary format of COPY, up to the text of its flag."""
_NULL: Final = -1


def _binary(sensor_id: int, series: StationSeries) -> bytes:
    """Return the rows of a series in the binary format of COPY."""
    rows = np.zeros(len(series.times), _ROW)
    rows["fields"] = 5
    for name, length in (("sensor", 8), ("time", 8), ("value", 4), ("good", 1)):
        rows[f"{name}_length"] = length
    rows["sensor"] = sensor_id
    since = series.times.astype("datetime64[s]") - _EPOCH
    rows["time"] = since.astype(np.int64) * _MICROSECONDS
    rows["value"] = series.values
    rows["good"] = series.good
    kinds, index = kinds_of(series.flags)
    texts = [str(kind).encode() for kind in kinds]
    rows["flag_length"] = np.array([len(text) or _NULL for text in texts], np.int32)[index]
    widest = max(len(text) for text in texts)
    # each row with room for the longest flag, then what is not used left out
    flags = np.array([list(text.ljust(widest, b"\0")) for text in texts], np.uint8)
    used = np.arange(widest) < np.array([len(text) for text in texts])[:, None]
    whole = np.empty((len(rows), _ROW.itemsize + widest), np.uint8)
    whole[:, : _ROW.itemsize] = rows.view(np.uint8).reshape(len(rows), _ROW.itemsize)
    whole[:, _ROW.itemsize :] = flags[index]
    kept = np.ones(whole.shape, bool)
    kept[:, _ROW.itemsize :] = used[index]
    return whole[kept].tobytes()


def _copy(connection: Connection, sensor_id: int, series: StationSeries) -> None:
    columns = ", ".join(c.name for c in Observation.__table__.columns)
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection was closed while observations were written")
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY smcatalog.observations ({columns}) FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.write(_HEADER)
        for start in range(0, len(series.times), _ROWS_AT_ONCE):
            copy.write(_binary(sensor_id, series.part(start, start + _ROWS_AT_ONCE)))
        copy.write(_TRAILER)
