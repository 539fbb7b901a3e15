"""Making what is missing or stale: fit, predict block by block, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.encoding import NODATA, QUALITY_NODATA, Quality, encode
from smcatalog.core.errors import UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import Grid
from smcatalog.core.maps import MapStatus, PublishedMap
from smcatalog.database.damage import damaged_partitions
from smcatalog.database.engine import transaction
from smcatalog.database.maps import NewMap
from smcatalog.database.products import ModelRecord, ProductVersionRecord
from smcatalog.database.training import first_partition
from smcatalog.products import Definition, Partitioning, partition_name
from smcatalog.services.covariates import CovariateReader, read_ahead
from smcatalog.services.fit import Fitted, Models, TooFew
from smcatalog.services.gathering import NearbySamples
from smcatalog.services.inputs import DayInputs, LayerIndex
from smcatalog.services.plan import Cause, DayState, Plan, PlannedDay, make_plan
from smcatalog.services.progress import Progress, silent
from smcatalog.services.publish import announce_collection, publish, write_map_files
from smcatalog.services.refresh import ALGORITHM, algorithm_of, inputs_fingerprint
from smcatalog.services.withdraw import withdraw
from smcatalog.services.workspace import Workspace

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = [
    "DayResult",
    "Maker",
    "ProduceReport",
    "map_fingerprint",
    "predict_map",
    "produce",
]

_DAYS_AT_ONCE: Final = 32
"""Days whose layers are looked up together."""


@dataclass(frozen=True, slots=True)
class DayResult:
    """What became of a day.

    Parameters
    ----------
    day : date
        Day that the map is dated by.
    outcome : str
        ``made``, ``current``, ``held`` (stale by policy), ``withdrawn`` or ``refused``.
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
    workspace.store.sweep()

    def find(connection: Connection) -> tuple[Plan, list[str], bool]:
        plan = make_plan(connection, definition, first, last)
        trained = first_partition(connection, plan.version.id) is not None
        return plan, damaged_partitions(connection, plan.version.id), trained

    plan, lost, trained = transaction(workspace.engine, find)
    version = plan.version
    made: dict[date, DayResult] = {}
    to_make = [day for day in plan.days if day.to_make]
    if not trained and any(day.cause is Cause.UNTRAINED for day in plan.days):
        raise UsageError(
            f"product {definition.name} has no sample up to {definition.training_until}: "
            f"ingest {definition.coarse.source} and its covariates first"
        )
    if to_make or lost:
        maker = Maker(workspace, definition, version, progress)
        for partition in lost:
            maker.fit(partition)
        for partition, days in groupby(to_make, key=lambda day: day.partition or ""):
            made |= {result.day: result for result in maker.make(partition, list(days))}
    for day in plan.in_state(DayState.GONE):
        withdraw(workspace, definition, version.product_id, day.day, day.reason)
        made[day.day] = DayResult(day.day, "withdrawn", day.item_id, day.reason)
    results = tuple(made.get(day.day) or _result(day) for day in plan.days)
    return ProduceReport(definition.name, version.number, results)


def _result(day: PlannedDay) -> DayResult:
    outcome = "current" if day.state is DayState.CURRENT else day.state.value
    return DayResult(day.day, outcome, day.item_id, day.reason)


class Maker:
    """Fits models and makes maps of a product version, one partition after another.

    Parameters
    ----------
    workspace : Workspace
        Where they are kept.
    definition : Definition
        The product.
    version : ProductVersionRecord
        Its version, planned.
    progress : Progress
        Told about samples and maps.
    fitted, published : callable, optional
        Called in the transaction that puts a model into force, or publishes a map.
    """

    def __init__(
        self,
        workspace: Workspace,
        definition: Definition,
        version: ProductVersionRecord,
        progress: Progress = silent,
        *,
        fitted: Callable[[Connection], None] = lambda _: None,
        published: Callable[[Connection, PublishedMap], None] = lambda _, __: None,
    ) -> None:
        self._workspace = workspace
        self._definition = definition
        self._version = version
        self._progress = progress
        reader = CovariateReader(workspace.store, definition)
        self._models = Models(workspace, definition, version, reader, progress, fitted)
        nearby = NearbySamples(definition, reader)
        self._worker = _Worker(workspace, definition, version, reader, nearby, published)
        transaction(workspace.engine, lambda c: announce_collection(c, definition))

    def fit(self, partition: str) -> Fitted | TooFew:
        """Return the model of a partition, fitted now unless it is there.

        Raises
        ------
        As `Models.of`.
        """
        return self._models.of(partition)

    def make(
        self,
        partition: str,
        days: Sequence[PlannedDay],
        stop: Callable[[], bool] = lambda: False,
        failed: Callable[[date, Exception], None] | None = None,
    ) -> Iterator[DayResult]:
        """Make the maps of days that share a model, and yield what became of each.

        Parameters
        ----------
        partition : str
            Name of the partition whose model they share.
        days : sequence of PlannedDay
            Days to make, in the order of time.
        stop : callable
            Asked before each map; no other is begun when it says so.
        failed : callable, optional
            Told about a day whose map could not be made; then the next one is. Without it the error goes up.
        """
        fitted = self._models.of(partition)
        if isinstance(fitted, TooFew):
            yield from (DayResult(day.day, "refused", day.item_id, fitted.reason) for day in days)
            return
        one = self._definition.partitions is Partitioning.ALL
        for number, day in enumerate(self._progress(days, "maps" if one else f"maps {partition}")):
            if stop():
                return
            if number % _DAYS_AT_ONCE == 0:
                inputs = self._inputs([d.day for d in days[number : number + _DAYS_AT_ONCE]])
            found = inputs.get(day.day)
            if found is None:
                reason = "its layers went while it was to be made: plan again"
                yield DayResult(day.day, "refused", day.item_id, reason)
                continue
            try:
                item = self._worker.make(day, found, fitted)
            except Exception as error:
                if failed is None:
                    raise
                failed(day.day, error)
                continue
            yield DayResult(day.day, "made", item, f"{day.state}: {day.reason}")

    def _inputs(self, days: Sequence[date]) -> dict[date, DayInputs]:
        def find(connection: Connection) -> dict[date, DayInputs]:
            index = LayerIndex(connection, self._definition, days[0], days[-1])
            found = index.days(days[0], days[-1])
            return {day.period.day: day for day in found if day.complete}

        return transaction(self._workspace.engine, find)


def map_fingerprint(definition: Definition, inputs: str, model: str, status: MapStatus) -> str:
    """Return the fingerprint of a map: of all that it is made of.

    Parameters
    ----------
    inputs : str
        Fingerprint of its period and layers, from `inputs_fingerprint`.
    model : str
        Fingerprint of the model.
    """
    content = {
        "algorithm": ALGORITHM,
        "recipe": definition.recipe_fingerprint,
        "model": model,
        "inputs": inputs,
        "status": status.value,
    }
    return fingerprint(content)


@dataclass(frozen=True, slots=True)
class _Worker:
    """Makes one map after another."""

    workspace: Workspace
    definition: Definition
    version: ProductVersionRecord
    reader: CovariateReader
    nearby: NearbySamples
    published: Callable[[Connection, PublishedMap], None]

    def make(self, day: PlannedDay, inputs: DayInputs, fitted: Fitted) -> str:
        """Make and publish the map of a day and return its item's identifier."""
        grid = self.definition.output_grid()
        extra = Quality(0)
        if day.status is MapStatus.PROVISIONAL:
            extra |= Quality.PROVISIONAL
        if fitted.learned_in != partition_name(self.definition.partitions, day.day):
            extra |= Quality.EARLIER_MODEL
        method = fitted.method
        if self.definition.window is not None:
            # fitted anew to the samples around the day
            today = np.datetime64(day.day, "D")
            method = method.around(self.nearby.around(inputs), today)
        stacks = predict_map(method, self.reader, inputs, grid, extra)
        with self.workspace.store.work() as work:
            return self._publish(day, inputs, fitted.record, stacks, work)

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
        made_of = inputs_fingerprint(self.definition, inputs)
        new = NewMap(
            version=self.version,
            period=inputs.period,
            grid=grid.name,
            status=day.status,
            fingerprint=map_fingerprint(self.definition, made_of, model.fingerprint, day.status),
            algorithm=algorithm_of(self.definition),
            inputs_fingerprint=made_of,
            model=model,
            files=files,
            coarse=tuple(layer.id for layer in inputs.coarse),
            covariates=tuple(sorted(inputs.layers - coarse)),
        )
        published = publish(self.workspace, self.definition, new, also=self.published)
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
    for block, covariates in read_ahead(reader, day, grid):
        here = slice(None), block.rows, block.columns
        prediction = method.predict(covariates)
        means[here] = encode(prediction.mean)
        uncertainties[here] = encode(prediction.uncertainty)
        flags = prediction.quality | np.uint16(extra or 0)
        qualities[here] = np.where(np.isfinite(prediction.mean), flags, QUALITY_NODATA)
    return {"soil_moisture": means, "uncertainty": uncertainties, "quality": qualities}
