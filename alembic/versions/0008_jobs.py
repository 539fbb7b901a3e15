"""Troubles and quarantine of jobs, totals of steps, and the view of jobs that wait for a person.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# without the traceback: views are public, and it names files of the machine
VIEW = """
CREATE VIEW views.quarantined_jobs AS
SELECT q.id, q.job_id, q.task, q.arguments, q.attempts, q.kills, q.first_at, q.last_at, q.error
FROM smcatalog.quarantined_jobs q
WHERE q.released_at IS NULL
"""

COLUMNS = {
    "id": "Number by which it is released: smcatalog jobs release",
    "job_id": "Job that it was in the queue",
    "task": "What was to be done",
    "arguments": "With what",
    "attempts": "How often it was tried, the times that its worker died included",
    "kills": "How often its worker died of it",
    "first_at": "When it failed first",
    "last_at": "When it failed last, and came here",
    "error": "What went wrong last",
}


def _text(name: str, comment: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable, comment=comment)


def _number(name: str, comment: str, *, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=default, nullable=False, comment=comment)


def _big(name: str, comment: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable, comment=comment)


def _now(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        server_default=sa.text("clock_timestamp()"),
        nullable=False,
        comment=comment,
    )


def upgrade() -> None:
    op.create_table(
        "job_troubles",
        sa.Column(
            "job_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Job in the queue",
        ),
        _number("failures", "How often it failed", default="0"),
        _number("kills", "How often the worker that ran it died", default="0"),
        _number(
            "interruptions",
            "How often it was asked to stop, which counts for nothing",
            default="0",
        ),
        _now("first_at", "When it had its first trouble"),
        _now("last_at", "When it had its last trouble"),
        _text("error", "What went wrong last"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_troubles")),
        schema="smcatalog",
        comment="Troubles of jobs that are still in the queue; gone when the job ends",
    )
    op.create_table(
        "quarantined_jobs",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Surrogate key"
        ),
        _big("job_id", "Job that it was in the queue"),
        _text("task", "What was to be done"),
        sa.Column("arguments", JSONB(), nullable=False, comment="With what"),
        _text("lock", "Lock it held while it ran", nullable=True),
        _text("queueing_lock", "Of jobs with the same one only one waits", nullable=True),
        _number("priority", "The higher goes first"),
        _number("attempts", "How often it was tried, the times that its worker died included"),
        _number("kills", "How often its worker died of it"),
        sa.Column(
            "first_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it failed first",
        ),
        _now("last_at", "When it failed last, and came here"),
        _text("error", "What went wrong last, in a sentence"),
        _text(
            "traceback",
            "Where in the code it went wrong, without secrets; empty when its worker died",
        ),
        sa.Column(
            "released_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was released; null while it stands",
        ),
        _big(
            "released_as",
            "Job that it became; null when an equal one was waiting already",
            nullable=True,
        ),
        sa.CheckConstraint(
            "released_as IS NULL OR released_at IS NOT NULL",
            name=op.f("ck_quarantined_jobs_released"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantined_jobs")),
        schema="smcatalog",
        comment="Jobs that failed too often or killed their worker too often, and why",
    )
    op.create_index(
        "ix_quarantined_jobs_open",
        "quarantined_jobs",
        ["task"],
        schema="smcatalog",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_table(
        "step_totals",
        _text("step", "Task of the jobs"),
        _big("runs", "How often one ended, well or not; interruptions do not count"),
        _big("failures", "How often one failed, or its worker died"),
        sa.Column("seconds", sa.Float(53), nullable=False, comment="Time they took, s"),
        _big("bytes", "Bytes they wrote, as they counted"),
        sa.PrimaryKeyConstraint("step", name=op.f("pk_step_totals")),
        schema="smcatalog",
        comment="Totals of all jobs by task",
    )
    connection = op.get_bind()
    connection.exec_driver_sql(VIEW)
    connection.exec_driver_sql(
        "COMMENT ON VIEW views.quarantined_jobs IS "
        "'Jobs that failed too often and wait for a person to release them'"
    )
    for name, text in COLUMNS.items():
        connection.exec_driver_sql(f"COMMENT ON COLUMN views.quarantined_jobs.{name} IS '{text}'")


def downgrade() -> None:
    op.execute("DROP VIEW views.quarantined_jobs")
    for table in ("step_totals", "quarantined_jobs", "job_troubles"):
        op.drop_table(table, schema="smcatalog")
