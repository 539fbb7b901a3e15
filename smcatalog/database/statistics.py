"""The monthly roll-up of match-ups."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, text

__all__ = ["refresh_statistics"]


def refresh_statistics(
    connection: Connection, product_id: int, first: date | None = None, last: date | None = None
) -> int:
    """Bring a product's monthly statistics in line with its match-ups; return rows changed.

    Parameters
    ----------
    first, last : date, optional
        Only of the months from that of ``first`` to that of ``last``, whole ones.

    Notes
    -----
    Sums run in the order of days, so that the same match-ups give the same numbers to the last bit
    and a second run changes nothing. PostgreSQL's ``regr_*`` update means and squared deviations
    (Youngs and Cramer 1971), so no large sums are subtracted.
    """
    query = text("""
        WITH span AS (
            SELECT coalesce(date_trunc('month', CAST(:first AS timestamp))::date, '-infinity')
                       AS first_month,
                   coalesce(date_trunc('month', CAST(:last AS timestamp))::date, 'infinity')
                       AS last_month,
                   coalesce((date_trunc('month', CAST(:last AS timestamp))
                             + interval '1 month')::date, 'infinity') AS next_month
        ), fresh AS MATERIALIZED (
            SELECT m.product_version_id, u.sensor_id, u.band,
                   date_trunc('month', m.day::timestamp)::date AS month, x.subject,
                   count(*)::integer AS n,
                   regr_avgy(x.estimate, u.reference ORDER BY m.day) AS mean_estimate,
                   regr_avgx(x.estimate, u.reference ORDER BY m.day) AS mean_reference,
                   regr_syy(x.estimate, u.reference ORDER BY m.day) AS m2_estimate,
                   regr_sxx(x.estimate, u.reference ORDER BY m.day) AS m2_reference,
                   regr_sxy(x.estimate, u.reference ORDER BY m.day) AS co_moment,
                   sum(abs(x.estimate - u.reference) ORDER BY m.day) AS sum_absolute_error
            FROM smcatalog.maps m
            JOIN smcatalog.matchups u ON u.map_id = m.id
            CROSS JOIN LATERAL (
                VALUES ('map', u.estimate),
                       ('coarse', CASE WHEN u.estimate IS NOT NULL THEN u.coarse END)
            ) AS x (subject, estimate)
            WHERE m.product_id = :product AND m.superseded_at IS NULL AND x.estimate IS NOT NULL
              AND m.day >= (SELECT first_month FROM span)
              AND m.day < (SELECT next_month FROM span)
            GROUP BY 1, 2, 3, 4, 5
        ), gone AS (
            DELETE FROM smcatalog.monthly_statistics s USING smcatalog.product_versions v
            WHERE v.id = s.product_version_id AND v.product_id = :product
              AND s.month BETWEEN (SELECT first_month FROM span) AND (SELECT last_month FROM span)
              AND NOT EXISTS (
                  SELECT FROM fresh f
                  WHERE (f.product_version_id, f.sensor_id, f.band, f.month, f.subject)
                      = (s.product_version_id, s.sensor_id, s.band, s.month, s.subject)
              )
            RETURNING 1
        ), changed AS (
            INSERT INTO smcatalog.monthly_statistics AS s (
                product_version_id, sensor_id, band, month, subject, n, mean_estimate,
                mean_reference, m2_estimate, m2_reference, co_moment, sum_absolute_error
            )
            SELECT f.* FROM fresh f
            LEFT JOIN smcatalog.monthly_statistics o
                USING (product_version_id, sensor_id, band, month, subject)
            WHERE o.n IS NULL
               OR (o.n, o.mean_estimate, o.mean_reference, o.m2_estimate, o.m2_reference,
                   o.co_moment, o.sum_absolute_error)
               IS DISTINCT FROM
                  (f.n, f.mean_estimate, f.mean_reference, f.m2_estimate, f.m2_reference,
                   f.co_moment, f.sum_absolute_error)
            ON CONFLICT (product_version_id, sensor_id, band, month, subject) DO UPDATE SET
                n = excluded.n, mean_estimate = excluded.mean_estimate,
                mean_reference = excluded.mean_reference, m2_estimate = excluded.m2_estimate,
                m2_reference = excluded.m2_reference, co_moment = excluded.co_moment,
                sum_absolute_error = excluded.sum_absolute_error
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM changed)
    """)
    arguments = {"product": product_id, "first": first, "last": last}
    return int(connection.execute(query, arguments).scalar_one())
