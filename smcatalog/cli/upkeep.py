"""The command that compares files, database and items, and repairs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from smcatalog.cli.data import open_workspace
from smcatalog.cli.output import ExitCode, meter, print_json, print_table, say
from smcatalog.core.errors import UsageError

if TYPE_CHECKING:
    from smcatalog.services.findings import VerifyReport

__all__ = ["register"]

_MB = 1e6


def _verify(
    context: typer.Context,
    product: Annotated[
        str | None, typer.Option(help="Only this product's maps, models and items.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only maps, layers or models.")] = None,
    sample: Annotated[
        float, typer.Option(help="Share of the files to read whole, another one each day.")
    ] = 1.0,
    deep: Annotated[bool, typer.Option("--deep", help="Also check that maps are COGs.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be.")] = False,
    delete_orphans: Annotated[
        bool,
        typer.Option(
            "--delete-orphans", help="With --repair: no trash for files that nothing names."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --repair: only say what would be done.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Rehash the store's files against the catalogue, and compare maps with their items.

    Without --repair nothing is changed. What is still wrong at the end is named; then the exit code is 3.
    """
    from smcatalog.services.findings import FileKind
    from smcatalog.services.repair import repair as mend
    from smcatalog.services.verify import verify

    if kind is not None and kind not in set(FileKind):
        raise UsageError(f"--kind must be one of {', '.join(FileKind)}, got '{kind}'")
    if (delete_orphans or dry_run) and not repair:
        raise UsageError(
            "--dry-run and --delete-orphans go with --repair: nothing is changed without it"
        )
    workspace = open_workspace(context)
    with meter("verified") as show:
        report = verify(
            workspace,
            product=product,
            kind=FileKind(kind) if kind else None,
            sample=sample,
            deep=deep,
            show=show,
        )
    if repair:
        with meter("repaired") as show:
            report = mend(
                workspace, report, dry_run=dry_run, delete_orphans=delete_orphans, show=show
            )
    if json:
        print_json({**_summary(report), "counts": dict(report.counts), "findings": report.findings})
    else:
        _print(report)
    if not report.well:
        raise typer.Exit(ExitCode.IN_PART)


def _summary(report: VerifyReport) -> dict[str, object]:
    return {
        "well": report.well,
        "files": report.files,
        "hashed": report.hashed,
        "bytes": report.bytes,
        "maps": report.maps,
        "unlisted": report.unlisted,
    }


def _print(report: VerifyReport) -> None:
    for finding in report.findings:
        used = f" (used by {', '.join(finding.used_by)})" if finding.used_by else ""
        say(
            f"{finding.outcome}: {finding.kind}: {finding.key}: {finding.detail}{used}; {finding.advice}"
        )
    if report.unlisted:
        say(
            f"and {report.unlisted} more, which are not listed: repair these, look at the disk and the "
            "settings, and run it again"
        )
    if report.counts:
        print_table(("what", "found"), [(str(k), n) for k, n in sorted(report.counts.items())])
    say(
        f"{report.files} files looked at, {report.hashed} read ({report.bytes / _MB:.1f} MB), "
        f"{report.maps} maps compared with their items: "
        + ("all well" if report.well else f"{len(report.left) + report.unlisted} left")
    )


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("verify")(_verify)
