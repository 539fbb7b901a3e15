"""What every registered method must do; a new one is tested by being listed."""

import json
import zipfile
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.svm import SVR

from smcatalog.core.encoding import Quality
from smcatalog.core.errors import NotFoundError, StoreError, UsageError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.core.grids import grid
from smcatalog.methods import (
    Covariates,
    InSitu,
    Samples,
    base,
    create,
    load,
    method_names,
    recipe,
    registry,
)
from smcatalog.methods.cells import numbers_of
from smcatalog.methods.sampling import (
    cell_means,
    cell_values,
    join_blocks,
    join_samples,
    samples_of,
)
from smcatalog.products import load_builtin
from smcatalog.services.refresh import algorithm_of, model_fingerprint

NAMES = ("swvl1", "elevation", "silt")


def truth(features: np.ndarray) -> np.ndarray:
    """A relation that is linear, so that every method can learn it: m3 m-3."""
    return 0.05 + 0.3 * features[..., 0] + 0.0002 * features[..., 1] - 0.4 * features[..., 2]


def features(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([0.05, 100, 0.02], [0.45, 420, 0.09], (n, 3))


DAY = np.datetime64("2020-01-01")
SIDE = 20
"""Coarse cells on a side of the region of the samples."""


def samples(n: int = 400, depths: int = 1, noise: float = 0.002) -> Samples:
    """Samples of every cell on one day after another, and stations in some of them."""
    x = features(n)
    rng = np.random.default_rng(1)
    y = truth(x)[:, np.newaxis] + 0.02 * np.arange(depths) + rng.normal(0, noise, (n, depths))
    number = np.arange(n)
    cells = numbers_of(5 + number % SIDE**2 // SIDE, 7 + number % SIDE)
    days = DAY + number // SIDE**2
    own = features(min(n, 120), 3)
    observed = truth(own) + rng.normal(0, noise, len(own))
    some = rng.permutation(n)[: len(own)]
    stations = InSitu(own, observed, cells[some], days[some], some % 3, ("n/a", "n/b", "n/c"))
    return Samples(NAMES, x, y, cells, days, stations)


def covariates(rows: int = 20, columns: int = 30, seed: int = 5) -> Covariates:
    values = features(rows * columns, seed).T.reshape(3, rows, columns).astype(np.float32)
    across, down = np.arange(columns) % SIDE, np.arange(rows) % SIDE
    cells = numbers_of(5 + down[:, np.newaxis], 7 + across)
    return Covariates(NAMES, values, np.zeros((rows, columns), np.uint16), cells)


def fitted_to(method, data: Samples):
    """The method as it predicts on the day of the samples."""
    return method.fit(data).around(data, DAY)


SMALL = {
    "svr": {"importance_rows": 50},
    "ann": {"hidden": [16], "max_epochs": 60, "importance_rows": 50},
    "xgboost": {"n_estimators": 60},
    "lightgbm": {"n_estimators": 60},
    "catboost": {"iterations": 100},
    "ensemble": {
        "learners": ["linear_regression", "xgboost"],
        "parameters": {"xgboost": {"n_estimators": 20}},
        "grids": {"xgboost": {"max_depth": [2, 4]}},
    },
    "bayesian_model_averaging": {
        "settings": {"forest": {"trees": 10}}, "grids": {}, "seasons": 1, "zones": 2,
        "chains": {"draws": 200, "warm_up": 50},
    },
}  # fmt: skip
"""Sizes that let every test fit in a moment; a method that is not here is tested with its defaults."""

RECOVERED = {
    "linear_regression": 0.0002, "svr": 0.002, "ann": 0.0015, "xgboost": 0.004, "lightgbm": 0.003,
    "catboost": 0.002, "random_forest": 0.01, "ensemble": 0.0005, "bayesian_model_averaging": 0.002,
}  # fmt: skip
"""Largest error [m3 m-3] of a planted linear relation with noise of 0.002 from 2000 samples, with defaults."""


@pytest.fixture(params=method_names())
def method(request):
    return create(request.param, SMALL.get(request.param, {}))


@cache
def ready(name: str):
    """A method as it predicts on the day of `samples`, fitted once for the tests that leave it as it is."""
    return fitted_to(create(name, SMALL.get(name, {})), samples())


@pytest.mark.parametrize("name", method_names())
def test_a_planted_relation_comes_back(name):
    small = name in {"ensemble", "bayesian_model_averaging"}
    found = fitted_to(create(name, SMALL[name] if small else {}), samples(2000)).predict(
        covariates()
    )
    error = found.mean[0] - truth(np.moveaxis(covariates().values.astype(float), 0, -1))
    assert np.sqrt((error**2).mean()) < RECOVERED[name]
    assert abs(error.mean()) < 0.003


def test_a_prediction_is_mean_uncertainty_and_quality_by_depth(method):
    depths = min(method.most_depths or 2, 2)
    found = fitted_to(method, samples(depths=depths)).predict(covariates())
    assert found.mean.shape == found.uncertainty.shape == found.quality.shape == (depths, 20, 30)
    assert method.n_depths == depths
    assert (found.uncertainty > 0).all()
    assert found.quality.dtype == np.uint16
    if depths > 1:
        assert np.allclose(found.mean[1] - found.mean[0], 0.02, atol=0.02)
    else:
        with pytest.raises(UsageError, match="one depth"):
            method.fit(samples(depths=2))


def test_pixels_without_a_covariate_stay_empty(method):
    block = covariates()
    block.values[1, 3, 4] = np.nan
    method = ready(method.name)
    found = method.predict(block)
    assert np.isnan(found.mean[0, 3, 4])
    assert np.isfinite(found.mean).sum() == 20 * 30 - 1
    block.values[:] = np.nan
    assert np.isnan(method.predict(block).mean).all()


def test_predictions_stay_in_the_physical_range_and_say_when_they_extrapolate(method):
    block = covariates()
    block.values[0, :10] = 5.0
    block.values[2, 10:] = 0.05
    found = ready(method.name).predict(block)
    assert found.mean.min() >= method.lower_bound
    assert found.mean.max() <= method.upper_bound
    outside = (found.quality[0] & Quality.OUTSIDE_TRAINING) != 0
    assert outside[:10].all()
    assert outside[10:].mean() < 0.1


def test_quality_of_covariates_is_kept(method):
    block = covariates()
    block.quality[0, 0] = Quality.WATER
    found = ready(method.name).predict(block)
    assert found.quality[0, 0, 0] & Quality.WATER


def test_blocks_do_not_matter(method, monkeypatch):
    method = ready(method.name)
    whole = method.predict(covariates())
    monkeypatch.setattr("smcatalog.methods.base._ROWS_AT_ONCE", 7)
    parts = method.predict(covariates())
    assert np.array_equal(whole.mean, parts.mean)
    assert np.array_equal(whole.quality, parts.quality)


def test_same_seed_same_model(method, tmp_path):
    twins = [fitted_to(clone(method), samples()) for _ in range(2)]
    found = [twin.predict(covariates()) for twin in twins]
    assert np.array_equal(found[0].mean, found[1].mean)
    for number, twin in enumerate(twins):
        twin.save(tmp_path / str(number))
    assert sha256_file(tmp_path / "0") == sha256_file(tmp_path / "1")


def test_a_saved_model_predicts_the_same(method, tmp_path):
    path = tmp_path / f"model{method.suffix}"
    method = ready(method.name)
    method.save(path)
    loaded = load(method.name, path).around(samples(), DAY)
    before, after = method.predict(covariates()), loaded.predict(covariates())
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.uncertainty, after.uncertainty)
    # a file of JSON knows lists only
    assert json.dumps(loaded.get_params()) == json.dumps(method.get_params())
    assert loaded.importances.keys() == dict.fromkeys(NAMES).keys()


def test_a_clone_is_unfitted_and_alike(method):
    copy = clone(method.fit(samples()))
    assert copy.get_params() == method.get_params()
    with pytest.raises(UsageError, match="fitted before"):
        copy.predict(covariates())


def test_wrong_features_and_too_few_samples_are_refused(method):
    method.fit(samples())
    block = covariates()
    swapped = Covariates(NAMES[::-1], block.values, block.quality)
    with pytest.raises(UsageError, match="fitted on swvl1"):
        method.predict(swapped)
    with pytest.raises(UsageError, match="too few"):
        clone(method).fit(samples(5))


@pytest.mark.parametrize("name", method_names())
def test_the_number_of_threads_changes_nothing(name, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "_ROWS_AT_ONCE", 100)
    data, files = samples(1000), []
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        fitted = create(name, SMALL.get(name, {})).fit(data)
        path = tmp_path / f"{threads}{fitted.suffix}"
        today = fitted.around(data, DAY)
        found = today.predict(covariates())  # it must not leave a trace in what is saved
        fitted.save(path)
        at_samples = b"" if today.whole_blocks else today.predict_samples(data.features).tobytes()
        files.append(
            (path.read_bytes(), found.mean.tobytes(), found.uncertainty.tobytes(), at_samples)
        )
    assert files[0] == files[1]


def test_support_vectors_predict_as_scikit_learns():
    data = samples(noise=0.01)
    fitted = create("svr", {"folds": 0, "importance_rows": 0}).fit(data)
    x = (data.features - data.features.mean(axis=0)) / data.features.std(axis=0)
    y = (data.target[:, 0] - data.target.mean()) / data.target.std()
    theirs = SVR(C=10, epsilon=0.1, gamma=1 / 3, tol=1e-2).fit(x, y).predict(x)
    ours = (fitted.predict_samples(data.features)[:, 0] - data.target.mean()) / data.target.std()
    assert np.allclose(ours, theirs, atol=1e-9)
    assert fitted.importances == {}


@pytest.mark.parametrize("name", ["svr", "ann", "xgboost", "lightgbm", "catboost"])
def test_the_uncertainty_is_that_of_samples_left_out(name):
    data = samples(600, noise=0.02)
    fitted = create(name, SMALL[name]).fit(data)
    inner = np.sqrt(((fitted.predict_samples(data.features) - data.target) ** 2).mean())
    assert inner < fitted.residual_[0]
    assert 0.018 < fitted.residual_[0] < 0.04
    assert sum(fitted.importances.values()) == pytest.approx(1)
    assert fitted.importances["swvl1"] == max(fitted.importances.values())


DAMAGED = {
    "cut off": lambda whole: whole[: len(whole) * 2 // 3],
    "cut off at once": lambda whole: whole[:20],
    "changed inside": lambda whole: (
        whole[: len(whole) // 2] + b"\xff" * 40 + whole[len(whole) // 2 + 40 :]
    ),
    "changed at the end": lambda whole: whole[:-30] + b"\xff" * 30,
    "empty": lambda _: b"",
    "text": lambda _: b"no model at all\n",
    "JSON": lambda _: b'{"method": 3}',
}


@pytest.mark.parametrize("how", DAMAGED)
def test_damaged_files_are_refused_by_name_and_with_what_to_do(method, tmp_path, how):
    path = tmp_path / f"model{method.suffix}"
    ready(method.name).save(path)
    path.write_bytes(DAMAGED[how](path.read_bytes()))
    with pytest.raises(StoreError, match=rf"^{path.name} is damaged.* {method.name} ") as said:
        load(method.name, path)
    assert "smcatalog verify --repair" in str(said.value)


def test_files_of_other_methods_are_refused(method, tmp_path):
    others = [name for name in ("xgboost", "lightgbm", "random_forest", "linear_regression", "svr", "ensemble")
              if name != method.name]  # fmt: skip
    for other in others:
        ready(other).save(tmp_path / "other")
        with pytest.raises(StoreError, match=f"^other is damaged or does not hold a {method.name}"):
            load(method.name, tmp_path / "other")


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost", "random_forest", "ensemble"])
def test_a_whole_archive_with_a_foreign_part_is_refused(name, tmp_path):
    create(name, SMALL.get(name, {"n_estimators": 3})).fit(samples(100)).save(
        tmp_path / "model.zip"
    )
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        parts = {part: file.read(part) for part in file.namelist()}
    for victim in [part for part in parts if part != "content.json"]:
        for content in (b"something else\n", None):
            with zipfile.ZipFile(tmp_path / "changed.zip", "w") as file:
                for part, own in parts.items():
                    kept = content if part == victim else own
                    if kept is not None:
                        file.writestr(part, kept)
            with pytest.raises(StoreError, match=r"^changed.zip is damaged"):
                load(name, tmp_path / "changed.zip")


def test_a_file_that_is_not_there_is_not_called_damaged(method, tmp_path):
    with pytest.raises(StoreError, match="No such file"):
        load(method.name, tmp_path / "nothing")


def test_unknown_methods_and_parameters_are_refused():
    with pytest.raises(NotFoundError, match="random_forest"):
        create("random_forst", {})
    with pytest.raises(UsageError, match="no parameter trees"):
        create("random_forest", {"trees": 3})
    assert recipe("linear_regression", {}) == {
        "method": "linear_regression", "version": 1, "parameters": {},
    }  # fmt: skip


def test_a_new_version_of_a_learner_makes_what_has_it_anew(monkeypatch):
    own, others = load_builtin("rao2022"), load_builtin("stacking")
    before = [(algorithm_of(one), model_fingerprint(one, "samples")) for one in (own, others)]
    assert "+ann-" in before[0][0]
    raised = replace(registry._METHODS["ann"], version=99)
    monkeypatch.setitem(registry._METHODS, "ann", raised)
    after = [(algorithm_of(one), model_fingerprint(one, "samples")) for one in (own, others)]
    assert not set(before[0]) & set(after[0])
    assert before[1] == after[1]
    assert recipe("ensemble", {})["learners"] == {"linear_regression": 1, "random_forest": 1}


def test_linear_regression_is_least_squares_with_its_error():
    data = samples(noise=0.01)
    method = create("linear_regression", {}).fit(data)
    design = np.column_stack([np.ones(len(data)), data.features])
    solution, *_ = np.linalg.lstsq(design, data.target, rcond=None)
    assert np.allclose(method.predict_samples(data.features), design @ solution)
    spread = method.predict(covariates()).uncertainty
    assert spread.mean() == pytest.approx(0.01, rel=0.15)


def test_the_forest_is_scikit_learns():
    data = samples()
    method = create("random_forest", {"n_estimators": 20}).fit(data)
    assert np.allclose(
        method.predict_samples(data.features)[:, 0],
        method.forest_.predict(data.features),
        atol=1e-7,
    )


def test_fingerprints_of_samples_see_everything():
    data = samples()
    marks = {
        data.fingerprint,
        samples().fingerprint,
        samples(noise=0.003).fingerprint,
        Samples(NAMES[::-1], data.features, data.target, data.groups, data.days).fingerprint,
        Samples(NAMES, data.features, data.target, data.groups + 1, data.days).fingerprint,
        replace(
            data, in_situ=replace(data.in_situ, observed=data.in_situ.observed + 0.1)
        ).fingerprint,
    }
    assert len(marks) == 5


def test_samples_are_made_where_cells_are_covered():
    coarse = grid("M36").window(slice(318, 320), slice(872, 875))
    fine = grid("M01").window(slice(318 * 36, 320 * 36), slice(872 * 36, 875 * 36))
    values = np.ones((2, *fine.shape), np.float32)
    values[0, :36, :30] = np.nan  # cell 0: 6/36 left
    values[1, :36, 36:50] = np.nan  # cell 1: 22/36 left
    values[0, :, 36:] = 3
    block = Covariates(("a", "b"), values, np.zeros(fine.shape, np.uint16))
    target = np.array([[0.1, 0.2, 0.3], [0.4, np.nan, 0.6]])
    day = date(2020, 1, 1)
    found = samples_of(cell_means(block, fine, coarse), target, coarse, day, min_coverage=0.5)
    assert found.target[:, 0].tolist() == [0.2, 0.3, 0.4, 0.6]
    assert found.features.tolist() == [[3, 1], [3, 1], [1, 1], [3, 1]]
    assert len(set(found.groups.tolist())) == 4
    joined = join_samples([found, found])
    assert len(joined) == 8
    with pytest.raises(UsageError):
        join_samples([])


def test_directions_and_decibels_have_means_of_their_own():
    coarse = grid("M36").window(slice(318, 319), slice(872, 874))
    fine = grid("M01").window(slice(318 * 36, 319 * 36), slice(872 * 36, 874 * 36))
    values = np.zeros((3, *fine.shape), np.float32)
    values[0] = np.where(np.arange(72) % 2, 350.0, 30.0)
    values[1] = np.where(np.arange(72) % 2, -10.0, -20.0)
    values[2] = np.where(np.arange(72) % 2, 1.0, 3.0)
    block = Covariates(("aspect", "vv", "ndvi"), values, np.zeros(fine.shape, np.uint16))
    whole = cell_means(block, fine, coarse).values[:, 0, 0]
    assert whole == pytest.approx([10, 10 * np.log10(0.055), 2], abs=1e-4)
    halves = []
    for rows in (slice(0, 10), slice(10, 36)):
        cut = Covariates(block.names, values[:, rows], block.quality[rows])
        halves.append(cell_means(cut, fine.window(rows, slice(None)), coarse))
    assert join_blocks(halves).values[:, 0, 0] == pytest.approx(whole)
    values[0] = np.where(np.arange(72) % 2, 0.0, 180.0)
    target = np.full(coarse.shape, 0.2)
    lost = samples_of(
        cell_means(block, fine, coarse), target, coarse, date(2020, 1, 1), min_coverage=0.5
    )
    assert len(lost) == 0


def test_the_nearest_pixel_may_stand_for_a_cell():
    coarse = grid("M36").window(slice(318, 320), slice(872, 874))
    fine = grid("M01").window(slice(318 * 36, 320 * 36), slice(872 * 36, 874 * 36))
    values = np.arange(72 * 72, dtype=np.float32).reshape(1, 72, 72)
    values[0, 54, 18] = np.nan
    block = Covariates(("a",), values, np.zeros(fine.shape, np.uint16))
    expected = [[18 * 72 + 18, 18 * 72 + 54], [np.nan, 54 * 72 + 54]]
    whole = cell_values(block, fine, coarse)
    np.testing.assert_array_equal(whole.values[0], expected)
    np.testing.assert_array_equal(whole.coverage, [[1, 1], [0, 1]])
    halves = []
    for rows in (slice(0, 50), slice(50, 72)):
        cut = Covariates(block.names, values[:, rows], block.quality[rows])
        halves.append(cell_values(cut, fine.window(rows, slice(None)), coarse))
    np.testing.assert_array_equal(join_blocks(halves).values[0], expected)
