"""Area weights kept on disk: making those of a tile takes longer than everything else done with it."""

from __future__ import annotations

import os
import tempfile
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import Grid
from smcatalog.resample import AreaWeights, area_weights

__all__ = ["WeightFiles"]

_VERSION: Final = 1
"""Of the weights: raised whenever the same grids give others."""
_LARGE: Final = 1 << 18
"""Target cells from which on reading is quicker than making."""
_MOST: Final = 8 << 30
"""Bytes in the folder; beyond, what was not used for longest goes."""
_HELD: Final = 2
"""Pairs of grids held in memory, 60 MB for a tile of 1 km."""
_TYPES: Final = (np.int32, np.int32, np.float32, np.int64)
"""Of row bounds, columns and weights of the matrix, and of the cells on the edge."""


class WeightFiles:
    """Gives the area weights of two grids: from memory, from a folder, or made and put there.

    The folder is a cache: several processes may use it at once, and whatever is missing or damaged there is
    made anew.

    Parameters
    ----------
    folder : Path
        Made when missing. A folder that cannot be written to serves as far as it goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = lru_cache(maxsize=_HELD)(self._find)

    def __call__(self, source: Grid, target: Grid) -> AreaWeights:
        """Return the shares of source cells in target cells.

        Raises
        ------
        UsageError
            As `smcatalog.resample.area_weights`.
        """
        return self._held(source, target)

    def _find(self, source: Grid, target: Grid) -> AreaWeights:
        if target.shape[0] * target.shape[1] < _LARGE:
            return area_weights(source, target)
        path = self._folder / f"{_name(source, target)}.weights"
        found = _read(path, source, target)
        if found is None:
            # not kept by the function's own cache too: once is enough
            found = area_weights.__wrapped__(source, target)
            with suppress(OSError):  # a full disk costs time, nothing else
                self._write(path, found)
        return found

    def _write(self, path: Path, weights: AreaWeights) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        matrix = weights.matrix
        parts = (matrix.indptr, matrix.indices, matrix.data, weights.edge)
        head = [_VERSION, *(len(part) for part in parts), 0]
        for part in parts:
            head[-1] = zlib.crc32(part.data, head[-1])
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as out:
                np.array(head, np.int64).tofile(out)
                for part in parts:
                    part.tofile(out)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        self._trim()

    def _trim(self) -> None:
        """Remove what was not used for longest until the folder is small enough."""
        files = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process removes too
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= _MOST:
                return
            path.unlink(missing_ok=True)
            total -= size


def _name(source: Grid, target: Grid) -> str:
    return fingerprint([_VERSION, *(_place(grid) for grid in (source, target))])[:32]


def _place(grid: Grid) -> list[object]:
    return [grid.crs.wkt, list(grid.transform)[:6], list(grid.shape)]


def _read(path: Path, source: Grid, target: Grid) -> AreaWeights | None:
    """Return the weights of a file, or None when there are none that can be used."""
    from scipy.sparse import csr_array

    cells, pixels = (rows * columns for rows, columns in (target.shape, source.shape))
    try:
        # mapped: what is read by several processes is in memory once
        content = np.memmap(path, np.uint8, "r")
        os.utime(path)
        head = np.frombuffer(content[: 8 * (len(_TYPES) + 2)], np.int64)
        parts, at = [], head.nbytes
        for length, kind in zip(head[1:-1], _TYPES, strict=True):
            end = at + int(length) * np.dtype(kind).itemsize
            parts.append(np.frombuffer(content[at:end], kind))
            at = end
        if head[0] != _VERSION or len(parts[0]) != cells + 1 or at != len(content):
            return None
        if zlib.crc32(content[head.nbytes :].data) != head[-1]:
            return None
    except (OSError, ValueError):
        return None
    indptr, indices, data, edge = parts
    weights = AreaWeights(source, target, csr_array((data, indices, indptr), shape=(cells, pixels)))
    weights.__dict__["edge"] = edge  # kept with them, since it takes as long as a product
    return weights
