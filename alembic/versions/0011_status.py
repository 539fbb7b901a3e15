"""What people and Prometheus watch: views of products, queue, workers, steps and stored files.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# The newest day that could be made is that of the newest layer without which there is no map, wherever
# it lies. A product that no layer leads is compared with its plan.
PRODUCT_STATUS = """
SELECT p.name AS product, v.number AS version, m.newest AS newest_map,
       coalesce(i.newest, d.newest) AS newest_input,
       CASE WHEN coalesce(i.newest, d.newest) IS NOT NULL
            THEN greatest(
                coalesce(i.newest, d.newest) - coalesce(m.newest, d.first_day - 1, i.newest - 1), 0)
       END AS lag_days,
       coalesce(i.sources, '{}') AS newest_by_source, c.number AS changes_waiting, c.since AS changes_since
FROM smcatalog.product_versions v
JOIN smcatalog.products p ON p.id = v.product_id
CROSS JOIN LATERAL (
    SELECT max(x.day) AS newest FROM smcatalog.maps x
    WHERE x.product_id = p.id AND x.superseded_at IS NULL
) m
CROSS JOIN LATERAL (
    SELECT min(x.day) AS first_day, max(x.day) AS newest FROM smcatalog.plan_days x
    WHERE x.product_version_id = v.id
) d
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(s.source, s.newest) AS sources, max(s.newest) AS newest
    FROM (
        SELECT k.source, max(l.newest) AS newest
        FROM smcatalog.product_inputs k
        CROSS JOIN LATERAL (
            SELECT max(x.day) AS newest FROM smcatalog.layers x
            WHERE x.source = k.source AND x.variable = k.variable AND x.superseded_at IS NULL
              AND x.day >= (v.definition ->> 'first_day')::date
              AND x.day <= coalesce((v.definition ->> 'last_day')::date, 'infinity')
        ) l
        WHERE k.product_version_id = v.id AND k.leading
        GROUP BY k.source
    ) s
) i
CROSS JOIN LATERAL (
    SELECT count(*) AS number, min(x.noted_at) AS since FROM smcatalog.plan_changes x
    WHERE x.product_version_id = v.id
) c
WHERE v.active
"""

# Ids go up in the order of enqueueing: the first that is due since ever is the oldest of these.
QUEUE = """
SELECT q.task, q.running, q.waiting, q.later, q.retrying,
       least(q.due_since, (
           SELECT max(e.at) FROM procrastinate.procrastinate_events e
           WHERE e.job_id = q.first_job AND e.type IN ('deferred', 'deferred_for_retry')
       )) AS oldest_waiting
FROM (
    SELECT j.task_name AS task,
           count(*) FILTER (WHERE j.status = 'doing') AS running,
           count(*) FILTER (WHERE j.status = 'todo' AND coalesce(j.scheduled_at <= now(), true))
               AS waiting,
           count(*) FILTER (WHERE j.status = 'todo' AND j.scheduled_at > now()) AS later,
           count(*) FILTER (WHERE j.status = 'todo' AND t.failures + t.kills > 0) AS retrying,
           min(j.scheduled_at) FILTER (WHERE j.status = 'todo' AND j.scheduled_at <= now())
               AS due_since,
           min(j.id) FILTER (WHERE j.status = 'todo' AND j.scheduled_at IS NULL) AS first_job
    FROM procrastinate.procrastinate_jobs j
    LEFT JOIN smcatalog.job_troubles t ON t.job_id = j.id
    WHERE j.status IN ('todo', 'doing')
    GROUP BY j.task_name
) q
"""

WORKERS = """
SELECT w.id AS worker, w.last_heartbeat, j.id AS job_id, j.task_name AS task, j.args AS arguments,
       (SELECT max(e.at) FROM procrastinate.procrastinate_events e
        WHERE e.job_id = j.id AND e.type = 'started') AS started_at
FROM procrastinate.procrastinate_workers w
LEFT JOIN procrastinate.procrastinate_jobs j ON j.worker_id = w.id AND j.status = 'doing'
"""

STEP_TOTALS = "SELECT s.step, s.runs, s.failures, s.seconds, s.bytes FROM smcatalog.step_totals s"

# Files are named by their content: what several layers or maps share is stored once.
STORED_FILES = """
SELECT f.kind, count(*) AS files, sum(f.size)::bigint AS bytes
FROM (
    SELECT 'layer' AS kind, l.key, max(l.size) AS size FROM smcatalog.layers l GROUP BY l.key
    UNION ALL
    SELECT m.kind, m.key, max(m.size) FROM smcatalog.map_files m GROUP BY m.kind, m.key
    UNION ALL
    SELECT 'model', d.key, NULL FROM smcatalog.models d GROUP BY d.key
) f
GROUP BY f.kind
"""

VIEWS = {
    "product_status": (
        "The products that are planned and made: how far they are, and how far they could be",
        PRODUCT_STATUS,
        {
            "product": "Name of the product",
            "version": "Number of the product version that is planned",
            "newest_map": "Newest day with a map in force",
            "newest_input": (
                "Newest day, within the product's own span, of a layer without which there is no map; of a "
                "product without such layers the newest day that is planned"
            ),
            "lag_days": "Days from the newest map to the newest input; without a map all that are planned",
            "newest_by_source": "The same newest day by source of these layers",
            "changes_waiting": "Changes of layers whose consequences are still to be planned",
            "changes_since": "When the oldest of them happened",
        },
    ),
    "queue": (
        "Jobs in the queue by task",
        QUEUE,
        {
            "task": "What is to be done",
            "running": "Jobs that workers have",
            "waiting": "Jobs that are due",
            "later": "Jobs that are due later",
            "retrying": "Waiting jobs, due or not, that failed before or whose worker died",
            "oldest_waiting": "Since when the oldest of those that are due waits",
        },
    ),
    "workers": (
        "Workers and what they do; one whose heartbeat is old is dead",
        WORKERS,
        {
            "worker": "Number of the worker",
            "last_heartbeat": "Its last sign of life",
            "job_id": "Job that it has; null when it is idle",
            "task": "What is to be done",
            "arguments": "With what",
            "started_at": "When the job was begun",
        },
    ),
    "step_totals": (
        "Totals of all jobs by task",
        STEP_TOTALS,
        {
            "step": "Task of the jobs",
            "runs": "How often one ended, well or not; interruptions do not count",
            "failures": "How often one failed, or its worker died",
            "seconds": "Time they took, s",
            "bytes": "Bytes they wrote, as they counted",
        },
    ),
    "stored_files": (
        "Files that the catalogue knows in the store, by kind",
        STORED_FILES,
        {
            "kind": "layer, model, or what a map's file holds: soil_moisture, uncertainty or quality",
            "files": "Number of files",
            "bytes": "Bytes of all of them; null for models, whose size is not recorded",
        },
    ),
}

SUMMARY = """
CREATE FUNCTION views.plan_summary(instant timestamptz) RETURNS TABLE (
    product text, version smallint, state text, cause text, held_for text, detail text, days bigint,
    first_day date, last_day date, settled_until date
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
WITH states AS (
    SELECT p.name, v.number, s.day, s.state, s.cause, s.held_for, s.detail,
           min(s.day) FILTER (WHERE s.state IN ('missing', 'stale', 'gone'))
               OVER (PARTITION BY v.id) AS first_open
    FROM smcatalog.product_versions v
    JOIN smcatalog.products p ON p.id = v.product_id
    CROSS JOIN LATERAL smcatalog.day_states(v.id, instant) s
    WHERE v.active
)
SELECT s.name, s.number, s.state, s.cause, s.held_for,
       (array_agg(s.detail ORDER BY s.day DESC))[1], count(*), min(s.day), max(s.day),
       max(max(s.day) FILTER (WHERE s.first_open IS NULL OR s.day < s.first_open))
           OVER (PARTITION BY s.name)
FROM states s
-- a quarantined file has a reason of its own: together, or there would be as many groups as files
GROUP BY s.name, s.number, s.state, s.cause, s.held_for,
         CASE WHEN s.cause IS DISTINCT FROM 'quarantine' THEN s.detail END
$function$
"""
ABOUT_SUMMARY = (
    "Days of the products by what is to be done about them and why (as in views.plan), at an instant; "
    "settled_until is the newest day of the product up to which nothing is missing, stale or gone"
)

QUARANTINE = """
SELECT name, sha256, size, source, start_time, end_time, reason, first_seen{more}
FROM smcatalog.quarantine
"""
RESOLVED_AT = "When a good file of that name came in; null while it stands"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    connection = op.get_bind()
    for name, (comment, query, columns) in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW views.{name} AS {query}")
        connection.exec_driver_sql(f"COMMENT ON VIEW views.{name} IS {quoted(comment)}")
        for column, title in columns.items():
            connection.exec_driver_sql(
                f"COMMENT ON COLUMN views.{name}.{column} IS {quoted(title)}"
            )
    connection.exec_driver_sql(SUMMARY)
    connection.exec_driver_sql(f"COMMENT ON FUNCTION views.plan_summary IS {quoted(ABOUT_SUMMARY)}")
    op.execute("REVOKE ALL ON FUNCTION views.plan_summary FROM PUBLIC")
    connection.exec_driver_sql(
        f"CREATE OR REPLACE VIEW views.quarantine AS {QUARANTINE.format(more=', resolved_at')}"
    )
    connection.exec_driver_sql(
        f"COMMENT ON COLUMN views.quarantine.resolved_at IS {quoted(RESOLVED_AT)}"
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION views.plan_summary")
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW views.{name}")
    restore_quarantine()


def restore_quarantine() -> None:
    """Make the view anew without its last column, which CREATE OR REPLACE cannot do; comments stay."""
    connection = op.get_bind()
    inspector = sa.inspect(connection)
    [comment] = connection.exec_driver_sql(
        "SELECT obj_description('views.quarantine'::regclass)"
    ).scalars()
    columns = inspector.get_columns("quarantine", schema="views")[:-1]
    connection.exec_driver_sql("DROP VIEW views.quarantine")
    connection.exec_driver_sql(f"CREATE VIEW views.quarantine AS {QUARANTINE.format(more='')}")
    connection.exec_driver_sql(f"COMMENT ON VIEW views.quarantine IS {quoted(comment)}")
    for column in columns:
        connection.exec_driver_sql(
            f"COMMENT ON COLUMN views.quarantine.{column['name']} IS {quoted(column['comment'])}"
        )
