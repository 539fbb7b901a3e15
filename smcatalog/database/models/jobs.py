"""Beside the queue: what went wrong with jobs, which of them wait for a person, totals of steps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Float, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from smcatalog.database.models.base import Base, Instant, Key, Now

__all__ = ["JobTrouble", "QuarantinedJob", "StepTotal"]


class JobTrouble(Base):
    """What went wrong so far with a job that is still in the queue."""

    __tablename__ = "job_troubles"
    __table_args__ = {  # noqa: RUF012 - SQLAlchemy's own protocol
        "comment": "Troubles of jobs that are still in the queue; gone when the job ends"
    }

    job_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="Job in the queue"
    )
    failures: Mapped[int] = mapped_column(
        Integer, server_default="0", comment="How often it failed"
    )
    kills: Mapped[int] = mapped_column(
        Integer, server_default="0", comment="How often the worker that ran it died"
    )
    interruptions: Mapped[int] = mapped_column(
        Integer,
        server_default="0",
        comment="How often it was asked to stop, which counts for nothing",
    )
    first_at: Mapped[Now] = mapped_column(comment="When it had its first trouble")
    last_at: Mapped[Now] = mapped_column(comment="When it had its last trouble")
    error: Mapped[str] = mapped_column(comment="What went wrong last")


class QuarantinedJob(Base):
    """A job that nobody tries any more until a person releases it."""

    __tablename__ = "quarantined_jobs"
    __table_args__ = (
        Index(
            "ix_quarantined_jobs_open",
            "task",
            postgresql_where="released_at IS NULL",
        ),
        CheckConstraint("released_as IS NULL OR released_at IS NOT NULL", name="released"),
        {"comment": "Jobs that failed too often or killed their worker too often, and why"},
    )

    id: Mapped[Key] = mapped_column(comment="Surrogate key")
    job_id: Mapped[int] = mapped_column(BigInteger, comment="Job that it was in the queue")
    task: Mapped[str] = mapped_column(comment="What was to be done")
    arguments: Mapped[dict[str, Any]] = mapped_column(comment="With what")
    lock: Mapped[str | None] = mapped_column(comment="Lock it held while it ran")
    queueing_lock: Mapped[str | None] = mapped_column(
        comment="Of jobs with the same one only one waits"
    )
    priority: Mapped[int] = mapped_column(Integer, comment="The higher goes first")
    attempts: Mapped[int] = mapped_column(
        Integer, comment="How often it was tried, the times that its worker died included"
    )
    kills: Mapped[int] = mapped_column(Integer, comment="How often its worker died of it")
    first_at: Mapped[Instant] = mapped_column(comment="When it failed first")
    last_at: Mapped[Now] = mapped_column(comment="When it failed last, and came here")
    error: Mapped[str] = mapped_column(comment="What went wrong last, in a sentence")
    traceback: Mapped[str] = mapped_column(
        comment="Where in the code it went wrong, without secrets; empty when its worker died"
    )
    released_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="When it was released; null while it stands"
    )
    released_as: Mapped[int | None] = mapped_column(
        BigInteger, comment="Job that it became; null when an equal one was waiting already"
    )


class StepTotal(Base):
    """What all jobs of a task together took."""

    __tablename__ = "step_totals"
    __table_args__ = {"comment": "Totals of all jobs by task"}  # noqa: RUF012 - as above

    step: Mapped[str] = mapped_column(primary_key=True, comment="Task of the jobs")
    runs: Mapped[int] = mapped_column(
        BigInteger, comment="How often one ended, well or not; interruptions do not count"
    )
    failures: Mapped[int] = mapped_column(
        BigInteger, comment="How often one failed, or its worker died"
    )
    seconds: Mapped[float] = mapped_column(Float(53), comment="Time they took, s")
    bytes: Mapped[int] = mapped_column(BigInteger, comment="Bytes they wrote, as they counted")
