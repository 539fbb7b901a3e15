"""The files in a zip as candidates; nothing in a stranger's zip is trusted, its names least of all."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from ingest.candidate import Candidate, problem, side_file
from ingest.companions import grouped, has_companions, neutral
from ingest.refusal import legible, one_line

__all__ = ["is_zip", "members", "names_inside"]

_RATIO: Final = 200
_EXPANSION: Final = 1 << 30
_COPY: Final = 1 << 20
_ENCRYPTED: Final = 0x1


def is_zip(name: str, start: bytes) -> bool:
    """Say whether a file is a zip, by its name or its first four bytes."""
    return start in {b"PK\x03\x04", b"PK\x05\x06"} or name.lower().endswith(".zip")


def names_inside(path: Path) -> set[str]:
    """Return the names of the files in a zip, without folders; none when it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {legible(PurePosixPath(member.filename).name) for member in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return set()


def members(path: Path, workspace: Path | None) -> Iterator[Candidate]:
    """Yield the files in a zip, one main file after the other; what is wrong with it as a problem."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        yield problem(path, f"is a broken or truncated zip ({one_line(error)})")
        return
    with archive:
        held = [m for m in archive.infolist() if not m.is_dir()]
        expanded = sum(m.file_size for m in held)
        if expanded > _EXPANSION and expanded > _RATIO * path.stat().st_size:
            yield problem(
                path,
                f"would expand to {expanded / 1e9:.1f} GB, more than {_RATIO} times its size: "
                "not unpacked; if that is right, unpack it yourself",
            )
            return
        wanted = [m for m in held if not any(map(side_file, _parts(m.filename)))]
        if not wanted:
            yield problem(path, "is a zip without a file in it")
        with tempfile.TemporaryDirectory(prefix="smcatalog-zip-", dir=workspace) as room:
            for group in _gathered(wanted):
                yield from _unpacked(path, archive, group, Path(room))


def _parts(filename: str) -> tuple[str, ...]:
    parts = PurePosixPath(filename.replace("\\", "/")).parts
    return tuple(part for part in parts if part != "..")


def _gathered(members: list[zipfile.ZipInfo]) -> Iterator[list[zipfile.ZipInfo]]:
    """Yield each main file with its companions behind it, in the order of names."""
    folders: dict[PurePosixPath, dict[str, zipfile.ZipInfo]] = {}
    for member in sorted(members, key=lambda m: m.filename):
        place = PurePosixPath(member.filename)
        folders.setdefault(place.parent, {})[place.name] = member
    for held in folders.values():
        for name, parts in grouped(held).items():
            yield [held[one] for one in (name, *parts)]


def _unpacked(
    path: Path, archive: zipfile.ZipFile, group: list[zipfile.ZipInfo], room: Path
) -> Iterator[Candidate]:
    """Yield a main file while it and its companions lie in a room, under names of ours."""
    main = PurePosixPath(group[0].filename).name
    name = f"{path}!{group[0].filename}"
    targets: list[Path] = []
    try:
        for member in group:
            if reason := _member_problem(member) or _copy_problem(
                archive, member, _target(member, main, room, targets)
            ):
                yield problem(path, reason, f"{path}!{member.filename}")
                return
        yield Candidate(targets[0], name, main, companions=tuple(targets[1:]))
    finally:
        for target in targets:
            target.unlink(missing_ok=True)


def _target(member: zipfile.ZipInfo, main: str, room: Path, targets: list[Path]) -> Path:
    # the name in the zip is a stranger's: of it only suffixes that we know are kept
    own = PurePosixPath(member.filename).name
    target = room / (neutral(own, main, "member") if has_companions(main) else "member")
    targets.append(target)
    return target


def _copy_problem(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> str | None:
    """Copy a member out of its zip; return what is wrong with it."""
    try:
        with archive.open(member) as source, target.open("wb") as out:
            start = source.read(4)
            if is_zip(member.filename, start):
                return "is a zip inside a zip: unpack the outer one first"
            out.write(start)
            shutil.copyfileobj(source, out, _COPY)
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        return f"is damaged inside its zip ({one_line(error)})"
    return None if start else "is empty"


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
