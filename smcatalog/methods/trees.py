"""Regression trees as flat arrays, and their sums over rows by code compiled at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import StoreError, UsageError
from smcatalog.methods.values import Matrix

__all__ = ["Trees"]

_TOGETHER: Final = 6
"""Rows that `_descend` takes down a tree together: with more of them the registers do not suffice."""
_BLOCK: Final = 2731 * _TOGETHER
"""Rows that go through one tree after another: many enough that fetching a tree from memory does not
count, few enough that their features stay near the processor."""
_LINK_BITS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees of a forest, all nodes in arrays of their own, 12 bytes a node.

    The nodes of a tree follow each other in breadth: the upper ones, which every row passes, lie together, and
    the right child stands behind the left. A leaf is its own left child with an infinite threshold, so
    that a row stays there: going down needs no branch.

    Parameters
    ----------
    starts : ndarray of int64, shape (trees + 1,)
        First node of each tree; last the number of nodes.
    links : ndarray of uint32, shape (nodes,)
        Left child, counted from the tree's first node, times 2**shift, plus the feature that is compared.
    thresholds : ndarray of float32, shape (nodes,)
        Rows whose feature is larger go right.
    leaves : ndarray of int32, shape (nodes,)
        Row of `values` of a leaf; -1 of other nodes.
    values : ndarray of float64, shape (leaves, d + 1)
        Mean of each depth in the leaf; last the leaf's variance, which scikit-learn averages over depths.
    n_features : int
        Features of a row.
    """

    KEPT: ClassVar[tuple[str, ...]] = ("starts", "links", "thresholds", "values")

    starts: NDArray[np.int64]
    links: NDArray[np.uint32]
    thresholds: NDArray[np.float32]
    leaves: NDArray[np.int32]
    values: Matrix
    n_features: int

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.starts) - 1

    @property
    def n_depths(self) -> int:
        """Number of means that a leaf has."""
        return int(self.values.shape[1]) - 1

    @classmethod
    def of(cls, fitted: Iterable[Any], n_features: int) -> Trees:
        """Return the trees of a fitted scikit-learn forest (its ``estimators_``).

        Raises
        ------
        UsageError
            When a tree has too many nodes for so many features.
        """
        parts = [_flat(tree.tree_, n_features) for tree in fitted]
        links, thresholds, is_leaf, values = zip(*parts, strict=True)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(one) for one in links])])
        return cls(
            ends,
            np.concatenate(links),
            np.concatenate(thresholds),
            _numbered(np.concatenate(is_leaf)),
            np.concatenate(values),
            n_features,
        )

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What has to be kept to be the same trees again, by the names in `KEPT`."""
        return {name: getattr(self, name) for name in self.KEPT}

    @classmethod
    def restored(cls, arrays: dict[str, NDArray[Any]], n_features: int) -> Trees:
        """Return trees of kept `arrays`.

        Raises
        ------
        StoreError
            When they are no trees: compiled code would read beyond them.
        """
        types = zip(cls.KEPT, ("<i8", "<u4", "<f4", "<f8"), (1, 1, 1, 2), strict=True)
        for name, dtype, dimensions in types:
            array = arrays[name]
            if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
                raise StoreError(f"the forest's {name} are {array.dtype} of shape {array.shape}")
        starts, links, thresholds, values = (np.ascontiguousarray(arrays[n]) for n in cls.KEPT)
        sizes = np.diff(starts)
        if (
            len(starts) < 2  # noqa: PLR2004 - a tree has a start and an end
            or starts[0] != 0
            or starts[-1] != len(links)
            or len(links) != len(thresholds)
            or (sizes < 1).any()
        ):
            raise StoreError("the forest's nodes do not fit its trees")
        shift = _shift(n_features)
        own = np.arange(len(links)) - np.repeat(starts[:-1], sizes)
        left, feature = (links >> shift).astype(np.int64), links & ((1 << shift) - 1)
        is_leaf = left == own
        inner = ~is_leaf
        if (
            (feature >= n_features).any()
            or not np.isposinf(thresholds[is_leaf]).all()
            # children after their parent: every way down ends
            or (left[inner] <= own[inner]).any()
            or (left[inner] + 1 >= np.repeat(sizes, sizes)[inner]).any()
            or is_leaf.sum() != len(values)
            or values.shape[1] < 2  # noqa: PLR2004 - a mean and a variance
        ):
            raise StoreError("the forest's nodes do not fit each other")
        return cls(starts, links, thresholds, _numbered(is_leaf), values, n_features)

    def sums(self, features: NDArray[np.floating]) -> Matrix:
        """Return sums over the trees for each row.

        Rows are summed in the order of the trees, by the thread that calls, which lets others run meanwhile.

        Parameters
        ----------
        features : ndarray of float32, shape (n, p)
            Finite; other types are brought to it, as scikit-learn does.

        Returns
        -------
        ndarray of float64, shape (n, 2, d)
            Sum of the leaves' means, and sum of their squares plus variances.

        Raises
        ------
        UsageError
            When rows have another number of features.
        """
        rows = np.ascontiguousarray(features, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.n_features:  # noqa: PLR2004
            raise UsageError(f"the trees need rows of {self.n_features} features: {rows.shape}")
        out = np.zeros((-(-len(rows) // _TOGETHER) * _TOGETHER, 2, self.n_depths))
        shift = np.uint32(_shift(self.n_features))
        kernel = _kernel()

        for first in range(0, len(rows), _BLOCK):
            block, sums = rows[first : first + _BLOCK], out[first : first + _BLOCK]
            if len(block) < len(sums):  # the last row again, up to a multiple of six
                block = np.pad(block, ((0, len(sums) - len(block)), (0, 0)), mode="edge")
            kernel(
                self.starts,
                self.links,
                self.thresholds,
                self.leaves,
                self.values,
                shift,
                block,
                sums,
            )
        return out[: len(rows)]


def _shift(n_features: int) -> int:
    """Return how many bits of a link hold the feature."""
    return max(1, (n_features - 1).bit_length())


def _numbered(is_leaf: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.where(is_leaf, np.cumsum(is_leaf) - 1, -1).astype(np.int32)


def _flat(
    tree: Any, n_features: int
) -> tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.bool_], Matrix]:
    """Return links, thresholds, which nodes are leaves, and the leaves' values of one tree."""
    count, shift = int(tree.node_count), _shift(n_features)
    if count > 1 << (_LINK_BITS - shift):
        raise UsageError(f"a tree of {count} nodes is too large for {n_features} features")
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    levels = [np.zeros(1, np.int64)]
    while levels[-1].size:
        inner = levels[-1][left[levels[-1]] >= 0]
        levels.append(np.column_stack([left[inner], right[inner]]).ravel())
    order = np.concatenate(levels)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    is_leaf = left[order] < 0
    child = np.where(is_leaf, np.arange(count), place[left[order]])
    feature = np.where(is_leaf, 0, tree.feature[order])
    links = (child << shift | feature).astype(np.uint32)
    exact = tree.threshold[order]
    thresholds = exact.astype(np.float32)
    # features are single: below the largest single that is not above is the same as below the threshold
    above = thresholds > exact
    thresholds[above] = np.nextafter(thresholds[above], np.float32(-np.inf))
    thresholds[is_leaf] = np.inf
    ends = order[is_leaf]
    values = np.column_stack([tree.value[ends, :, 0], tree.impurity[ends]])
    return links, thresholds, is_leaf, values


def _descend(
    starts: Any,
    links: Any,
    thresholds: Any,
    leaves: Any,
    values: Any,
    shift: Any,
    rows: Any,
    out: Any,
) -> None:
    """Add the values of the leaves that rows come to, tree after tree, to ``out`` of shape (n, 2, d).

    Six rows go down together: the processor waits for the nodes of all of them at once. Rows beyond a multiple of
    six are left out.
    """
    mask = (np.uint32(1) << shift) - np.uint32(1)
    n, last = len(rows), values.shape[1] - 1
    six = (np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0))
    for tree in range(len(starts) - 1):
        link = links[starts[tree] : starts[tree + 1]]
        threshold = thresholds[starts[tree] : starts[tree + 1]]
        leaf = leaves[starts[tree] : starts[tree + 1]]
        for i in range(0, n - 5, 6):
            a, b, c, d, e, f = six
            moving = True
            while moving:
                la, lb, lc, ld, le, lf = link[a], link[b], link[c], link[d], link[e], link[f]
                na = np.uint32((la >> shift) + np.uint32(rows[i, la & mask] > threshold[a]))
                nb = np.uint32((lb >> shift) + np.uint32(rows[i + 1, lb & mask] > threshold[b]))
                nc = np.uint32((lc >> shift) + np.uint32(rows[i + 2, lc & mask] > threshold[c]))
                nd = np.uint32((ld >> shift) + np.uint32(rows[i + 3, ld & mask] > threshold[d]))
                ne = np.uint32((le >> shift) + np.uint32(rows[i + 4, le & mask] > threshold[e]))
                nf = np.uint32((lf >> shift) + np.uint32(rows[i + 5, lf & mask] > threshold[f]))
                moving = ((a ^ na) | (b ^ nb) | (c ^ nc) | (d ^ nd) | (e ^ ne) | (f ^ nf)) != 0
                a, b, c, d, e, f = na, nb, nc, nd, ne, nf
            r = i
            for at in (a, b, c, d, e, f):
                found = leaf[at]
                if last == 1:
                    mean = values[found, 0]
                    out[r, 0, 0] += mean
                    out[r, 1, 0] += mean * mean + values[found, 1]
                else:
                    for depth in range(last):
                        mean = values[found, depth]
                        out[r, 0, depth] += mean
                        out[r, 1, depth] += mean * mean + values[found, last]
                r += 1


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., None]:
    """Return `_descend` compiled; from numba's cache where one can be kept.

    numba is imported here: a night that makes no map with a forest needs neither it nor a compiler. The cache
    lies beside this module, or in ``NUMBA_CACHE_DIR``, or in the user's own; each process that starts
    finds it there. Where nothing can be written each process compiles for itself.
    """
    import numba  # noqa: PLC0415 - slow to import

    signature = (
        "void(int64[::1], uint32[::1], float32[::1], int32[::1], float64[:, ::1], uint32, "
        "float32[:, ::1], float64[:, :, ::1])"
    )
    compiled: Callable[..., None]
    try:
        compiled = numba.njit(signature, nogil=True, cache=True)(_descend)
    except (RuntimeError, OSError):  # no place for a cache, or it is full
        compiled = numba.njit(signature, nogil=True)(_descend)
    return compiled
