"""Stations and their observations: written by COPY, partition by partition."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from smcatalog.core.stations import Site, StationSeries
from smcatalog.database.matchups import forget_station
from smcatalog.database.models import Network, Observation, Sensor, Station

__all__ = ["SAME_SITE_METRES", "record_series", "record_site"]

SAME_SITE_METRES: Final = 100.0
"""Stations of two networks closer than this are one site under two names."""

_ROWS_AT_ONCE: Final = 4096


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
    years = series.times.astype("datetime64[Y]").astype(int) + 1970
    for year in range(int(years.min()), int(years.max()) + 1):
        connection.execute(
            text("SELECT smcatalog.ensure_observation_partition(:year)"), {"year": year}
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


def _lines(sensor_id: int, series: StationSeries) -> Iterator[str]:
    """Yield COPY text lines: sensor, time, value, good, flag."""
    times: NDArray[np.str_] = np.datetime_as_string(series.times.astype("datetime64[s]"))
    values = np.char.mod("%.9g", series.values.astype(np.float64))
    good = np.where(series.good, "t", "f")
    rows = zip(times.tolist(), values.tolist(), good.tolist(), series.flags.tolist(), strict=True)
    for time, value, ok, flag in rows:
        shown = _escape(flag) if flag else "\\N"
        yield f"{sensor_id}\t{time}Z\t{value}\t{ok}\t{shown}\n"


def _escape(value: str) -> str:
    return (
        value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    )


def _copy(connection: Connection, sensor_id: int, series: StationSeries) -> None:
    columns = ", ".join(c.name for c in Observation.__table__.columns)
    lines = _lines(sensor_id, series)
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection was closed while observations were written")
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY smcatalog.observations ({columns}) FROM STDIN") as copy,
    ):
        while block := "".join(islice(lines, _ROWS_AT_ONCE)):
            copy.write(block)
