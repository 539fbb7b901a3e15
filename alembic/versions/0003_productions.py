"""Which granule a granule is a production of, and when: of one subject the newest is used.

Granules that were there before are productions of themselves, as nobody can tell from a row: a newer
one still takes the place of their layers, which share source, variable, grid and period.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "granules",
        sa.Column(
            "subject",
            sa.String(),
            comment="What stays the same when the provider produces it anew",
        ),
        schema="smcatalog",
    )
    op.add_column(
        "granules",
        sa.Column(
            "production",
            sa.String(),
            comment="Release or time of production; the later text is newer; empty if there is none",
        ),
        schema="smcatalog",
    )
    op.execute("UPDATE smcatalog.granules SET subject = name, production = ''")
    op.alter_column("granules", "subject", nullable=False, schema="smcatalog")
    op.alter_column("granules", "production", nullable=False, schema="smcatalog")
    op.create_index(
        "ix_granules_source_subject", "granules", ["source", "subject"], schema="smcatalog"
    )


def downgrade() -> None:
    op.drop_index("ix_granules_source_subject", "granules", schema="smcatalog")
    op.drop_column("granules", "production", schema="smcatalog")
    op.drop_column("granules", "subject", schema="smcatalog")
