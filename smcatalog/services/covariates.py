"""The covariates of a day on a block of the output grid, read from layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.encoding import Quality
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.threads import thread_count
from smcatalog.core.time import Period
from smcatalog.database.inputs import LayerRecord
from smcatalog.methods import Covariates
from smcatalog.methods.antecedents import WeightedSum
from smcatalog.methods.cells import cell_numbers
from smcatalog.products import Accept, Covariate, Definition, TimeRule
from smcatalog.resample import cell_index, mosaic
from smcatalog.services.features import (
    BETWEEN,
    Field,
    between_days,
    calendar_of,
    features_of,
)
from smcatalog.services.inputs import DayInputs
from smcatalog.services.layers import read_layer
from smcatalog.store import Store

__all__ = ["CovariateReader", "blocks", "read_ahead"]

_BLOCK_PIXELS: Final = 1 << 20
"""Pixels held at once with all their covariates."""
_CACHE_BYTES: Final = 512 * 2**20

_CARRIED: Final = (
    (InputQuality.WATER, Quality.WATER),
    (InputQuality.FROZEN, Quality.FROZEN_OR_SNOW),
)
"""Bits of covariates that hold for the map's pixel too."""

_NEVER_TRAIN: Final = InputQuality.WATER | InputQuality.FROZEN
"""Of coarse cells: the retrieval is of something else than soil moisture."""

_LST: Final = frozenset({"lst_day", "lst_night"})


def blocks(grid: Grid) -> Iterator[tuple[slice, Grid]]:
    """Cut a grid into blocks of whole rows; yield each one's rows and window."""
    rows, columns = grid.shape
    step = max(1, _BLOCK_PIXELS // columns)
    for first in range(0, rows, step):
        part = slice(first, min(first + step, rows))
        yield part, grid.window(part, slice(None))


def read_ahead(
    reader: CovariateReader, day: DayInputs, grid: Grid
) -> Iterator[tuple[slice, Covariates]]:
    """Yield the rows of each block of a grid and its covariates; the next is read while one is used.

    With one thread for the whole process each is read when it is asked for.
    """
    parts = list(blocks(grid))
    if thread_count() == 1 or len(parts) == 1:
        for rows, block in parts:
            yield rows, reader.read(day, block)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        coming = pool.submit(reader.read, day, parts[0][1])
        for (rows, _), (_, later) in pairwise(parts):
            found = coming.result()
            coming = pool.submit(reader.read, day, later)
            yield rows, found
            del found  # not three blocks at a time
        yield parts[-1][0], coming.result()


def _accepted(raster: Raster, accept: Accept, refused: int = 0) -> Raster:
    """Return a raster without the values that are not accepted or have a refused bit."""
    if accept is Accept.RECOMMENDED:
        refused |= InputQuality.NOT_RECOMMENDED
    out = (raster.quality & np.uint16(refused)) != 0
    if not out.any():
        return raster
    values = np.where(out, np.float32(np.nan), raster.values)
    return replace(raster, values=values)


class CovariateReader:
    """Reads the covariates of days; those that serve many days are read once and kept.

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
        names = self._definition.feature_names
        values = np.empty((len(names), *block.shape), np.float32)
        quality = np.zeros(block.shape, np.uint16)
        place = 0
        for covariate, layers in zip(self._definition.covariates, day.covariates, strict=True):
            found, bits = self._value(covariate, layers, day.period, block)
            made = features_of(covariate, found)
            values[place : place + len(made)] = made
            place += len(made)
            for carried, flag in _CARRIED:
                quality[(bits & carried) != 0] |= np.uint16(flag)
            if covariate.variable in _LST:
                filled = (bits & InputQuality.FILLED) != 0
                observed = np.where(filled, Quality.LST_FILLED, Quality.LST_OBSERVED)
                quality |= np.where(np.isfinite(found), observed, 0).astype(np.uint16)
            if covariate.time is not TimeRule.STATIC and not _covers(layers, day.period):
                quality |= np.uint16(Quality.INCOMPLETE_PERIOD)
        for number in calendar_of(self._definition.day_of_year, day.period.day):
            values[place] = number
            place += 1
        return Covariates(names, values, quality, self._cells(block))

    def _cells(self, block: Grid) -> NDArray[np.int64] | None:
        """Return the number of each pixel's coarse cell, -1 for none, where the method needs it."""
        if self._definition.window is None:
            return None
        coarse = self._definition.coarse_grid()
        return np.append(cell_numbers(coarse).ravel(), -1)[cell_index(block, coarse).cells]

    def coarse(self, day: DayInputs, grid: Grid) -> NDArray[np.float32]:
        """Return what models learn from the coarse product of a day on its own grid, NaN elsewhere.

        Retrievals that the product does not accept and cells marked as frozen or water are left out.
        """
        if not day.coarse:
            return np.full(grid.shape, np.nan, np.float32)
        accept = self._definition.coarse.accept
        rasters = (read_layer(self._store, layer, grid) for layer in day.coarse)
        return mosaic([_accepted(raster, accept, _NEVER_TRAIN) for raster in rasters])[0]

    def _value(
        self, covariate: Covariate, layers: Sequence[LayerRecord], period: Period, block: Grid
    ) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
        if covariate.time in BETWEEN:

            def field(of_day: Sequence[LayerRecord]) -> Field:
                return self._mosaic(covariate, of_day, block)

            return between_days(covariate, layers, period.day, block.shape, field)
        if covariate.days is None:
            return self._mosaic(covariate, layers, block)
        return self._sum(covariate, layers, period, block)

    def _mosaic(
        self, covariate: Covariate, layers: Sequence[LayerRecord], block: Grid
    ) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
        rasters = [self._layer(covariate, layer, block) for layer in layers]
        return mosaic([_accepted(raster, covariate.accept) for raster in rasters])

    def _sum(
        self, covariate: Covariate, layers: Sequence[LayerRecord], period: Period, block: Grid
    ) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
        """Return the sum over days, one day's layers in memory at a time, and the bits of the map's day.

        Where several layers are of one day their mean is the day's value.
        """
        weights = covariate.day_weights
        past = WeightedSum(block.shape, covariate.whole_weight)
        bits = np.zeros(block.shape, np.uint16)
        by_day = groupby(layers, key=lambda layer: layer.period and layer.period.day)
        for day, same in by_day:
            if day is not None:
                found, bits = self._mosaic(covariate, list(same), block)
                past.add(found, weights[(period.day - day).days])
        return past.value().astype(np.float32), bits

    def _layer(self, covariate: Covariate, layer: LayerRecord, block: Grid) -> Raster:
        if covariate.time in {TimeRule.DAY, TimeRule.PERIOD_MEAN}:
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
