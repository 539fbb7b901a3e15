"""Days that are to be looked at: what touches a day counts it up, and who found it done remembers the count.

Of a history of thousands of days a night looks at those alone whose count went on since.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MAPS = """
CREATE FUNCTION smcatalog.note_map_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE smcatalog.plan_days d SET changes = d.changes + 1
    FROM smcatalog.product_versions v
    WHERE v.product_id = NEW.product_id AND d.product_version_id = v.id AND d.day = NEW.day;
    -- whoever removes the planned day waits for the update above, or it for them
    NEW.unplanned := NOT EXISTS (
        SELECT FROM smcatalog.plan_days d
        WHERE d.product_version_id = NEW.product_version_id AND d.day = NEW.day
    );
    RETURN NEW;
END
$function$;

COMMENT ON FUNCTION smcatalog.note_map_change() IS
    'Counts the planned days of a map up, and says of the map whether it has one';

CREATE TRIGGER map_changed
BEFORE INSERT OR UPDATE OF superseded_at, status, algorithm, inputs_fingerprint, model_id
ON smcatalog.maps FOR EACH ROW EXECUTE FUNCTION smcatalog.note_map_change();
"""

DAYS = """
CREATE FUNCTION smcatalog.note_planned_days() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE smcatalog.maps m SET unplanned = (TG_OP = 'DELETE')
    FROM changed d
    WHERE m.product_version_id = d.product_version_id AND m.day = d.day AND m.superseded_at IS NULL
      AND m.unplanned <> (TG_OP = 'DELETE');
    RETURN NULL;
END
$function$;

COMMENT ON FUNCTION smcatalog.note_planned_days() IS
    'Says of the live maps of days that were planned, or are no longer, whether they have one';

CREATE TRIGGER days_came AFTER INSERT ON smcatalog.plan_days
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.note_planned_days();

CREATE TRIGGER days_went AFTER DELETE ON smcatalog.plan_days
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION smcatalog.note_planned_days();
"""

PARTITIONS = """
CREATE FUNCTION smcatalog.note_partition_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- the days whose model this partition gives, or gave: up to the next that has something to learn from
    UPDATE smcatalog.plan_days d SET changes = d.changes + 1
    WHERE d.product_version_id = NEW.product_version_id AND d.partition >= NEW.period
      AND d.partition < ALL (
          SELECT min(p.period) FROM smcatalog.partitions p
          WHERE p.product_version_id = NEW.product_version_id AND p.training_days > 0
            AND p.period > NEW.period
          HAVING count(*) > 0
      );
    RETURN NULL;
END
$function$;

COMMENT ON FUNCTION smcatalog.note_partition_change() IS
    'Counts the planned days up whose model a partition gives';

CREATE TRIGGER partition_came AFTER INSERT ON smcatalog.partitions
FOR EACH ROW EXECUTE FUNCTION smcatalog.note_partition_change();

CREATE TRIGGER partition_changed AFTER UPDATE OF model_id, refused, training_days
ON smcatalog.partitions FOR EACH ROW
WHEN ((OLD.model_id, OLD.refused, OLD.training_days > 0)
      IS DISTINCT FROM (NEW.model_id, NEW.refused, NEW.training_days > 0))
EXECUTE FUNCTION smcatalog.note_partition_change();
"""

VERSIONS = """
CREATE FUNCTION smcatalog.note_algorithm_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE smcatalog.plan_days d SET changes = d.changes + 1 WHERE d.product_version_id = NEW.id;
    RETURN NULL;
END
$function$;

COMMENT ON FUNCTION smcatalog.note_algorithm_change() IS
    'Counts all planned days of a product version up';

CREATE TRIGGER algorithm_changed AFTER UPDATE OF algorithm ON smcatalog.product_versions
FOR EACH ROW WHEN (OLD.algorithm <> NEW.algorithm)
EXECUTE FUNCTION smcatalog.note_algorithm_change();
"""

DAMAGE = """
CREATE FUNCTION smcatalog.note_damage() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE smcatalog.plan_days d SET changes = d.changes + 1
    FROM smcatalog.map_files f
    JOIN smcatalog.maps m ON m.id = f.map_id AND m.superseded_at IS NULL
    JOIN smcatalog.product_versions v ON v.product_id = m.product_id
    WHERE f.key = NEW.key AND d.product_version_id = v.id AND d.day = m.day;
    RETURN NULL;
END
$function$;

COMMENT ON FUNCTION smcatalog.note_damage() IS
    'Counts the planned days of the maps up that a damaged file belongs to';

CREATE TRIGGER damage_noted AFTER INSERT OR UPDATE ON smcatalog.damaged_files
FOR EACH ROW EXECUTE FUNCTION smcatalog.note_damage();
"""

# As in 0007 but for two places.
STATES = """
CREATE OR REPLACE FUNCTION smcatalog.day_states(
    version bigint, instant timestamptz, first date DEFAULT '-infinity', last date DEFAULT 'infinity'
) RETURNS TABLE (
    day date, start_time timestamptz, end_time timestamptz, state text, cause text, held_for text,
    final boolean, closes_at timestamptz, item_id text, partition_id bigint, partition text,
    model_id bigint, inputs_fingerprint text, detail text, causes jsonb
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
WITH v AS (
    SELECT x.id, x.product_id, x.algorithm,
           greatest((x.definition ->> 'first_day')::date, first) AS first_day,
           least(coalesce((x.definition ->> 'last_day')::date, 'infinity'), last) AS last_day,
           coalesce(x.definition ->> 'reprocess', 'always') AS reprocess,
           coalesce(x.definition ->> 'update', 'closing') AS renewal
    FROM smcatalog.product_versions x WHERE x.id = version
), learned AS (
    -- a period's own model, else that of the last one before it that has something to learn from
    SELECT w.partition AS name, t.*
    FROM (SELECT DISTINCT d.partition FROM smcatalog.plan_days d
          WHERE d.product_version_id = version AND d.day BETWEEN first AND last) w
    CROSS JOIN LATERAL (
        SELECT p.id, p.period, p.model_id, p.refused, p.causes FROM smcatalog.partitions p
        WHERE p.product_version_id = version AND p.training_days > 0 AND p.period <= w.partition
        ORDER BY p.period DESC LIMIT 1
    ) t
), damaged AS (
    SELECT f.map_id, min(f.key || ': ' || x.reason) AS reason
    FROM smcatalog.damaged_files x JOIN smcatalog.map_files f ON f.key = x.key
    WHERE x.repaired_at IS NULL GROUP BY f.map_id
), looked AS (
    SELECT %(day)s, v.product_id, v.reprocess, v.renewal, t.id AS partition_id, t.period AS learned_in,
           t.model_id, t.refused, t.causes AS model_causes,
           m.item_id, m.status, m.published_at, m.product_version_id AS map_version,
           g.reason AS damage,
           CASE
               WHEN d.inputs_fingerprint IS NULL THEN 'incomplete'
               WHEN t.id IS NULL OR t.refused IS NOT NULL THEN 'untrained'
               WHEN m.id IS NULL THEN 'new'
               WHEN m.product_version_id <> v.id THEN 'recipe'
               WHEN m.algorithm <> v.algorithm THEN 'algorithm'
               WHEN m.inputs_fingerprint <> d.inputs_fingerprint THEN 'inputs'
               WHEN t.model_id IS DISTINCT FROM m.model_id THEN 'model'
               WHEN m.status = 'provisional' AND d.closes_at <= instant THEN 'closing'
               WHEN g.map_id IS NOT NULL THEN 'damaged'
           END AS why
    FROM v
    JOIN smcatalog.plan_days d ON d.product_version_id = v.id
                              AND d.day BETWEEN v.first_day AND v.last_day
    LEFT JOIN learned t ON t.name = d.partition
    LEFT JOIN smcatalog.maps m ON m.product_id = v.product_id AND m.day = d.day
                              AND m.superseded_at IS NULL
    LEFT JOIN damaged g ON g.map_id = m.id
), judged AS (
    SELECT l.*,
           CASE WHEN l.item_id IS NULL THEN NULL
                WHEN l.why = 'incomplete' AND l.map_version = l.product_version_id THEN 'gone'
                ELSE l.why END AS cause
    FROM looked l
    UNION ALL
    -- a map whose day has no inputs at all any more
    SELECT version, m.day, m.start_time, m.end_time, NULL, NULL, NULL, NULL, m.end_time, NULL,
           v.product_id, v.reprocess, v.renewal, NULL, NULL, NULL, NULL, NULL,
           m.item_id, m.status, m.published_at, m.product_version_id, NULL, 'gone', 'gone'
    FROM v
    JOIN smcatalog.maps m ON m.product_id = v.product_id AND m.superseded_at IS NULL
                         AND m.product_version_id = v.id AND m.day BETWEEN v.first_day AND v.last_day
    WHERE %(gone)s
), held AS (
    SELECT j.*,
           CASE
               WHEN coalesce(j.cause, '') NOT IN ('inputs', 'model', 'gone') THEN NULL
               WHEN j.status = 'provisional' THEN
                   CASE WHEN j.renewal = 'closing' AND j.closes_at > instant AND j.cause <> 'gone'
                        THEN 'closing' END
               WHEN j.reprocess = 'never' THEN 'never'
               WHEN j.reprocess = 'listed' AND NOT EXISTS (
                   SELECT FROM smcatalog.reprocess_requests r
                   WHERE r.product_id = j.product_id AND j.day BETWEEN r.first_day AND r.last_day
                     AND r.requested_at > j.published_at
               ) THEN 'listed'
           END AS held_for
    FROM judged j
)
SELECT h.day, h.start_time, h.end_time,
       CASE WHEN h.held_for IS NOT NULL THEN 'held'
            WHEN h.cause = 'gone' THEN 'gone'
            WHEN h.why IN ('incomplete', 'untrained') THEN 'refused'
            WHEN h.why = 'new' THEN 'missing'
            WHEN h.why IS NOT NULL THEN 'stale'
            ELSE 'current' END,
       coalesce(h.cause, h.why), h.held_for, h.closes_at <= instant, h.closes_at, h.item_id,
       h.partition_id, h.learned_in, h.model_id, h.inputs_fingerprint,
       coalesce(h.missing, h.refused, CASE WHEN h.why = 'damaged' THEN h.damage END),
       CASE WHEN h.why = 'model' THEN h.model_causes ELSE h.causes END
FROM held h
UNION ALL
SELECT q.day, q.start_time, q.end_time, 'refused', 'quarantine', NULL, false, q.end_time, NULL,
       NULL, NULL, NULL, NULL, q.name || ': ' || q.reason, NULL
FROM v
JOIN smcatalog.product_inputs i ON i.product_version_id = v.id AND i.leading
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (u.name, u.sha256) u.*,
           ((u.start_time + (u.end_time - u.start_time) / 2) AT TIME ZONE 'UTC')::date AS day
    FROM smcatalog.quarantine u
    WHERE u.source = i.source AND u.resolved_at IS NULL AND u.start_time IS NOT NULL
) q
WHERE q.day BETWEEN v.first_day AND v.last_day
  AND i.variable = (
      SELECT min(o.variable) FROM smcatalog.product_inputs o
      WHERE o.product_version_id = v.id AND o.leading AND o.source = i.source
  )
  AND NOT EXISTS (
      SELECT FROM smcatalog.plan_days d
      WHERE d.product_version_id = v.id AND d.start_time = q.start_time AND d.end_time = q.end_time
  )
$function$;
"""

BEFORE = {
    "day": "d.*",
    "gone": "NOT EXISTS (SELECT FROM smcatalog.plan_days d "
    "WHERE d.product_version_id = v.id AND d.day = m.day)",
}
AFTER = {
    "day": "d.product_version_id, d.day, d.start_time, d.end_time, d.partition, d.inputs_fingerprint, "
    "d.training_fingerprint, d.missing, d.closes_at, d.causes",
    "gone": "m.unplanned",
}

TRIGGERS = (
    ("map_changed", "maps", "note_map_change"),
    ("days_came", "plan_days", "note_planned_days"),
    ("days_went", "plan_days", "note_planned_days"),
    ("partition_came", "partitions", "note_partition_change"),
    ("partition_changed", "partitions", "note_partition_change"),
    ("algorithm_changed", "product_versions", "note_algorithm_change"),
    ("damage_noted", "damaged_files", "note_damage"),
)


def upgrade() -> None:
    op.add_column(
        "plan_days",
        sa.Column(
            "changes",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="How often something that its state follows from changed",
        ),
        schema="smcatalog",
    )
    op.add_column(
        "plan_days",
        sa.Column(
            "settled",
            sa.BigInteger(),
            nullable=True,
            comment="This count when its map was last found current and final; null if it never was",
        ),
        schema="smcatalog",
    )
    op.add_column(
        "maps",
        sa.Column(
            "unplanned",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="Whether the plan of its product version lacks its day, for want of all inputs",
        ),
        schema="smcatalog",
    )
    op.create_index(
        "ix_plan_days_open",
        "plan_days",
        ["product_version_id", "day"],
        schema="smcatalog",
        postgresql_where="settled IS DISTINCT FROM changes",
    )
    op.create_index(
        "ix_maps_unplanned",
        "maps",
        ["product_version_id", "day"],
        schema="smcatalog",
        postgresql_where="unplanned AND superseded_at IS NULL",
    )
    op.execute(
        "UPDATE smcatalog.maps m SET unplanned = true WHERE NOT EXISTS (SELECT "
        "FROM smcatalog.plan_days d WHERE d.product_version_id = m.product_version_id AND d.day = m.day)"
    )
    connection = op.get_bind()
    for statement in (MAPS, DAYS, PARTITIONS, VERSIONS, DAMAGE, STATES % AFTER):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    for trigger, table, _ in TRIGGERS:
        op.execute(f"DROP TRIGGER {trigger} ON smcatalog.{table}")
    for function in dict.fromkeys(function for _, _, function in TRIGGERS):
        op.execute(f"DROP FUNCTION smcatalog.{function}()")
    op.drop_index("ix_maps_unplanned", "maps", schema="smcatalog")
    op.drop_index("ix_plan_days_open", "plan_days", schema="smcatalog")
    op.drop_column("maps", "unplanned", schema="smcatalog")
    op.drop_column("plan_days", "settled", schema="smcatalog")
    op.drop_column("plan_days", "changes", schema="smcatalog")
    op.get_bind().exec_driver_sql(STATES % BEFORE)
