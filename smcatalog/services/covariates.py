"""The covariates of a day on a block of the output grid, read from layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, groupby, pairwise
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.blocks import Block, blocks
from smcatalog.core.encoding import Quality
from smcatalog.core.grids import Grid
from smcatalog.core.raster import InputQuality, Raster
from smcatalog.core.threads import beside, spread, thread_count
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

__all__ = ["CovariateReader", "read_ahead"]

_CACHE_BYTES: Final = 512 * 2**20

_CARRIED: Final = (
    (InputQuality.WATER, Quality.WATER),
    (InputQuality.FROZEN, Quality.FROZEN_OR_SNOW),
)
"""Bits of covariates that hold for the map's pixel too."""

_NEVER_TRAIN: Final = InputQuality.WATER | InputQuality.FROZEN
"""Of coarse cells: the retrieval is of something else than soil moisture."""

_LST: Final = frozenset({"lst_day", "lst_night"})


def read_ahead(
    reader: CovariateReader, day: DayInputs, grid: Grid
) -> Iterator[tuple[Block, Covariates]]:
    """Yield each block of a grid and its covariates; the next is read while one is used.

    The first is read by all threads, as nothing else can be done yet. With one thread for the whole process each is
    read when it is asked for.
    """
    parts = list(blocks(grid))
    if thread_count() == 1:
        for block in parts:
            yield block, reader.read(day, block.grid)
        return
    found = reader.read(day, parts[0].grid)
    with beside() as pool:
        for block, later in pairwise(parts):
            coming = pool.submit(reader.read, day, later.grid)
            yield block, found
            del found  # not three blocks at a time
            found = coming.result()
    yield parts[-1], found


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
        self._one_at_a_time = Lock()  # what threads share: what is kept, and a block's quality

    def read(self, day: DayInputs, block: Grid) -> Covariates:
        """Return the covariates of a day on a block of the output grid; threads take one each."""
        covariates = self._definition.covariates
        names = self._definition.feature_names
        values = np.empty((len(names), *block.shape), np.float32)
        quality = np.zeros(block.shape, np.uint16)
        *places, place = accumulate((len(one.features) for one in covariates), initial=0)

        def take(first: int, covariate: Covariate, layers: Sequence[LayerRecord]) -> None:
            found, bits = self._value(covariate, layers, day.period, block)
            for number, feature in enumerate(features_of(covariate, found), start=first):
                values[number] = feature
            flags = _flags(covariate, layers, day.period, found, bits)
            if np.any(flags):
                with self._one_at_a_time:
                    np.bitwise_or(quality, flags, out=quality)

        spread(take, zip(places, covariates, day.covariates, strict=True))
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
        with self._one_at_a_time:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        raster = read_layer(self._store, layer, block)
        with self._one_at_a_time:
            if key not in self._kept:
                self._kept[key] = raster
                self._bytes += raster.values.nbytes + raster.quality.nbytes
            while self._bytes > _CACHE_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.values.nbytes + oldest.quality.nbytes
        return raster


def _flags(
    covariate: Covariate,
    layers: Sequence[LayerRecord],
    period: Period,
    found: NDArray[np.float32],
    bits: NDArray[np.uint16],
) -> NDArray[np.uint16] | np.uint16:
    """Return what a covariate says of the map's quality: of each pixel, or of all."""
    quality: NDArray[np.uint16] | np.uint16 = np.uint16(0)
    if covariate.time is not TimeRule.STATIC and not _covers(layers, period):
        quality |= np.uint16(Quality.INCOMPLETE_PERIOD)
    # most layers have none of the bits that are carried
    seen = np.bitwise_or.reduce(bits, axis=None)
    for carried, flag in _CARRIED:
        if seen & carried:
            quality = quality | np.where(bits & carried, np.uint16(flag), np.uint16(0))
    if covariate.variable in _LST:
        filled = (bits & InputQuality.FILLED) != 0
        observed = np.where(filled, np.uint16(Quality.LST_FILLED), np.uint16(Quality.LST_OBSERVED))
        quality = quality | np.where(np.isfinite(found), observed, np.uint16(0))
    return quality


def _covers(layers: Sequence[LayerRecord], period: Period) -> bool:
    held = {day for layer in layers if layer.period for day in layer.period.days()}
    return held >= set(period.days())
