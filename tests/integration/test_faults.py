"""Nights that are disturbed leave what undisturbed ones do: a few faults of each kind in a small world.

``scripts/faults`` does the same at length.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from smcatalog.database.cluster import Cluster
from tests.faults import trials
from tests.faults.state import State
from tests.faults.trials import Ground
from tests.faults.world import make_world
from tests.fixtures.databases import Server

pytestmark = pytest.mark.slow

DAYS, WAVES = 8, 2


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A server of its own, since it crashes, and a world."""
    folder = tmp_path_factory.mktemp("faults")
    cluster = Cluster(folder / "cluster")
    try:
        server = Server.get(folder / "cluster", durable=True)
        world = make_world(folder / "world", DAYS, 1, WAVES)
        yield Ground(server, Path(folder / "homes"), world, 2, random.Random(1), short=True)
    finally:
        cluster.destroy()


@pytest.fixture(scope="module")
def expected(ground: Ground) -> State:
    """What an undisturbed run leaves."""
    trial, state = trials.undisturbed(ground)
    assert trial.wrong == []
    assert state.count("maps") == 2 * DAYS - 1  # one came late
    assert state.count("quarantine") == 1
    return state


def test_what_is_killed_is_done_all_the_same(ground, expected, repetitions):
    wanted = repetitions(12)
    hit: Counter[str] = Counter()
    for trial in trials.kills(ground, expected, wanted):
        assert trial.wrong == []
        hit += Counter(trial.details)
    assert hit.total() >= wanted


LONG = ("full_disk", "rivals", "clocks", "bad_store")
"""Other tests show these in part."""


@pytest.mark.parametrize(
    "fault", ["crashes", *(pytest.param(fault, marks=pytest.mark.long) for fault in LONG)]
)
def test_a_fault_leaves_no_trace(ground, expected, fault):
    if fault == "crashes":
        trial = trials.crashes(ground, expected, 1)
    else:
        trial = getattr(trials, fault)(ground, expected)
    assert trial.wrong == []
    assert trial.times > 0
