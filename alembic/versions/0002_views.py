"""The views that people query: schema ``views``, each view and column with a comment.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# One name means one thing in all views.
COLUMNS = {
    "product": "Name of the product, also of its STAC collection",
    "version": "Number of the product version",
    "revision": "How often the version's map of the day was published, from 1",
    "day": "Day the map is dated by, the middle of its period, UTC",
    "month": "First day of the month",
    "start_time": "First instant covered",
    "end_time": "First instant no longer covered",
    "item_id": "Identifier of the map's STAC item",
    "grid": "Name of the grid",
    "status": "provisional: may be made again when its look-ahead closes; final: will not",
    "live": "Whether no other map has taken its place",
    "published_at": "When the map was published",
    "superseded_at": "When another map took its place; null while it is live",
    "successor": "Item of the map that took its place",
    "key": "Key of the soil moisture file in the store",
    "sha256": "SHA-256 of the file",
    "size": "Bytes of the file",
    "model": "Fingerprint of the model that made the map",
    "method": "Registered name of the model's method",
    "samples_fingerprint": "Fingerprint of the samples that the model learned from",
    "role": "coarse: the product that was downscaled; covariate: what it was downscaled with",
    "source": "Product family of the granule or layer",
    "variable": "Canonical name of the variable",
    "layer_day": "Day the layer is dated by; null when it is static",
    "layer_grid": "Name of the layer's grid",
    "layer_key": "Key of the layer's file in the store",
    "layer_sha256": "SHA-256 of the layer's file",
    "granule": "Name of the granule as its provider gave it",
    "granule_sha256": "SHA-256 of the granule's file",
    "ingested_at": "When the granule was ingested",
    "network": "Name of the station's network",
    "station": "Name of the station",
    "sensor": "Name of the instrument",
    "sensors": "Number of soil moisture sensors",
    "longitude": "Degrees east, WGS 84",
    "latitude": "Degrees north, WGS 84",
    "elevation": "Metres above sea level",
    "geometry": "Place, WGS 84",
    "same_site_as": "Network/station known earlier at the same place: not independent of it",
    "sensor_top": "Upper end of the sensor's depth, m",
    "sensor_bottom": "Lower end of the sensor's depth, m",
    "band": "Band of the map, from 1: one a depth",
    "depth_top": "Upper end of the map's depth, m",
    "depth_bottom": "Lower end of the map's depth, m",
    "reference": "Mean of the station's daily means over the map's period, m3 m-3",
    "n_days": "Days that the reference rests on",
    "estimate": "The map's value in the pixel that holds the station, m3 m-3",
    "coarse": "The coarse product's value in the cell that holds the station, m3 m-3",
    "error": "estimate - reference, m3 m-3",
    "coarse_error": "coarse - reference, m3 m-3",
    "quality": "Quality bits of the map's pixel",
    "subject": "map: the 1 km map; coarse: the coarse product, where the map has a value too",
    "mean_estimate": "Mean of the estimates, m3 m-3",
    "mean_reference": "Mean of the references, m3 m-3",
    "m2_estimate": "Sum of squared deviations of the estimates from their mean",
    "m2_reference": "Sum of squared deviations of the references from their mean",
    "co_moment": "Sum of products of both deviations",
    "sum_absolute_error": "Sum of absolute differences, m3 m-3",
    "stations": "Number of stations that count",
    "n": "Number of pairs",
    "bias": "Mean of estimate - reference, m3 m-3",
    "rmse": "Root of the mean squared difference, m3 m-3",
    "ubrmse": "The same after the bias is taken out, m3 m-3; null for fewer than two pairs",
    "mae": "Mean absolute difference, m3 m-3",
    "r": "Pearson's correlation; null for fewer than two pairs or a constant side",
    "slope": "Slope of the regression of the estimate on the reference; null where r has no sense",
    "coarse_n": "Number of pairs of the coarse product, among the map's",
    "coarse_bias": "Bias of the coarse product, m3 m-3",
    "coarse_rmse": "RMSE of the coarse product, m3 m-3",
    "coarse_ubrmse": "ubRMSE of the coarse product, m3 m-3",
    "coarse_mae": "Mean absolute difference of the coarse product, m3 m-3",
    "coarse_r": "Pearson's correlation of the coarse product",
    "coarse_slope": "Slope of the regression of the coarse product on the reference",
    "name": "Name under which the file was delivered",
    "reason": "What is wrong with the file",
    "first_seen": "When the file was refused first",
}

RULE = (
    "A map is compared with each sensor of soil moisture inside it whose depth belongs to one of its "
    "bands: a point sensor with top < depth <= bottom (0 counts to the uppermost), an interval whose "
    "middle lies in [top, bottom). The reference is the mean of the station's daily means over the UTC "
    "days whose noon lies in the map's period; of hourly values a day needs 12 good ones, a daily mean "
    "belongs to the UTC day in which the middle of its 24 hours falls. At least one day must count. "
    "Only live maps are listed; written by smcatalog validate"
)
SITE = (
    "Stations at one place (same_site_as) count once in a group: the one known earliest of those "
    "that the group holds"
)

# Inlined by the planner. The same definitions as smcatalog.validation.metrics.Scores; a side counts
# as constant when its spread is what rounding alone can make.
SCORES = """
CREATE FUNCTION smcatalog.scores(
    n double precision, mean_estimate double precision, mean_reference double precision,
    m2_estimate double precision, m2_reference double precision,
    co_moment double precision, sum_absolute_error double precision,
    OUT bias double precision, OUT rmse double precision, OUT ubrmse double precision,
    OUT mae double precision, OUT r double precision, OUT slope double precision
) RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1 AS $$
    SELECT
        mean_estimate - mean_reference,
        sqrt(greatest(m2_estimate + m2_reference - 2 * co_moment, 0) / nullif(n, 0)
             + (mean_estimate - mean_reference) ^ 2),
        CASE WHEN n > 1
             THEN sqrt(greatest(m2_estimate + m2_reference - 2 * co_moment, 0) / nullif(n, 0)) END,
        sum_absolute_error / nullif(n, 0),
        CASE WHEN n > 1 AND m2_estimate > n * (1e-12 * mean_estimate) ^ 2
                  AND m2_reference > n * (1e-12 * mean_reference) ^ 2
             THEN greatest(least(co_moment / (sqrt(m2_estimate) * sqrt(m2_reference)), 1), -1) END,
        CASE WHEN n > 1 AND m2_reference > n * (1e-12 * mean_reference) ^ 2
             THEN co_moment / m2_reference END
    WHERE n > 0
$$
"""

PLACE = """
    s.name AS sensor,
    round(s.depth_top::numeric, 4)::double precision AS sensor_top,
    round(s.depth_bottom::numeric, 4)::double precision AS sensor_bottom
"""
DEPTH = """
    (v.definition -> 'depths' -> (x.band - 1) ->> 'top')::double precision AS depth_top,
    (v.definition -> 'depths' -> (x.band - 1) ->> 'bottom')::double precision AS depth_bottom
"""

VIEWS = {
    "stations": (
        "Stations with their places",
        """
        SELECT w.name AS network, t.name AS station, ST_X(t.geometry) AS longitude,
               ST_Y(t.geometry) AS latitude, t.elevation, u.name || '/' || o.name AS same_site_as,
               (SELECT count(*) FROM smcatalog.sensors s
                WHERE s.station_id = t.id AND s.variable = 'sm') AS sensors,
               t.geometry
        FROM smcatalog.stations t
        JOIN smcatalog.networks w ON w.id = t.network_id
        LEFT JOIN smcatalog.stations o ON o.id = t.same_site_as
        LEFT JOIN smcatalog.networks u ON u.id = o.network_id
        """,
    ),
    "maps": (
        "All maps that were ever published; live ones are those in force",
        """
        SELECT p.name AS product, v.number AS version, m.revision, m.day, m.start_time, m.end_time,
               m.status, m.superseded_at IS NULL AS live, m.item_id, m.grid, f.key, f.sha256, f.size,
               d.fingerprint AS model, m.published_at, m.superseded_at, n.item_id AS successor
        FROM smcatalog.maps m
        JOIN smcatalog.product_versions v ON v.id = m.product_version_id
        JOIN smcatalog.products p ON p.id = m.product_id
        JOIN smcatalog.models d ON d.id = m.model_id
        LEFT JOIN smcatalog.maps n ON n.id = m.superseded_by
        LEFT JOIN smcatalog.map_files f ON f.map_id = m.id AND f.kind = 'soil_moisture'
        """,
    ),
    "map_lineage": (
        "What each map was made of: its model, layers and their granules with checksums",
        """
        SELECT p.name AS product, v.number AS version, m.day, m.item_id,
               m.superseded_at IS NULL AS live, d.fingerprint AS model, d.method,
               d.samples_fingerprint, c.role, l.source, l.variable, l.day AS layer_day,
               l.grid AS layer_grid, l.key AS layer_key, l.sha256 AS layer_sha256,
               g.name AS granule, g.sha256 AS granule_sha256
        FROM smcatalog.maps m
        JOIN smcatalog.product_versions v ON v.id = m.product_version_id
        JOIN smcatalog.products p ON p.id = m.product_id
        JOIN smcatalog.models d ON d.id = m.model_id
        JOIN smcatalog.map_layers c ON c.map_id = m.id
        JOIN smcatalog.layers l ON l.id = c.layer_id
        LEFT JOIN smcatalog.layer_granules k ON k.layer_id = l.id
        LEFT JOIN smcatalog.granules g ON g.id = k.granule_id
        """,
    ),
    "granule_impact": (
        "Which maps each granule touched; a granule that touched none has one row with nulls",
        """
        SELECT g.source, g.name AS granule, g.sha256 AS granule_sha256, g.ingested_at,
               a.product, a.version, a.day, a.item_id, a.live, a.role, a.variable
        FROM smcatalog.granules g
        LEFT JOIN LATERAL (
            SELECT p.name AS product, v.number AS version, m.day, m.item_id,
                   m.superseded_at IS NULL AS live, c.role, l.variable
            FROM smcatalog.layer_granules k
            JOIN smcatalog.layers l ON l.id = k.layer_id
            JOIN smcatalog.map_layers c ON c.layer_id = l.id
            JOIN smcatalog.maps m ON m.id = c.map_id
            JOIN smcatalog.product_versions v ON v.id = m.product_version_id
            JOIN smcatalog.products p ON p.id = m.product_id
            WHERE k.granule_id = g.id
        ) a ON true
        """,
    ),
    "quarantine": (
        "Files that were refused, and why",
        """
        SELECT name, sha256, size, source, start_time, end_time, reason, first_seen
        FROM smcatalog.quarantine
        """,
    ),
    "matchups": (
        RULE,
        f"""
        SELECT p.name AS product, v.number AS version, m.day, m.start_time, m.end_time, m.item_id,
               w.name AS network, t.name AS station, {PLACE}, x.band, {DEPTH},
               x.reference, x.n_days, x.estimate, x.coarse,
               x.estimate - x.reference AS error, x.coarse - x.reference AS coarse_error, x.quality
        FROM smcatalog.matchups x
        JOIN smcatalog.maps m ON m.id = x.map_id AND m.superseded_at IS NULL
        JOIN smcatalog.product_versions v ON v.id = m.product_version_id
        JOIN smcatalog.products p ON p.id = v.product_id
        JOIN smcatalog.sensors s ON s.id = x.sensor_id
        JOIN smcatalog.stations t ON t.id = s.station_id
        JOIN smcatalog.networks w ON w.id = t.network_id
        """,  # noqa: S608 - put together from constants
    ),
    "monthly_statistics": (
        "Moments of each sensor's match-ups with live maps, by month of the map's day",
        f"""
        SELECT p.name AS product, v.number AS version, x.month, w.name AS network,
               t.name AS station, {PLACE}, x.band, {DEPTH}, x.subject, x.n, x.mean_estimate,
               x.mean_reference, x.m2_estimate, x.m2_reference, x.co_moment, x.sum_absolute_error
        FROM smcatalog.monthly_statistics x
        JOIN smcatalog.product_versions v ON v.id = x.product_version_id
        JOIN smcatalog.products p ON p.id = v.product_id
        JOIN smcatalog.sensors s ON s.id = x.sensor_id
        JOIN smcatalog.stations t ON t.id = s.station_id
        JOIN smcatalog.networks w ON w.id = t.network_id
        """,  # noqa: S608 - put together from constants
    ),
}

# Moments of a group from those of its parts, for any number of parts at once: the group's means
# first, then each part's deviations about its own mean plus its mean's distance from the group's.
METRICS = """
WITH part AS (
    SELECT x.*, p.name AS product, v.number AS version, w.name AS network, t.name AS station,
           {depth},
           t.id AS station_id,
           min(t.id) OVER (
               PARTITION BY x.product_version_id, x.band {keys}, coalesce(t.same_site_as, t.id)
           ) AS counting_station
    FROM smcatalog.monthly_statistics x
    JOIN smcatalog.product_versions v ON v.id = x.product_version_id
    JOIN smcatalog.products p ON p.id = v.product_id
    JOIN smcatalog.sensors s ON s.id = x.sensor_id
    JOIN smcatalog.stations t ON t.id = s.station_id
    JOIN smcatalog.networks w ON w.id = t.network_id
), centred AS (
    SELECT *, sum(n * mean_estimate) OVER whole / sum(n) OVER whole AS group_estimate,
           sum(n * mean_reference) OVER whole / sum(n) OVER whole AS group_reference
    FROM part
    WHERE station_id = counting_station
    WINDOW whole AS (PARTITION BY product_version_id, band {names}, subject)
), merged AS (
    SELECT product, version {names}, band, depth_top, depth_bottom, subject,
           count(DISTINCT station_id) AS stations, sum(n) AS n,
           min(group_estimate) AS mean_estimate, min(group_reference) AS mean_reference,
           sum(m2_estimate + n * (mean_estimate - group_estimate) ^ 2) AS m2_estimate,
           sum(m2_reference + n * (mean_reference - group_reference) ^ 2) AS m2_reference,
           sum(co_moment + n * (mean_estimate - group_estimate)
                             * (mean_reference - group_reference)) AS co_moment,
           sum(sum_absolute_error) AS sum_absolute_error
    FROM centred
    GROUP BY product_version_id, product, version {names}, band, depth_top, depth_bottom, subject
)
SELECT m.product, m.version {shown}, m.band, m.depth_top, m.depth_bottom, m.stations,
       m.n, a.bias, a.rmse, a.ubrmse, a.mae, a.r, a.slope,
       coalesce(c.n, 0) AS coarse_n, b.bias AS coarse_bias, b.rmse AS coarse_rmse,
       b.ubrmse AS coarse_ubrmse, b.mae AS coarse_mae, b.r AS coarse_r, b.slope AS coarse_slope
FROM merged m
CROSS JOIN LATERAL smcatalog.scores(m.n, m.mean_estimate, m.mean_reference, m.m2_estimate,
                                    m.m2_reference, m.co_moment, m.sum_absolute_error) a
LEFT JOIN merged c ON c.subject = 'coarse' AND c.product = m.product AND c.version = m.version
                  AND c.band = m.band {same}
LEFT JOIN LATERAL smcatalog.scores(c.n, c.mean_estimate, c.mean_reference, c.m2_estimate,
                                   c.m2_reference, c.co_moment, c.sum_absolute_error) b ON true
WHERE m.subject = 'map'
"""

GROUPS = {
    "station_metrics": (
        ("network", "station"),
        "Scores by station, of all its months. Written by smcatalog validate",
    ),
    "network_metrics": (("network",), f"Scores by network, of all its months. {SITE}"),
    "month_metrics": (("month",), f"Scores by month, of all stations. {SITE}"),
    "product_metrics": ((), f"Scores of all months and stations. {SITE}"),
}
QUALIFIED = {"network": "w.name", "station": "t.name", "month": "x.month"}


def metrics_view(columns: tuple[str, ...]) -> str:
    return METRICS.format(
        depth=DEPTH,
        keys="".join(f", {QUALIFIED[c]}" for c in columns),
        names="".join(f", {c}" for c in columns),
        shown="".join(f", m.{c}" for c in columns),
        same="".join(f" AND c.{c} = m.{c}" for c in columns),
    )


def create_view(name: str, comment: str, query: str) -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(f"CREATE VIEW views.{name} AS {query}")
    connection.exec_driver_sql(f"COMMENT ON VIEW views.{name} IS {quoted(comment)}")
    for column in sa.inspect(connection).get_columns(name, schema="views"):
        title = quoted(COLUMNS[column["name"]])
        connection.exec_driver_sql(f"COMMENT ON COLUMN views.{name}.{column['name']} IS {title}")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS views")
    op.execute("COMMENT ON SCHEMA views IS 'What people query: stations, maps, lineage and scores'")
    op.get_bind().exec_driver_sql(SCORES)
    op.execute("COMMENT ON FUNCTION smcatalog.scores IS 'Scores that follow from moments of pairs'")
    for name, (comment, query) in VIEWS.items():
        create_view(name, comment, query)
    for name, (columns, comment) in GROUPS.items():
        create_view(name, comment, metrics_view(columns))


def downgrade() -> None:
    for name in (*GROUPS, *reversed(VIEWS)):
        op.execute(f"DROP VIEW views.{name}")
    op.execute("DROP FUNCTION smcatalog.scores")
