"""Cutting a grid into blocks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from smcatalog.core.grids import Grid

__all__ = ["TILE", "Block", "blocks", "whole"]

TILE: Final = 512
"""Rows and columns of a tile of the store's files."""
_PIXELS: Final = 1 << 20
"""Pixels of a block at most: all covariates of one are in memory at once."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a grid.

    Parameters
    ----------
    rows, columns : slice
        Where it is in the grid.
    grid : Grid
        The part itself.
    """

    rows: slice
    columns: slice
    grid: Grid


def whole(grid: Grid) -> Block:
    """Return a grid as a single block of itself."""
    rows, columns = grid.shape
    return Block(slice(0, rows), slice(0, columns), grid)


def blocks(grid: Grid) -> Iterator[Block]:
    """Cut a grid into blocks of whole tiles, from the north-west on, row by row.

    A tile of a file is unpacked as a whole: of a file on the same grid each is so once, and not for every block that
    cuts it. Blocks are as wide as the grid allows, so that those of a region are strips of rows.
    """
    height, width = grid.shape
    across = min(width, max(_PIXELS // TILE, TILE))
    down = max(_PIXELS // across // TILE * TILE, TILE)
    for top in range(0, height, down):
        for left in range(0, width, across):
            rows = slice(top, min(top + down, height))
            columns = slice(left, min(left + across, width))
            yield Block(rows, columns, grid.window(rows, columns))
