"""What is to be made, kept as it changes: days of products, changes of layers, models in force.

A layer that comes or goes leaves, in its own transaction, a note for every active product version that reads
it. Who plans takes the notes and looks at the days that they name, and at no others.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")

NOTES = """
CREATE FUNCTION smcatalog.note_layer_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- A product that is declared at this moment waits until we have finished, or we until it has: either
    -- it finds the layer, or we find it.
    PERFORM pg_advisory_xact_lock_shared(hashtext('smcatalog.product_inputs'));
    INSERT INTO smcatalog.plan_changes (product_version_id, first_day, last_day, layer_id)
    SELECT i.product_version_id,
           CASE WHEN NOT i.everywhere THEN (NEW.start_time AT TIME ZONE 'UTC')::date - 2 END,
           CASE WHEN NOT i.everywhere
                THEN ((NEW.end_time AT TIME ZONE 'UTC')::date + 2) + i.reach_days END,
           NEW.id
    FROM smcatalog.product_inputs i
    WHERE i.source = NEW.source AND i.variable = NEW.variable;
    RETURN NULL;
END
$function$;

COMMENT ON FUNCTION smcatalog.note_layer_change() IS
    'Notes for every active product version that reads a layer which days may change';

CREATE TRIGGER layer_came AFTER INSERT ON smcatalog.layers
FOR EACH ROW WHEN (NEW.superseded_at IS NULL) EXECUTE FUNCTION smcatalog.note_layer_change();

CREATE TRIGGER layer_went AFTER UPDATE OF superseded_at ON smcatalog.layers
FOR EACH ROW WHEN ((OLD.superseded_at IS NULL) <> (NEW.superseded_at IS NULL))
EXECUTE FUNCTION smcatalog.note_layer_change();
"""

STATES = """
CREATE FUNCTION smcatalog.day_states(
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
    SELECT d.*, v.product_id, v.reprocess, v.renewal, t.id AS partition_id, t.period AS learned_in,
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
    WHERE NOT EXISTS (
        SELECT FROM smcatalog.plan_days d WHERE d.product_version_id = v.id AND d.day = m.day
    )
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

COMMENT ON FUNCTION smcatalog.day_states(bigint, timestamptz, date, date) IS
    'What is to be done about each day of a product version, and why; plan it first';
"""

COLUMNS = {
    "product": "Name of the product",
    "version": "Number of the product version that is planned",
    "day": "Day that the map is dated by",
    "state": "missing, stale, gone (its inputs went), held (stale by policy), refused or current",
    "cause": "new, recipe, algorithm, inputs, model, closing, damaged, gone, incomplete, untrained or quarantine",
    "held_for": "closing (of a provisional day), listed (by an operator) or never; null if not held",
    "closes_at": "When the map becomes final",
    "item_id": "Item of the map in force; null when there is none",
    "partition": "Period whose model makes the map",
    "detail": "What is missing, or why it was refused",
    "causes": "Granules that changed what the map, or its model, is made of",
    "planned": "Whether all changes of layers are considered in it",
}

VIEW = """
CREATE VIEW views.plan AS
SELECT p.name AS product, v.number AS version, s.day, s.state, s.cause, s.held_for, s.closes_at,
       s.item_id, s.partition, s.detail, s.causes,
       NOT EXISTS (SELECT FROM smcatalog.plan_changes c WHERE c.product_version_id = v.id) AS planned
FROM smcatalog.product_versions v
JOIN smcatalog.products p ON p.id = v.product_id
CROSS JOIN LATERAL smcatalog.day_states(v.id, now()) s
WHERE v.active
"""


def upgrade() -> None:
    op.create_table(
        "product_inputs",
        sa.Column(
            "product_version_id", sa.BigInteger(), nullable=False, comment="The product version"
        ),
        sa.Column("source", sa.String(), nullable=False, comment="Product family of the layers"),
        sa.Column("variable", sa.String(), nullable=False, comment="Variable of the layers"),
        sa.Column(
            "reach_days",
            sa.Integer(),
            nullable=False,
            comment="Days after its end that a layer is still read",
        ),
        sa.Column(
            "everywhere",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="Whether a layer may change any day",
        ),
        sa.Column(
            "leading",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="Whether there is no map of a day without it",
        ),
        sa.ForeignKeyConstraint(
            ["product_version_id"],
            ["smcatalog.product_versions.id"],
            name=op.f("fk_product_inputs_product_version_id"),
        ),
        sa.PrimaryKeyConstraint(
            "product_version_id", "source", "variable", name=op.f("pk_product_inputs")
        ),
        schema="smcatalog",
        comment="Inputs of the active product versions, and how far in time they are read",
    )
    op.create_index(
        "ix_product_inputs_source_variable",
        "product_inputs",
        ["source", "variable"],
        schema="smcatalog",
    )
    op.create_table(
        "plan_changes",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column(
            "product_version_id",
            sa.BigInteger(),
            nullable=False,
            comment="The product version that reads it",
        ),
        sa.Column(
            "first_day",
            sa.Date(),
            nullable=True,
            comment="First day that may change; null when any may",
        ),
        sa.Column("last_day", sa.Date(), nullable=True, comment="Last day that may change"),
        sa.Column(
            "layer_id",
            sa.BigInteger(),
            nullable=True,
            comment="The layer that came or went; null when the product itself is new",
        ),
        sa.Column(
            "noted_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When it happened",
        ),
        sa.ForeignKeyConstraint(
            ["product_version_id"],
            ["smcatalog.product_versions.id"],
            name=op.f("fk_plan_changes_product_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_changes")),
        schema="smcatalog",
        comment="Changes of layers whose consequences are still to be planned",
    )
    op.create_index(
        op.f("ix_plan_changes_product_version_id"),
        "plan_changes",
        ["product_version_id"],
        schema="smcatalog",
    )
    op.create_table(
        "plan_days",
        sa.Column(
            "product_version_id", sa.BigInteger(), nullable=False, comment="The product version"
        ),
        sa.Column("day", sa.Date(), nullable=False, comment="Day that the map is dated by"),
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="First instant that the map covers",
        ),
        sa.Column(
            "end_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="First instant no longer covered",
        ),
        sa.Column(
            "partition",
            sa.String(),
            nullable=False,
            comment="Name of the partition that the day lies in",
        ),
        sa.Column(
            "inputs_fingerprint",
            sa.String(length=64),
            nullable=True,
            comment="Fingerprint of the layers of the map; null when some are missing",
        ),
        sa.Column(
            "training_fingerprint",
            sa.String(length=64),
            nullable=True,
            comment="Fingerprint of the layers that teach; null when the day teaches nothing",
        ),
        sa.Column(
            "missing",
            sa.String(),
            nullable=True,
            comment="Inputs without a layer; null when there are all",
        ),
        sa.Column(
            "closes_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the map becomes final",
        ),
        sa.Column(
            "causes",
            JSONB(),
            nullable=True,
            comment="Granules that changed its inputs since the map in force was made",
        ),
        sa.ForeignKeyConstraint(
            ["product_version_id"],
            ["smcatalog.product_versions.id"],
            name=op.f("fk_plan_days_product_version_id"),
        ),
        sa.PrimaryKeyConstraint("product_version_id", "day", name=op.f("pk_plan_days")),
        schema="smcatalog",
        comment="Days of products and the fingerprints of what they would be made of now",
    )
    op.create_index(
        "ix_plan_days_partition",
        "plan_days",
        ["product_version_id", "partition"],
        schema="smcatalog",
    )
    op.create_table(
        "reprocess_requests",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("product_id", sa.BigInteger(), nullable=False, comment="The product"),
        sa.Column("first_day", sa.Date(), nullable=False, comment="First day listed"),
        sa.Column("last_day", sa.Date(), nullable=False, comment="Last day listed"),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=NOW,
            nullable=False,
            comment="When; maps published later are not meant",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["smcatalog.products.id"],
            name=op.f("fk_reprocess_requests_product_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reprocess_requests")),
        schema="smcatalog",
        comment="Days listed to be made again, for products whose policy asks for a list",
    )
    op.create_index(
        op.f("ix_reprocess_requests_product_id"),
        "reprocess_requests",
        ["product_id"],
        schema="smcatalog",
    )
    _add_columns()
    op.create_index(
        "ix_layers_live_time",
        "layers",
        ["source", "variable", sa.text("tstzrange(start_time, end_time)")],
        schema="smcatalog",
        postgresql_using="gist",
        postgresql_where="superseded_at IS NULL",
    )
    op.create_index(
        "ix_quarantine_open",
        "quarantine",
        ["source"],
        schema="smcatalog",
        postgresql_where="resolved_at IS NULL",
    )
    # the version that was declared last is the one that is made
    op.execute(
        "UPDATE smcatalog.product_versions v SET active = true WHERE v.id = "
        "(SELECT max(o.id) FROM smcatalog.product_versions o WHERE o.product_id = v.product_id)"
    )
    connection = op.get_bind()
    for statement in (NOTES, STATES, VIEW):
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(
        "COMMENT ON VIEW views.plan IS "
        "'What is to be done about each day of the active products, and why'"
    )
    for column, comment in COLUMNS.items():
        connection.exec_driver_sql(f"COMMENT ON COLUMN views.plan.{column} IS '{comment}'")


def _add_columns() -> None:
    versions = (
        sa.Column(
            "active",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="Whether it is the version that is planned and made",
        ),
        sa.Column(
            "algorithm",
            sa.String(),
            server_default="",
            nullable=False,
            comment="Version of the algorithms that it was planned for last",
        ),
    )
    partitions = (
        sa.Column(
            "training_days",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Days that its model learns from",
        ),
        sa.Column(
            "training_fingerprint",
            sa.String(length=64),
            nullable=True,
            comment="Fingerprint of the layers of these days",
        ),
        sa.Column(
            "model_id",
            sa.BigInteger(),
            nullable=True,
            comment="The model in force; null until it is fitted to what it is to learn from now",
        ),
        sa.Column(
            "refused",
            sa.String(),
            nullable=True,
            comment="Why no model can be fitted; null when one can, or none was tried",
        ),
        sa.Column(
            "causes",
            JSONB(),
            nullable=True,
            comment="Granules that changed last what its model learns from",
        ),
    )
    models = (
        sa.Column(
            "borrowed_from",
            sa.BigInteger(),
            nullable=True,
            comment="Model of an earlier partition that stands in, because samples were too few",
        ),
    )
    maps = (
        sa.Column(
            "algorithm",
            sa.String(),
            server_default="",
            nullable=False,
            comment="Version of the algorithms that made it",
        ),
        sa.Column(
            "inputs_fingerprint",
            sa.String(),
            server_default="",
            nullable=False,
            comment="Fingerprint of its period and layers alone",
        ),
    )
    for table, columns in (
        ("product_versions", versions),
        ("partitions", partitions),
        ("models", models),
        ("maps", maps),
    ):
        for column in columns:
            op.add_column(table, column, schema="smcatalog")
    for table, column in (("partitions", "model_id"), ("models", "borrowed_from")):
        op.create_foreign_key(
            op.f(f"fk_{table}_{column}"),
            table,
            "models",
            [column],
            ["id"],
            source_schema="smcatalog",
            referent_schema="smcatalog",
        )
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], schema="smcatalog")
    op.create_index(
        "uq_product_versions_active",
        "product_versions",
        ["product_id"],
        unique=True,
        schema="smcatalog",
        postgresql_where="active",
    )


def downgrade() -> None:
    op.execute("DROP VIEW views.plan")
    op.execute("DROP FUNCTION smcatalog.day_states(bigint, timestamptz, date, date)")
    op.execute("DROP TRIGGER layer_came ON smcatalog.layers")
    op.execute("DROP TRIGGER layer_went ON smcatalog.layers")
    op.execute("DROP FUNCTION smcatalog.note_layer_change()")
    op.drop_index("ix_quarantine_open", "quarantine", schema="smcatalog")
    op.drop_index("ix_layers_live_time", "layers", schema="smcatalog")
    op.drop_index("uq_product_versions_active", "product_versions", schema="smcatalog")
    for table, columns in (
        ("maps", ("inputs_fingerprint", "algorithm")),
        ("partitions", ("causes", "refused", "model_id", "training_fingerprint", "training_days")),
        ("models", ("borrowed_from",)),
        ("product_versions", ("algorithm", "active")),
    ):
        for column in columns:
            op.drop_column(table, column, schema="smcatalog")
    for table in ("reprocess_requests", "plan_days", "plan_changes", "product_inputs"):
        op.drop_table(table, schema="smcatalog")
