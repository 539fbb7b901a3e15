"""Kinds of bad files, each with the reason that its refusal must give, over all samples of the registry.

A kind spoils a valid sample; whether it applies follows from the sample's format and source, so that a new
sample gets all kinds that fit it by being listed. A reason is a pattern that says what is wrong in words of that kind.
"""

from __future__ import annotations

import functools
import gzip
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.sniff import Format, sniff
from tests.factories.granules import SAMPLES, Sample
from tests.factories.rewriting import BAND, SCIENTIFIC, Attributes, Change, Reword, rewrite, same

Spoil = Callable[[Path], Path | None]
"""Spoils the file at a path; returns the path that it then has, None for the same."""
Applies = Callable[[Sample], bool]
Reason = str | Mapping[Format | str, str]
"""Pattern, or patterns by format or source; "" stands for all others."""

MEASURED = re.compile(
    r"(?:^|/)(?:LST_\w+|1 km 16 days (?:NDVI|EVI)|Lai_500m|Fpar_500m|sur_refl_b\d\d|LC_Type\d|\w*Albedo_[BW]SA_\w+"
    r"|soil_moisture\w*|sm_(?:surface|rootzone)|swvl\d|stl\d|[td]2m|lai_[hl]v|tp|e|pev|ssrd|lai|SA|BD|POR|GRAV|sm|precipitation|SoilMoi\w+cm_\w+|layer\d|Geophysical Data)$|^band$"
)
"""Data sets that hold what was measured, not coordinates or flags. Others are known by their ``scale_factor``."""
PAGE = b"<!DOCTYPE html>\n<html><head><title>Earthdata Login</title></head><body>Sign in</body></html>\n"


@dataclass(frozen=True)
class Kind:
    """A kind of bad file."""

    name: str
    reason: Reason
    spoil: Spoil
    applies: Applies

    def pattern(self, sample: Sample) -> str:
        """Return what the reason must say of a sample."""
        if isinstance(self.reason, str):
            return self.reason
        for key in (sample.source, form(sample), ""):
            if key in self.reason:
                return self.reason[key]
        raise KeyError(f"{self.name} gives no reason for {sample}")


@dataclass(frozen=True)
class Case:
    """A kind of corruption of a sample."""

    kind: Kind
    sample: Sample

    def __str__(self) -> str:
        return f"{self.kind.name}-{self.sample}"

    @property
    def pattern(self) -> str:
        return self.kind.pattern(self.sample)

    def into(self, folder: Path) -> Path:
        """Write the bad file into a folder and return its path."""
        path = valid(self.sample, folder)
        return self.kind.spoil(path) or path


@functools.cache
def contents(sample: Sample) -> dict[str, bytes]:
    """Return the bytes of a sample's files: of the main one first."""
    with tempfile.TemporaryDirectory() as folder:
        main = sample.into(Path(folder))
        others = sorted(p for p in Path(folder).rglob("*") if p.is_file() and p != main)
        return {str(p.relative_to(folder)): p.read_bytes() for p in (main, *others)}


def valid(sample: Sample, folder: Path) -> Path:
    """Write a valid sample."""
    for name, content in contents(sample).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / next(iter(contents(sample)))


def form(sample: Sample) -> Format:
    """Return a sample's format."""
    return sniff(next(iter(contents(sample).values()))[:4096])


# -- which samples a kind is for


def every(sample: Sample) -> bool:
    return sample.source != "SRTMGL1"  # 26 MB, and all code is that of SRTMGL3


def of(*what: Format | str) -> Applies:
    """Return a test for samples of some formats or sources."""
    return lambda sample: every(sample) and (form(sample) in what or sample.source in what)


def but(applies: Applies, *what: Format | str) -> Applies:
    """Return a test for samples but those of some formats, sources or names."""
    return lambda s: applies(s) and not {form(s), s.source, s.name} & set(what)


def scientific(sample: Sample) -> bool:
    """Say whether a sample has data sets that can be rewritten."""
    return every(sample) and form(sample) in SCIENTIFIC


@functools.cache
def measures(sample: Sample) -> tuple[tuple[np.dtype, Attributes], ...]:
    """Return type and attributes of what a sample measures."""
    found = []

    def one(name: str, values: np.ndarray, attributes: Attributes) -> Any:
        if is_measured(name, attributes):
            found.append((values.dtype, attributes))
        return values, attributes

    if scientific(sample):
        with tempfile.TemporaryDirectory() as folder:
            rewrite(valid(sample, Path(folder)), one)
    return tuple(found)


def scaled(sample: Sample) -> bool:
    """Say whether what a sample measures declares its steps."""
    return every(sample) and form(sample) is not Format.TIFF and any(
        "scale_factor" in attributes for _, attributes in measures(sample)
    )  # fmt: skip


def real(sample: Sample) -> bool:
    """Say whether what a sample measures are real numbers."""
    return every(sample) and any(dtype.kind == "f" for dtype, _ in measures(sample))


def accompanied(sample: Sample) -> bool:
    """Say whether a sample is of several files."""
    return every(sample) and len(contents(sample)) > 1


def eos(sample: Sample) -> bool:
    """Say whether a sample is of HDF-EOS."""
    return every(sample) and any(b"StructMetadata" in c for c in contents(sample).values())


def tile(sample: Sample) -> bool:
    """Say whether a sample is a tile of the sinusoidal grid."""
    return eos(sample) and re.search(r"\.h\d\dv\d\d\.", sample.name) is not None


def globe(sample: Sample) -> bool:
    return eos(sample) and not tile(sample)


def dated(sample: Sample) -> bool:
    """Say whether a sample is of a day."""
    return every(sample) and (
        sample.source in {"ERA5", "ERA5-Land", "ISMN"} or sample.name.startswith("OzNet") or YEAR.search(sample.name) is not None
    )  # fmt: skip


def dated_by_name(sample: Sample) -> bool:
    """Say whether the day stands nowhere but in the name."""
    return dated(sample) and sample.source != "ISMN" and (
        form(sample) is Format.TIFF or sample.source == "SMAP-36km-points"
    )  # fmt: skip


YEAR = re.compile(
    r"(?<!\d)(?:19|20)\d\d(?=[._-]?(?:0[1-9]|1[0-2])[._-]?(?:[0-2]\d|3[01])(?!\d)|\d{4}T|[0-3]\d\d\.)"
)
"""A year in a name: before month and day, or before the day of the year."""


# -- bytes


def cut(share: float) -> Spoil:
    """Return a spoiler that keeps the first bytes alone; of a text not a whole line."""

    def spoil(path: Path) -> None:
        content = path.read_bytes()
        kept = content[: max(int(len(content) * share), 1)]
        if sniff(content[:4096]) is Format.TEXT:
            # behind the last separator of a whole line's beginning
            kept = kept[: kept.rfind(b"\n") + 1] + content[kept.rfind(b"\n") + 1 :][:8]
        path.write_bytes(kept)

    return spoil


def replaced(content: bytes) -> Spoil:
    """Return a spoiler that puts other bytes in a file's place."""
    return lambda path: _done(path.write_bytes(content))


def _done(_: object) -> None:
    return None


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def gzipped(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def text_mode(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def has_line_ends(sample: Sample) -> bool:
    main = next(iter(contents(sample).values()))
    return every(sample) and form(sample) is not Format.TEXT and b"\n" in main


# -- names


def renamed(pattern: str, new: str) -> Spoil:
    """Return a spoiler that changes the name alone."""

    def spoil(path: Path) -> Path:
        name = re.sub(pattern, new, path.name)
        if name == path.name:
            raise ValueError(f"{path.name} has no {pattern}")
        return path.rename(path.with_name(name))

    return spoil


# -- what is inside


def rewritten(change: Change = same, reword: Reword | None = None) -> Spoil:
    """Return a spoiler that changes data sets or texts."""
    return lambda path: rewrite(path, change, reword)


def measured(
    change: Callable[[np.ndarray, Attributes], tuple[np.ndarray, Attributes] | None],
) -> Spoil:
    """Return a spoiler of the data sets that hold what was measured."""

    def spoil(path: Path) -> None:
        found: list[str] = []

        def one(name: str, values: np.ndarray, attributes: Attributes) -> Any:
            if not is_measured(name, attributes):
                return values, attributes
            found.append(name)
            return change(values, attributes)

        rewrite(path, one)
        if not found:
            raise ValueError(f"nobody knows what {path.name} measures: add it to MEASURED")

    return spoil


def is_measured(name: str, attributes: Attributes) -> bool:
    """Say whether a data set holds what was measured."""
    return MEASURED.search(name) is not None or (name != BAND and "scale_factor" in attributes)


def attribute(**changes: object) -> Spoil:
    """Return a spoiler that sets attributes of what was measured; None leaves them out."""

    def change(values: np.ndarray, attributes: Attributes) -> tuple[np.ndarray, Attributes]:
        new = {k: v for k, v in (attributes | changes).items() if v is not None}
        return values, new if "crs" not in attributes else attributes | changes

    return measured(change)


def values(new: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """Return a spoiler that changes the measured numbers."""
    return measured(lambda old, attributes: (new(old), attributes))


def datasets(pattern: str, new: Callable[[np.ndarray], np.ndarray | None]) -> Spoil:
    """Return a spoiler of the data sets whose names match; None leaves them out."""

    def change(name: str, old: np.ndarray, attributes: Attributes) -> Any:
        if not re.search(pattern, name):
            return old, attributes
        changed = new(old)
        return None if changed is None else (changed, attributes)

    return rewritten(change)


def reworded(pattern: str, new: str | Callable[[re.Match[str]], str], where: str = "") -> Spoil:
    """Return a spoiler that replaces something in the texts inside."""

    def reword(name: str, text: str) -> str:
        return re.sub(pattern, new, text) if where in name else text

    return rewritten(reword=reword)


def lines(pattern: str, new: str | Callable[[re.Match[str]], str]) -> Spoil:
    """Return a spoiler that replaces something in a text file."""

    def spoil(path: Path) -> None:
        old = path.read_bytes().decode()
        text = re.sub(pattern, new, old, flags=re.MULTILINE)
        if text == old:
            raise ValueError(f"{path.name} has no {pattern}")
        path.write_bytes(text.encode())

    return spoil


def both(*spoilers: Spoil) -> Spoil:
    """Return a spoiler that does one thing after the other."""

    def spoil(path: Path) -> Path:
        for one in spoilers:
            path = one(path) or path
        return path

    return spoil


def by_sample(spoilers: Mapping[str, Spoil]) -> Spoil:
    """Return a spoiler that differs by what a name begins with."""

    def spoil(path: Path) -> Path | None:
        return next(s for start, s in spoilers.items() if path.name.startswith(start))(path)

    return spoil


def alone(path: Path) -> None:
    """Remove what belongs to a file."""
    for other in path.parent.iterdir():
        if other != path:
            other.unlink()


def cases(kinds: tuple[Kind, ...]) -> list[Case]:
    """Return each kind with each sample that it applies to."""
    return [Case(kind, sample) for kind in kinds for sample in SAMPLES if kind.applies(sample)]
