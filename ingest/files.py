"""From paths to candidate files: folders, zips and single files, one after the other."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ingest.candidate import Candidate, problem, side_file
from ingest.companions import companions, grouped, has_companions, neutral
from ingest.refusal import legible, one_line
from ingest.zips import is_zip, members

__all__ = ["deliveries", "opened", "walk"]


def walk(paths: Iterable[Path], *, workspace: Path | None = None) -> Iterator[Candidate]:
    """Iterate over the files under some paths and in their zips, in the order of their names.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders (searched to the bottom) and zips.
    workspace : Path, optional
        As for `opened`.

    Yields
    ------
    Candidate
        Each file once, as `opened` gives them.
    """
    for delivery in deliveries(paths):
        yield from opened(delivery, workspace=workspace)


def opened(delivery: Candidate, *, workspace: Path | None = None) -> Iterator[Candidate]:
    """Yield a delivered file, or the files in it when it is a zip.

    Parameters
    ----------
    delivery : Candidate
        From `deliveries`.
    workspace : Path, optional
        Folder for a zip's members; default: the system's temporary folder.

    Yields
    ------
    Candidate
        One member of a zip is on disk at a time and is removed when the next candidate is asked for,
        when the iterator is closed, or when it is forgotten.
    """
    if delivery.problem is not None:
        yield delivery
        return
    path = delivery.path
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        yield problem(path, _os_reason(error))
        return
    if not start:
        yield problem(path, "is empty")
    elif is_zip(path.name, start):
        yield from members(path, workspace)
    elif legible(str(path)) == str(path):
        yield delivery
    else:
        yield from _linked(delivery, workspace)


def _linked(delivery: Candidate, workspace: Path | None) -> Iterator[Candidate]:
    """Yield a file whose path holds bytes in no encoding, or control characters, by links under names of ours.

    The libraries take text alone for a path.
    """
    main = delivery.path.name
    with tempfile.TemporaryDirectory(prefix="smcatalog-name-", dir=workspace) as room:
        links = []
        for file in delivery.files:
            name = neutral(file.name, main, "member") if has_companions(main) else "member"
            links.append(Path(room) / name)
            links[-1].symlink_to(file.absolute())
        yield replace(delivery, path=links[0], companions=tuple(links[1:]))


def deliveries(paths: Iterable[Path]) -> Iterator[Candidate]:
    """Iterate over the files under some paths, in the order of their names; zips are left closed.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders (searched to the bottom) and zips.
    """
    for path in _without_companions({Path(p) for p in paths}):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            yield problem(path, _os_reason(error))
            continue
        if stat.S_ISDIR(mode):
            yield from _folder(path, path.resolve())
        else:
            yield _file(path, mode, _beside(path))


def _os_reason(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file or folder"
        case PermissionError():
            return "cannot be read: no permission; grant it and ingest again"
    return f"cannot be read ({error.strerror or one_line(error)})"


def _folder(folder: Path, root: Path) -> Iterator[Candidate]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        yield problem(folder, _os_reason(error))
        return
    for name, parts in grouped(n for n in names if not side_file(n)).items():
        path = folder / name
        try:
            link = path.is_symlink()
            if link and not path.resolve(strict=True).is_relative_to(root):
                yield problem(
                    path, f"is a link that leaves the folder {root.name}; name its target"
                )
                continue
            mode = path.stat().st_mode
            beside = _regular(folder, parts, root)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, Python 3.11
            reason = _os_reason(error) if isinstance(error, OSError) else "is a loop of links"
            yield problem(path, "is a link to nothing" if path.is_symlink() else reason)
            continue
        if not stat.S_ISDIR(mode):
            yield _file(path, mode, beside)
        elif not link:  # a linked folder inside the folder is met at its own place
            yield from _folder(path, root)


def _without_companions(paths: set[Path]) -> list[Path]:
    """Return paths in order, without the companions of those among them, as a shell's ``*`` names all."""
    folders: dict[Path, list[str]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path.name)
    return sorted(folder / name for folder, names in folders.items() for name in grouped(names))


def _regular(folder: Path, names: list[str], root: Path) -> tuple[Path, ...]:
    """Return the companions that are files of this folder; links out of it do not count."""
    paths = (folder / name for name in names)
    return tuple(p for p in paths if p.is_file() and p.resolve().is_relative_to(root))


def _beside(path: Path) -> tuple[Path, ...]:
    """Return the companions of a file that was named by itself."""
    if not has_companions(path.name):
        return ()
    try:
        with os.scandir(path.parent) as entries:
            names = companions(path.name, [entry.name for entry in entries])
    except OSError:  # the folder may be closed and the file open: then it is read alone
        return ()
    return _regular(path.parent, names, path.parent.resolve())


def _file(path: Path, mode: int, beside: tuple[Path, ...]) -> Candidate:
    if not stat.S_ISREG(mode):
        return problem(path, "is not a regular file (a device, pipe or socket)")
    return Candidate(path, str(path), path.name, companions=beside)
