"""Moments of match-ups by group, from the monthly roll-up and, for part months, the match-ups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, text

from smcatalog.core.moments import Moments
from smcatalog.database.matchups import in_force

__all__ = ["GroupMoments", "Grouping", "group_moments"]


class Grouping(StrEnum):
    """What match-ups are put together by."""

    STATION = "station"
    NETWORK = "network"
    MONTH = "month"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class GroupMoments:
    """Moments of one group of match-ups.

    Parameters
    ----------
    version : int
        Number of the product version.
    network, station : str or None
        Of the group, where it is grouped by them.
    month : date or None
        First day of the month, where it is grouped by month.
    band : int
        Band of the map, from 1.
    depth : (float, float)
        Of the band [m].
    stations : int
        How many stations count.
    map, coarse : Moments
        Of the map, and of the coarse product where the map has a value too.
    """

    version: int
    network: str | None
    station: str | None
    month: date | None
    band: int
    depth: tuple[float, float]
    stations: int
    map: Moments
    coarse: Moments


_KEYS: Final = {
    Grouping.STATION: "network, station",
    Grouping.NETWORK: "network",
    Grouping.MONTH: "month",
    Grouping.ALL: "",
}
_MOMENTS: Final = (
    "n",
    "mean_estimate",
    "mean_reference",
    "m2_estimate",
    "m2_reference",
    "co_moment",
    "sum_absolute_error",
)

# Whole months come from the roll-up. A month that the window cuts comes from its match-ups, and so does every
# month when an instant is asked for: the roll-up is of live maps.
_PARTS: Final = """
    WITH version AS (
        SELECT v.id, v.number, v.definition FROM smcatalog.product_versions v
        WHERE v.product_id = :product
    ), part AS (
        SELECT s.product_version_id, s.sensor_id, s.band, s.month, s.subject, s.n, s.mean_estimate,
               s.mean_reference, s.m2_estimate, s.m2_reference, s.co_moment, s.sum_absolute_error
        FROM smcatalog.monthly_statistics s
        WHERE {live} AND s.product_version_id IN (SELECT id FROM version)
          AND s.month >= CAST(:first AS date)
          AND s.month + interval '1 month -1 day' <= CAST(:last AS date)
        UNION ALL
        SELECT m.product_version_id, u.sensor_id, u.band,
               date_trunc('month', m.day::timestamp)::date, x.subject, count(*),
               regr_avgy(x.estimate, u.reference), regr_avgx(x.estimate, u.reference),
               regr_syy(x.estimate, u.reference), regr_sxx(x.estimate, u.reference),
               regr_sxy(x.estimate, u.reference), sum(abs(x.estimate - u.reference))
        FROM smcatalog.maps m
        JOIN smcatalog.matchups u ON u.map_id = m.id
        CROSS JOIN LATERAL (
            VALUES ('map', u.estimate),
                   ('coarse', CASE WHEN u.estimate IS NOT NULL THEN u.coarse END)
        ) AS x (subject, estimate)
        WHERE m.product_id = :product AND {in_force} AND x.estimate IS NOT NULL
          AND m.day BETWEEN CAST(:first AS date) AND CAST(:last AS date)
          AND (NOT {live} OR date_trunc('month', m.day::timestamp) < CAST(:first AS date)
               OR date_trunc('month', m.day::timestamp) + interval '1 month -1 day'
                  > CAST(:last AS date))
        GROUP BY 1, 2, 3, 4, 5
    ), named AS (
        SELECT p.*, v.number AS version, w.name AS network, t.name AS station,
               t.id AS station_id, coalesce(t.same_site_as, t.id) AS site,
               (v.definition -> 'depths' -> (p.band - 1) ->> 'top')::double precision AS depth_top,
               (v.definition -> 'depths' -> (p.band - 1) ->> 'bottom')::double precision
                   AS depth_bottom
        FROM part p
        JOIN version v ON v.id = p.product_version_id
        JOIN smcatalog.sensors s ON s.id = p.sensor_id
        JOIN smcatalog.stations t ON t.id = s.station_id
        JOIN smcatalog.networks w ON w.id = t.network_id
        WHERE CAST(:network AS text) IS NULL OR w.name = :network
    )
"""

# Stations at one place count once in a group: the one known earliest. Moments are merged by the
# formula of Chan et al. (1983), for all parts of a group at once: first the group's means, then
# each part's deviations about its own mean plus its mean's distance from the group's.
_MERGE: Final = """
    , ranked AS (
        SELECT *, min(station_id) OVER (PARTITION BY version, band, {site}) AS counting
        FROM named
    ), centred AS (
        SELECT *, sum(n * mean_estimate) OVER whole / sum(n) OVER whole AS group_estimate,
               sum(n * mean_reference) OVER whole / sum(n) OVER whole AS group_reference
        FROM ranked WHERE station_id = counting
        WINDOW whole AS (PARTITION BY version, band, {group} subject)
    )
    SELECT version, band, {group} subject, depth_top, depth_bottom,
           count(DISTINCT station_id) AS stations, sum(n)::bigint AS n,
           min(group_estimate) AS mean_estimate, min(group_reference) AS mean_reference,
           sum(m2_estimate + n * (mean_estimate - group_estimate) ^ 2) AS m2_estimate,
           sum(m2_reference + n * (mean_reference - group_reference) ^ 2) AS m2_reference,
           sum(co_moment + n * (mean_estimate - group_estimate)
                             * (mean_reference - group_reference)) AS co_moment,
           sum(sum_absolute_error) AS sum_absolute_error
    FROM centred
    GROUP BY version, band, {group} subject, depth_top, depth_bottom
    ORDER BY version, band, {group} subject DESC
"""


def group_moments(
    connection: Connection,
    product_id: int,
    *,
    by: Grouping,
    first: date | None = None,
    last: date | None = None,
    network: str | None = None,
    as_of: datetime | None = None,
) -> list[GroupMoments]:
    """Return the moments of a product's match-ups by group.

    Parameters
    ----------
    product_id : int
        Key of the product.
    by : Grouping
        What they are put together by.
    first, last : date, optional
        Only maps dated from ``first`` to ``last``, both included.
    network : str, optional
        Only stations of this network.
    as_of : datetime, optional
        For the maps that were in force at this instant; for the live ones by default.

    Returns
    -------
    list of GroupMoments
        Ordered by version, band and the group's names.
    """
    group = _KEYS[by] + (", " if _KEYS[by] else "")
    parts = _PARTS.format(in_force=in_force(as_of), live="false" if as_of else "true")
    query = text(parts + _MERGE.format(group=group, site=group + "site"))
    rows = connection.execute(
        query,
        {
            "product": product_id,
            "first": first or date.min,
            "last": last or date.max,
            "network": network,
            "as_of": as_of,
        },
    ).mappings()
    groups: dict[tuple[object, ...], GroupMoments] = {}
    for row in rows:  # a group's row of the map comes before that of the coarse product
        names = {k: row.get(k) for k in ("network", "station", "month")}
        key = (row["version"], row["band"], *names.values())
        moments = Moments(*(row[name] for name in _MOMENTS))
        known = groups.get(key)
        groups[key] = GroupMoments(
            version=row["version"],
            **names,
            band=row["band"],
            depth=(row["depth_top"], row["depth_bottom"]),
            stations=known.stations if known else row["stations"],
            map=known.map if known else moments,
            coarse=moments if known else Moments(),
        )
    return list(groups.values())
