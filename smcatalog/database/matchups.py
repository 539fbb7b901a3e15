"""Match-ups: which are missing or out of date, how they are written; `statistics` rolls them up by month.

The rule, which the view ``views.matchups`` repeats for those who query it:

*Where.* Each live map is compared with each station in one of its pixels.

*Depth.* A sensor belongs to the band of a map whose depth [top, bottom] holds it: a point sensor
when ``top < depth <= bottom`` (a depth of 0 belongs to the band that begins there), an interval when
its middle lies in ``[top, bottom)``. So no sensor belongs to two adjoining bands, a sensor at 5 cm
stands for 0-5 cm, and one of 0-10 cm does not. Depths are compared to a tenth of a millimetre.

*When.* The reference is the mean of the station's daily means over the UTC days whose noon lies in
the map's period ``[start, end)``. Only values that their provider calls good count. Of hourly values
a day needs at least 12. A value that is itself a daily mean, of a local day perhaps, belongs to the UTC day
in which the middle of its 24 hours falls. At least one day must count.

A match-up is out of date when new observations give another reference or number of days. Match-ups
of maps that are no longer in force stay; they count when the catalogue as of an instant is asked for. Observations
have no history: the maps are those of the instant, the observations today's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from smcatalog.database.daily import ENOUGH, SHIFT, in_depth

__all__ = [
    "MatchupInput",
    "MatchupKey",
    "NewMatchup",
    "PendingMatchup",
    "drop",
    "forget_station",
    "grids_in_force",
    "inputs",
    "network_names",
    "outdated",
    "station_places",
    "write",
]


MatchupKey = tuple[int, int, int]
"""Map, sensor and band."""


@dataclass(frozen=True, slots=True)
class PendingMatchup:
    """A match-up that is missing or out of date.

    Parameters
    ----------
    map_id, sensor_id, station_id : int
        Keys.
    band : int
        Band of the map, from 1.
    reference : float
        Mean of the station's daily means [m³ m⁻³].
    n_days : int
        Days that it rests on.
    """

    map_id: int
    sensor_id: int
    station_id: int
    band: int
    reference: float
    n_days: int


@dataclass(frozen=True, slots=True)
class NewMatchup:
    """A match-up to be written: a pending one with what map and coarse product say."""

    pending: PendingMatchup
    estimate: float | None
    coarse: float | None
    quality: int | None


@dataclass(frozen=True, slots=True)
class MatchupInput:
    """Where a map's values are.

    Parameters
    ----------
    grid : str
        Name of the map's grid.
    soil_moisture, quality : str
        Keys of its files in the store.
    coarse : tuple of (str, str, str)
        Key, grid and variable of the layers that were downscaled.
    """

    grid: str
    soil_moisture: str
    quality: str
    coarse: tuple[tuple[str, str, str], ...]


def in_force(as_of: datetime | None) -> str:
    """Return the condition for maps ``m`` that are live, or that were in force at the instant ``:as_of``."""
    if as_of is None:
        return "m.superseded_at IS NULL"  # as the index of live maps has it
    return "m.published_at <= :as_of AND (m.superseded_at IS NULL OR m.superseded_at > :as_of)"


def grids_in_force(
    connection: Connection,
    product_id: int,
    as_of: datetime | None = None,
    first: date | None = None,
    last: date | None = None,
) -> list[str]:
    """Return the names of the grids of a product's maps that are live, or were in force at an instant."""
    query = text(f"""
        SELECT DISTINCT m.grid FROM smcatalog.maps m
        WHERE m.product_id = :product AND {in_force(as_of)}
          AND m.day BETWEEN coalesce(CAST(:first AS date), '-infinity')
                        AND coalesce(CAST(:last AS date), 'infinity')
        ORDER BY m.grid
    """)  # noqa: S608 - put together from constants
    arguments = {"product": product_id, "as_of": as_of, "first": first, "last": last}
    return list(connection.scalars(query, arguments))


def station_places(connection: Connection) -> list[tuple[int, float, float]]:
    """Return key, longitude and latitude [degrees] of the stations with a soil moisture sensor."""
    query = text("""
        SELECT t.id, public.ST_X(t.geometry), public.ST_Y(t.geometry) FROM smcatalog.stations t
        WHERE EXISTS (SELECT FROM smcatalog.sensors s WHERE s.station_id = t.id AND s.variable = 'sm')
        ORDER BY t.id
    """)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def network_names(connection: Connection) -> list[str]:
    """Return the names of all networks, sorted."""
    return list(connection.scalars(text("SELECT name FROM smcatalog.networks ORDER BY name")))


_REFERENCES: Final = f"""
    band AS (
        SELECT m.id AS map_id, m.grid, e.number::smallint AS band,
               round((e.depth ->> 'top')::numeric, 4) AS top,
               round((e.depth ->> 'bottom')::numeric, 4) AS bottom,
               -- the days whose noon lies in the period, from the first's start to the last's end
               date_trunc('day', m.start_time + interval '12 hours -1 microsecond', 'UTC')
                   AS first_instant,
               date_trunc('day', m.end_time + interval '12 hours -1 microsecond', 'UTC')
                   AS last_instant
        FROM smcatalog.maps m
        JOIN smcatalog.product_versions v ON v.id = m.product_version_id
        CROSS JOIN LATERAL jsonb_array_elements(v.definition -> 'depths')
            WITH ORDINALITY AS e (depth, number)
        WHERE m.product_id = :product AND {{in_force}}
          AND m.day BETWEEN coalesce(CAST(:first AS date), '-infinity')
                        AND coalesce(CAST(:last AS date), 'infinity')
    ),
    sensor AS (
        SELECT s.id, s.station_id, s.step_hours,
               round(s.depth_top::numeric, 4) AS top, round(s.depth_bottom::numeric, 4) AS bottom
        FROM smcatalog.sensors s WHERE s.variable = 'sm'
    ),
    pair AS (
        SELECT b.*, s.id AS sensor_id, s.station_id, s.step_hours
        FROM band b
        JOIN unnest(CAST(:grids AS text[]), CAST(:stations AS bigint[])) AS i (grid, station_id)
            ON i.grid = b.grid
        JOIN sensor s ON s.station_id = i.station_id
        WHERE {in_depth("b.top", "b.bottom")}
    ),
    found AS (
        SELECT p.map_id, p.sensor_id, p.station_id, p.band, d.reference, d.n_days
        FROM pair p
        CROSS JOIN LATERAL (
            SELECT avg(daily.mean ORDER BY daily.day) AS reference, count(*)::smallint AS n_days
            FROM (
                SELECT date_trunc('day', o.time + shift.hours, 'UTC') AS day,
                       avg(o.value::double precision ORDER BY o.time) AS mean
                FROM (SELECT {SHIFT.format(sensor="p")} AS hours) AS shift
                JOIN smcatalog.observations o ON o.sensor_id = p.sensor_id AND o.good
                    AND o.time >= p.first_instant - shift.hours
                    AND o.time < p.last_instant - shift.hours
                GROUP BY 1
                HAVING {ENOUGH.format(sensor="p")}
            ) daily
        ) d
        WHERE d.n_days > 0
    )
"""  # noqa: S608 - constants


def outdated(
    connection: Connection,
    product_id: int,
    inside: Sequence[tuple[str, int]],
    as_of: datetime | None = None,
    first: date | None = None,
    last: date | None = None,
) -> tuple[list[PendingMatchup], list[MatchupKey]]:
    """Compare the match-ups of a product's maps with what observations say now.

    Parameters
    ----------
    product_id : int
        Key of the product.
    inside : sequence of (str, int)
        Names of grids with the keys of the stations in them.
    as_of : datetime, optional
        Of the maps that were in force at this instant; of the live ones by default.
    first, last : date, optional
        Only of maps dated from ``first`` to ``last``, both included.

    Returns
    -------
    pending : list of PendingMatchup
        Missing or out of date; ordered by map, sensor, band.
    obsolete : list of (int, int, int)
        Map, sensor, band of match-ups that no observation supports any more.
    """
    query = text(f"""
        WITH {_REFERENCES.format(in_force=in_force(as_of))},
        known AS (
            SELECT u.map_id, u.sensor_id, u.band, u.reference, u.n_days
            FROM smcatalog.matchups u JOIN smcatalog.maps m ON m.id = u.map_id
            WHERE m.product_id = :product AND {in_force(as_of)}
              AND m.day BETWEEN coalesce(CAST(:first AS date), '-infinity')
                            AND coalesce(CAST(:last AS date), 'infinity')
        )
        SELECT map_id, sensor_id, f.station_id, band, f.reference, f.n_days
        FROM found f FULL JOIN known k USING (map_id, sensor_id, band)
        WHERE (f.reference, f.n_days) IS DISTINCT FROM (k.reference, k.n_days)
        ORDER BY map_id, sensor_id, band
    """)  # noqa: S608 - put together from constants
    arguments = {
        "product": product_id,
        "grids": [grid for grid, _ in inside],
        "stations": [station for _, station in inside],
        "as_of": as_of,
        "first": first,
        "last": last,
    }
    wanted: list[PendingMatchup] = []
    obsolete: list[MatchupKey] = []
    for row in connection.execute(query, arguments):
        if row.reference is None:
            obsolete.append((row.map_id, row.sensor_id, row.band))
        else:
            wanted.append(PendingMatchup(*row))
    return wanted, obsolete


def drop(connection: Connection, keys: Sequence[MatchupKey]) -> None:
    """Remove match-ups by map, sensor and band."""
    if not keys:
        return
    maps, sensors, bands = zip(*keys, strict=True)
    connection.execute(
        text("""
            DELETE FROM smcatalog.matchups u
            USING unnest(CAST(:maps AS bigint[]), CAST(:sensors AS bigint[]),
                         CAST(:bands AS smallint[])) AS k (map_id, sensor_id, band)
            WHERE (u.map_id, u.sensor_id, u.band) = (k.map_id, k.sensor_id, k.band)
        """),
        {"maps": list(maps), "sensors": list(sensors), "bands": list(bands)},
    )


def inputs(connection: Connection, map_ids: Iterable[int]) -> dict[int, MatchupInput]:
    """Return where the values of maps are, by the maps' keys."""
    query = text("""
        SELECT m.id, m.grid, f.key AS soil_moisture, q.key AS quality,
               array(
                   SELECT ARRAY[l.key, l.grid, l.variable]
                   FROM smcatalog.map_layers c JOIN smcatalog.layers l ON l.id = c.layer_id
                   WHERE c.map_id = m.id AND c.role = 'coarse' ORDER BY l.id
               ) AS coarse
        FROM smcatalog.maps m
        JOIN smcatalog.map_files f ON f.map_id = m.id AND f.kind = 'soil_moisture'
        JOIN smcatalog.map_files q ON q.map_id = m.id AND q.kind = 'quality'
        WHERE m.id = ANY (:maps)
    """)
    rows = connection.execute(query, {"maps": list(map_ids)})
    return {
        row.id: MatchupInput(
            row.grid, row.soil_moisture, row.quality, tuple(tuple(layer) for layer in row.coarse)
        )
        for row in rows
    }


def write(connection: Connection, matchups: Sequence[NewMatchup]) -> None:
    """Write match-ups; those that are there already are replaced."""
    columns = "map_id, sensor_id, band, reference, n_days, estimate, coarse, quality"
    connection.execute(
        text(f"""
            CREATE TEMPORARY TABLE new_matchups ON COMMIT DROP AS
            SELECT {columns} FROM smcatalog.matchups WITH NO DATA
        """)  # noqa: S608 - put together from constants
    )
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY pg_temp.new_matchups ({columns}) FROM STDIN") as copy,
    ):
        for new in matchups:
            old = new.pending
            copy.write_row(
                (
                    *(old.map_id, old.sensor_id, old.band, old.reference, old.n_days),
                    *(new.estimate, new.coarse, new.quality),
                )
            )
    connection.execute(
        text(f"""
            INSERT INTO smcatalog.matchups ({columns})
            SELECT {columns} FROM pg_temp.new_matchups ORDER BY map_id, sensor_id, band
            ON CONFLICT (map_id, sensor_id, band) DO UPDATE SET
                reference = excluded.reference, n_days = excluded.n_days,
                estimate = excluded.estimate, coarse = excluded.coarse,
                quality = excluded.quality, computed_at = clock_timestamp()
        """)  # noqa: S608 - put together from constants
    )
    connection.execute(text("DROP TABLE pg_temp.new_matchups"))


def forget_station(connection: Connection, station_id: int) -> None:
    """Remove a station's match-ups, because it stands elsewhere than was thought.

    The next validation makes them again at the right place.
    """
    connection.execute(
        text("""
            DELETE FROM smcatalog.matchups u USING smcatalog.sensors s
            WHERE s.id = u.sensor_id AND s.station_id = :station
        """),
        {"station": station_id},
    )
