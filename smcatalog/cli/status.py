"""How things stand: ``smcatalog status`` for a person, ``smcatalog metrics`` for Prometheus."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated, cast

import typer

from smcatalog.cli.data import open_workspace
from smcatalog.cli.output import ExitCode, complain, print_json, print_table, say
from smcatalog.core.errors import ConfigurationError, UsageError
from smcatalog.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from prometheus_client import CollectorRegistry

    from smcatalog.core.logs import LogFormat
    from smcatalog.services.standing import ProductStatus, Reason, Status

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
_BYTES_PER_MB = 1e6


def _status(
    context: typer.Context,
    products: Annotated[
        list[str] | None, typer.Argument(help="Only these products; all by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what is current up to when, what is stuck, why, and what to do about it.

    Exit code 3: something is stuck, that is, it does not go on before a person acts: jobs are in quarantine, jobs
    are due and no worker lives, or the webhook's receiver is gone for good. Refused files and days, and days that
    a product's policy holds, are told but do not count: there may be nothing to do about them.
    """
    from smcatalog.services.status import status
    from smcatalog.services.webhook import address_sha256

    settings: Settings = context.obj
    url = settings.webhook_url
    found = status(
        open_workspace(context).engine,
        products=products or [],
        address_sha256=address_sha256(url) if url else None,
    )
    if json:
        print_json(found)
    else:
        _say(found)
    if found.stuck:
        raise typer.Exit(ExitCode.IN_PART)


def _say(found: Status) -> None:
    if found.products:
        print_table(
            ("product", "version", "settled until", "newest map", "newest input", "lag (days)", "current",
             "to make", "to withdraw", "held", "refused"),
            [_row(product) for product in found.products],
        )  # fmt: skip
    else:
        say("no product is planned here: 'smcatalog nightly PRODUCT' begins with one")
    for trouble in found.troubles:
        if trouble.stuck:
            complain(f"stuck: {trouble.message}")
        else:
            say(f"note: {trouble.message}")
    for product in found.products:
        if product.changes_waiting:
            say(
                f"{product.product}: {product.changes_waiting} changes since "
                f"{_instant(product.changes_since)} are still to be planned"
            )
        for reason in product.reasons:
            say(f"{product.product}: {_told(reason)}")
    for entry in found.queue.newest:
        first_line = entry.error.partition("\n")[0]
        say(
            f"quarantine {entry.id}: {entry.task} {_arguments(entry.arguments)}, "
            f"{entry.attempts} attempts, last {_instant(entry.last_at)}: {first_line}"
        )
    for file in found.files.newest:
        say(f"refused {file.name} ({file.source or 'unknown'}): {file.reason}")
    for line in _rest(found):
        say(line)


def _row(product: ProductStatus) -> tuple[object, ...]:
    from smcatalog.services.plan import DayState

    return (
        product.product,
        product.version,
        product.settled_until,
        product.newest_map,
        product.newest_input,
        product.lag_days,
        product.count(DayState.CURRENT),
        product.count(DayState.MISSING, DayState.STALE),
        product.count(DayState.GONE),
        product.count(DayState.HELD),
        product.count(DayState.REFUSED),
    )


def _told(reason: Reason) -> str:
    span = (
        f"{reason.first_day}"
        if reason.first_day == reason.last_day
        else f"{reason.first_day} to {reason.last_day}"
    )
    why = f" ({reason.cause})" if reason.cause and reason.cause != reason.state else ""
    if reason.held_for == "closing":
        what = ", made again when they become final"
    elif reason.held_for == "listed":
        what = ", left as they are until 'smcatalog reprocess' lists them"
    elif reason.held_for == "never":
        what = ", left as they are: the product makes no final map again"
    elif reason.reasons > 1:
        what = f", for {reason.reasons} more reasons"
    else:
        what = f": {reason.detail}" if reason.detail else ""
    return f"{reason.days} {reason.state}{why}, {span}{what}"


def _rest(found: Status) -> Iterable[str]:
    queue = found.queue
    waiting = f"{queue.count('waiting')} waiting"
    if queue.oldest_waiting:
        waiting += f" (since {_instant(queue.oldest_waiting)})"
    yield f"queue: {queue.count('running')} running, {waiting}, {queue.count('later')} due later"
    silent = f", {queue.silent} silent" if queue.silent else ""
    yield f"workers: {len(queue.workers)}{silent}"
    for worker in queue.workers:
        if worker.task is not None:
            yield (
                f"  worker {worker.worker}: job {worker.job_id}, {worker.task} "
                f"{_arguments(worker.arguments)} since {_instant(worker.started_at)}"
            )
    if found.announcements.declared:
        yield f"announcements: {found.announcements.waiting} waiting for the webhook's receiver"
    kinds = ", ".join(f"{kind.files} {kind.kind}" for kind in found.store) or "empty"
    size = sum(kind.bytes or 0 for kind in found.store) / _BYTES_PER_MB
    yield f"store: {size:.1f} MB ({kinds})"
    database = found.database
    yield (
        f"database: {database.bytes / _BYTES_PER_MB:.1f} MB, schema {database.revision}, pgstac "
        f"{database.pgstac}, queue {database.queue}, PostgreSQL {database.server}"
    )


def _arguments(arguments: object) -> str:
    from json import dumps

    return dumps(arguments, ensure_ascii=False)


def _instant(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}" if instant else "–"


def _metrics(
    context: typer.Context,
    serve: Annotated[
        bool, typer.Option("--serve", help="Stay, and answer Prometheus at /metrics.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")
    ] = 9464,
    log_format: Annotated[
        str, typer.Option("--log-format", help="json or text, on standard error.")
    ] = "json",
) -> None:
    """Print the metrics for Prometheus once, or serve them until SIGTERM or Ctrl-C.

    They are read as the API's role where SMCATALOG_API_DATABASE_URL names one, and from the private database. When no
    database answers, smcatalog_up is 0. One process tells of all workers on all machines.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    from smcatalog.core.logs import configure_logs
    from smcatalog.database.engine import connect
    from smcatalog.services.metrics import CatalogueCollector

    if log_format not in {"json", "text"}:
        raise UsageError(f"--log-format must be json or text, got '{log_format}'")
    configure_logs(cast("LogFormat", log_format))
    engine = connect(_database_url(context.obj), application="smcatalog metrics")
    context.call_on_close(engine.dispose)
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(engine))
    if serve:
        _serve(registry, host, port)
    else:
        say(generate_latest(registry).decode().rstrip("\n"))


def _database_url(settings: Settings) -> str:
    """Return the database for reading; unlike elsewhere, the private one is not started for it."""
    from smcatalog.database.cluster import Cluster

    return (
        settings.api_database_url
        or settings.database_url
        or Cluster(settings.home).url("smcatalog_api")
    )


def _serve(registry: CollectorRegistry, host: str, port: int) -> None:
    import signal

    from prometheus_client import start_http_server

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another --host or --port"
        ) from error
    say(f"metrics on http://{host}:{server.server_port}/metrics")
    sys.stdout.flush()  # whoever reads it from a pipe waits for it
    ended.wait()
    server.shutdown()
    server.server_close()
    thread.join()


def register(app: typer.Typer) -> None:
    """Add the commands to the root."""
    app.command("status")(_status)
    app.command("metrics")(_metrics)
