"""Repairing what a verification found: files first, then rows, then items; safe to repeat."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, select

from smcatalog.core.encoding import asset_kinds
from smcatalog.core.errors import SmcatalogError, StoreError, UsageError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.database import verification as recorded
from smcatalog.database.damage import invalidate_map, note_damage, note_repaired
from smcatalog.database.engine import transaction
from smcatalog.database.maps import load_map, lock_day
from smcatalog.database.models import Map
from smcatalog.products import Definition
from smcatalog.services.findings import FileKind, Finding, FindingKind, Outcome, VerifyReport
from smcatalog.services.publish import announce_collection
from smcatalog.services.verify import remedy
from smcatalog.services.workspace import Workspace
from smcatalog.stac.items import build_item
from smcatalog.stac.pgstac import delete_item, ensure_year_partition, get_item, upsert_item

__all__ = ["repair"]

_KINDS: Final = tuple(kind.name for kind in asset_kinds())
_FILES: Final = frozenset(
    {FindingKind.DAMAGED_FILE, FindingKind.MISSING_FILE, FindingKind.ORPHAN_FILE}
)
_Done = tuple[Outcome, str]
_T = TypeVar("_T")


def repair(
    workspace: Workspace,
    report: VerifyReport,
    *,
    dry_run: bool = False,
    delete_orphans: bool = False,
    now: datetime | None = None,
    show: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> VerifyReport:
    """Repair what was found, each thing by itself in a short transaction that looks again first.

    Parameters
    ----------
    report : VerifyReport
        From `verify`.
    dry_run : bool
        Only say what would be done.
    delete_orphans : bool
        Whether files that nothing names are deleted instead of being moved to the trash.
    now : datetime, optional
        The present, for tests; names the trash's folder.

    Returns
    -------
    VerifyReport
        The same findings with what became of them.

    Raises
    ------
    UsageError
        When database and store do not seem to belong together; nothing is changed then.
    DatabaseUnavailable
        When the database goes away; what was repaired stays.
    """
    if any(finding.kind in _FILES for finding in report.findings):
        _check_pair(workspace)
    day = f"{now or datetime.now(UTC):%Y-%m-%d}"
    mender = _Mender(workspace, workspace.settings.home / "trash" / day, dry_run, delete_orphans)
    findings = []
    for done, finding in enumerate(report.findings):
        show(done, len(report.findings))
        findings.append(mender.mend(finding))
    return replace(report, findings=findings)


def _check_pair(workspace: Workspace) -> None:
    """Refuse to touch the files of a store that is not the one the database speaks of."""
    keys = transaction(workspace.engine, recorded.sample_of_keys)
    if any(workspace.store.exists(key) for key in keys):
        return
    what = "names no file at all" if not keys else "names files of which the store has none"
    raise UsageError(
        f"the database {what}: database and store do not belong together, or the store is lost. "
        "Check SMCATALOG_STORE and SMCATALOG_DATABASE_URL, or restore the store from a backup; "
        "nothing was repaired"
    )


@dataclass(frozen=True, slots=True)
class _Mender:
    """Repairs one thing after another."""

    workspace: Workspace
    trash: Path
    dry_run: bool
    delete_orphans: bool

    def mend(self, finding: Finding) -> Finding:
        """Return the finding with what became of it."""
        steps: dict[FindingKind, Callable[[Finding], _Done]] = {
            FindingKind.DAMAGED_FILE: self._lost_file,
            FindingKind.MISSING_FILE: self._lost_file,
            FindingKind.HEALED_FILE: self._healed_file,
            FindingKind.ORPHAN_FILE: self._orphan_file,
            FindingKind.OUTDATED_LAYER: self._outdated_layer,
            FindingKind.MISSING_COLLECTION: self._collection,
            FindingKind.MISSING_ITEM: self._item,
            FindingKind.WRONG_DEPRECATED: self._item,
            FindingKind.OTHER_ITEM: self._item,
            FindingKind.ORPHAN_ITEM: self._orphan_item,
        }
        if finding.kind not in steps:
            return replace(finding, outcome=Outcome.LEFT)
        try:
            outcome, what = steps[finding.kind](finding)
        except (StoreError, OSError) as error:
            outcome, what = Outcome.LEFT, f"could not be repaired: {error}"
        return replace(finding, outcome=outcome, advice=what)

    def _would(self, what: str) -> _Done:
        return Outcome.PLANNED, f"would be {what}"

    # -- files --------------------------------------------------------------------------------

    def _lost_file(self, finding: Finding) -> _Done:
        used = self._do(lambda c: recorded.references(c, finding.key))
        makers = [r for r in used if r.kind == FileKind.LAYERS or r.live]
        what = remedy(used).removesuffix(" after --repair")
        if not makers or finding.sha256 is None:
            return Outcome.LEFT, what
        if self.dry_run:
            return self._would(f"marked: {what}")
        store, sha256 = self.workspace.store, finding.sha256
        if store.exists(finding.key):
            if store.checksum(finding.key) == sha256:
                return self._healed_file(finding)
            self._move(finding.key)  # so that the store writes it anew and does not find it there

        def note(connection: Connection) -> None:
            for maker in makers:
                if maker.kind == FileKind.MAPS:
                    invalidate_map(connection, maker.id, finding.detail, {finding.key})
                else:
                    note_damage(connection, finding.key, sha256, finding.detail)

        self._do(note)
        return Outcome.MARKED, what

    def _healed_file(self, finding: Finding) -> _Done:
        if self.dry_run:
            return self._would("taken off the list of damaged files")
        self._do(lambda c: note_repaired(c, [(finding.key, finding.sha256 or "")]))
        return Outcome.REPAIRED, "taken off the list of damaged files"

    def _orphan_file(self, finding: Finding) -> _Done:
        what = "deleted" if self.delete_orphans else f"moved to {self.trash}"
        if self._do(lambda c: recorded.is_recorded(c, finding.key)):
            return Outcome.REPAIRED, "recorded in the meantime, and left alone"
        if self.dry_run:
            return self._would(what)
        if not self.workspace.store.exists(finding.key):
            return Outcome.REPAIRED, "gone in the meantime"
        if self.delete_orphans:
            self.workspace.store.remove(finding.key)
        else:
            self._move(finding.key)
        return Outcome.REPAIRED, what

    def _move(self, key: str) -> None:
        """Copy a file to the trash, flushed and compared, then remove it from the store."""
        store = self.workspace.store
        sha256 = store.checksum(key)
        with store.local(key, sha256) as path:
            self._keep(key, sha256, lambda target: shutil.copyfile(path, target))
        store.remove(key)

    def _keep(self, name: str, sha256: str, write: Callable[[Path], object]) -> None:
        """Write a file into the trash; what lies there under its name stays."""
        target = self.trash / name
        if target.exists():
            if sha256_file(target) == sha256:
                return
            target = target.with_name(f"{target.name}.{sha256[:16]}")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}")
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        if sha256_file(temporary) != sha256:
            temporary.unlink()
            raise StoreError(f"{name} changed while it was copied to the trash: run it again")
        temporary.replace(target)

    # -- rows ---------------------------------------------------------------------------------

    def _outdated_layer(self, finding: Finding) -> _Done:
        if self.dry_run:
            return self._would("taken out of force")
        row = finding.row
        if row is not None:
            self._do(lambda c: recorded.supersede_layer(c, row))
        return Outcome.REPAIRED, "taken out of force"

    # -- items --------------------------------------------------------------------------------

    def _collection(self, finding: Finding) -> _Done:
        if self.dry_run:
            return self._would("written again")
        missing = dict(self._do(lambda c: recorded.products_without_collection(c, finding.key)))
        try:
            for definition in map(Definition.from_dict, missing.values()):
                self._do(partial(announce_collection, definition=definition))
        except (SmcatalogError, KeyError, TypeError, ValueError) as error:
            what = (
                f"its recipe cannot be read ({error}): 'smcatalog produce {finding.key}' writes it"
            )
            return Outcome.LEFT, what
        return Outcome.REPAIRED, "written again"

    def _item(self, finding: Finding) -> _Done:
        if self.dry_run:
            return self._would("written again from the map")
        map_id, engine = finding.row, self.workspace.engine
        if map_id is None:
            return Outcome.LEFT, finding.advice
        published = self._do(lambda c: load_map(c, map_id, _KINDS))
        ensure_year_partition(engine, published.product, published.period)

        def write(connection: Connection) -> None:
            row = connection.execute(select(Map.product_id, Map.day).where(Map.id == map_id)).one()
            lock_day(connection, row.product_id, row.day)
            upsert_item(connection, build_item(load_map(connection, map_id, _KINDS)))

        self._do(write)
        return Outcome.REPAIRED, "written again from the map"

    def _orphan_item(self, finding: Finding) -> _Done:
        if self.dry_run:
            return self._would(f"deleted, and kept in {self.trash}")
        collection, _, item = finding.key.partition("/")

        def delete(connection: Connection) -> bool:
            if connection.scalar(select(Map.id).where(Map.item_id == item)) is not None:
                return False
            content = get_item(connection, collection, item)
            if content is not None:
                self._keep_item(finding.key, content)
            delete_item(connection, collection, item)
            return True

        if not self._do(delete):
            return Outcome.REPAIRED, "a map has it by now"
        return Outcome.REPAIRED, f"deleted, and kept in {self.trash}"

    def _keep_item(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2, sort_keys=True).encode()
        digest = hashlib.sha256(text).hexdigest()
        self._keep(f"items/{name}.json", digest, lambda target: target.write_bytes(text))

    def _do(self, work: Callable[[Connection], _T]) -> _T:
        return transaction(self.workspace.engine, work)
