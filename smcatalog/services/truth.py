"""Maps against the truth of a simulated world, pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.encoding import NODATA, decode
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid, grid
from smcatalog.core.maps import PublishedMap
from smcatalog.core.moments import Moments
from smcatalog.core.time import julian
from smcatalog.products import Definition
from smcatalog.resample import CellIndex, cell_index, overlap
from smcatalog.services.live import flat_coarse, live_published, soil_moisture
from smcatalog.services.progress import Progress, silent
from smcatalog.services.workspace import Workspace
from smcatalog.validation.metrics import Scores

__all__ = ["Truth", "TruthReport", "TruthRow", "compare"]

Values = NDArray[np.float64]

_BASE: Final = "M01"
_PIXELS: Final = 100
"""Fewer pixels of a day give no spatial correlation worth counting."""
_ROUNDING: Final = 1e-9
"""Deviations from a mean smaller than this are the mean's rounding [m³ m⁻³]."""


@dataclass(frozen=True, slots=True)
class TruthRow:
    """How well one estimate agrees with the truth.

    Parameters
    ----------
    subject : str
        ``map`` and ``coarse``: at the same pixels and days, those where both have a value;
        ``map, all``: wherever the map has one.
    days : int
        Number of maps with such pixels.
    scores : Scores
        Of all pixels of all days together.
    spatial_r : float
        Mean over the days of the correlation over the day's pixels.
    within_cell_r : float
        Correlation of the deviations from the mean of the coarse cell on that day: what downscaling
        adds. NaN for the coarse product, which has none.
    """

    subject: str
    days: int
    scores: Scores
    spatial_r: float
    within_cell_r: float


@dataclass(frozen=True, slots=True)
class TruthReport:
    """How well a product's live maps agree with the truth.

    Parameters
    ----------
    product : str
        Name of the product.
    maps : int
        Live maps that were compared.
    without_truth : int
        Live maps of the span for whose days there is no truth.
    rows : tuple of TruthRow
        Map and coarse product at the same pixels, then the map at all of its pixels.
    """

    product: str
    maps: int
    without_truth: int
    rows: tuple[TruthRow, ...]


class Truth:
    """The folder with the true soil moisture of each day: ``sm_YYYYDDD.tif``, windows of ``M01``.

    Raises
    ------
    UsageError
        When the folder holds no such file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not any(folder.glob("sm_*.tif")):
            raise UsageError(
                f"{folder} holds no truth: no file is called sm_YYYYDDD.tif. Give the folder 'truth' "
                "that 'smcatalog simulate' wrote"
            )

    def has(self, published: PublishedMap) -> bool:
        """Say whether there is truth for all days of a map."""
        return all(self._path(day).is_file() for day in published.period.days())

    def of(self, published: PublishedMap) -> Values:
        """Return the mean truth [m³ m⁻³] over a map's days on the map's grid, NaN where there is none.

        Raises
        ------
        UsageError
            When a file is no such truth or does not meet the map.
        """
        days = [self.read(day, published.grid) for day in published.period.days()]
        mean: Values = np.mean(days, axis=0)
        return mean

    def read(self, day: date, target: Grid) -> Values:
        """Return the truth [m³ m⁻³] of a day on a window of ``M01``, NaN where there is none."""
        path = self._path(day)
        where, stored = _read_window(path)
        values = np.full(target.shape, np.nan)
        shared = overlap(where, target) if target.base == where.base else None
        if shared is None:
            raise UsageError(
                f"{path} does not meet the map's grid {target.name}: it is {where.name}"
            )
        source, destination = shared
        values[destination] = decode(stored)[source]
        return values

    def _path(self, day: date) -> Path:
        return self._folder / f"sm_{julian(day)}.tif"


def _read_window(path: Path) -> tuple[Grid, NDArray[np.int16]]:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as source:
            epsg = source.crs.to_epsg() if source.crs else None
            transform, kind, nodata = source.transform, source.dtypes[0], source.nodata
            stored: NDArray[np.int16] = source.read(1)
    except RasterioError as error:
        raise UsageError(f"cannot read the truth {path}: {error}") from error
    if (kind, nodata) != ("int16", NODATA):
        raise UsageError(
            f"{path} is no truth: it holds {kind} with nodata {nodata}, not int16 with nodata {NODATA}"
        )
    whole = grid(_BASE)
    column, row = (~whole.transform) * (transform.c, transform.f)
    expected = whole.transform * transform.translation(round(column), round(row))
    if epsg != whole.crs.epsg or not expected.almost_equals(transform, precision=1e-3):
        raise UsageError(f"{path} does not lie on the grid {_BASE}: simulate the truth again")
    rows, columns = stored.shape
    where = whole.window(
        slice(round(row), round(row) + rows), slice(round(column), round(column) + columns)
    )
    return where, stored


@dataclass(slots=True)
class _Sums:
    """What accumulates for one subject, a map at a time."""

    subject: str
    days: int = 0
    all: Moments = field(default_factory=Moments)
    within: Moments = field(default_factory=Moments)
    spatial: list[float] = field(default_factory=list)

    def add(
        self, estimate: Values, truth: Values, used: NDArray[np.bool_], cells: CellIndex
    ) -> None:
        if not used.any():
            return
        day = Moments.of(estimate[used], truth[used])
        self.days += 1
        self.all += day
        r = Scores.of(day).r
        if day.n >= _PIXELS and not math.isnan(r):
            self.spatial.append(r)
        ours, theirs = (_deviations(values, used, cells) for values in (estimate, truth))
        self.within += Moments.of(ours, theirs)

    def row(self) -> TruthRow:
        spatial = float(np.mean(self.spatial)) if self.spatial else math.nan
        within = Scores.of(self.within).r if self._varies_within() else math.nan
        return TruthRow(self.subject, self.days, Scores.of(self.all), spatial, within)

    def _varies_within(self) -> bool:
        """Say whether an estimate's deviations are more than the rounding of its mean."""
        m = self.within
        return m.n > 0 and math.sqrt(m.m2_estimate / m.n) > _ROUNDING


def _deviations(values: Values, used: NDArray[np.bool_], cells: CellIndex) -> Values:
    mean = cells.spread(cells.mean(np.where(used, values, np.nan)).mean)
    deviations: Values = (values - mean)[used]
    return deviations


def compare(
    workspace: Workspace,
    definition: Definition,
    folder: Path,
    first: date | None = None,
    last: date | None = None,
    progress: Progress = silent,
) -> TruthReport:
    """Compare a product's live maps with the truth of a simulated world.

    The truth is the day's mean of the upper 5 cm; the map's first band is compared with it. A retrieval
    such as ``sm_am`` is the value of a morning: where rain falls later in the day it differs from the
    truth through no fault of the retrieval, and so does a map that learned from it. A map that covers
    several days is compared with their mean. One map is in memory at a time.

    Parameters
    ----------
    folder : Path
        With a file ``sm_YYYYDDD.tif`` for each day.
    first, last : date, optional
        Only maps dated from ``first`` to ``last``, both included.

    Raises
    ------
    NotFoundError
        When the product was never produced here.
    UsageError
        When ``last`` is before ``first``, the folder holds no truth or none for any map, or a file does
        not lie on the map's grid.
    StoreError
        When a file of a map or layer is missing or damaged.
    """
    if first is not None and last is not None and last < first:
        raise UsageError(f"the last day {last} is before the first day {first}")
    truth = Truth(folder)
    maps, index = live_published(workspace, definition, first, last)
    known = [one for one in maps if truth.has(one)]
    if not known:
        raise UsageError(
            f"{folder} has no truth for any of the {len(maps)} maps of {definition.name} in this span"
        )
    ours, flat, alone = _Sums("map"), _Sums("coarse"), _Sums("map, all")
    for published in progress(known, "truth"):
        estimate = soil_moisture(workspace.store, published)
        reference = truth.of(published)
        layers = index.inputs(published.period).coarse
        coarse = flat_coarse(workspace.store, definition, layers, published.grid)
        cells = cell_index(published.grid, definition.coarse_grid())
        used = np.isfinite(estimate) & np.isfinite(reference)
        both = used & np.isfinite(coarse)
        ours.add(estimate, reference, both, cells)
        flat.add(coarse, reference, both, cells)
        alone.add(estimate, reference, used, cells)
    rows = tuple(sums.row() for sums in (ours, flat, alone))
    return TruthReport(definition.name, len(known), len(maps) - len(known), rows)
