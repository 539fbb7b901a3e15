"""What does the jobs of each task: the services, as a worker calls them.

A handler is safe to repeat, comes to an end early when it is asked to, and finds what is wrong with its
arguments before it does anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.jobs import Handler, RunningJob

if TYPE_CHECKING:
    from ingest.service import FileResult
    from smcatalog.services.workspace import Workspace

__all__ = ["handlers"]

_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def handlers(workspace: Workspace) -> Mapping[str, Handler]:
    """Return what does the jobs of each task.

    ``ingest``
        ``paths``: files, folders and zips. Refused files are noted as such and are no failure.
    ``validate``
        ``product``, and ``month`` as YYYY-MM: brings match-ups and their roll-up up to date.
    """
    return {"ingest": partial(_ingest, workspace), "validate": partial(_validate, workspace)}


def _ingest(workspace: Workspace, job: RunningJob) -> None:
    import structlog

    from ingest.service import ingest

    given = job.arguments.get("paths")
    if (
        not isinstance(given, Sequence)
        or isinstance(given, str)
        or not all(isinstance(path, str) for path in given)
    ):
        raise UsageError(f"job {job.id} is to ingest 'paths', a list of texts, got {given!r}")
    paths = [Path(str(path)) for path in given]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        # not for ever: a folder of another machine may not be mounted yet
        raise SmcatalogError(
            f"there is no {', '.join(missing)} on this machine: mount it, or deliver the files again"
        )

    def tell(_: FileResult) -> None:
        job.stop_if_asked()  # between two files: what is recorded stays

    report = ingest(workspace, paths, workers=1, tell=tell)
    job.count_bytes(sum(path.stat().st_size for path in paths if path.is_file()))
    log = structlog.get_logger("smcatalog.ingest")
    for file in report.refused:
        log.warning("file refused", file=file.name, reason=file.reason)
    log.info(
        "files ingested",
        ingested=report.count("ingested"),
        known=report.count("known"),
        refused=len(report.refused),
    )


def _validate(workspace: Workspace, job: RunningJob) -> None:
    from smcatalog.services.validate import validate

    product = job.arguments.get("product")
    if not isinstance(product, str) or not product:
        raise UsageError(f"job {job.id} is to validate a 'product', a text, got {product!r}")
    first, last = _month(job)
    validate(
        workspace.engine,
        workspace.store,
        product,
        first=first,
        last=last,
        progress=lambda _done, _total: job.stop_if_asked(),
    )


def _month(job: RunningJob) -> tuple[date, date]:
    """Return the first and the last day of the month that a job names."""
    given = job.arguments.get("month")
    found = _MONTH.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise UsageError(f"job {job.id} is to validate a 'month' written as YYYY-MM, got {given!r}")
    first = date(int(found[1]), int(found[2]), 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
