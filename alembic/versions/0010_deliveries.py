"""Files of the inbox that were taken in, so that a night opens only those that are new.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("path", sa.String(), nullable=False, comment="Where the file lay"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="Bytes"),
        sa.Column(
            "modified_ns",
            sa.BigInteger(),
            nullable=False,
            comment="When it was changed last, nanoseconds since 1970",
        ),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was ingested or refused",
        ),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_deliveries")),
        schema="smcatalog",
        comment="Files of the inbox that were ingested or refused",
    )


def downgrade() -> None:
    op.drop_table("deliveries", schema="smcatalog")
