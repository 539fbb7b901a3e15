"""Jobs: what is to be done, enqueued in the transaction that makes it needed, and done by workers.

The queue is procrastinate's, in its own schema of the same database. Jobs run at least once; the
effects of what they do happen once, since every handler is safe to repeat.
"""

from smcatalog.core.errors import Interrupted
from smcatalog.jobs.options import WorkerOptions
from smcatalog.jobs.quarantine import (
    QuarantineEntry,
    Released,
    is_quarantined,
    quarantined,
    release,
)
from smcatalog.jobs.queue import QueuedJob, TaskCount, count_tasks, enqueue, find_job, list_jobs
from smcatalog.jobs.values import JSON, Handler, Job, Outcome, RunningJob, WorkerReport
from smcatalog.jobs.worker import run_worker

__all__ = [
    "JSON",
    "Handler",
    "Interrupted",
    "Job",
    "Outcome",
    "QuarantineEntry",
    "QueuedJob",
    "Released",
    "RunningJob",
    "TaskCount",
    "WorkerOptions",
    "WorkerReport",
    "count_tasks",
    "enqueue",
    "find_job",
    "is_quarantined",
    "list_jobs",
    "quarantined",
    "release",
    "run_worker",
]
