"""Announcements, withdrawal of maps and granules, and the maps as of an instant.

Going back is refused while there are maps that were withdrawn and that no other one has replaced: the older
schema cannot say so.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SUCCESSION = "(superseded_at IS NULL) = (superseded_by IS NULL AND withdrawn_reason IS NULL)"
OLD_SUCCESSION = "(superseded_at IS NULL) = (superseded_by IS NULL)"
SUPERSEDED_AT = "When another map took its place or it was withdrawn; null while it is live"
OLD_SUPERSEDED_AT = "When another map took its place; null while it is live"
SUPERSEDED_BY = (
    "The map that took its place; of a withdrawn one the next of its day, if there is any"
)
OLD_SUPERSEDED_BY = "The map that took its place"
WITHDRAWN_AT = "When it was withdrawn; null if it was not"
WITHDRAWN_REASON = "Why it was withdrawn; null if it was not"

OLD_MAPS = """
SELECT p.name AS product, v.number AS version, m.revision, m.day, m.start_time, m.end_time,
       m.status, m.superseded_at IS NULL AS live, m.item_id, m.grid, f.key, f.sha256, f.size,
       d.fingerprint AS model, m.published_at, m.superseded_at, n.item_id AS successor{more}
FROM smcatalog.maps m
JOIN smcatalog.product_versions v ON v.id = m.product_version_id
JOIN smcatalog.products p ON p.id = m.product_id
JOIN smcatalog.models d ON d.id = m.model_id
LEFT JOIN smcatalog.maps n ON n.id = m.superseded_by
LEFT JOIN smcatalog.map_files f ON f.map_id = m.id AND f.kind = 'soil_moisture'
"""
MAPS = OLD_MAPS.format(more=", m.withdrawn_reason")

OLD_IMPACT = """
SELECT g.source, g.name AS granule, g.sha256 AS granule_sha256, g.ingested_at,
       a.product, a.version, a.day, a.item_id, a.live, a.role, a.variable{more}
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
"""
IMPACT = OLD_IMPACT.format(more=", g.withdrawn_at, g.withdrawn_reason")

ANNOUNCEMENTS = """
CREATE VIEW views.announcements AS
SELECT a.id, a.kind, p.name AS product, v.number AS version, m.revision, m.day, m.item_id, m.status,
       CASE WHEN a.kind = 'superseded' THEN n.item_id END AS successor,
       CASE WHEN a.kind = 'withdrawn' THEN m.withdrawn_reason END AS withdrawn_reason,
       CASE WHEN a.kind = 'new' THEN m.published_at ELSE m.superseded_at END AS happened_at,
       a.announced_at, a.delivered_at, a.abandoned_at, a.abandoned_reason
FROM smcatalog.announcements a
JOIN smcatalog.maps m ON m.id = a.map_id
JOIN smcatalog.product_versions v ON v.id = m.product_version_id
JOIN smcatalog.products p ON p.id = m.product_id
LEFT JOIN smcatalog.maps n ON n.id = m.superseded_by
"""
ABOUT_ANNOUNCEMENTS = "What was announced of maps, in the order of id; the same is sent as NOTIFY smcatalog_items and to the webhook"
ANNOUNCED = {
    "id": "Its place in the order in which announcements were committed",
    "kind": "new, superseded or withdrawn",
    "product": "Name of the product, also of its STAC collection",
    "version": "Number of the product version",
    "revision": "How often the version's map of the day was published, from 1",
    "day": "Day the map is dated by, the middle of its period, UTC",
    "item_id": "Identifier of the map's STAC item",
    "status": "provisional: may be made again when its look-ahead closes; final: will not",
    "successor": "Item of the map that took its place, when it was superseded",
    "withdrawn_reason": "Why the map was withdrawn; null if it was not",
    "happened_at": "When the map was published, superseded or withdrawn",
    "announced_at": "When it was announced",
    "delivered_at": "When the webhook's receiver took it; null until then",
    "abandoned_at": "When its delivery was given up; null if it was not",
    "abandoned_reason": "Why its delivery was given up",
}

# Reads the view, so whoever may read that may ask: no rights of the owner are lent. Inlined by the planner.
AS_OF = """
CREATE FUNCTION views.maps_as_of(instant timestamptz) RETURNS TABLE (
    product varchar, version smallint, revision smallint, day date, start_time timestamptz,
    end_time timestamptz, status varchar, item_id varchar, grid varchar, key varchar, sha256 varchar,
    size bigint, model varchar, published_at timestamptz
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT m.product, m.version, m.revision, m.day, m.start_time, m.end_time, m.status, m.item_id,
           m.grid, m.key, m.sha256, m.size, m.model, m.published_at
    FROM views.maps m
    WHERE m.published_at <= instant AND (m.superseded_at IS NULL OR m.superseded_at > instant)
$$
"""
ABOUT_AS_OF = (
    "The maps that were in force at an instant: published by then, and neither superseded nor withdrawn; "
    "columns as in views.maps"
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def describe(table: str, columns: dict[str, str]) -> None:
    for name, comment in columns.items():
        op.get_bind().exec_driver_sql(f"COMMENT ON COLUMN {table}.{name} IS {quoted(comment)}")


def succession(condition: str) -> None:
    op.drop_constraint(op.f("ck_maps_superseded_by"), "maps", schema="smcatalog", type_="check")
    op.create_check_constraint(op.f("ck_maps_superseded_by"), "maps", condition, schema="smcatalog")


def upgrade() -> None:
    op.add_column(
        "maps",
        sa.Column("withdrawn_reason", sa.String(), comment=WITHDRAWN_REASON),
        schema="smcatalog",
    )
    succession(SUCCESSION)
    op.create_index(
        "uq_maps_superseded_by", "maps", ["superseded_by"], unique=True, schema="smcatalog"
    )
    describe("smcatalog.maps", {"superseded_at": SUPERSEDED_AT, "superseded_by": SUPERSEDED_BY})
    op.add_column(
        "granules",
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), comment=WITHDRAWN_AT),
        schema="smcatalog",
    )
    op.add_column(
        "granules",
        sa.Column("withdrawn_reason", sa.String(), comment=WITHDRAWN_REASON),
        schema="smcatalog",
    )
    op.create_check_constraint(
        op.f("ck_granules_withdrawn_reason"),
        "granules",
        "(withdrawn_at IS NULL) = (withdrawn_reason IS NULL)",
        schema="smcatalog",
    )
    create_announcements()
    create_webhooks()
    connection = op.get_bind()
    connection.exec_driver_sql(f"CREATE OR REPLACE VIEW views.maps AS {MAPS}")
    describe("views.maps", {"superseded_at": SUPERSEDED_AT, "withdrawn_reason": WITHDRAWN_REASON})
    connection.exec_driver_sql(f"CREATE OR REPLACE VIEW views.granule_impact AS {IMPACT}")
    describe(
        "views.granule_impact",
        {
            "withdrawn_at": "When the granule was withdrawn; null if it was not",
            "withdrawn_reason": "Why the granule was withdrawn; null if it was not",
        },
    )
    connection.exec_driver_sql(ANNOUNCEMENTS)
    connection.exec_driver_sql(
        f"COMMENT ON VIEW views.announcements IS {quoted(ABOUT_ANNOUNCEMENTS)}"
    )
    describe("views.announcements", ANNOUNCED)
    connection.exec_driver_sql(AS_OF)
    connection.exec_driver_sql(f"COMMENT ON FUNCTION views.maps_as_of IS {quoted(ABOUT_AS_OF)}")
    op.execute("REVOKE ALL ON FUNCTION views.maps_as_of FROM PUBLIC")


def create_announcements() -> None:
    op.create_table(
        "announcements",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Its place in the order in which announcements were committed",
        ),
        sa.Column("kind", sa.String(), nullable=False, comment="new, superseded or withdrawn"),
        sa.Column("map_id", sa.BigInteger(), nullable=False, comment="The map"),
        sa.Column(
            "announced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was announced",
        ),
        sa.Column(
            "delivered_at",
            sa.DateTime(timezone=True),
            comment="When the webhook's receiver took it; null until then",
        ),
        sa.Column(
            "abandoned_at",
            sa.DateTime(timezone=True),
            comment="When its delivery was given up; null if it was not",
        ),
        sa.Column("abandoned_reason", sa.String(), comment="Why its delivery was given up"),
        sa.CheckConstraint(
            "kind IN ('new', 'superseded', 'withdrawn')", name=op.f("ck_announcements_kind")
        ),
        sa.CheckConstraint(
            "delivered_at IS NULL OR abandoned_at IS NULL",
            name=op.f("ck_announcements_settled_once"),
        ),
        sa.CheckConstraint(
            "(abandoned_at IS NULL) = (abandoned_reason IS NULL)",
            name=op.f("ck_announcements_abandoned_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["map_id"], ["smcatalog.maps.id"], name=op.f("fk_announcements_map_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
        sa.UniqueConstraint("map_id", "kind", name=op.f("uq_announcements_map_id_kind")),
        schema="smcatalog",
        comment="Announcements of maps that are new, superseded or withdrawn",
    )
    op.create_index(
        "ix_announcements_waiting",
        "announcements",
        ["id"],
        schema="smcatalog",
        postgresql_where=sa.text("delivered_at IS NULL AND abandoned_at IS NULL"),
    )
    op.create_index(
        "ix_announcements_announced_at", "announcements", ["announced_at"], schema="smcatalog"
    )


def create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column(
            "address_sha256",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of the receiver's address, which may be secret itself",
        ),
        sa.Column(
            "failures", sa.Integer(), nullable=False, comment="Attempts in a row that failed"
        ),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            comment="No attempt before; null after a success",
        ),
        sa.Column(
            "last_error",
            sa.String(),
            comment="What went wrong at the last attempt; null after a success",
        ),
        sa.Column(
            "stopped_at",
            sa.DateTime(timezone=True),
            comment="When the receiver said that it is gone for good; null while it is not",
        ),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_webhooks_failures")),
        sa.PrimaryKeyConstraint("address_sha256", name=op.f("pk_webhooks")),
        schema="smcatalog",
        comment="Receivers of announcements, and how deliveries to them go",
    )


def downgrade() -> None:
    connection = op.get_bind()
    op.execute("DROP FUNCTION views.maps_as_of")
    op.execute("DROP VIEW views.announcements")
    for name, query in (("maps", OLD_MAPS), ("granule_impact", OLD_IMPACT)):
        restore_view(name, query.format(more=""))
    connection.exec_driver_sql(
        f"COMMENT ON COLUMN views.maps.superseded_at IS {quoted(OLD_SUPERSEDED_AT)}"
    )
    op.drop_table("webhooks", schema="smcatalog")
    op.drop_table("announcements", schema="smcatalog")
    op.drop_constraint(
        op.f("ck_granules_withdrawn_reason"), "granules", schema="smcatalog", type_="check"
    )
    op.drop_column("granules", "withdrawn_reason", schema="smcatalog")
    op.drop_column("granules", "withdrawn_at", schema="smcatalog")
    describe(
        "smcatalog.maps", {"superseded_at": OLD_SUPERSEDED_AT, "superseded_by": OLD_SUPERSEDED_BY}
    )
    op.drop_index("uq_maps_superseded_by", "maps", schema="smcatalog")
    succession(OLD_SUCCESSION)
    op.drop_column("maps", "withdrawn_reason", schema="smcatalog")


def restore_view(name: str, query: str) -> None:
    """Make a view anew with fewer columns, which CREATE OR REPLACE cannot do; comments stay."""
    connection = op.get_bind()
    [comment] = connection.exec_driver_sql(
        f"SELECT obj_description('views.{name}'::regclass)"
    ).scalars()
    columns = {
        column["name"]: column["comment"]
        for column in sa.inspect(connection).get_columns(name, schema="views")
    }
    connection.exec_driver_sql(f"DROP VIEW views.{name}")
    connection.exec_driver_sql(f"CREATE VIEW views.{name} AS {query}")
    connection.exec_driver_sql(f"COMMENT ON VIEW views.{name} IS {quoted(comment)}")
    kept = {column["name"] for column in sa.inspect(connection).get_columns(name, schema="views")}
    describe(f"views.{name}", {k: v for k, v in columns.items() if k in kept})
