"""Blocks of a grid."""

import numpy as np
import pytest

from smcatalog.core.blocks import TILE, blocks, whole
from smcatalog.core.grids import grid


@pytest.mark.parametrize(
    "shape", [(1, 1), (300, 300), (1700, 2000), (3000, 100), (1100, 5000), (600, 34_000)]
)
def test_blocks_cover_a_grid_once_in_whole_tiles_and_fit_into_memory(shape):
    where = grid("M01").window(slice(3, 3 + shape[0]), slice(7, 7 + shape[1]))
    times = np.zeros(shape, np.int8)
    for block in blocks(where):
        times[block.rows, block.columns] += 1
        assert block.grid == where.window(block.rows, block.columns)
        assert block.grid.shape[0] * block.grid.shape[1] <= 1 << 20
        assert block.rows.start % TILE == block.columns.start % TILE == 0
        assert block.rows.stop % TILE == 0 or block.rows.stop == shape[0]
        assert block.columns.stop % TILE == 0 or block.columns.stop == shape[1]
    assert (times == 1).all()


def test_a_whole_grid_is_a_block_of_itself():
    where = grid("M01").window(slice(3, 13), slice(7, 27))
    block = whole(where)
    assert (block.rows, block.columns, block.grid) == (slice(0, 10), slice(0, 20), where)
