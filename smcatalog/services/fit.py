"""Fitting a product's models: samples of a partition's days up to the training horizon, one model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smcatalog.core.errors import OvertakenError, SmcatalogError, UsageError
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.moments import Moments
from smcatalog.database.damage import is_damaged, note_repaired
from smcatalog.database.engine import transaction
from smcatalog.database.products import ModelRecord, ProductVersionRecord, model_by_id, record_model
from smcatalog.database.series import StationDays
from smcatalog.database.training import (
    TrainedPartition,
    put_model_in_force,
    refuse_partition,
    trained_partitions,
    training_days,
)
from smcatalog.methods import Samples, create, load
from smcatalog.products import Definition, Partitioning
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.gathering import gather_samples
from smcatalog.services.inputs import DayInputs, LayerIndex
from smcatalog.services.observed import distinct, observed_stations
from smcatalog.services.progress import Progress, silent
from smcatalog.services.refresh import (
    joined_fingerprint,
    model_fingerprint,
    training_fingerprint,
)
from smcatalog.services.workspace import Workspace
from smcatalog.validation.metrics import Scores

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["Fitted", "Models", "TooFew", "score_method", "training_inputs"]

_FOLDS: Final = 5
_MONTHS: Final = 3
"""From so many months on whole months are left out."""
_DAYS_AT_ONCE: Final = 400
"""Days whose layers are looked up together."""
_MODELS_KEPT: Final = 2
"""Days come in the order of time: a model and the one that may stand in for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A partition's model.

    Parameters
    ----------
    record : ModelRecord
        As the database knows it.
    method : Method
        Ready to predict.
    learned_in : str
        Name of the partition whose samples it learned from: an earlier one when its own were too few.
    """

    record: ModelRecord
    method: Method
    learned_in: str


@dataclass(frozen=True, slots=True)
class TooFew:
    """Why a partition has no model.

    Parameters
    ----------
    reason : str
        For a person.
    """

    reason: str


class Models:
    """The models of a product version: loaded when they are there, fitted when they are not.

    Parameters
    ----------
    workspace : Workspace
        Where models are kept.
    definition : Definition
        The product.
    version : ProductVersionRecord
        Its version, planned.
    reader : CovariateReader
        Of its layers.
    progress : Progress
        Told while samples are drawn.
    fitted : callable, optional
        Called in the transaction that puts a model into force.
    """

    def __init__(
        self,
        workspace: Workspace,
        definition: Definition,
        version: ProductVersionRecord,
        reader: CovariateReader,
        progress: Progress = silent,
        fitted: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._workspace = workspace
        self._fitted = fitted
        self._definition = definition
        self._version = version
        self._reader = reader
        self._progress = progress
        self._kept: dict[str, Fitted | TooFew] = {}

    def of(self, name: str) -> Fitted | TooFew:
        """Return the model of a partition: its own, or that of the one before if samples are too few.

        Raises
        ------
        UsageError
            When a product with one model has no sample, or a method finds them too few.
        StoreError
            When a recorded model's file is missing or damaged.
        OvertakenError
            When its layers changed since it was planned.
        """
        if name not in self._kept:
            partition, earlier = self._look_up(name)
            found = self._find(partition) or self._make(partition, earlier)
            while len(self._kept) >= _MODELS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = found
        return self._kept[name]

    def _look_up(self, name: str) -> tuple[TrainedPartition, str | None]:
        """Return a partition, and the name of the one before it; no others: there may be hundreds."""
        with self._workspace.engine.connect() as connection:
            found = trained_partitions(connection, self._version.id, until=name, most=2)
        if not found or found[-1].name != name:
            raise OvertakenError(f"partition {name} has nothing to learn from any more")
        return found[-1], found[0].name if len(found) > 1 else None

    def _find(self, partition: TrainedPartition) -> Fitted | TooFew | None:
        if partition.refused is not None:
            return TooFew(partition.refused)
        if partition.model_id is None:
            return None
        with self._workspace.engine.connect() as connection:
            record = model_by_id(connection, partition.model_id)
            if is_damaged(connection, record.key):
                return None
        return self._load(record, record.scores.get("learned_in", partition.name))

    def _load(self, record: ModelRecord, learned_in: str) -> Fitted:
        with self._workspace.store.local(record.key, record.sha256) as path:
            return Fitted(record, load(record.method, path), learned_in)

    def _make(self, partition: TrainedPartition, before: str | None) -> Fitted | TooFew:
        definition, name = self._definition, partition.name
        one = definition.partitions is Partitioning.ALL
        what = "sampling" if one else f"sampling {name}"

        def find(connection: Connection) -> tuple[list[DayInputs], list[StationDays]]:
            days = training_inputs(connection, definition, self._version, partition)
            return days, _stations(connection, definition)

        training, stations = transaction(self._workspace.engine, find)
        samples = gather_samples(
            definition, training, self._reader, self._progress, what, stations=stations
        )
        n = len(samples) if samples is not None else 0
        if samples is not None and n >= definition.min_samples:
            return self._fit(partition, samples)
        if before is not None:
            earlier = self.of(before)
            if isinstance(earlier, Fitted):
                return self._borrow(partition, n, earlier)
            return self._refuse(partition, earlier)
        reason = (
            f"product {definition.name} has {n or 'no'} sample{'s' if n > 1 else ''} up to "
            f"{training[-1].period.day}, {definition.min_samples} are needed: "
            f"ingest {definition.coarse.source} and its covariates of more days"
        )
        if one:
            raise UsageError(reason)
        return self._refuse(partition, TooFew(reason))

    def _fit(self, partition: TrainedPartition, samples: Samples) -> Fitted:
        definition = self._definition
        method = create(definition.method.name, definition.method.parameters).fit(samples)
        scores = score_method(method, samples)
        store = self._workspace.store
        with store.work() as work:
            stored = store.add(
                f"models/{definition.name}/{definition.name}_{partition.name}",
                method.suffix,
                method.save,
                work=work,
            )
        columns: dict[str, Any] = {
            "fingerprint": model_fingerprint(definition, partition.fingerprint),
            "samples_fingerprint": samples.fingerprint,
            "n_samples": len(samples),
            "method": method.name,
            "scores": scores,
            "key": stored.key,
            "sha256": stored.sha256,
        }
        record = self._record(partition, columns)
        if record.sha256 != stored.sha256:  # another worker was first: all go on with its model
            return self._load(record, partition.name)
        return Fitted(record, method, partition.name)

    def _borrow(self, partition: TrainedPartition, n: int, earlier: Fitted) -> Fitted:
        """Record under a partition with too few samples the model that stands in for its own."""
        other = earlier.record
        own = model_fingerprint(self._definition, partition.fingerprint)
        columns: dict[str, Any] = {
            "fingerprint": fingerprint({"too few samples": own, "instead": other.fingerprint}),
            "samples_fingerprint": other.samples_fingerprint,
            "n_samples": other.n_samples,
            "method": other.method,
            "scores": {**other.scores, "learned_in": earlier.learned_in, "own_samples": n},
            "key": other.key,
            "sha256": other.sha256,
            "borrowed_from": other.id,
        }
        return Fitted(self._record(partition, columns), earlier.method, earlier.learned_in)

    def _refuse(self, partition: TrainedPartition, why: TooFew) -> TooFew:
        transaction(
            self._workspace.engine,
            lambda c: refuse_partition(c, partition.id, why.reason, partition.fingerprint),
        )
        return why

    def _record(self, partition: TrainedPartition, columns: dict[str, Any]) -> ModelRecord:
        """Record a model and put it into force, unless its layers changed meanwhile."""

        def work(connection: Connection) -> ModelRecord:
            note_repaired(connection, [(columns["key"], columns["sha256"])])
            record = record_model(connection, partition.id, columns)
            put_model_in_force(connection, partition.id, record.id, partition.fingerprint)
            self._fitted(connection)
            return record

        return transaction(self._workspace.engine, work)


def _stations(connection: Connection, definition: Definition) -> list[StationDays]:
    """Return what stations observed on the days that a method learns from them."""
    choice = definition.in_situ
    if choice is None:
        return []
    return distinct(observed_stations(connection, definition, choice.first_day, choice.last_day))


def training_inputs(
    connection: Connection,
    definition: Definition,
    version: ProductVersionRecord,
    partition: TrainedPartition,
) -> list[DayInputs]:
    """Return the inputs of the days that teach a partition, in the order of time.

    Raises
    ------
    OvertakenError
        When they are not those that were planned: plan again.
    """
    found: list[DayInputs] = []
    days = training_days(connection, version.id, partition.name)
    for start in range(0, len(days), _DAYS_AT_ONCE):
        part = days[start : start + _DAYS_AT_ONCE]
        index = LayerIndex(connection, definition, part[0], part[-1], teaching=True)
        chosen = set(part)
        inputs = index.days(part[0], part[-1])
        found += [day for day in inputs if day.complete and day.period.day in chosen]
    if joined_fingerprint(map(training_fingerprint, found)) != partition.fingerprint:
        raise OvertakenError(
            f"the layers that partition {partition.name} of {definition.name} learns from changed just "
            "now: plan again"
        )
    return found


def score_method(fitted: Method, samples: Samples) -> dict[str, Any]:
    """Score a method on its samples: trained on all, and with cells or blocks of days left out.

    All against the coarse product. Neighbouring cells and days are alike, so that only the scores with
    whole cells or whole blocks of days left out say something about new places and times. The blocks
    are months, or fifths of the days when there are fewer than three months. What the method chose from
    all samples, as hyperparameters and the few weights of a stack's second layer, it keeps: the scores are of
    learners that have not seen the part left out, joined by weights that have.
    """

    def predict(train: Samples, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return fitted.tuned().fit(train).predict_samples(features)

    known = fitted.left_out(samples)
    if known is not None:
        # not every sample need be among them
        there = {name: np.isfinite(one).all(axis=1) for name, one in known.items()}
        own = {
            name: _summary(one[there[name]], samples.target[there[name]])
            for name, one in known.items()
        }
        return {**own, "importances": fitted.importances, "report": fitted.report}
    months, month = np.unique(samples.days.astype("datetime64[M]"), return_inverse=True)
    days, day = np.unique(samples.days, return_inverse=True)
    splits = {"cells_left_out": np.unique(samples.groups, return_inverse=True)[1] % _FOLDS}
    if len(months) >= _MONTHS:
        splits["months_left_out"] = month % _FOLDS
    else:
        splits["days_left_out"] = day * _FOLDS // len(days)
    scores: dict[str, Any] = {
        "train": _summary(fitted.predict_samples(samples.features), samples.target)
    }
    for name, folds in splits.items():
        left_out = _left_out(samples, folds, predict)
        scores[name] = _summary(left_out, samples.target) if left_out is not None else None
    return {**scores, "importances": fitted.importances, "report": fitted.report}


def _left_out(
    samples: Samples,
    folds: NDArray[np.int64],
    predict: Callable[[Samples, NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64] | None:
    """Predict each fold from the others; None when there are not enough samples for that."""
    result = np.full(samples.target.shape, np.nan)
    for fold in np.unique(folds):
        test = folds == fold
        if test.all():
            return None
        rest = Samples(
            samples.names,
            samples.features[~test],
            samples.target[~test],
            samples.groups[~test],
            samples.days[~test],
        )
        try:
            result[test] = predict(rest, samples.features[test])
        except SmcatalogError:  # too few samples in the rest to learn from
            return None
    return result


def _summary(estimate: NDArray[np.float64], reference: NDArray[np.float64]) -> dict[str, Any]:
    scores = Scores.of(Moments.of(estimate.ravel(), reference.ravel()))
    numbers = {
        "bias": scores.bias,
        "rmse": scores.rmse,
        "ubrmse": scores.ubrmse,
        "r": scores.r,
    }
    finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {"n": scores.n, **finite}
