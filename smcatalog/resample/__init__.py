"""The three ways from one grid to another, and no others.

1. `CellIndex`: to a clearly coarser grid (cells at least three times wider), every fine pixel belongs to
   the cell that holds its centre.
2. `AreaWeights`: between grids of similar resolution, by the areas that cells share.
3. `refine`: to a finer grid, nearest or bilinear.
"""

from smcatalog.resample.area import AreaWeights, area_weights
from smcatalog.resample.binning import CellIndex, Coarse, cell_index
from smcatalog.resample.mosaic import mosaic
from smcatalog.resample.refining import refine
from smcatalog.resample.regrid import cropped, layer_grid, overlap, regrid

__all__ = [
    "AreaWeights",
    "CellIndex",
    "Coarse",
    "area_weights",
    "cell_index",
    "cropped",
    "layer_grid",
    "mosaic",
    "overlap",
    "refine",
    "regrid",
]
