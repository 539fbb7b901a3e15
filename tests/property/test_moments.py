"""Laws of moments: merging parts gives the whole, in any order, and scores are what numpy says."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smcatalog.core.errors import UsageError
from smcatalog.core.moments import Moments
from smcatalog.validation.metrics import Scores

SOIL_MOISTURE = st.integers(0, 6000).map(lambda step: step * 1e-4)


@st.composite
def pairs(draw, min_size=0, max_size=60):
    n = draw(st.integers(min_size, max_size))
    values = hnp.arrays(np.float64, n, elements=SOIL_MOISTURE)
    return draw(values), draw(values)


def close(one: Moments, other: Moments) -> bool:
    return one.n == other.n and all(
        math.isclose(getattr(one, name), getattr(other, name), rel_tol=1e-9, abs_tol=1e-12)
        for name in Moments.__dataclass_fields__
    )


@given(pairs(), st.lists(st.integers(0, 60), max_size=5))
def test_merged_parts_are_the_whole(values, cuts):
    estimate, reference = values
    bounds = [0, *sorted(min(c, len(estimate)) for c in cuts), len(estimate)]
    parts = [Moments.of(estimate[a:b], reference[a:b]) for a, b in pairwise(bounds)]
    assert close(Moments.total(parts), Moments.of(estimate, reference))


@given(pairs(), pairs(), pairs())
def test_order_does_not_matter(one, two, three):
    a, b, c = (Moments.of(*v) for v in (one, two, three))
    assert close(a + b, b + a)
    assert close((a + b) + c, a + (b + c))
    assert a + Moments() == a == Moments() + a


@given(pairs(min_size=2), st.floats(-1e3, 1e3))
def test_spread_does_not_depend_on_the_level(values, level):
    estimate, reference = values
    here = Moments.of(estimate, reference)
    there = Moments.of(estimate + level, reference + level)
    assert there.m2_estimate == pytest.approx(here.m2_estimate, abs=1e-9)
    assert there.co_moment == pytest.approx(here.co_moment, abs=1e-9)


@given(pairs(min_size=1))
def test_scores_agree_with_numpy(values):
    estimate, reference = values
    scores = Scores.of(Moments.of(estimate, reference))
    difference = estimate - reference
    assert scores.n == len(estimate)
    assert scores.bias == pytest.approx(difference.mean(), abs=1e-12)
    assert scores.rmse == pytest.approx(np.sqrt((difference**2).mean()), abs=1e-8)
    assert scores.mae == pytest.approx(np.abs(difference).mean(), abs=1e-12)
    if len(estimate) < 2:
        assert math.isnan(scores.ubrmse)
        assert math.isnan(scores.r)
        assert math.isnan(scores.slope)
        return
    assert scores.ubrmse == pytest.approx(difference.std(), abs=1e-8)
    if np.ptp(reference) > 0:
        slope = np.polyfit(reference - reference.mean(), estimate, 1)[0]
        assert scores.slope == pytest.approx(slope, rel=1e-6, abs=1e-9)
    if np.ptp(reference) > 0 and np.ptp(estimate) > 0:
        assert scores.r == pytest.approx(np.corrcoef(estimate, reference)[0, 1], abs=1e-9)
    else:
        assert math.isnan(scores.r)


def test_pairs_with_nan_are_left_out():
    estimate = np.array([0.1, np.nan, 0.3, 0.4])
    reference = np.array([0.2, 0.2, np.nan, 0.1])
    assert Moments.of(estimate, reference) == Moments.of(estimate[[0, 3]], reference[[0, 3]])


def test_no_pairs_have_no_scores():
    scores = Scores.of(Moments.of(np.array([]), np.array([])))
    assert scores.n == 0
    assert all(math.isnan(getattr(scores, name)) for name in ("bias", "rmse", "mae", "r"))


def test_shapes_must_agree():
    with pytest.raises(UsageError, match="differ in shape"):
        Moments.of(np.zeros(2), np.zeros(3))


def test_by_hand():
    scores = Scores.of(Moments.of(np.array([1.0, 2.0, 6.0]), np.array([0.0, 2.0, 4.0])))
    assert scores.bias == pytest.approx(1.0)
    assert scores.mae == pytest.approx(1.0)
    assert scores.rmse == pytest.approx(math.sqrt(5 / 3))
    assert scores.ubrmse == pytest.approx(math.sqrt(2 / 3))
    assert scores.slope == pytest.approx(10 / 8)
    assert scores.r == pytest.approx(10 / math.sqrt(14 * 8))
