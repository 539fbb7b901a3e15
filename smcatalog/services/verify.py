"""Comparing the store, the database and the STAC items with each other; nothing is changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection

from smcatalog.core.encoding import asset_kinds
from smcatalog.core.errors import NotFoundError, StoreError, UsageError
from smcatalog.database import verification as recorded
from smcatalog.database.engine import transaction
from smcatalog.database.maps import load_map
from smcatalog.database.products import find_product
from smcatalog.database.verification import ListedMap, RecordedFile, Reference
from smcatalog.services.findings import (
    GRACE,
    MOST,
    FileKind,
    Finding,
    FindingKind,
    VerifyReport,
)
from smcatalog.services.workspace import Workspace
from smcatalog.stac.items import build_item
from smcatalog.stac.pgstac import get_item
from smcatalog.store import Entry, Store, validate_cog

__all__ = ["remedy", "verify"]

_PAGE: Final = 100
_KINDS: Final = tuple(kind.name for kind in asset_kinds())
_BACKUP: Final = "restore it from a backup"

Show = Callable[[int, int | None], None]
"""Told how many are done, and of how many when that is known."""


def verify(
    workspace: Workspace,
    *,
    product: str | None = None,
    kind: FileKind | None = None,
    sample: float = 1.0,
    deep: bool = False,
    grace: timedelta = GRACE,
    now: datetime | None = None,
    show: Show = lambda _done, _total: None,
) -> VerifyReport:
    """Look for what is missing, damaged, superfluous or at odds; in bounded memory, changing nothing.

    Parameters
    ----------
    product : str, optional
        Only this product's maps, models and items; layers, which products share, are left out.
    kind : FileKind, optional
        Only this part of the store; items are looked at with maps, lineage with layers.
    sample : float
        Share of the files that are read whole. The others are looked for by name and size. It is another
        share each day: with a tenth, ten days in a row read every file once.
    deep : bool
        Whether maps are also opened and checked for being valid COGs.
    grace : timedelta
        How long a file may lie in the store unrecorded.
    now : datetime, optional
        The present, for tests.

    Raises
    ------
    UsageError
        When the choice makes no sense.
    NotFoundError
        When there is no such product.
    StoreError, DatabaseUnavailable
        When the store or the database cannot be read at all.

    Notes
    -----
    That not more than one map of a day is live is a constraint of the database. Each map's item is compared
    with what the map gives, `deprecated` included, and items without a map are found: so when nothing is
    found, exactly one item of each day with a live map is not deprecated.
    """
    if not 0 < sample <= 1:
        raise UsageError(f"a sample is a share above 0 and at most 1, got {sample}")
    if product is not None and kind is FileKind.LAYERS:
        raise UsageError("layers belong to no product: leave out --product or --kind layers")
    if product is not None:
        _check_product(workspace, product)
    report = VerifyReport()
    scope = _Scope.of(product, kind)
    files = _Files(workspace, scope, report, (sample, deep), (now or datetime.now(UTC), grace))
    files.look(show)
    if FileKind.LAYERS in scope.kinds:
        _look_at_layers(workspace, report)
    if FileKind.MAPS in scope.kinds:
        _look_at_collections(workspace, report, product)
        _look_at_items(workspace, report, product, show)
    order = list(FindingKind)
    report.findings.sort(key=lambda finding: (order.index(finding.kind), finding.key))
    return report


def _check_product(workspace: Workspace, product: str) -> None:
    found = transaction(workspace.engine, lambda connection: find_product(connection, product))
    if found is None:
        raise NotFoundError(
            f"no map of a product '{product}' was ever made here: 'smcatalog products list' shows names"
        )


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is looked at."""

    product: str | None
    kinds: tuple[FileKind, ...]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, product: str | None, kind: FileKind | None) -> _Scope:
        kinds = tuple(FileKind) if kind is None else (kind,)
        if product is None:
            # without a kind everything: what lies in no known folder is an orphan, too
            return cls(None, kinds, ("",) if kind is None else (f"{kind}/",))
        kinds = tuple(one for one in kinds if one is not FileKind.LAYERS)
        return cls(product, kinds, tuple(f"{one}/{product}/" for one in kinds))


class _Files:
    """Compares the store's files with those that the catalogue names."""

    def __init__(
        self,
        workspace: Workspace,
        scope: _Scope,
        report: VerifyReport,
        how: tuple[float, bool],
        when: tuple[datetime, timedelta],
    ) -> None:
        self._engine = workspace.engine
        self._store: Store = workspace.store
        self._scope = scope
        self._report = report
        self._sample, self._deep = how
        self._now, grace = when
        self._young = self._now - grace

    def look(self, show: Show) -> None:
        """Go through both listings at once, each sorted by key."""
        scope = self._scope
        records = recorded.recorded_files(self._engine, scope.kinds, scope.product)
        entries = (e for e in _ascending(self._store) if e.key.startswith(scope.prefixes))
        for entry, named in _matched(entries, records):
            if entry is not None:
                self._report.files += 1
                show(self._report.files, None)
            if entry is None:
                self._add(FindingKind.MISSING_FILE, named[0], "it is not in the store")
            elif named:
                self._compare(entry, named)
            else:
                self._superfluous(entry)

    def _superfluous(self, entry: Entry) -> None:
        when = f"{entry.size} bytes, written {entry.modified:%Y-%m-%d %H:%M:%SZ}, in no row"
        if entry.modified > self._young:
            advice = "leave it: who wrote it may be about to publish it"
            self._report.add(Finding(FindingKind.FRESH_FILE, entry.key, when, advice))
            return
        advice = "--repair moves it to the trash, --repair --delete-orphans deletes it"
        self._report.add(Finding(FindingKind.ORPHAN_FILE, entry.key, when, advice))

    def _compare(self, entry: Entry, named: Sequence[RecordedFile]) -> None:
        """Compare a file with its rows, which differ in their checksums only if one of them is wrong."""
        found: str | None = None
        for row in named:
            if row.size is not None and row.size != entry.size:
                detail = f"it has {entry.size} bytes, recorded are {row.size}"
                self._add(FindingKind.DAMAGED_FILE, row, detail)
                continue
            if not (row.noted or _in_sample(entry.key, self._sample, self._now)):
                continue
            try:
                found = found or self._checksum(entry)
            except StoreError as error:
                self._add(FindingKind.DAMAGED_FILE, row, str(error))
                continue
            if found != row.sha256:
                detail = f"its SHA-256 is {found}, recorded is {row.sha256}"
                self._add(FindingKind.DAMAGED_FILE, row, detail)
            elif row.noted:
                self._add(FindingKind.HEALED_FILE, row, "it stands in the list of damaged files")
            elif self._deep and row.kind == FileKind.MAPS:
                self._check_cog(row)

    def _checksum(self, entry: Entry) -> str:
        self._report.hashed += 1
        self._report.bytes += entry.size
        return self._store.checksum(entry.key)

    def _check_cog(self, row: RecordedFile) -> None:
        try:
            with self._store.local(row.key, row.sha256) as path:
                validate_cog(path)
        except StoreError as error:
            self._add(FindingKind.NOT_A_COG, row, str(error))

    def _add(self, kind: FindingKind, row: RecordedFile, detail: str) -> None:
        used = transaction(self._engine, lambda c: recorded.references(c, row.key))
        if kind is FindingKind.HEALED_FILE:
            advice = "--repair takes it off the list"
        elif kind is FindingKind.NOT_A_COG:
            advice = "it is as it was published: withdraw the map or make it anew"
        else:
            advice = remedy(used)
        labels = tuple(reference.label for reference in used)
        self._report.add(Finding(kind, row.key, detail, advice, labels, sha256=row.sha256))


def remedy(used: Iterable[Reference]) -> str:
    """Return what brings a file back that these refer to."""
    for reference in used:
        if reference.kind == FileKind.LAYERS and reference.delivered_as:
            return f"ingest {' or '.join(reference.delivered_as)} again after --repair"
        if reference.kind != FileKind.LAYERS and reference.live:
            return f"'smcatalog produce {reference.product}' makes it again after --repair"
    return f"it is not made again: {_BACKUP}"


def _ascending(store: Store) -> Iterator[Entry]:
    """Iterate over the store's files, whose order all conclusions rest on."""
    before = ""
    for entry in store.files():
        if entry.key <= before:
            raise StoreError(f"the store lists {entry.key} after {before}: that is out of order")
        before = entry.key
        yield entry


def _matched(
    entries: Iterator[Entry], records: Iterator[RecordedFile]
) -> Iterator[tuple[Entry | None, Sequence[RecordedFile]]]:
    """Join two sorted listings: each key once, with its file and the rows that name it."""
    groups = ((key, list(rows)) for key, rows in groupby(records, key=attrgetter("key")))
    entry, group = next(entries, None), next(groups, None)
    while entry is not None or group is not None:
        if group is None or (entry is not None and entry.key < group[0]):
            yield entry, ()
            entry = next(entries, None)
        elif entry is None or group[0] < entry.key:
            yield None, group[1]
            group = next(groups, None)
        else:
            yield entry, group[1]
            entry, group = next(entries, None), next(groups, None)


def _in_sample(key: str, share: float, now: datetime) -> bool:
    """Say whether it is a file's turn: it is on one of as many days as the share asks for."""
    turns = math.ceil(1 / share)
    turn = int.from_bytes(sha256(key.encode()).digest()[:8]) % turns
    return turn == now.toordinal() % turns


def _look_at_layers(workspace: Workspace, report: VerifyReport) -> None:
    for outdated, kind, advice in (
        (
            False,
            FindingKind.LAYER_WITHOUT_GRANULE,
            "nobody knows where it came from: ingest its granule",
        ),
        (True, FindingKind.OUTDATED_LAYER, "--repair takes it out of force"),
    ):
        look = partial(recorded.lost_layers, outdated=outdated, most=MOST)
        found = transaction(workspace.engine, look)
        for layer in found:
            detail = f"layer {layer.label}"
            report.add(Finding(kind, layer.key, detail, advice, layer.granules, row=layer.id))


def _look_at_collections(workspace: Workspace, report: VerifyReport, product: str | None) -> None:
    missing = transaction(
        workspace.engine, lambda c: recorded.products_without_collection(c, product)
    )
    for name, _ in missing:
        detail = "the product has maps and no collection"
        advice = "--repair writes it again"
        report.add(Finding(FindingKind.MISSING_COLLECTION, name, detail, advice))


def _look_at_items(
    workspace: Workspace, report: VerifyReport, product: str | None, show: Show
) -> None:
    """Compare each map's item with what the map gives; a page sees one state of the database."""
    frozen = workspace.engine.execution_options(isolation_level="REPEATABLE READ")
    listed = recorded.listed_maps(workspace.engine, _KINDS, product)
    while page := list(islice(listed, _PAGE)):
        for finding in transaction(frozen, partial(_compared, page=page)):
            report.add(finding)
        report.maps += sum(row.map_id is not None for row in page)
        show(report.files + report.maps, None)


def _compared(connection: Connection, page: Iterable[ListedMap]) -> list[Finding]:
    return [finding for row in page if (finding := _compare(connection, row)) is not None]


def _compare(connection: Connection, row: ListedMap) -> Finding | None:
    key = f"{row.product}/{row.item_id}"
    if row.map_id is None:
        return Finding(FindingKind.ORPHAN_ITEM, key, "no map has this item", "--repair deletes it")
    if row.files != len(_KINDS):
        detail = f"{row.files} of its {len(_KINDS)} files are recorded"
        return Finding(
            FindingKind.INCOMPLETE_MAP,
            key,
            detail,
            "restore the database from a backup",
            row=row.map_id,
        )
    expected = build_item(load_map(connection, row.map_id, _KINDS))
    wanted = expected.to_dict(include_self_link=False, transform_hrefs=False)
    stored = get_item(connection, row.product, row.item_id)
    advice = "--repair writes it again from the map"
    if stored is None:
        detail = "the map has no item"
        return Finding(FindingKind.MISSING_ITEM, key, detail, advice, row=row.map_id)
    differing = _differing(stored, wanted)
    if not differing:
        return None
    detail = f"not what the map gives: {', '.join(differing)}"
    kind = FindingKind.OTHER_ITEM
    if "properties.deprecated" in differing:
        kind = FindingKind.WRONG_DEPRECATED
    return Finding(kind, key, detail, advice, row=row.map_id)


def _differing(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the names of an item's members that differ."""
    names = [
        name
        for name in {**wanted, **stored}
        if name != "properties" and stored.get(name) != wanted.get(name)
    ]
    ours, theirs = wanted["properties"], stored.get("properties") or {}
    names += [f"properties.{n}" for n in {**ours, **theirs} if theirs.get(n) != ours.get(n)]
    return sorted(names)
