"""Making what is missing or stale: fit, predict block by block, publish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.encoding import NODATA, QUALITY_NODATA, Quality, encode
from smcatalog.core.grids import Grid
from smcatalog.core.maps import MapStatus
from smcatalog.database.engine import transaction
from smcatalog.database.maps import NewMap
from smcatalog.database.products import ModelRecord, ProductVersionRecord, register_product
from smcatalog.products import Definition
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.fit import ensure_model
from smcatalog.services.plan import DayInputs, DayState, Plan, PlannedDay, make_plan
from smcatalog.services.progress import Progress, silent
from smcatalog.services.publish import announce_collection, publish, write_map_files
from smcatalog.services.workspace import Workspace

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["DayResult", "ProduceReport", "predict_map", "produce"]

_BLOCK_PIXELS: Final = 1 << 20
"""Pixels held at once with all their covariates."""


@dataclass(frozen=True, slots=True)
class DayResult:
    """What became of a day.

    Parameters
    ----------
    day : date
        Day that the map is dated by.
    outcome : str
        ``made``, ``current`` or ``refused``.
    item_id : str or None
        The live map's item.
    reason : str
        Why it was made or refused.
    """

    day: date
    outcome: str
    item_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ProduceReport:
    """What became of the days of a product."""

    product: str
    version: int
    days: tuple[DayResult, ...]

    def count(self, outcome: str) -> int:
        """Return the number of days of an outcome."""
        return sum(day.outcome == outcome for day in self.days)

    @property
    def refused(self) -> list[DayResult]:
        """Days that could not be made."""
        return [day for day in self.days if day.outcome == "refused"]


def produce(
    workspace: Workspace,
    definition: Definition,
    first: date | None = None,
    last: date | None = None,
    progress: Progress = silent,
) -> ProduceReport:
    """Make and publish the maps of a product that are missing or stale.

    Safe to interrupt at any moment and to run again: what was published stays, what was not is
    made; the same inputs give the same maps.

    Parameters
    ----------
    first, last : date, optional
        Days that maps are dated by, both included; the product's own span by default.

    Raises
    ------
    SmcatalogError
        When there are no samples, or the store or the database fails.
    """

    def prepare(connection: Connection) -> tuple[ProductVersionRecord, Plan]:
        version, _ = register_product(
            connection,
            name=definition.name,
            title=definition.title,
            definition=definition.as_dict(),
            recipe_fingerprint=definition.recipe_fingerprint,
            training_until=definition.training_until,
        )
        return version, make_plan(connection, definition, version.product_id, first, last)

    workspace.store.sweep()
    version, plan = transaction(workspace.engine, prepare)
    made: dict[date, str] = {}
    to_make = [day for day in plan.days if day.to_make]
    if to_make:
        transaction(workspace.engine, lambda c: announce_collection(c, definition))
        reader = CovariateReader(workspace.store, definition)
        record, method = ensure_model(workspace, definition, version, plan, reader, progress)
        worker = _Worker(workspace, definition, version, record, method, reader)
        for day in progress(to_make, "maps"):
            made[day.day] = worker.make(day)
    results = tuple(_result(day, made) for day in plan.days)
    return ProduceReport(definition.name, version.number, results)


def _result(day: PlannedDay, made: dict[date, str]) -> DayResult:
    if day.to_make:
        return DayResult(day.day, "made", made[day.day], f"{day.state}: {day.reason}")
    outcome = "refused" if day.state is DayState.REFUSED else "current"
    return DayResult(day.day, outcome, day.item_id, day.reason)


@dataclass(frozen=True, slots=True)
class _Worker:
    """Makes one map after another with one model."""

    workspace: Workspace
    definition: Definition
    version: ProductVersionRecord
    record: ModelRecord
    method: Method
    reader: CovariateReader

    def make(self, day: PlannedDay) -> str:
        """Make and publish the map of a day and return its item's identifier."""
        if day.inputs is None or day.fingerprint is None:
            raise ValueError(f"{day.day} has no inputs and cannot be made")
        grid = self.definition.output_grid()
        extra = Quality.PROVISIONAL if day.status is MapStatus.PROVISIONAL else None
        stacks = predict_map(self.method, self.reader, day.inputs, grid, extra)
        with self.workspace.store.work() as work:
            return self._publish(day, day.inputs, day.fingerprint, grid, stacks, work)

    def _publish(
        self,
        day: PlannedDay,
        inputs: DayInputs,
        mark: str,
        grid: Grid,
        stacks: dict[str, NDArray[np.integer]],
        work: Path,
    ) -> str:
        files = write_map_files(self.workspace.store, work, self.definition, day.day, grid, stacks)
        covariates = {layer.id for part in inputs.covariates for layer in part}
        new = NewMap(
            version=self.version,
            period=day.period,
            grid=grid.name,
            status=day.status,
            fingerprint=mark,
            model=self.record,
            files=files,
            coarse=tuple(layer.id for layer in inputs.coarse),
            covariates=tuple(sorted(covariates - {layer.id for layer in inputs.coarse})),
        )
        published = publish(self.workspace, self.definition, new)
        return published.item_id if published else day.item_id or "made by another worker"


def _blocks(grid: Grid) -> Iterator[slice]:
    rows, columns = grid.shape
    step = max(1, _BLOCK_PIXELS // columns)
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def predict_map(
    method: Method,
    reader: CovariateReader,
    day: DayInputs,
    grid: Grid,
    extra: Quality | None = None,
) -> dict[str, NDArray[np.integer]]:
    """Predict a map block by block and encode it.

    Parameters
    ----------
    extra : Quality, optional
        Bits that every pixel with a value gets.

    Returns
    -------
    dict of ndarray of int, shape (depth, rows, columns)
        Stored values by the name of the `AssetKind`.
    """
    depths = method.n_depths
    means = np.full((depths, *grid.shape), NODATA, np.int16)
    uncertainties = np.full_like(means, NODATA)
    qualities = np.full((depths, *grid.shape), QUALITY_NODATA, np.uint16)
    for rows in _blocks(grid):
        block = grid.window(rows, slice(None))
        prediction = method.predict(reader.read(day, block))
        means[:, rows] = encode(prediction.mean)
        uncertainties[:, rows] = encode(prediction.uncertainty)
        flags = prediction.quality | np.uint16(extra or 0)
        qualities[:, rows] = np.where(np.isfinite(prediction.mean), flags, QUALITY_NODATA)
    return {"soil_moisture": means, "uncertainty": uncertainties, "quality": qualities}
