"""Fitting a product's models: samples of a partition's days up to the training horizon, one model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.core.moments import Moments
from smcatalog.core.time import Period
from smcatalog.database.engine import transaction
from smcatalog.database.products import ModelRecord, ProductVersionRecord, find_model, record_model
from smcatalog.methods import Samples, create, load
from smcatalog.methods.sampling import cell_means, join_blocks, join_samples, samples_of
from smcatalog.products import Definition, Partitioning
from smcatalog.services.covariates import CovariateReader, blocks
from smcatalog.services.inputs import DayInputs
from smcatalog.services.plan import PartitionInputs, stand_in_fingerprint
from smcatalog.services.progress import Progress, silent
from smcatalog.services.workspace import Workspace
from smcatalog.validation.metrics import Scores

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["Fitted", "Models", "TooFew", "gather_samples", "score_method"]

_FOLDS: Final = 5
_MONTHS: Final = 3
"""From so many months on whole months are left out."""
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


def gather_samples(
    definition: Definition,
    training: Sequence[DayInputs],
    reader: CovariateReader,
    progress: Progress = silent,
    what: str = "sampling",
) -> Samples | None:
    """Collect the samples of training days; None when no coarse cell gives one on any day.

    A day's layers are read once, block by block.
    """
    fine, coarse = definition.output_grid(), definition.coarse_grid()
    parts = []
    for day in progress(training, what):
        target = reader.coarse(day, coarse)
        if not np.isfinite(target).any():
            continue
        means = join_blocks(
            [cell_means(reader.read(day, block), block, coarse) for _, block in blocks(fine)]
        )
        coverage = definition.coarse.min_coverage
        part = samples_of(means, target, coarse, day.period.day, min_coverage=coverage)
        if len(part):
            parts.append(part)
    return join_samples(parts) if parts else None


class Models:
    """The models of a product version: loaded when they are there, fitted when they are not.

    Parameters
    ----------
    workspace : Workspace
        Where models are kept.
    definition : Definition
        The product.
    version : ProductVersionRecord
        Its version.
    reader : CovariateReader
        Of its layers.
    progress : Progress
        Told while samples are drawn.
    """

    def __init__(
        self,
        workspace: Workspace,
        definition: Definition,
        version: ProductVersionRecord,
        reader: CovariateReader,
        progress: Progress = silent,
    ) -> None:
        self._workspace = workspace
        self._definition = definition
        self._version = version
        self._reader = reader
        self._progress = progress
        self._kept: dict[str, Fitted | TooFew] = {}

    def of(self, partition: PartitionInputs) -> Fitted | TooFew:
        """Return the model of a partition: its own, or that of the one before if samples are too few.

        Raises
        ------
        UsageError
            When a product with one model has no sample, or a method finds them too few.
        StoreError
            When a recorded model's file is missing or damaged.
        """
        if partition.name not in self._kept:
            found = self._find(partition) or self._make(partition)
            while len(self._kept) >= _MODELS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[partition.name] = found
        return self._kept[partition.name]

    def _find(self, partition: PartitionInputs) -> Fitted | None:
        with self._workspace.engine.connect() as connection:
            record = find_model(connection, self._version, *partition.models)
        if record is None:
            return None
        teacher = partition
        for _ in range(partition.models.index(record.fingerprint)):
            teacher = teacher.earlier or teacher
        return self._load(record, teacher.name)

    def _load(self, record: ModelRecord, learned_in: str) -> Fitted:
        path = self._workspace.store.verified(record.key, record.sha256)
        return Fitted(record, load(record.method, path), learned_in)

    def _make(self, partition: PartitionInputs) -> Fitted | TooFew:
        definition, name = self._definition, partition.name
        one = definition.partitions is Partitioning.ALL
        what = "sampling" if one else f"sampling {name}"
        samples = gather_samples(definition, partition.training, self._reader, self._progress, what)
        n = len(samples) if samples is not None else 0
        if samples is not None and n >= definition.min_samples:
            return self._fit(partition, samples)
        if partition.earlier is not None:
            earlier = self.of(partition.earlier)
            return self._borrow(partition, n, earlier) if isinstance(earlier, Fitted) else earlier
        reason = (
            f"product {definition.name} has {n or 'no'} sample{'s' if n > 1 else ''} up to "
            f"{partition.training[-1].period.day}, {definition.min_samples} are needed: "
            f"ingest {definition.coarse.source} and its covariates of more days"
        )
        if one:
            raise UsageError(reason)
        return TooFew(reason)

    def _fit(self, partition: PartitionInputs, samples: Samples) -> Fitted:
        definition = self._definition
        method = create(definition.method.name, definition.method.parameters).fit(samples)
        scores = score_method(definition, method, samples)
        store = self._workspace.store
        with store.work() as work:
            stored = store.add(
                f"models/{definition.name}/{definition.name}_{partition.name}",
                method.suffix,
                method.save,
                work=work,
            )
        columns: dict[str, Any] = {
            "fingerprint": partition.models[0],
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

    def _borrow(self, partition: PartitionInputs, n: int, earlier: Fitted) -> Fitted:
        """Record under a partition with too few samples the model that stands in for its own."""
        other = earlier.record
        columns: dict[str, Any] = {
            "fingerprint": stand_in_fingerprint(partition.models[0], other.fingerprint),
            "samples_fingerprint": other.samples_fingerprint,
            "n_samples": other.n_samples,
            "method": other.method,
            "scores": {**other.scores, "learned_in": earlier.learned_in, "own_samples": n},
            "key": other.key,
            "sha256": other.sha256,
        }
        return Fitted(self._record(partition, columns), earlier.method, earlier.learned_in)

    def _record(self, partition: PartitionInputs, columns: dict[str, Any]) -> ModelRecord:
        days = partition.training
        span = Period(days[0].period.start, max(day.period.end for day in days))
        return transaction(
            self._workspace.engine,
            lambda connection: record_model(
                connection, self._version, label=(partition.name, "all"), period=span, model=columns
            ),
        )


def score_method(definition: Definition, fitted: Method, samples: Samples) -> dict[str, Any]:
    """Score a method on its samples: trained on all, and with cells or blocks of days left out.

    All against the coarse product. Neighbouring cells and days are alike, so that only the scores with
    whole cells or whole blocks of days left out say something about new places and times. The blocks
    are months, or fifths of the days when there are fewer than three months.
    """

    def predict(train: Samples, features: NDArray[np.float64]) -> NDArray[np.float64]:
        method = create(definition.method.name, definition.method.parameters)
        return method.fit(train).predict_samples(features)

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
    return {**scores, "importances": fitted.importances}


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
