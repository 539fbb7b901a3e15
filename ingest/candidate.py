"""A file that may be a granule, before anybody looked into it."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from ingest.refusal import legible
from smcatalog.core.fingerprint import sha256_files

__all__ = ["SIDE_FILES", "Candidate", "problem", "side_file"]

SIDE_FILES: Final[tuple[tuple[str, str], ...]] = (
    (".*", "hidden: the system's or an editor's, never a delivery"),
    ("__macosx", "resource forks that macOS adds to zips"),
    ("thumbs.db", "picture previews that Windows leaves in folders"),
    ("*.gpkg-*", "SQLite's journals beside a GeoPackage; what they hold back its reader asks for"),
    ("*.aux.xml", "statistics that GDAL keeps beside rasters"),
    ("python_metadata", "index that the ismn package leaves in an archive it has read"),
    ("readme.txt", "explanation for people"),
    ("readme.md", "explanation for people"),
    ("ismn_qualityflags_description.txt", "ISMN's explanation of its flags"),
    ("metadata.xml", "ISMN's description of a download; the headers say what is needed"),
    ("*static_variables.csv", "ISMN's soil and climate classes beside a station"),
)
"""Files and folders that are passed over in silence (pattern in lower case, reason)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be a granule, or the reason why there is none.

    Parameters
    ----------
    path : Path
        Readable file on disk. A zip's member is a temporary file that lives until the next
        candidate is asked for.
    name : str
        What a person knows it by, for example ``folder/a.zip!inner/x.stm``; made legible.
    delivered : str
        The file's own name, without folders; made legible.
    problem : str or None
        Why there is nothing to read.
    companions : tuple of Path
        Files beside it, of the same stem, that belong to it: the parts of a shapefile.
    """

    path: Path
    name: str
    delivered: str
    problem: str | None = None
    companions: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "delivered"):
            object.__setattr__(self, field, legible(getattr(self, field)))

    @property
    def files(self) -> tuple[Path, ...]:
        """The file and its companions."""
        return (self.path, *self.companions)

    def sha256(self) -> str:
        """Return the checksum of the file, with companions of all of them.

        Raises
        ------
        OSError
            When one of them cannot be read.
        """
        return sha256_files(self.files)


def side_file(name: str) -> str | None:
    """Return why a file or folder of this name is passed over, or None when it is not."""
    lower = name.lower()
    return next((reason for pattern, reason in SIDE_FILES if fnmatchcase(lower, pattern)), None)


def problem(path: Path, reason: str, name: str | None = None) -> Candidate:
    """Return a path under which there is nothing to read, and why."""
    delivered = PurePosixPath(name.rpartition("!")[2]).name if name else path.name
    return Candidate(path, name or str(path), delivered, reason)
