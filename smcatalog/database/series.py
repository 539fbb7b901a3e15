"""What stations observed day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from smcatalog.core.errors import NotFoundError
from smcatalog.core.grids import BBox
from smcatalog.core.stations import Depth
from smcatalog.core.time import DAY, utc_midnight
from smcatalog.database.daily import ENOUGH, SHIFT, in_depth

__all__ = ["StationDays", "network_stations", "station_days"]


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


def network_stations(
    connection: Connection, bbox: BBox, network: str | None = None
) -> list[tuple[str, str]]:
    """Return network and name of the stations with soil moisture in a box of degrees, in their order.

    Parameters
    ----------
    network : str, optional
        Only of this network.
    """
    west, south, east, north = bbox
    rows = connection.execute(
        text("""
            SELECT n.name, t.name
            FROM smcatalog.stations t JOIN smcatalog.networks n ON n.id = t.network_id
            WHERE t.geometry OPERATOR(public.&&)
                  public.ST_MakeEnvelope(:west, :south, :east, :north, 4326)
              AND (CAST(:network AS text) IS NULL OR n.name = :network)
              AND EXISTS (SELECT FROM smcatalog.sensors s
                          WHERE s.station_id = t.id AND s.variable = 'sm')
            ORDER BY n.name, t.name
        """),
        {"west": west, "south": south, "east": east, "north": north, "network": network},
    )
    return [(row[0], row[1]) for row in rows]


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
    rows = connection.execute(
        text(f"""
            SELECT day::date, avg(mean ORDER BY sensor) AS value FROM (
                SELECT s.id AS sensor, date_trunc('day', o.time + shift.hours, 'UTC') AS day,
                       avg(o.value::double precision ORDER BY o.time) AS mean
                FROM (
                    SELECT id, step_hours, round(depth_top::numeric, 4)::double precision AS top,
                           round(depth_bottom::numeric, 4)::double precision AS bottom
                    FROM smcatalog.sensors WHERE station_id = :id AND variable = 'sm'
                ) s
                CROSS JOIN LATERAL (
                    SELECT {SHIFT.format(sensor="s")} AS hours
                ) AS shift
                JOIN smcatalog.observations o ON o.sensor_id = s.id AND o.good
                    AND o.time >= :first - shift.hours AND o.time < :last - shift.hours
                WHERE {in_depth(":top", ":bottom")}
                GROUP BY s.id, s.step_hours, 2
                HAVING {ENOUGH.format(sensor="s")}
            ) daily GROUP BY day ORDER BY day
        """),  # noqa: S608 - constants
        {
            "id": place.id,
            "top": round(depth.top, 4),
            "bottom": round(depth.bottom, 4),
            "first": utc_midnight(first),
            "last": utc_midnight(last) + DAY,
        },
    ).all()
    return StationDays(
        network,
        station,
        place.x,
        place.y,
        tuple(row.day for row in rows),
        tuple(row.value for row in rows),
    )


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
