"""From paths to candidate files: folders, zips and single files, one after the other."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from ingest.refusal import one_line

__all__ = ["SIDE_FILES", "Candidate", "side_file", "walk"]

SIDE_FILES: Final[tuple[tuple[str, str], ...]] = (
    (".*", "hidden: the system's or an editor's, never a delivery"),
    ("__macosx", "resource forks that macOS adds to zips"),
    ("thumbs.db", "picture previews that Windows leaves in folders"),
    ("*.aux.xml", "statistics that GDAL keeps beside rasters"),
    ("python_metadata", "index that the ismn package leaves in an archive it has read"),
    ("readme.txt", "explanation for people"),
    ("readme.md", "explanation for people"),
    ("ismn_qualityflags_description.txt", "ISMN's explanation of its flags"),
    ("metadata.xml", "ISMN's description of a download; the headers say what is needed"),
    ("*static_variables.csv", "ISMN's soil and climate classes beside a station"),
)
"""Files and folders that are passed over in silence (pattern in lower case, reason)."""

_RATIO: Final = 200
_EXPANSION: Final = 1 << 30
_COPY: Final = 1 << 20
_ENCRYPTED: Final = 0x1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be a granule, or the reason why there is none.

    Parameters
    ----------
    path : Path
        Readable file on disk. A zip's member is a temporary file that lives until the next
        candidate is asked for.
    name : str
        What a person knows it by, for example ``folder/a.zip!inner/x.stm``.
    delivered : str
        The file's own name, without folders.
    problem : str or None
        Why there is nothing to read.
    """

    path: Path
    name: str
    delivered: str
    problem: str | None = None


def side_file(name: str) -> str | None:
    """Return why a file or folder of this name is passed over, or None when it is not."""
    lower = name.lower()
    return next((reason for pattern, reason in SIDE_FILES if fnmatchcase(lower, pattern)), None)


def walk(paths: Iterable[Path], *, workspace: Path | None = None) -> Iterator[Candidate]:
    """Iterate over the files under some paths, in the order of their names.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders (searched to the bottom) and zips.
    workspace : Path, optional
        Folder for the zips' members; default: the system's temporary folder.

    Yields
    ------
    Candidate
        Each file once, streaming: one member of a zip is on disk at a time and is removed when the
        next candidate is asked for, when the iterator is closed, or when it is forgotten.
    """
    for path in sorted({Path(p) for p in paths}):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            yield _problem(path, _os_reason(error))
            continue
        if stat.S_ISDIR(mode):
            yield from _folder(path, path.resolve(), workspace)
        else:
            yield from _file(path, mode, workspace)


def _problem(path: Path, reason: str, name: str | None = None) -> Candidate:
    delivered = PurePosixPath(name.rpartition("!")[2]).name if name else path.name
    return Candidate(path, name or str(path), delivered, reason)


def _os_reason(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file or folder"
        case PermissionError():
            return "cannot be read: no permission; grant it and ingest again"
    return f"cannot be read ({error.strerror or one_line(error)})"


def _folder(folder: Path, root: Path, workspace: Path | None) -> Iterator[Candidate]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        yield _problem(folder, _os_reason(error))
        return
    for name in names:
        if side_file(name):
            continue
        path = folder / name
        try:
            link = path.is_symlink()
            if link and not path.resolve(strict=True).is_relative_to(root):
                yield _problem(
                    path, f"is a link that leaves the folder {root.name}; name its target"
                )
                continue
            mode = path.stat().st_mode
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, Python 3.11
            reason = _os_reason(error) if isinstance(error, OSError) else "is a loop of links"
            yield _problem(path, "is a link to nothing" if path.is_symlink() else reason)
            continue
        if not stat.S_ISDIR(mode):
            yield from _file(path, mode, workspace)
        elif not link:  # a linked folder inside the folder is met at its own place
            yield from _folder(path, root, workspace)


def _file(path: Path, mode: int, workspace: Path | None) -> Iterator[Candidate]:
    if not stat.S_ISREG(mode):
        yield _problem(path, "is not a regular file (a device, pipe or socket)")
        return
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        yield _problem(path, _os_reason(error))
        return
    if not start:
        yield _problem(path, "is empty")
    elif _is_zip(path.name, start):
        yield from _zip(path, workspace)
    else:
        yield Candidate(path, str(path), path.name)


def _is_zip(name: str, start: bytes) -> bool:
    return start in {b"PK\x03\x04", b"PK\x05\x06"} or name.lower().endswith(".zip")


def _zip(path: Path, workspace: Path | None) -> Iterator[Candidate]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        yield _problem(path, f"is a broken or truncated zip ({one_line(error)})")
        return
    with archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        expanded = sum(m.file_size for m in members)
        if expanded > _EXPANSION and expanded > _RATIO * path.stat().st_size:
            yield _problem(
                path,
                f"would expand to {expanded / 1e9:.1f} GB, more than {_RATIO} times its size: "
                "not unpacked; if that is right, unpack it yourself",
            )
            return
        wanted = [m for m in members if not any(map(side_file, _parts(m.filename)))]
        if not wanted:
            yield _problem(path, "is a zip without a file in it")
        with tempfile.TemporaryDirectory(prefix="smcatalog-zip-", dir=workspace) as room:
            for member in sorted(wanted, key=lambda m: m.filename):
                yield from _member(path, archive, member, Path(room))


def _parts(filename: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(filename).parts if part != "..")


def _member(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, room: Path
) -> Iterator[Candidate]:
    name = f"{path}!{member.filename}"
    if reason := _member_problem(member):
        yield _problem(path, reason, name)
        return
    # the name in the zip is a stranger's: on disk the file has one of ours
    target = room / "member"
    try:
        try:
            with archive.open(member) as source, target.open("wb") as out:
                start = source.read(4)
                out.write(start)
                nested = _is_zip(member.filename, start)
                if not nested:
                    shutil.copyfileobj(source, out, _COPY)
        except (
            zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
        ) as error:  # fmt: skip
            yield _problem(path, f"is damaged inside its zip ({one_line(error)})", name)
            return
        if nested:
            yield _problem(path, "is a zip inside a zip: unpack the outer one first", name)
        elif not start:
            yield _problem(path, "is empty", name)
        else:
            yield Candidate(target, name, PurePosixPath(member.filename).name)
    finally:
        target.unlink(missing_ok=True)


def _member_problem(member: zipfile.ZipInfo) -> str | None:
    name = member.filename
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return "has an absolute name inside its zip: not unpacked"
    if ".." in name.replace("\\", "/").split("/"):
        return "has a name that leaves its zip ('..'): not unpacked"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        return "is not a regular file (a link or device inside a zip)"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted: unpack the zip with its password first"
    return None
