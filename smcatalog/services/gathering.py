"""Samples of days at coarse cells, drawn from layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from smcatalog.core.blocks import blocks
from smcatalog.core.grids import Grid
from smcatalog.database.series import StationDays
from smcatalog.methods import Covariates, Samples
from smcatalog.methods.sampling import (
    CellMeans,
    cell_convolutions,
    cell_means,
    cell_values,
    join_blocks,
    join_samples,
    samples_of,
)
from smcatalog.products import Aggregate, Definition
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.inputs import DayInputs
from smcatalog.services.observed import StationPixels
from smcatalog.services.progress import Progress, silent

__all__ = ["NearbySamples", "gather_samples"]


def gather_samples(
    definition: Definition,
    training: Sequence[DayInputs],
    reader: CovariateReader,
    progress: Progress = silent,
    what: str = "sampling",
    stations: Sequence[StationDays] = (),
) -> Samples | None:
    """Collect the samples of training days; None when no coarse cell gives one on any day.

    A day's layers are read once, block by block.

    Parameters
    ----------
    stations : sequence of StationDays
        Observations that come with the samples, beside the covariates of the stations' pixels.
    """
    fine, coarse = definition.output_grid(), definition.coarse_grid()
    pixels = StationPixels(fine, coarse, stations) if stations else None
    parts = []
    for day in progress(training, what):
        part = _samples_of_day(definition, day, reader, pixels)
        if part is not None:
            parts.append(part)
    if not parts:
        return None
    return replace(join_samples(parts), in_situ=pixels.rows() if pixels else None)


def _samples_of_day(
    definition: Definition,
    day: DayInputs,
    reader: CovariateReader,
    pixels: StationPixels | None = None,
) -> Samples | None:
    """Return the samples of a day, None without any; stations take theirs from the same blocks.

    Stations teach and test on days without the coarse product too: they have maps.
    """
    fine, coarse = definition.output_grid(), definition.coarse_grid()
    target = reader.coarse(day, coarse)
    if not np.isfinite(target).any() and pixels is None:
        return None
    to_cells = _aggregation(definition)
    means = []
    for block in blocks(fine):
        covariates = reader.read(day, block.grid)
        means.append(to_cells(covariates, block.grid, coarse))
        if pixels is not None:
            pixels.take(day.period, block, covariates)
    coverage = definition.coarse.min_coverage
    found = samples_of(join_blocks(means), target, coarse, day.period.day, min_coverage=coverage)
    return found if len(found) else None


def _aggregation(definition: Definition) -> Callable[[Covariates, Grid, Grid], CellMeans]:
    """Return what brings covariates to coarse cells."""
    match definition.coarse.aggregate:
        case Aggregate.MEAN:
            return partial(cell_means, classes=definition.class_features)
        case Aggregate.NEAREST:
            return cell_values
        case Aggregate.CUBIC:
            return cell_convolutions


_KEPT: Final = 2
"""Days kept besides those of a window: the next map's window holds all but one of them."""


class NearbySamples:
    """Samples of the days around maps, for methods that learn from them; those of days near each other are kept.

    Parameters
    ----------
    definition : Definition
        The product.
    reader : CovariateReader
        Of its layers.
    """

    def __init__(self, definition: Definition, reader: CovariateReader) -> None:
        self._definition = definition
        self._reader = reader
        self._kept: OrderedDict[tuple[object, ...], Samples | None] = OrderedDict()

    def around(self, day: DayInputs) -> Samples | None:
        """Return the samples of a map's window; None without any."""
        parts = [self._of(one) for one in day.window if all(one.covariates)]
        known = [part for part in parts if part is not None]
        while len(self._kept) > len(day.window) + _KEPT:
            self._kept.popitem(last=False)
        return join_samples(known) if known else None

    def _of(self, day: DayInputs) -> Samples | None:
        alone = replace(day, around=None)
        key = (day.period, str(alone.checksums()))
        if key not in self._kept:
            self._kept[key] = _samples_of_day(self._definition, alone, self._reader)
        self._kept.move_to_end(key)
        return self._kept[key]
