"""What a paper did otherwise: coarse cells by cubic convolution of the pixels around their centres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.resample.binning import Coarse
from smcatalog.resample.geometry import fractional_coordinates

__all__ = ["Convolution", "convolution"]

_SHARPNESS: Final = -0.5
"""Keys's parameter a: the kernel that is exact for parabolas."""
_REACH: Final = 2.0
"""Cells on either side that the kernel holds."""


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Keys's cubic convolution kernel (Keys 1981, eq. 4) at distances in cells."""
    x, a = np.abs(distance), _SHARPNESS
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < _REACH, far, 0.0))


def _weights(centres: NDArray[np.float64], width: float, size: int) -> sparse.csr_array:
    """Return the weights of pixels in cells along one axis; of all pixels there could be they add up to 1."""
    reach = int(np.ceil(_REACH * width)) + 1
    pixels = np.floor(centres)[:, np.newaxis] + np.arange(-reach, reach + 1)
    weights = _kernel((pixels + 0.5 - centres[:, np.newaxis]) / width)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(len(centres))[:, np.newaxis], pixels.shape)
    inside = (pixels >= 0) & (pixels < size) & (weights != 0)
    at = rows[inside], pixels[inside].astype(np.int64)
    return sparse.csr_array((weights[inside], at), shape=(len(centres), size))


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """Weights of fine pixels in coarse cells, those of rows and of columns apart.

    The kernel is as wide as a coarse cell, as programs that warp rasters widen it: over the four by four pixels
    at a cell's centre it would only interpolate at one point.

    Parameters
    ----------
    rows, columns : csr_array of float64, shapes (coarse, fine)
    """

    rows: sparse.csr_array
    columns: sparse.csr_array

    def mean(self, values: NDArray[np.floating]) -> Coarse:
        """Average values over the pixels around each cell's centre.

        Parameters
        ----------
        values : ndarray of float, shape of the fine grid
            NaN where there is none: the others' weights stand for it.

        Returns
        -------
        Coarse
            Its coverage is the weight of the pixels with a value; of a part of a region it may be below 0.
        """
        valid = np.isfinite(values)
        weight = self.rows @ (valid.astype(np.float64) @ self.columns.T)
        total = self.rows @ (np.where(valid, values, 0.0).astype(np.float64) @ self.columns.T)
        mean = np.full(weight.shape, np.nan)
        np.divide(total, weight, out=mean, where=weight != 0)
        return Coarse(mean, weight)


@lru_cache(maxsize=32)
def convolution(fine: Grid, coarse: Grid) -> Convolution:
    """Return the weights of a pair of grids, from the cache when it was asked for before.

    Raises
    ------
    UsageError
        When rows of one grid are not parallel to those of the other.
    """
    rows, columns = fractional_coordinates(coarse, fine)
    if rows.shape[1:] != (1,) or columns.shape[:1] != (1,):
        raise UsageError(
            f"cubic convolution takes grids with parallel rows: {fine.name} and {coarse.name} have not"
        )
    down, across = rows[:, 0], columns[0]
    parts = [
        _weights(centres, float(abs(centres[-1] - centres[0])) / (len(centres) - 1), size)
        for centres, size in ((down, fine.shape[0]), (across, fine.shape[1]))
        if len(centres) > 1
    ]
    if len(parts) < 2:  # noqa: PLR2004 - rows and columns
        raise UsageError(
            f"cubic convolution takes two rows and columns of cells at least, got {coarse.shape}"
        )
    return Convolution(*parts)
