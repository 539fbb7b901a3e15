"""Making what is missing or stale: fit, predict block by block, publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.encoding import NODATA, QUALITY_NODATA, Quality, encode
from smcatalog.core.errors import UsageError
from smcatalog.core.grids import Grid
from smcatalog.core.maps import MapStatus
from smcatalog.database.engine import transaction
from smcatalog.database.maps import NewMap
from smcatalog.database.products import ModelRecord, ProductVersionRecord, register_product
from smcatalog.products import Definition, Partitioning, partition_name
from smcatalog.services.covariates import CovariateReader, blocks
from smcatalog.services.fit import Fitted, Models, TooFew
from smcatalog.services.inputs import DayInputs
from smcatalog.services.plan import (
    DayState,
    PartitionInputs,
    Plan,
    PlannedDay,
    make_plan,
    map_fingerprint,
)
from smcatalog.services.progress import Progress, silent
from smcatalog.services.publish import announce_collection, publish, write_map_files
from smcatalog.services.workspace import Workspace

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["DayResult", "ProduceReport", "predict_map", "produce"]


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
    made: dict[date, DayResult] = {}
    to_make = [day for day in plan.days if day.to_make]
    if to_make:
        if not plan.partitions:
            raise UsageError(
                f"product {definition.name} has no sample up to {definition.training_until}: "
                f"ingest {definition.coarse.source} and its covariates first"
            )
        transaction(workspace.engine, lambda c: announce_collection(c, definition))
        reader = CovariateReader(workspace.store, definition)
        models = Models(workspace, definition, version, reader, progress)
        worker = _Worker(workspace, definition, version, reader)
        for partition, days in groupby(to_make, key=lambda day: day.partition):
            if partition is not None:
                found = _make(worker, models, partition, list(days), progress)
                made |= {result.day: result for result in found}
    results = tuple(made.get(day.day) or _result(day) for day in plan.days)
    return ProduceReport(definition.name, version.number, results)


def _result(day: PlannedDay) -> DayResult:
    outcome = "refused" if day.state is DayState.REFUSED else "current"
    return DayResult(day.day, outcome, day.item_id, day.reason)


def _make(
    worker: _Worker,
    models: Models,
    partition: PartitionInputs,
    days: Sequence[PlannedDay],
    progress: Progress,
) -> Iterator[DayResult]:
    """Make the maps of days that share a model."""
    fitted = models.of(partition)
    if isinstance(fitted, TooFew):
        yield from (DayResult(day.day, "refused", day.item_id, fitted.reason) for day in days)
        return
    one = worker.definition.partitions is Partitioning.ALL
    for day in progress(days, "maps" if one else f"maps {partition.name}"):
        yield DayResult(day.day, "made", worker.make(day, fitted), f"{day.state}: {day.reason}")


@dataclass(frozen=True, slots=True)
class _Worker:
    """Makes one map after another."""

    workspace: Workspace
    definition: Definition
    version: ProductVersionRecord
    reader: CovariateReader

    def make(self, day: PlannedDay, fitted: Fitted) -> str:
        """Make and publish the map of a day and return its item's identifier."""
        if day.inputs is None:
            raise ValueError(f"{day.day} has no inputs and cannot be made")
        grid = self.definition.output_grid()
        extra = Quality(0)
        if day.status is MapStatus.PROVISIONAL:
            extra |= Quality.PROVISIONAL
        if fitted.learned_in != partition_name(self.definition.partitions, day.day):
            extra |= Quality.EARLIER_MODEL
        stacks = predict_map(fitted.method, self.reader, day.inputs, grid, extra)
        with self.workspace.store.work() as work:
            return self._publish(day, day.inputs, fitted.record, stacks, work)

    def _publish(
        self,
        day: PlannedDay,
        inputs: DayInputs,
        model: ModelRecord,
        stacks: dict[str, NDArray[np.integer]],
        work: Path,
    ) -> str:
        grid = self.definition.output_grid()
        files = write_map_files(self.workspace.store, work, self.definition, day.day, grid, stacks)
        coarse = {layer.id for layer in inputs.coarse}
        covariates = {layer.id for part in inputs.covariates for layer in part}
        new = NewMap(
            version=self.version,
            period=day.period,
            grid=grid.name,
            status=day.status,
            fingerprint=map_fingerprint(self.definition, inputs, model.fingerprint, day.status),
            model=model,
            files=files,
            coarse=tuple(layer.id for layer in inputs.coarse),
            covariates=tuple(sorted(covariates - coarse)),
        )
        published = publish(self.workspace, self.definition, new)
        return published.item_id if published else day.item_id or "made by another worker"


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
    for rows, block in blocks(grid):
        prediction = method.predict(reader.read(day, block))
        means[:, rows] = encode(prediction.mean)
        uncertainties[:, rows] = encode(prediction.uncertainty)
        flags = prediction.quality | np.uint16(extra or 0)
        qualities[:, rows] = np.where(np.isfinite(prediction.mean), flags, QUALITY_NODATA)
    return {"soil_moisture": means, "uncertainty": uncertainties, "quality": qualities}
