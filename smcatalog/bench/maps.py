"""Making a map."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from smcatalog.bench.core import Contest, figure
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from smcatalog.database.inputs import LayerRecord
from smcatalog.methods import Samples, create
from smcatalog.products import Definition, TimeRule, load_builtin
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.inputs import DayInputs
from smcatalog.services.layers import write_layer
from smcatalog.services.produce import predict_map
from smcatalog.services.publish import write_map_files
from smcatalog.store import FolderStore, Store

_SHAPE = (800, 1250)
_TREES = 25


@figure("map", "reading, predicting and storing a map beside the learner's bare predict in memory")
def whole_map(folder: Path) -> Contest:
    """Make a map of a million pixels with a random forest from layers in the store."""
    definition = load_builtin("yanco")
    period = Period.of_day(date(2020, 6, 1))
    where = grid("M01").window(slice(5000, 5000 + _SHAPE[0]), slice(20000, 20000 + _SHAPE[1]))
    rng = np.random.default_rng(2)
    store = FolderStore(folder / "store")
    inputs, values = _layers(store, definition, period, where, rng)
    names = tuple(covariate.name for covariate in definition.covariates)
    features = rng.uniform(0.05, 0.95, (800, len(names))) * values.max(axis=1)
    target = 0.1 + 0.25 * features[:, :1] / features[:, :1].max() + rng.normal(0, 0.02, (800, 1))
    method = create("random_forest", {"n_estimators": _TREES}).fit(
        Samples(
            names,
            features,
            target,
            np.arange(800),
            np.full(800, np.datetime64(period.day, "D")),
        )
    )
    matrix = values.T.astype(np.float64)

    def ours() -> None:
        reader = CovariateReader(store, definition)
        stacks = predict_map(method, reader, inputs, where)
        with store.work() as work:
            write_map_files(store, work, definition, period.day, where, stacks)

    def reference() -> None:
        method.predict_samples(matrix)

    return Contest(ours, reference, f"{matrix.shape[0] / 1e6:.1f} M pixels, {_TREES} trees")


def _layers(
    store: Store, definition: Definition, period: Period, where: Grid, rng: np.random.Generator
) -> tuple[DayInputs, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Store a smooth random layer of each covariate; return the inputs and the values."""
    found, kept = [], []
    for number, covariate in enumerate(definition.covariates):
        kind = variable(covariate.variable)
        waves = np.sin(np.linspace(0, 7 + number, where.shape[0]))[:, np.newaxis]
        field = 0.5 + 0.3 * waves + 0.2 * rng.random(where.shape)
        top = min(kind.valid_max, 400.0)
        static = covariate.time is TimeRule.STATIC
        raster = Raster.good(kind, where, field * top, None if static else period)
        with store.work() as work:
            layer = write_layer(store, work, covariate.source, raster)
        found.append(
            LayerRecord(
                number,
                layer.source,
                layer.variable,
                layer.grid,
                layer.period,
                layer.key,
                layer.sha256,
            )
        )
        kept.append(raster.values.ravel())
    return DayInputs(period, (), tuple((layer,) for layer in found)), np.stack(kept)
