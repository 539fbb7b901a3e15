"""What a verification of the catalogue can find, and what it reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

__all__ = ["GRACE", "MOST", "FileKind", "Finding", "FindingKind", "Outcome", "VerifyReport"]

GRACE: Final = timedelta(hours=1)
"""How long a file may lie in the store before somebody must have recorded it."""
MOST: Final = 10_000
"""Findings that are listed; more are counted only: something larger is wrong then."""


class FileKind(StrEnum):
    """Which part of the store: the first folder of a key."""

    MAPS = "maps"
    LAYERS = "layers"
    MODELS = "models"


class FindingKind(StrEnum):
    """What is wrong. In the order in which it is repaired: files, rows, items."""

    DAMAGED_FILE = "damaged file"
    """Size or checksum are not those recorded."""
    MISSING_FILE = "missing file"
    HEALED_FILE = "healed file"
    """Noted as missing or damaged, and good again."""
    NOT_A_COG = "not a COG"
    """As recorded, but no valid Cloud Optimized GeoTIFF."""
    ORPHAN_FILE = "orphan file"
    """Nothing in the catalogue names it."""
    FRESH_FILE = "fresh file"
    """The same, but so young that a writer may be about to publish it: nothing is wrong."""
    LAYER_WITHOUT_GRANULE = "layer without granule"
    OUTDATED_LAYER = "outdated layer"
    """In force, though of all its granules newer productions are recorded."""
    INCOMPLETE_MAP = "incomplete map"
    """A map that lacks the row of a file."""
    MISSING_COLLECTION = "missing collection"
    MISSING_ITEM = "missing item"
    """A map without its STAC item."""
    WRONG_DEPRECATED = "wrong deprecated"
    """An item that says of itself wrongly whether another has replaced it."""
    OTHER_ITEM = "item differs"
    """An item that is not what its map gives."""
    ORPHAN_ITEM = "orphan item"
    """An item of one of our collections without a map."""


class Outcome(StrEnum):
    """What became of a finding."""

    FOUND = "found"
    REPAIRED = "repaired"
    MARKED = "marked"
    """It is to be made again by the next produce or ingest, and is left until then."""
    LEFT = "left"
    """Only a person can do something about it."""
    PLANNED = "planned"
    """A repair would do something about it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    kind : FindingKind
        What is wrong.
    key : str
        The file's key in the store; of an item its collection and identifier.
    detail : str
        What was found.
    advice : str
        What to do; after a repair what was done or would be.
    used_by : tuple of str
        What refers to it, those in force first, not all of them.
    outcome : Outcome
        What became of it.
    sha256 : str or None
        Checksum that the file should have.
    row : int or None
        Key of the map or layer in the database.
    """

    kind: FindingKind
    key: str
    detail: str
    advice: str
    used_by: tuple[str, ...] = ()
    outcome: Outcome = Outcome.FOUND
    sha256: str | None = None
    row: int | None = None

    @property
    def is_left(self) -> bool:
        """Whether something is still wrong."""
        return self.kind is not FindingKind.FRESH_FILE and self.outcome is not Outcome.REPAIRED


@dataclass(slots=True)
class VerifyReport:
    """What was looked at and what was found.

    Parameters
    ----------
    files : int
        Files of the store that were looked at.
    hashed : int
        Of these how many were read whole.
    bytes : int
        Bytes that were read.
    maps : int
        Maps that were compared with their items.
    counts : dict of int by FindingKind
        Findings of each kind, those too that are not listed.
    findings : list of Finding
        At most `MOST`, in the order in which they are repaired.
    """

    files: int = 0
    hashed: int = 0
    bytes: int = 0
    maps: int = 0
    counts: Counter[FindingKind] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Count a finding, and list it while there are not too many."""
        self.counts[finding.kind] += 1
        if len(self.findings) < MOST:
            self.findings.append(finding)

    @property
    def unlisted(self) -> int:
        """Number of findings that are counted only."""
        return self.counts.total() - len(self.findings)

    @property
    def left(self) -> list[Finding]:
        """Those of the listed findings that are still wrong."""
        return [finding for finding in self.findings if finding.is_left]

    @property
    def well(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return not self.left and not self.unlisted
