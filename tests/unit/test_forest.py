"""The random forest's own prediction and file."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from smcatalog.core.errors import StoreError, UsageError
from smcatalog.core.fingerprint import sha256_file
from smcatalog.methods import Covariates, Samples, create, load, trees
from smcatalog.methods.trees import Trees

NAMES = tuple("abcde")


def samples(n: int = 500, depths: int = 1, constant: bool = False) -> Samples:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 10, (n, len(NAMES)))
    y = 0.2 + 0.05 * np.tanh(x[:, :1] + x[:, 1:2]) + rng.normal(0, 0.02, (n, depths))
    if constant:
        y[:] = 0.25
    return Samples(NAMES, x, y, np.arange(n), np.full(n, np.datetime64("2020-01-01")))


def map_rows(n: int = 40_000) -> np.ndarray:
    """Rows that change slowly from one to the next, as along a map's lines."""
    rng = np.random.default_rng(1)
    return np.cumsum(rng.normal(0, 0.1, (n, len(NAMES))), axis=0).astype(np.float32)


def fitted(**parameters):
    return create("random_forest", {"n_estimators": 8, **parameters})


@pytest.mark.parametrize("depths", [1, 3])
@pytest.mark.parametrize("leaf", [1, 5, 120])
@pytest.mark.parametrize("constant", [False, True])
def test_the_means_are_scikit_learns(depths, leaf, constant):
    method = fitted(min_samples_leaf=leaf).fit(samples(depths=depths, constant=constant))
    rows = map_rows(5_003)
    mean, spread = method._predict(rows)
    reference = method.forest_.predict(rows).reshape(len(rows), depths)
    assert np.abs(mean - reference).max() < 1e-6
    assert mean.shape == spread.shape == (len(rows), depths)
    assert np.isfinite(spread).all()
    if constant:
        assert np.abs(spread).max() < 1e-6


@pytest.mark.parametrize("depths", [1, 3])
def test_the_uncertainty_is_that_of_the_mixture_of_leaves(depths):
    method = fitted().fit(samples(depths=depths))
    rows = map_rows(1_000)
    grown = [tree.tree_ for tree in method.forest_.estimators_]
    leaves = [tree.apply(rows) for tree in grown]
    means = np.stack([t.value[at, :, 0] for t, at in zip(grown, leaves, strict=True)])
    within = np.stack([t.impurity[at] for t, at in zip(grown, leaves, strict=True)])
    expected = np.sqrt(within.mean(axis=0)[:, np.newaxis] + means.var(axis=0))
    assert np.abs(method._predict(rows)[1] - expected).max() < 1e-7


def test_rows_at_a_threshold_go_where_scikit_learn_sends_them():
    data = samples()
    method = fitted(min_samples_leaf=1).fit(data)
    exact = np.concatenate([tree.tree_.threshold for tree in method.forest_.estimators_])
    single = exact.astype(np.float32)
    steps = [np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf)]
    rows = np.repeat(np.concatenate([single, *steps])[:, np.newaxis], len(NAMES), axis=1)
    assert np.abs(method._predict(rows)[0][:, 0] - method.forest_.predict(rows)).max() < 1e-12


@pytest.mark.parametrize("features", [1, 2, 16, 17])
def test_any_number_of_features_fits_a_link(features):
    rng = np.random.default_rng(3)
    x, y = rng.random((300, features)), rng.random(300)
    forest = RandomForestRegressor(5, random_state=0).fit(x, y)
    sums = Trees.of(forest.estimators_, features).sums(x)
    assert np.abs(sums[:, 0, 0] / 5 - forest.predict(x)).max() < 1e-12


@pytest.mark.parametrize("rows", [0, 1, 5, 6, 7, trees._BLOCK, trees._BLOCK + 1])
def test_any_number_of_rows(rows):
    method = fitted(n_estimators=3).fit(samples())
    features = map_rows(rows)
    found = method._predict(features)[0]
    assert found.shape == (rows, 1)
    if rows:
        assert np.abs(found[:, 0] - method.forest_.predict(features)).max() < 1e-12


def test_pixels_without_a_covariate_never_reach_the_trees(monkeypatch):
    method = fitted().fit(samples())
    values = map_rows(600).T.reshape(5, 20, 30).copy()
    values[2, 3:5, 7] = np.nan
    values[4, 0, 0] = np.inf
    seen = []
    sums = Trees.sums
    monkeypatch.setattr(
        Trees, "sums", lambda self, rows, threads=None: (seen.append(rows), sums(self, rows))[1]
    )
    found = method.predict(Covariates(NAMES, values, np.zeros((20, 30), np.uint16)))
    assert np.isnan(found.mean).sum() == 3
    (rows,) = seen
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()


def test_rows_of_other_features_are_refused():
    method = fitted(n_estimators=2).fit(samples())
    with pytest.raises(UsageError, match="rows of 5 features"):
        method._predict(np.zeros((3, 4)))


@pytest.mark.parametrize("depths", [1, 2])
def test_a_saved_forest_is_the_same_and_has_the_same_bytes(tmp_path, depths):
    method = fitted().fit(samples(depths=depths))
    first, again = tmp_path / "first", tmp_path / "again"
    method.save(first)
    loaded = load("random_forest", first)
    loaded.save(again)
    assert sha256_file(first) == sha256_file(again)
    rows = map_rows(1_000)
    before, after = method._predict(rows), loaded._predict(rows)
    assert [one.tobytes() for one in before] == [one.tobytes() for one in after]
    assert (
        loaded.importances
        == method.importances
        == pytest.approx(dict(zip(NAMES, method.forest_.feature_importances_, strict=True)))
    )
    assert loaded.n_depths == depths


def test_loading_and_predicting_need_no_scikit_learn(tmp_path):
    fitted().fit(samples()).save(tmp_path / "model")
    code = (
        "import sys, pathlib, numpy; from smcatalog.methods import load; "
        "model = load('random_forest', pathlib.Path(sys.argv[1])); "
        "assert 'numba' not in sys.modules; model.predict_samples(numpy.zeros((2, 5))); "
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model"], check=True)


def test_without_a_place_for_compiled_code_it_is_compiled_anyway(monkeypatch):
    import numba

    compiled, asked = numba.njit, []

    def njit(*arguments, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compiled(*arguments, **options)

    monkeypatch.setattr(numba, "njit", njit)
    assert trees._kernel.__wrapped__() is not None
    assert asked == [True, False]


def rewritten(path, change):
    """Write a model's file again with a part changed."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


def lost(parts):
    del parts["links"]


def cut(parts):
    parts["values"] = parts["values"][:100]


def other(parts):
    content = json.loads(parts["content.json"])
    parts["content.json"] = json.dumps(content | {"method": "ensemble"}).encode()


def nameless(parts):
    content = json.loads(parts["content.json"])
    del content["features"]
    parts["content.json"] = json.dumps(content).encode()


def unknown(parts):
    content = json.loads(parts["content.json"])
    content["parameters"]["trees"] = 3
    parts["content.json"] = json.dumps(content).encode()


@pytest.mark.parametrize("change", [lost, cut, other, nameless, unknown])
def test_a_file_of_something_else_is_refused(tmp_path, change):
    path = tmp_path / "model"
    fitted().fit(samples()).save(path)
    rewritten(path, change)
    with pytest.raises(StoreError):
        load("random_forest", path)


def test_what_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"\x80\x04joblib")
    with pytest.raises(StoreError, match="model"):
        load("random_forest", path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("links", lambda a: a + np.uint32(1 << 20)),
        ("links", lambda a: a[:-1]),
        ("links", lambda a: a.astype(np.int64)),
        ("links", np.zeros_like),
        ("links", lambda a: a | np.uint32(7)),
        ("thresholds", np.zeros_like),
        ("values", lambda a: a[:-1]),
        ("values", lambda a: a[:, :1]),
        ("values", np.ravel),
        ("starts", lambda a: a + 1),
        ("starts", lambda a: a[:1]),
        ("starts", lambda a: a[::-1]),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name, change):
    grown = fitted().fit(samples()).trees_
    arrays = grown.arrays
    assert Trees.restored(arrays, 5).leaves.tobytes() == grown.leaves.tobytes()
    with pytest.raises(StoreError, match="forest's"):
        Trees.restored(arrays | {name: change(arrays[name])}, 5)
