"""The artificial neural network: when it stops, and what it keeps."""

import json

import numpy as np
import pytest

from smcatalog.methods import create, load
from smcatalog.methods.values import Samples

DAY = np.datetime64("2018-06-01")
NAMES = tuple(f"x{number}" for number in range(14))


def planted(n: int, seed: int) -> Samples:
    """Return samples of a relation that is bent and has an interaction."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 14))
    y = 0.25 + 0.05 * np.tanh(x[:, 0]) + 0.03 * x[:, 1] + 0.02 * x[:, 2] * x[:, 3]
    y += rng.normal(0, 0.01, n)
    return Samples(NAMES, x, y[:, np.newaxis], rng.integers(0, 20, n), np.full(n, DAY))


def in_places(n: int, seed: int, apart: float) -> Samples:
    """Return samples of 80 cells that differ by what no feature tells: a few of them are a poor judge."""
    rng = np.random.default_rng(seed)
    place, level = rng.normal(size=(80, 7)), rng.normal(0, apart, 80)
    cell = rng.integers(0, 80, n)
    x = np.hstack([place[cell], rng.normal(size=(n, 7))])
    y = 0.25 + 0.05 * np.tanh(x[:, 7]) + 0.03 * x[:, 8] + 0.02 * x[:, 0] * x[:, 9]
    y += level[cell] + rng.normal(0, 0.01, n)
    return Samples(NAMES, x, y[:, np.newaxis], cell, np.full(n, DAY))


def test_a_network_learns_from_a_hundred_samples_whatever_the_seed():
    for seed in range(4):
        options = {"folds": 0, "importance_rows": 0, "hidden": [32], "random_state": seed}
        fitted = create("ann", options).fit(planted(100, seed))
        unseen = planted(2000, 100 + seed)
        found = fitted.predict_samples(unseen.features)[:, 0]
        assert np.corrcoef(found, unseen.target[:, 0])[0, 1] > 0.75


def test_networks_of_several_lots_do_not_hang_on_the_cells_that_one_holds_out():
    found: dict[int, list[float]] = {1: [], 5: []}
    for seed in range(6):
        data, unseen = in_places(300, seed, 0.04), in_places(2000, 100 + seed, 0.0)
        for networks, own in found.items():
            options = {"folds": 0, "importance_rows": 0, "hidden": [32], "random_state": seed}
            fitted = create("ann", {**options, "networks": networks}).fit(data)
            assert fitted.report["networks"] == min(networks, 4)  # of eight cells each
            mean = fitted.predict_samples(unseen.features)[:, 0]
            own.append(float(np.corrcoef(mean, unseen.target[:, 0])[0, 1]))
    assert min(found[5]) > 0.75
    assert np.mean(found[5]) > np.mean(found[1]) + 0.02


def test_a_file_of_a_single_network_is_read_as_before(tmp_path):
    fitted = create("ann", {"hidden": [8], "max_epochs": 20, "networks": 1}).fit(planted(100, 0))
    fitted.save(tmp_path / "new.json")
    content = json.loads((tmp_path / "new.json").read_text())
    (network,) = content.pop("networks")
    (tmp_path / "old.json").write_text(json.dumps({**content, **network}))
    rows = planted(50, 1).features
    loaded = load("ann", tmp_path / "old.json")
    assert np.array_equal(loaded.predict_samples(rows), fitted.predict_samples(rows))


def test_the_network_stops_by_cells_that_it_does_not_learn_from():
    data = planted(200, 0)
    early = create("ann", {"hidden": [64], "patience": 3, "max_epochs": 500, "folds": 0}).fit(data)
    assert 1 <= early.report["epochs"] < 500
    whole = create("ann", {"hidden": [8], "held_out": 0, "max_epochs": 3, "folds": 0}).fit(data)
    assert whole.report["epochs"] == 3
    whole_mean = data.features.mean(axis=0)
    for network in early.model_.networks:
        assert network.features.centre != pytest.approx(whole_mean, rel=1e-12)
