"""Making a map."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.bench.core import Contest, figure
from smcatalog.bench.forests import fitted_on, scenery
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from smcatalog.database.inputs import LayerRecord
from smcatalog.products import Accept, Covariate, Definition, TimeRule, load_builtin
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.inputs import DayInputs
from smcatalog.services.layers import write_layer
from smcatalog.services.produce import predict_map
from smcatalog.services.publish import write_map_files
from smcatalog.store import FolderStore, Store

_SHAPE: Final = (1700, 2000)
_TREES: Final = 200
_DAILY: Final = ("lst_day", "albedo_wsa_b7", "lai", "ndwi", "lswi", "nsdsi", "ndvi", "evi")
_STATIC: Final = ("elevation", "slope", "aspect", "sand", "silt", "clay")
"""The predictors of Rao et al. (2022)."""
_MARGIN: Final = 0.1
_REPEATS: Final = 5
"""A shared machine varies by a fifth from one half minute to the next."""


@figure(
    "map",
    "reading, predicting and storing a map beside the learner's bare predict in memory",
    repeats=_REPEATS,
)
def whole_map(folder: Path) -> Contest:
    """Make a map of 3.4 million pixels with a random forest from 14 layers in the store."""
    return _contest(folder, "random_forest", {"n_estimators": _TREES})


@figure(
    "map-xgboost",
    "the same with boosted trees, which win most periods of rao2022",
    repeats=_REPEATS,
)
def boosted_map(folder: Path) -> Contest:
    """Make the same map with XGBoost as the product has it by default: predicting takes less, reading and writing the same."""
    return _contest(folder, "xgboost", {})


def _contest(folder: Path, winner: str, parameters: dict[str, Any]) -> Contest:
    chosen = [Covariate(name, "bench", TimeRule.DAY, Accept.RETRIEVED) for name in _DAILY]
    chosen += [Covariate(name, "bench", TimeRule.STATIC, Accept.RETRIEVED) for name in _STATIC]
    definition = replace(load_builtin("yanco"), covariates=tuple(chosen))
    period = Period.of_day(date(2020, 6, 1))
    where = grid("M01").window(slice(5000, 5000 + _SHAPE[0]), slice(20000, 20000 + _SHAPE[1]))
    store = FolderStore(folder / "store")
    inputs, values = _layers(store, definition, period, where)
    names = definition.feature_names
    method = fitted_on(values, parameters, names, winner)
    matrix = np.ascontiguousarray(values.reshape(len(values), -1).T)
    del values
    peaks: list[float] = []

    def ours() -> None:
        _forget_peak()
        reader = CovariateReader(store, definition)
        stacks = predict_map(method, reader, inputs, where)
        with store.work() as work:
            write_map_files(store, work, definition, period.day, where, stacks)
        peaks.append(_peak())

    def reference() -> None:
        method.predict_samples(matrix)

    size = f"{len(matrix) / 1e6:.1f} M pixels, {len(names)} covariates, {winner}"
    return Contest(
        ours,
        reference,
        size,
        lambda: (
            f"at most {max(peaks):.2f} GiB in memory, of which {matrix.nbytes / 2**30:.2f} the "
            "reference's array"
        ),
    )


def _forget_peak() -> None:
    """Begin to measure the process's largest size anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> float:
    """Return the process's largest size since it was forgotten [GiB]."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def _layers(
    store: Store, definition: Definition, period: Period, where: Grid
) -> tuple[DayInputs, NDArray[np.float32]]:
    """Store a field as layer of each covariate; return the inputs and the values as they are kept."""
    found = []
    values = scenery(len(definition.covariates), where.shape)
    for number, covariate in enumerate(definition.covariates):
        kind = variable(covariate.variable)
        low, high = values[number].min(), values[number].max()
        share = _MARGIN + (1 - 2 * _MARGIN) * (values[number] - low) / (high - low)
        field = kind.valid_min + share * (kind.valid_max - kind.valid_min)
        values[number] = kind.decode(kind.encode(field.astype(np.float32)))
        static = covariate.time is TimeRule.STATIC
        raster = Raster.good(kind, where, values[number], None if static else period)
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
    return DayInputs(period, (), tuple((layer,) for layer in found)), values
