"""Fitting a product's model: samples of all days up to the training horizon, one model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import SmcatalogError, UsageError
from smcatalog.core.moments import Moments
from smcatalog.core.time import Period
from smcatalog.database.engine import transaction
from smcatalog.database.products import ModelRecord, ProductVersionRecord, find_model, record_model
from smcatalog.methods import Samples, create, load
from smcatalog.methods.sampling import coarse_samples, join_samples
from smcatalog.products import Definition
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.plan import Plan
from smcatalog.services.progress import Progress, silent
from smcatalog.services.workspace import Workspace
from smcatalog.validation.metrics import Scores

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["ensure_model", "gather_samples"]

_FOLDS: Final = 5


def gather_samples(
    definition: Definition, plan: Plan, reader: CovariateReader, progress: Progress = silent
) -> Samples:
    """Collect the samples of all training days of a plan.

    Raises
    ------
    UsageError
        When no coarse cell has a value and enough covariates on any day.
    """
    fine, coarse = definition.output_grid(), definition.coarse_grid()
    parts = []
    for day in progress(plan.training, "sampling"):
        part = coarse_samples(
            reader.read(day, fine),
            fine,
            reader.coarse(day, coarse),
            coarse,
            day.period.day,
            min_coverage=definition.coarse.min_coverage,
        )
        if len(part):
            parts.append(part)
    if not parts:
        raise UsageError(
            f"product {definition.name} has no sample up to {definition.training_until}: "
            f"ingest {definition.coarse.source} and its covariates first"
        )
    return join_samples(parts)


def ensure_model(
    workspace: Workspace,
    definition: Definition,
    version: ProductVersionRecord,
    plan: Plan,
    reader: CovariateReader,
    progress: Progress = silent,
) -> tuple[ModelRecord, Method]:
    """Return the model of a plan: loaded when it is there, fitted and recorded when it is not.

    Raises
    ------
    UsageError
        When there are no samples or too few.
    StoreError
        When a recorded model's file is missing or damaged.
    """
    with workspace.engine.connect() as connection:
        known = find_model(connection, version, plan.model_fingerprint)
    if known is not None:
        path = workspace.store.verified(known.key, known.sha256)
        return known, load(known.method, path)
    samples = gather_samples(definition, plan, reader, progress)
    method = create(definition.method.name, definition.method.parameters).fit(samples)
    scores = _scores(definition, method, samples)
    with workspace.store.work() as work:
        stored = workspace.store.add(
            f"models/{definition.name}/{definition.name}_{definition.partitions}",
            method.suffix,
            method.save,
            work=work,
        )
    columns: dict[str, Any] = {
        "fingerprint": plan.model_fingerprint,
        "samples_fingerprint": samples.fingerprint,
        "n_samples": len(samples),
        "method": method.name,
        "scores": scores,
        "key": stored.key,
        "sha256": stored.sha256,
    }
    span = Period(plan.training[0].period.start, max(d.period.end for d in plan.training))
    record = transaction(
        workspace.engine,
        lambda connection: record_model(
            connection, version, label=(definition.partitions, "all"), period=span, model=columns
        ),
    )
    if record.sha256 != stored.sha256:  # another worker was first: all go on with its model
        path = workspace.store.verified(record.key, record.sha256)
        return record, load(record.method, path)
    return record, method


def _scores(definition: Definition, fitted: Method, samples: Samples) -> dict[str, Any]:
    """Score a method on its samples: trained on all, and with cells or months left out.

    All against the coarse product. Neighbouring cells and days are alike, so that only the scores with
    whole cells or whole blocks of months left out say something about new places and times.
    """

    def predict(train: Samples, features: NDArray[np.float64]) -> NDArray[np.float64]:
        method = create(definition.method.name, definition.method.parameters)
        return method.fit(train).predict_samples(features)

    months = samples.days.astype("datetime64[M]").astype(np.int64)
    blocks = {
        "cells_left_out": np.unique(samples.groups, return_inverse=True)[1] % _FOLDS,
        "months_left_out": np.unique(months, return_inverse=True)[1] % _FOLDS,
    }
    scores: dict[str, Any] = {
        "train": _summary(fitted.predict_samples(samples.features), samples.target)
    }
    for name, folds in blocks.items():
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
