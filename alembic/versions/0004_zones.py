"""Zones as polygons, and the view of those in use.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW views.zones AS
SELECT z.zone_set, z.number, z.label, ST_Area(z.geometry::geography) / 1e6 AS area, z.mended,
       g.source, g.name AS granule, g.sha256 AS granule_sha256, z.recorded_at, z.geometry
FROM smcatalog.zones z
JOIN smcatalog.granules g ON g.id = z.granule_id
WHERE z.superseded_at IS NULL
"""

COLUMNS = {
    "zone_set": "Name of the set",
    "number": "Number within the set, also in the layer of variable zone",
    "label": "Name for people",
    "area": "Area on the ellipsoid, km2",
    "mended": "Whether the polygon was made valid: as delivered a ring of it touched itself",
    "source": "Product family of the granule; also of the set's layer",
    "granule": "Name of the granule as its provider gave it",
    "granule_sha256": "SHA-256 of the granule's files",
    "recorded_at": "When the zone was recorded",
    "geometry": "Area, WGS 84",
}


def upgrade() -> None:
    op.create_table(
        "zones",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        sa.Column("zone_set", sa.String(), nullable=False, comment="Name of the set"),
        sa.Column(
            "number",
            sa.Integer(),
            nullable=False,
            comment="Number within the set, also in the set's raster",
        ),
        sa.Column("label", sa.String(), nullable=False, comment="Name for people"),
        sa.Column(
            "geometry",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="Area, WGS 84",
        ),
        sa.Column(
            "mended",
            sa.Boolean(),
            nullable=False,
            comment="Whether the polygon was made valid: as delivered a ring of it touched itself",
        ),
        sa.Column(
            "granule_id",
            sa.BigInteger(),
            nullable=False,
            comment="Granule that it came with first",
        ),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was recorded",
        ),
        sa.Column(
            "superseded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When another delivery of the set took its place; null while in use",
        ),
        sa.CheckConstraint("number BETWEEN 1 AND 65534", name=op.f("ck_zones_number")),
        sa.ForeignKeyConstraint(
            ["granule_id"], ["smcatalog.granules.id"], name=op.f("fk_zones_granule_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zones")),
        schema="smcatalog",
        comment="Zones: numbered areas of a set, as polygons",
    )
    op.create_index(
        "idx_zones_geometry",
        "zones",
        ["geometry"],
        unique=False,
        schema="smcatalog",
        postgresql_using="gist",
    )
    op.create_index(
        op.f("ix_zones_granule_id"), "zones", ["granule_id"], unique=False, schema="smcatalog"
    )
    op.create_index(
        "uq_zones_live",
        "zones",
        ["zone_set", "number"],
        unique=True,
        schema="smcatalog",
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    connection = op.get_bind()
    connection.exec_driver_sql(VIEW)
    connection.exec_driver_sql("COMMENT ON VIEW views.zones IS 'Zones in use, as polygons'")
    for name, comment in COLUMNS.items():
        text = comment.replace("'", "''")
        connection.exec_driver_sql(f"COMMENT ON COLUMN views.zones.{name} IS '{text}'")


def downgrade() -> None:
    op.execute("DROP VIEW views.zones")
    op.drop_table("zones", schema="smcatalog")
