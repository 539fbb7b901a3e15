"""Files that were found missing or damaged, so that plans and ingests make them again.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "damaged_files",
        sa.Column("key", sa.String(), nullable=False, comment="Key of the file in the store"),
        sa.Column(
            "sha256", sa.String(length=64), nullable=False,
            comment="Checksum that the file should have",
        ),
        sa.Column(
            "found_at", sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"), nullable=False,
            comment="When it was found so",
        ),
        sa.Column("reason", sa.String(), nullable=False, comment="What was found"),
        sa.Column(
            "repaired_at", sa.DateTime(timezone=True), nullable=True,
            comment="When a good file stood there again; null while it is to be made",
        ),
        sa.CheckConstraint(
            "found_at <= repaired_at", name=op.f("ck_damaged_files_repaired_later")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_damaged_files")),
        schema="smcatalog",
        comment="Files that were found missing or damaged and are to be made again",
    )  # fmt: skip
    op.create_index(
        "ix_damaged_files_open", "damaged_files", ["key"], schema="smcatalog",
        postgresql_where=sa.text("repaired_at IS NULL"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_table("damaged_files", schema="smcatalog")
