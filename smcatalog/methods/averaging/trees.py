"""Small regression trees, grown to their exact best splits in compiled code.

A window holds tens of samples: sorting its predictors once serves every tree, and a forest takes less time than
the call of a library would. Forests follow Breiman (2001) as scikit-learn grows them (bootstrap counts
as weights, leaves counted in distinct samples), boosting follows Chen and Guestrin (2016, eq. 6 and 7) with
squared error and exact splits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smcatalog.methods.averaging.compiled import compiled
from smcatalog.methods.values import Matrix

__all__ = ["boosted_rows", "forest_rows"]

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]


@compiled
def _draw(state: Words, below: int) -> int:
    """Return a whole number from 0 to below ``below``, by SplitMix64 (Steele et al. 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    # the upper 53 bits as a number in [0, 1)
    return int(np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0) * below)


@compiled
def _best_split(  # noqa: C901 - a call for each place would take longer than the place
    lists: Integers,
    start: int,
    stop: int,
    samples: Matrix,
    target: Matrix,
    weight: Matrix,
    features: Integers,
    tries: int,
    shuffle: bool,
    least: int,
    least_weight: float,
    shrink: float,
    state: Words,
    found: Matrix,
) -> None:
    """Find the best split of a node: ``found`` becomes feature, threshold, gain."""
    p = len(features)
    total = 0.0
    heavy = 0.0
    for place in range(start, stop):
        sample = lists[0, place]
        total += weight[sample] * target[sample]
        heavy += weight[sample]
    before = total * total / (heavy + shrink)
    found[0] = -1.0
    found[2] = -np.inf
    constant = 0
    for visited in range(p):
        if visited >= tries and visited > constant:
            break
        if shuffle:  # also where all are tried: two samples are split as well by any
            other = visited + _draw(state, p - visited)
            features[visited], features[other] = features[other], features[visited]
        feature = features[visited]
        if (
            samples[lists[feature, stop - 1], feature]
            <= samples[lists[feature, start], feature] + 1e-7
        ):
            constant += 1
            continue
        left = 0.0
        light = 0.0
        for place in range(start, stop - 1):
            sample = lists[feature, place]
            left += weight[sample] * target[sample]
            light += weight[sample]
            here = samples[sample, feature]
            following = samples[lists[feature, place + 1], feature]
            if following <= here + 1e-7:
                continue
            if place + 1 - start < least or stop - place - 1 < least:
                continue
            if light < least_weight or heavy - light < least_weight:
                continue
            right = total - left
            gain = (
                left * left / (light + shrink) + right * right / (heavy - light + shrink) - before
            )
            # many splits part the same samples: the first counts, not the one that rounding prefers
            if gain > found[2] + 1e-10 * (gain + before):
                found[0] = feature
                found[1] = 0.5 * (here + following)
                found[2] = gain


@compiled
def _divide(
    lists: Integers,
    start: int,
    stop: int,
    goes_left: NDArray[np.bool_],
    spare: Integers,
) -> int:
    """Put the samples that go left first in all lists, orders kept; return where the right begins."""
    middle = start
    for feature in range(lists.shape[0]):
        middle = start
        rest = 0
        for place in range(start, stop):
            sample = lists[feature, place]
            if goes_left[sample]:
                lists[feature, middle] = sample
                middle += 1
            else:
                spare[rest] = sample
                rest += 1
        lists[feature, middle:stop] = spare[:rest]
    return middle


@compiled
def _grow(
    lists: Integers,
    size: int,
    samples: Matrix,
    target: Matrix,
    weight: Matrix,
    features: Integers,
    tries: int,
    shuffle: bool,
    least: int,
    least_weight: float,
    deepest: int,
    shrink: float,
    least_gain: float,
    state: Words,
    nodes: Integers,
    values: Matrix,
    goes_left: NDArray[np.bool_],
    spare: Integers,
) -> int:
    """Grow a tree; return its number of nodes.

    ``nodes`` becomes feature (-1: a leaf), left child, and while it grows start, stop and depth; the right
    child follows the left. ``values`` becomes threshold, value, gain.
    """
    found = np.empty(3)
    nodes[0, 2] = 0
    nodes[0, 3] = size
    nodes[0, 4] = 0
    count = 1
    node = 0
    while node < count:
        start, stop, depth = nodes[node, 2], nodes[node, 3], nodes[node, 4]
        total = 0.0
        heavy = 0.0
        for place in range(start, stop):
            total += weight[lists[0, place]] * target[lists[0, place]]
            heavy += weight[lists[0, place]]
        values[node, 1] = total / (heavy + shrink)
        values[node, 2] = 0.0
        nodes[node, 0] = -1
        if depth < deepest and stop - start >= 2 * least and stop - start > 1:
            _best_split(
                lists, start, stop, samples, target, weight, features, tries, shuffle, least,
                least_weight, shrink, state, found,
            )  # fmt: skip
            if found[0] >= 0 and found[2] > least_gain:
                feature = int(found[0])
                for place in range(start, stop):
                    sample = lists[0, place]
                    goes_left[sample] = samples[sample, feature] < found[1]
                middle = _divide(lists, start, stop, goes_left, spare)
                nodes[node, 0] = feature
                nodes[node, 1] = count
                values[node, 0] = found[1]
                values[node, 2] = found[2]
                nodes[count, 2], nodes[count, 3] = start, middle
                nodes[count + 1, 2], nodes[count + 1, 3] = middle, stop
                nodes[count, 4] = nodes[count + 1, 4] = depth + 1
                count += 2
        node += 1
    return count


@compiled
def _leaf(nodes: Integers, values: Matrix, row: Matrix) -> float:
    """Return the value of the leaf that a row falls into."""
    node = 0
    while nodes[node, 0] >= 0:
        node = nodes[node, 1] + (0 if row[nodes[node, 0]] < values[node, 0] else 1)
    return float(values[node, 1])


@compiled
def _gather(
    features: Matrix, target: Matrix, members: NDArray[np.int32]
) -> tuple[Matrix, Matrix, Integers]:
    """Return samples (n, p), target (n,) and places sorted by each predictor (p, n) of a window."""
    size = 0
    while size < len(members) and members[size] >= 0:
        size += 1
    p = features.shape[1]
    samples = np.empty((size, p))
    values = np.empty(size)
    for place in range(size):
        samples[place] = features[members[place]]
        values[place] = target[members[place]]
    order = np.empty((p, size), np.int64)
    for feature in range(p):
        order[feature] = np.argsort(samples[:, feature], kind="mergesort")
    return samples, values, order


@compiled
def forest_rows(
    features: Matrix,
    target: Matrix,
    members: NDArray[np.int32],
    rows: Matrix,
    starts: Integers,
    seeds: Words,
    trees: int,
    tries: int,
    least: int,
    out: Matrix,
) -> None:
    """Fit a random forest to each window and predict its rows.

    Parameters
    ----------
    features : ndarray of float64, shape (s, p)
        All samples of the cube.
    target : ndarray of float64, shape (s,)
    members : ndarray of int32, shape (windows, m)
        Samples of each window, -1 after the last.
    rows : ndarray of float64, shape (n, p)
        Where to predict, those of a window together.
    starts : ndarray of int64, shape (windows + 1,)
        Where the rows of each window begin.
    seeds : ndarray of uint64, shape (windows,)
        Seed of each window: what it draws depends on nothing else.
    trees, tries, least : int
        Number of trees, predictors tried at a split, distinct samples that a leaf holds at least.
    out : ndarray of float64, shape (n,)
        Becomes the mean of the trees.
    """
    p = features.shape[1]
    state = np.empty(1, np.uint64)
    for window in range(len(members)):
        samples, values, order = _gather(features, target, members[window])
        size = len(values)
        state[0] = seeds[window]
        predictors = np.arange(p)  # their order is part of what is drawn
        lists = np.empty((p, size), np.int64)
        weight = np.empty(size)
        nodes = np.empty((2 * size + 1, 5), np.int64)
        leaves = np.empty((2 * size + 1, 3))
        goes_left = np.empty(size, np.bool_)
        spare = np.empty(size, np.int64)
        centre = values.mean()  # sums of squares of differences lose no digits
        values -= centre
        out[starts[window] : starts[window + 1]] = 0.0
        for _ in range(trees):
            weight[:] = 0.0
            for _draw_of_sample in range(size):
                weight[_draw(state, size)] += 1.0
            drawn = 0
            for feature in range(p):
                drawn = 0
                for place in range(size):
                    if weight[order[feature, place]] > 0:
                        lists[feature, drawn] = order[feature, place]
                        drawn += 1
            _grow(
                lists, drawn, samples, values, weight, predictors, tries, True, least, 0.0, size,
                0.0, 1e-14, state, nodes, leaves, goes_left, spare,
            )  # fmt: skip
            for row in range(starts[window], starts[window + 1]):
                out[row] += _leaf(nodes, leaves, rows[row])
        for row in range(starts[window], starts[window + 1]):
            out[row] = out[row] / trees + centre


@compiled
def boosted_rows(
    features: Matrix,
    target: Matrix,
    members: NDArray[np.int32],
    rows: Matrix,
    starts: Integers,
    rounds: int,
    depth: int,
    rate: float,
    shrink: float,
    least_gain: float,
    least_weight: float,
    out: Matrix,
) -> None:
    """Fit boosted trees to each window and predict its rows; arrays as for `forest_rows`.

    Parameters
    ----------
    rounds, depth : int
        Number of trees and their depth.
    rate, shrink, least_gain, least_weight : float
        Chen and Guestrin's eta, lambda, gamma (a split that gains less is cut off afterwards), and the samples that a
        leaf holds at least.
    """
    p = features.shape[1]
    state = np.zeros(1, np.uint64)
    predictors = np.arange(p)
    for window in range(len(members)):
        samples, values, order = _gather(features, target, members[window])
        size = len(values)
        lists = np.empty((p, size), np.int64)
        weight = np.ones(size)
        nodes = np.empty((2 * size + 1, 5), np.int64)
        leaves = np.empty((2 * size + 1, 3))
        goes_left = np.empty(size, np.bool_)
        spare = np.empty(size, np.int64)
        centre = values.mean()
        residual = values - centre
        out[starts[window] : starts[window + 1]] = centre
        for _ in range(rounds):
            lists[:] = order
            count = _grow(
                lists, size, samples, residual, weight, predictors, p, False, 1, least_weight, depth,
                shrink, 1e-6, state, nodes, leaves, goes_left, spare,
            )  # fmt: skip
            for node in range(count - 1, -1, -1):  # children come after their parent
                child = nodes[node, 1]
                if (
                    nodes[node, 0] >= 0
                    and leaves[node, 2] < least_gain
                    and nodes[child, 0] < 0
                    and nodes[child + 1, 0] < 0
                ):
                    nodes[node, 0] = -1
            for place in range(size):
                residual[place] -= rate * _leaf(nodes, leaves, samples[place])
            for row in range(starts[window], starts[window + 1]):
                out[row] += rate * _leaf(nodes, leaves, rows[row])
