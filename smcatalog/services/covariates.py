"""The covariates of a day on a block of the output grid, read from layers."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.encoding import Quality
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.time import Period
from smcatalog.database.inputs import LayerRecord
from smcatalog.methods import Covariates
from smcatalog.products import Definition, TimeRule
from smcatalog.services.layers import read_layer
from smcatalog.services.plan import DayInputs
from smcatalog.store import Store

__all__ = ["CovariateReader", "mosaic"]

_CACHE_BYTES: Final = 512 * 2**20

_CARRIED: Final = (
    (InputQuality.WATER, Quality.WATER),
    (InputQuality.FROZEN, Quality.FROZEN_OR_SNOW),
)
"""Bits of covariates that hold for the map's pixel too."""


def mosaic(rasters: Sequence[Raster]) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Average rasters of one grid where they have values; quality bits are united.

    Returns
    -------
    values : ndarray of float32, shape (rows, columns)
        NaN where no raster has a value.
    quality : ndarray of uint16, shape (rows, columns)
        `InputQuality` bits of all rasters.
    """
    if len(rasters) == 1:
        return rasters[0].values, rasters[0].quality
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        stack = np.stack([raster.values for raster in rasters])
        values = np.asarray(np.nanmean(stack, axis=0, dtype=np.float64), np.float32)
    quality: NDArray[np.uint16] = np.bitwise_or.reduce([raster.quality for raster in rasters])
    return values, quality


class CovariateReader:
    """Reads the covariates of days; static ones are read once and kept.

    Parameters
    ----------
    store : Store
        Where the layers' files are.
    definition : Definition
        Which covariates there are.
    """

    def __init__(self, store: Store, definition: Definition) -> None:
        self._store = store
        self._definition = definition
        self._kept: OrderedDict[tuple[int, str], Raster] = OrderedDict()
        self._bytes = 0

    def read(self, day: DayInputs, block: Grid) -> Covariates:
        """Return the covariates of a day on a block of the output grid."""
        values = np.empty((len(self._definition.covariates), *block.shape), np.float32)
        quality = np.zeros(block.shape, np.uint16)
        for i, (covariate, layers) in enumerate(
            zip(self._definition.covariates, day.covariates, strict=True)
        ):
            values[i], bits = mosaic([self._layer(layer, block) for layer in layers])
            for carried, flag in _CARRIED:
                quality[(bits & carried) != 0] |= np.uint16(flag)
            if covariate.time is TimeRule.PERIOD_MEAN and not _covers(layers, day.period):
                quality |= np.uint16(Quality.INCOMPLETE_PERIOD)
        names = tuple(covariate.variable for covariate in self._definition.covariates)
        return Covariates(names, values, quality)

    def coarse(self, day: DayInputs, grid: Grid) -> NDArray[np.float32]:
        """Return the coarse product of a day on its own grid; NaN where it has no value."""
        return mosaic([read_layer(self._store, layer, grid) for layer in day.coarse])[0]

    def _layer(self, layer: LayerRecord, block: Grid) -> Raster:
        if layer.period is not None:
            return read_layer(self._store, layer, block)
        key = (layer.id, block.name)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        raster = read_layer(self._store, layer, block)
        self._kept[key] = raster
        self._bytes += raster.values.nbytes + raster.quality.nbytes
        while self._bytes > _CACHE_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.values.nbytes + oldest.quality.nbytes
        return raster


def _covers(layers: Sequence[LayerRecord], period: Period) -> bool:
    held = {day for layer in layers if layer.period for day in layer.period.days()}
    return held >= set(period.days())
