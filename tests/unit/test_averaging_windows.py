"""Windows that grow until they hold enough, and zones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.windows import Growth, adaptive_windows, window_counts
from smcatalog.methods.averaging.zones import NO_ZONE, assign_zones, zone_centres


def cubes(p=2, t=5, rows=9, columns=11, gaps=0.5, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(p, t, rows, columns))
    target = rng.uniform(0.05, 0.4, (t, rows, columns))
    target[rng.random(target.shape) < gaps] = np.nan
    features[0][rng.random(target.shape) < 0.1] = np.nan
    return features, target


def brute(valid, day, row, column, side, days, growth):
    (up, down), (back, ahead) = growth.reach(side, days)
    found = []
    for t in range(day - back, day + ahead + 1):
        for r in range(row - up, row + down + 1):
            for c in range(column - up, column + down + 1):
                inside = 0 <= t < valid.shape[0] and 0 <= r < valid.shape[1]
                if inside and 0 <= c < valid.shape[2] and valid[t, r, c]:
                    found.append((t * valid.shape[1] + r) * valid.shape[2] + c)
    return found


@pytest.mark.parametrize("past_only", [False, True])
@pytest.mark.parametrize("order", ["alternate", "space", "time", "volume"])
@pytest.mark.parametrize("step", [1, 2])
def test_windows_are_those_of_a_plain_search(order, step, past_only):
    features, target = cubes()
    growth = Growth(side_step=step, order=order, past_only=past_only, last_days=4)
    day = 2
    found = adaptive_windows(features, target, day, growth)
    valid = np.isfinite(target) & np.isfinite(features).all(axis=0)
    for row, column in np.ndindex(*target.shape[1:]):
        for number, (side, days) in enumerate(growth.stages):
            own = brute(valid, day, row, column, side, days, growth)
            last = number == len(growth.stages) - 1
            if len(own) >= 2 * (growth.fewest if last else growth.per_predictor):
                break
        else:
            side = days = 0
        assert found.count[row, column] == len(own)
        assert (found.side[row, column], found.days[row, column]) == (side, days)
        members = found.members[row * target.shape[2] + column]
        assert members[members >= 0].tolist() == (own if side else [])


@given(
    st.integers(1, 10), st.integers(1, 5), st.integers(0, 4), st.booleans(), st.integers(0, 1000)
)
def test_counts_are_those_of_a_plain_search(side, days, day, past_only, seed):
    valid = np.random.default_rng(seed).random((5, 4, 6)) < 0.5
    growth = Growth(past_only=past_only)
    counts = window_counts(valid, day, side, days, growth)
    for row, column in ((0, 0), (3, 5), (2, 3)):
        assert counts[row, column] == len(brute(valid, day, row, column, side, days, growth))


def test_growth_is_the_papers_by_default():
    assert Growth().stages == ((3, 1), (5, 1), (5, 2), (5, 3))
    assert Growth(order="time").stages == ((3, 1), (3, 2), (3, 3), (5, 3))
    assert Growth(order="volume").stages == ((3, 1), (3, 2), (5, 1), (3, 3), (5, 2), (5, 3))
    assert Growth(side_step=1).stages == ((3, 1), (4, 1), (4, 2), (5, 2), (5, 3))
    assert Growth(last_side=10, side_step=1, order="space").stages[-3] == (10, 1)
    features, target = cubes(p=5, gaps=0.0)
    features = np.nan_to_num(features)
    found = adaptive_windows(features, target, 2)
    # 25 of one day are too few for 8 x 5, 50 of two are enough
    assert (found.side[2:-2, 2:-2] == 5).all()
    assert (found.days[2:-2, 2:-2] == 2).all()


def test_only_wanted_pixels_get_a_window_and_only_with_samples():
    features, target = cubes(gaps=0.0)
    features = np.nan_to_num(features)
    target[:, :, 6:] = np.nan
    wanted = np.zeros(target.shape[1:], bool)
    wanted[0, 0] = wanted[4, 6] = wanted[4, 10] = True
    found = adaptive_windows(features, target, 2, wanted=wanted)
    assert found.exists.sum() == 2
    assert found.side[4, 6] > 0  # has no value of its own
    assert found.side[4, 10] == 0
    assert found.count[8, 8] == 0


def test_what_cannot_be_is_refused():
    features, target = cubes()
    with pytest.raises(UsageError, match="order"):
        Growth(order="first")
    with pytest.raises(UsageError, match="grow from"):
        Growth(first_side=5, last_side=3)
    with pytest.raises(UsageError, match="fewest"):
        Growth(fewest=9)
    with pytest.raises(UsageError, match="features"):
        adaptive_windows(features[0], target, 0)
    with pytest.raises(UsageError, match="day 5"):
        adaptive_windows(features, target, 5)


def test_zones_are_numbered_from_dry_to_wet():
    rng = np.random.default_rng(0)
    mean = np.concatenate([rng.normal(c, 0.005, 200) for c in (0.3, 0.1, 0.2)]).reshape(20, 30)
    mean[0, 0] = np.nan
    centres = zone_centres(mean, 3)
    assert np.allclose(centres, (0.1, 0.2, 0.3), atol=0.002)
    for seed in (1, 2):
        assert np.array_equal(zone_centres(mean, 3, seed=seed), centres)
    zones = assign_zones(mean, centres)
    assert zones[0, 0] == NO_ZONE
    assert [zones.ravel()[i] for i in (1, 250, 450)] == [2, 0, 1]
    nearest = np.abs(mean[..., None] - centres).argmin(axis=-1)
    assert np.array_equal(zones.ravel()[1:], nearest.ravel()[1:])
    with pytest.raises(UsageError, match="cannot make"):
        zone_centres(np.full((3, 3), 0.2), 2)
