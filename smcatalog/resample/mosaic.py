"""Putting rasters of one grid together: tiles side by side, days one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.raster import SHARES, InputQuality, Raster, part_of, with_part
from smcatalog.core.time import Period
from smcatalog.core.variables import Averaging, Kind
from smcatalog.resample.averaging import components, recombined

__all__ = ["mosaic"]

_LEAST: Final = SHARES // 2
"""Sixteenths of a cell that must be covered for a value."""
_WHOLE: Final = SHARES - 1
"""From here on a cell counts as covered: each part was rounded."""

_PARTIAL: Final = np.uint16(InputQuality.PARTIAL_COVERAGE)

_Array = NDArray[Any]


def mosaic(rasters: Sequence[Raster]) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Average rasters of one variable and grid where they have values; quality bits are united.

    Of the cells in which tiles end, the parts that tiles of the same time hold are weighed by their
    sizes first, and make a value if they are half of the cell. Of classes the one with the
    largest part counts, and of several times the earliest.

    Parameters
    ----------
    rasters : sequence of Raster
        At least one.

    Returns
    -------
    values : ndarray of float32, shape (rows, columns)
        NaN where no raster has a value.
    quality : ndarray of uint16, shape (rows, columns)
        `InputQuality` bits of all rasters, without numbers of parts.
    """
    ordered = sorted(rasters, key=_start)
    moments = [_joined(list(tiles)) for _, tiles in groupby(ordered, key=_start)]
    if len(moments) == 1:
        return moments[0]
    quality: NDArray[np.uint16] = np.bitwise_or.reduce([bits for _, bits in moments])
    variable = rasters[0].variable
    if variable.kind is Kind.CLASSES:
        values = moments[0][0]
        for later, _ in moments[1:]:
            values = np.where(np.isnan(values), later, values)
        return values, quality
    return _mean([values for values, _ in moments], variable.averaging), quality


def _start(raster: Raster) -> float:
    period: Period | None = raster.period
    return 0.0 if period is None else period.start.timestamp()


def _mean(stack: Sequence[_Array], averaging: Averaging) -> NDArray[np.float32]:
    """Return the mean of arrays, NaN where none has a value."""
    count = np.sum([np.isfinite(one) for one in stack], axis=0)
    return _divided(((one, np.float64(1)) for one in stack), count, averaging)


def _divided(
    weighted: Iterable[tuple[_Array, Any]], total: _Array, averaging: Averaging
) -> NDArray[np.float32]:
    """Return the sum of arrays times their weights over the total of the weights."""
    sums: list[Any] = []
    for values, weight in weighted:
        found = [np.nan_to_num(c, nan=0.0) * weight for c in components(values, averaging)]
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [one / np.where(total > 0, total, np.nan) for one in sums]
    values32: NDArray[np.float32] = recombined(means, averaging).astype(np.float32)
    return values32


def _joined(tiles: Sequence[Raster]) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Put tiles of one time side by side."""
    parts = [part_of(tile.quality) for tile in tiles]
    if len(tiles) == 1 and not parts[0].any():
        return tiles[0].values, tiles[0].quality
    variable = tiles[0].variable
    sizes = np.stack(
        [
            np.where(np.isfinite(tile.values), np.where(part > 0, part, SHARES), 0)
            for tile, part in zip(tiles, parts, strict=True)
        ]
    )
    # a tile that covers the cell whole says more than parts of others
    whole = (sizes == SHARES).any(axis=0)
    sizes[(sizes < SHARES) & whole] = 0
    total = sizes.sum(axis=0, dtype=np.int64)
    stack = [tile.values for tile in tiles]
    if variable.kind is Kind.CLASSES:
        values = np.take_along_axis(np.stack(stack), sizes.argmax(axis=0)[np.newaxis], 0)[0]
    else:
        values = _divided(
            zip(stack, sizes.astype(np.float64), strict=True), total, variable.averaging
        )
    values = np.where(total >= _LEAST, values, np.float32(np.nan))
    quality: NDArray[np.uint16] = np.bitwise_or.reduce(
        [
            with_part(tile.quality, np.zeros_like(part))
            for tile, part in zip(tiles, parts, strict=True)
        ]
    )
    partial = np.logical_or.reduce(
        [
            (size > 0) & ((tile.quality & _PARTIAL) != 0)
            for tile, size in zip(tiles, sizes, strict=True)
        ]
    )
    # each part by itself covers its cell in part; together they may cover it all
    complete = np.isfinite(values) & (~partial | (~whole & (total >= _WHOLE)))
    quality[complete] &= ~_PARTIAL
    return values, quality
