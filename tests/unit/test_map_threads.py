"""A map is the same whatever the number of threads that read, predict and write it."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from smcatalog.bench.forests import fitted_on
from smcatalog.bench.maps import _layers
from smcatalog.core.errors import StoreError
from smcatalog.core.grids import grid
from smcatalog.core.time import Period
from smcatalog.products import load_builtin
from smcatalog.services.covariates import CovariateReader
from smcatalog.services.inputs import DayInputs
from smcatalog.services.produce import predict_map
from smcatalog.services.publish import write_map_files
from smcatalog.store import FolderStore


def test_threads_do_not_change_a_map(tmp_path, monkeypatch):
    monkeypatch.setattr("smcatalog.core.blocks.TILE", 16)
    monkeypatch.setattr("smcatalog.core.blocks._PIXELS", 768)
    definition = load_builtin("yanco")
    period = Period.of_day(date(2020, 6, 1))
    where = grid("M01").window(slice(5000, 5060), slice(20000, 20100))
    store = FolderStore(tmp_path / "store")
    inputs, values = _layers(store, definition, period, where)
    names = tuple(covariate.name for covariate in definition.covariates)
    method = fitted_on(values, {"n_estimators": 3}, names)
    made = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        reader = CovariateReader(store, definition)
        stacks = predict_map(method, reader, inputs, where)
        with store.work() as work:
            files = write_map_files(store, work, definition, period.day, where, stacks)
        made.append(([stack.tobytes() for stack in stacks.values()], files))
    assert made[0] == made[1]
    assert (stacks["soil_moisture"] > 0).all()
    whole = np.moveaxis(values, 0, -1).reshape(-1, len(names))
    expected = np.rint(method.predict_samples(whole)[:, 0] * 10_000)
    assert np.array_equal(stacks["soil_moisture"][0].ravel(), expected)
    lost = replace(inputs.covariates[0][0], key="layers/gone.tif")
    gone = DayInputs(period, (), ((lost,), *inputs.covariates[1:]))
    with pytest.raises(StoreError, match="gone"):
        predict_map(method, CovariateReader(store, definition), gone, where)
