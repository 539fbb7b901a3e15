"""Layers that are read before their time: by maps of earlier days, which fill their gaps from both sides.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# As in 0007 but for the first day.
NOTES = """
CREATE OR REPLACE FUNCTION smcatalog.note_layer_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- A product that is declared at this moment waits until we have finished, or we until it has: either
    -- it finds the layer, or we find it.
    PERFORM pg_advisory_xact_lock_shared(hashtext('smcatalog.product_inputs'));
    INSERT INTO smcatalog.plan_changes (product_version_id, first_day, last_day, layer_id)
    SELECT i.product_version_id,
           CASE WHEN NOT i.everywhere
                THEN ((NEW.start_time AT TIME ZONE 'UTC')::date - 2)%s END,
           CASE WHEN NOT i.everywhere
                THEN ((NEW.end_time AT TIME ZONE 'UTC')::date + 2) + i.reach_days END,
           NEW.id
    FROM smcatalog.product_inputs i
    WHERE i.source = NEW.source AND i.variable = NEW.variable;
    RETURN NULL;
END
$function$;
"""


def upgrade() -> None:
    op.add_column(
        "product_inputs",
        sa.Column(
            "reach_before",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Days before its begin that a layer is read already",
        ),
        schema="smcatalog",
    )
    op.get_bind().exec_driver_sql(NOTES % " - i.reach_before")


def downgrade() -> None:
    op.get_bind().exec_driver_sql(NOTES % "")
    op.drop_column("product_inputs", "reach_before", schema="smcatalog")
