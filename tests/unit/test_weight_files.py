"""Area weights kept on disk: the same as made ones, whatever became of the files."""

from __future__ import annotations

import os

import numpy as np
import pytest

from smcatalog.core.grids import sinusoidal_tile
from smcatalog.resample import area_weights, layer_grid
from smcatalog.services import weights as module
from smcatalog.services.weights import WeightFiles

SOURCE = sinusoidal_tile(26, 5).window(slice(0, 400), slice(0, 400))
TARGET = layer_grid(SOURCE)


@pytest.fixture(autouse=True)
def _always_worth_it(monkeypatch):
    monkeypatch.setattr(module, "_LARGE", 1)


@pytest.fixture
def made(monkeypatch):
    """Count how often weights are made."""
    calls = []
    plain = area_weights.__wrapped__

    class Counting:
        @staticmethod
        def __wrapped__(source, target):
            calls.append(source.name)
            return plain(source, target)

    monkeypatch.setattr(module, "area_weights", Counting)
    return calls


def same(one, other) -> bool:
    pairs = ((one.matrix.data, other.matrix.data), (one.matrix.indices, other.matrix.indices),
             (one.matrix.indptr, other.matrix.indptr))  # fmt: skip
    return all(np.array_equal(a, b) for a, b in pairs)


def test_they_are_made_once_and_read_by_others(tmp_path, made):
    first = WeightFiles(tmp_path / "cache")
    weights = first(SOURCE, TARGET)
    assert first(SOURCE, TARGET) is weights
    again = WeightFiles(tmp_path / "cache")(SOURCE, TARGET)
    assert same(again, area_weights(SOURCE, TARGET))
    assert same(again, weights)
    np.testing.assert_array_equal(again.edge, weights.edge)
    rng = np.random.default_rng(1)
    values = rng.normal(300, 5, SOURCE.shape).astype(np.float32)
    np.testing.assert_array_equal(again.mean(values)[0], weights.mean(values)[0])
    assert (again.source, again.target) == (SOURCE, TARGET)
    assert len(made) == 1


def test_another_pair_has_other_weights(tmp_path, made):
    files = WeightFiles(tmp_path)
    files(SOURCE, TARGET)
    files(SOURCE, TARGET.window(slice(0, 10), slice(0, 20)))
    files(SOURCE.window(slice(0, 100), slice(0, 400)), TARGET)
    assert len(made) == len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_file_is_made_anew(tmp_path, made, damage):
    WeightFiles(tmp_path)(SOURCE, TARGET)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "text": b"no weights",
        }[damage]
    )
    assert same(WeightFiles(tmp_path)(SOURCE, TARGET), area_weights(SOURCE, TARGET))
    assert len(made) == 2
    assert path.stat().st_size == len(whole)
    WeightFiles(tmp_path)(SOURCE, TARGET)
    assert len(made) == 2


def test_a_folder_that_cannot_be_written_to_is_no_hindrance(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert same(WeightFiles(tmp_path / "cache")(SOURCE, TARGET), area_weights(SOURCE, TARGET))


def test_what_was_not_used_for_longest_goes_first(tmp_path, monkeypatch):
    windows = [TARGET.window(slice(0, 200), slice(n, n + 200)) for n in range(3)]
    files = WeightFiles(tmp_path)
    files(SOURCE, windows[0])
    (first,) = tmp_path.iterdir()
    files(SOURCE, windows[1])
    (second,) = set(tmp_path.iterdir()) - {first}
    os.utime(second, (1, 1))
    monkeypatch.setattr(module, "_MOST", int(first.stat().st_size * 2.5))
    files(SOURCE, windows[2])
    left = set(tmp_path.iterdir())
    assert first in left
    assert second not in left
    assert len(left) == 2
