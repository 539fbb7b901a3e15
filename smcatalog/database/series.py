"""What stations observed day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from smcatalog.core.errors import NotFoundError
from smcatalog.core.grids import BBox
from smcatalog.core.stations import Depth
from smcatalog.core.time import DAY, utc_midnight
from smcatalog.database.daily import ENOUGH, SHIFT, in_depth

__all__ = ["StationDays", "region_days", "station_days"]


@dataclass(frozen=True, slots=True)
class StationDays:
    """A station's daily means at a depth.

    Parameters
    ----------
    network, station : str
        Names.
    longitude, latitude : float
        Place [degrees].
    days : tuple of date
        Days with a mean, in the order of time.
    values : tuple of float
        Means of the station's sensors in that depth [m³ m⁻³].
    """

    network: str
    station: str
    longitude: float
    latitude: float
    days: tuple[date, ...]
    values: tuple[float, ...]


def region_days(
    connection: Connection,
    bbox: BBox,
    depth: Depth,
    first: date,
    last: date,
    networks: Sequence[str] = (),
) -> list[StationDays]:
    """Return the daily means of all stations in a box, in the order of networks and names, as `station_days` does.

    Those with no mean from ``first`` to ``last``, both included, are left out.

    Parameters
    ----------
    bbox : BBox
        West, south, east, north [degrees].
    networks : sequence of str, optional
        Only of these, in this order; all by default.
    """
    west, south, east, north = bbox
    rows = connection.execute(
        text("""
            SELECT t.id, n.name AS network, t.name AS station,
                   public.ST_X(t.geometry) AS x, public.ST_Y(t.geometry) AS y
            FROM smcatalog.stations t JOIN smcatalog.networks n ON n.id = t.network_id
            WHERE t.geometry OPERATOR(public.&&)
                  public.ST_MakeEnvelope(:west, :south, :east, :north, 4326)
              AND (CAST(:networks AS text[]) IS NULL OR n.name = ANY(CAST(:networks AS text[])))
            ORDER BY array_position(CAST(:networks AS text[]), n.name::text), n.name, t.name
        """),
        {
            "west": west,
            "south": south,
            "east": east,
            "north": north,
            "networks": list(networks) or None,
        },
    ).all()
    means = _means(connection, [row.id for row in rows], depth, first, last)
    return [
        StationDays(row.network, row.station, row.x, row.y, *zip(*means[row.id], strict=True))
        for row in rows
        if row.id in means
    ]


def station_days(
    connection: Connection, network: str, station: str, depth: Depth, first: date, last: date
) -> StationDays:
    """Return a station's daily means from ``first`` to ``last``, both included.

    Sensors and days count by the rule of the match-ups (`smcatalog.database.matchups`).

    Raises
    ------
    NotFoundError
        When there is no such station; the message names some that there are.
    """
    place = connection.execute(
        text("""
            SELECT t.id, public.ST_X(t.geometry) AS x, public.ST_Y(t.geometry) AS y
            FROM smcatalog.stations t JOIN smcatalog.networks n ON n.id = t.network_id
            WHERE n.name = :network AND t.name = :station
        """),
        {"network": network, "station": station},
    ).one_or_none()
    if place is None:
        raise NotFoundError(
            f"no station is called '{network}/{station}'; there are {_some_stations(connection)}"
        )
    found = _means(connection, [place.id], depth, first, last).get(place.id, [])
    days, values = zip(*found, strict=True) if found else ((), ())
    return StationDays(network, station, place.x, place.y, days, values)


def _means(
    connection: Connection, stations: Sequence[int], depth: Depth, first: date, last: date
) -> dict[int, list[tuple[date, float]]]:
    """Return days and means of those stations that have any, in the order of time."""
    rows = connection.execute(
        text(f"""
            SELECT station, day::date, avg(mean ORDER BY sensor) AS value FROM (
                SELECT s.station, s.id AS sensor,
                       date_trunc('day', o.time + shift.hours, 'UTC') AS day,
                       avg(o.value::double precision ORDER BY o.time) AS mean
                FROM (
                    SELECT id, station_id AS station, step_hours,
                           round(depth_top::numeric, 4)::double precision AS top,
                           round(depth_bottom::numeric, 4)::double precision AS bottom
                    FROM smcatalog.sensors WHERE station_id = ANY(:ids) AND variable = 'sm'
                ) s
                CROSS JOIN LATERAL (
                    SELECT {SHIFT.format(sensor="s")} AS hours
                ) AS shift
                JOIN smcatalog.observations o ON o.sensor_id = s.id AND o.good
                    AND o.time >= :first - shift.hours AND o.time < :last - shift.hours
                WHERE {in_depth(":top", ":bottom")}
                GROUP BY s.station, s.id, s.step_hours, 3
                HAVING {ENOUGH.format(sensor="s")}
            ) daily GROUP BY station, day ORDER BY station, day
        """),  # noqa: S608 - constants
        {
            "ids": list(stations),
            "top": round(depth.top, 4),
            "bottom": round(depth.bottom, 4),
            "first": utc_midnight(first),
            "last": utc_midnight(last) + DAY,
        },
    )
    found: dict[int, list[tuple[date, float]]] = {}
    for station, day, value in rows:
        found.setdefault(station, []).append((day, value))
    return found


def _some_stations(connection: Connection) -> str:
    names = connection.scalars(
        text("""
            SELECT n.name || '/' || t.name
            FROM smcatalog.stations t JOIN smcatalog.networks n ON n.id = t.network_id
            ORDER BY 1 LIMIT 6
        """)
    ).all()
    shown = ", ".join(names[:5]) or "none yet: ingest an archive first"
    return f"{shown}, …" if len(names) > 5 else shown  # noqa: PLR2004 - one more than shown
