"""What is changed in a file to spoil it: numbers, places, days, lengths."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

from tests.factories.corruptions import YEAR, Spoil, datasets, lines, rewritten
from tests.factories.rewriting import Attributes


def every_other(used: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a change that puts a number in place of every other value."""

    def change(old: np.ndarray) -> np.ndarray:
        new = old.copy()
        new.reshape(-1)[::2] = used
        return new

    return change


def foreign_fill(old: np.ndarray, attributes: Attributes) -> tuple[np.ndarray, Attributes]:
    usual = {"f": -999.0, "u": 1}
    int16 = 32766 if np.any(attributes.get("_FillValue") == -32767) else -32767
    used = {"uint8": 254, "int16": int16}.get(old.dtype.name, usual.get(old.dtype.kind, -999))
    return every_other(used)(old), attributes


def filled(old: np.ndarray, attributes: Attributes) -> tuple[np.ndarray, Attributes]:
    fill = attributes.get("_FillValue")
    if fill is None:
        fill, attributes = -9999, attributes | {"_FillValue": -9999}
    return np.full_like(old, np.ravel(fill)[0]), attributes


def added(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda old: (old + np.asarray(by)).astype(old.dtype)


def multiplied(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda old: np.where(old == -9999, old, old * by).astype(old.dtype)


def constant(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda old: np.full_like(old, value)


def one_more(old: np.ndarray) -> np.ndarray:
    """Add a row, without one an entry."""
    return np.concatenate([old, old[:1]])


def as_text(old: np.ndarray, attributes: Attributes) -> tuple[np.ndarray, Attributes]:
    return np.full(old.shape, b"x", "S1"), {
        k: v for k, v in attributes.items() if isinstance(v, float | np.ndarray)
    }


def heights(new: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    def spoil(path: Path) -> None:
        old = np.fromfile(path, ">i2")
        new(old).tofile(path)

    return spoil


def placed(**changes: object) -> Spoil:
    """Return a spoiler of a GeoTIFF's place."""

    def change(name: str, old: np.ndarray, attributes: Attributes):
        return old, attributes | changes

    return rewritten(change)


def moved(columns: float, rows: float = 0.0) -> Spoil:
    """Return a spoiler that moves the corners of an HDF-EOS grid by so many pixels."""

    def reword(name: str, text: str) -> str:
        if "StructMetadata" not in name:
            return text
        shape = [int(re.search(rf"{axis}=(\d+)", text)[1]) for axis in ("XDim", "YDim")]
        corners = [corner(text, key) for key in ("UpperLeftPointMtrs", "LowerRightMtrs")]
        if "GCTP_GEO" in text:  # plain degrees are understood too
            corners = [(unpacked(x), unpacked(y)) for x, y in corners]
        (x0, y0), (x1, y1) = corners
        dx, dy = (x1 - x0) / shape[0] * columns, (y1 - y0) / shape[1] * rows
        for key, x, y in (("UpperLeftPointMtrs", x0, y0), ("LowerRightMtrs", x1, y1)):
            text = re.sub(rf"{key}=\([^)]*\)", f"{key}=({x + dx:.6f},{y + dy:.6f})", text)
        return text

    return rewritten(reword=reword)


def unpacked(packed: float) -> float:
    """Return degrees of an angle written as DDDMMMSSS.SS."""
    seconds = round(abs(packed))
    degrees = seconds // 1_000_000 + seconds // 1000 % 1000 / 60 + seconds % 1000 / 3600
    return float(np.copysign(degrees, packed))


def upside_down(name: str, text: str) -> str:
    if "StructMetadata" not in name:
        return text
    (x0, y0), (x1, y1) = (corner(text, key) for key in ("UpperLeftPointMtrs", "LowerRightMtrs"))
    text = re.sub(r"UpperLeftPointMtrs=\([^)]*\)", f"UpperLeftPointMtrs=({x0:.6f},{y1:.6f})", text)
    return re.sub(r"LowerRightMtrs=\([^)]*\)", f"LowerRightMtrs=({x1:.6f},{y0:.6f})", text)


def corner(text: str, key: str) -> tuple[float, float]:
    x, y = re.search(rf"{key}=\(([^)]*)\)", text)[1].split(",")
    return float(x), float(y)


def moved_into(year: str) -> Spoil:
    """Return a spoiler that moves a granule into another year, in its name, its texts and its times."""
    days = (date(int(year), 1, 2) - date(2020, 1, 2)).days

    def change(name: str, old: np.ndarray, attributes: Attributes):
        if name.rpartition("/")[2] not in {"time", "valid_time"}:
            return old, attributes
        unit = np.bytes_(attributes["units"]).split()[0]
        step = {b"seconds": 86400, b"minutes": 1440, b"hours": 24, b"days": 1}[unit]
        return (old + days * step).astype(old.dtype), attributes

    def reword(name: str, text: str) -> str:
        text = re.sub(r"(?<!\d)20\d\d(?=-\d\d-\d\d)", year, text)
        return YEAR.sub(year, text)

    def spoil(path: Path) -> Path:
        if path.suffix in {".stm", ".csv"}:
            lines(r"^20\d\d(?=[/-])", year)(path)
            return path
        rewritten(change, reword)(path)
        return path.rename(path.with_name(YEAR.sub(year, path.name)))

    return spoil


def day_after(path: Path) -> Path:
    """Name the granule by the day after."""
    old = YEAR.search(path.name)
    rest = path.name[old.end() :]
    digits = re.match(r"\d+", rest)[0]
    later = f"{int(digits) + 1:0{len(digits)}d}"
    return path.rename(path.with_name(path.name[: old.end()] + later + rest[len(digits) :]))


def coordinates_moved(coordinates: str, degrees: dict[str, float]) -> Spoil:
    def spoil(path: Path) -> None:
        step = next((d for start, d in degrees.items() if path.name.startswith(start)), 0.0)
        datasets(
            coordinates, lambda old: np.where(old == -9999, old, old + step).astype(old.dtype)
        )(path)

    return spoil


def shifted(text: str, by: float) -> str:
    for key in ("UpperLeftPointMtrs", "LowerRightMtrs"):
        x, y = corner(text, key)
        text = re.sub(rf"{key}=\([^)]*\)", f"{key}=({x + by:.6f},{y:.6f})", text)
    return text


def written(path: Path, content: bytes) -> None:
    path.write_bytes(content)
