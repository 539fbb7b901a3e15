"""Four learners fitted in the window of each coarse pixel (Liu et al. 2024, sections 3.2 and 3.4).

Every pixel has its own exact window: none shares a neighbour's. That it can be afforded is the
compiled code's doing, see `trees` and `support`. Nothing of a fit is kept: a window is fitted where its rows are
predicted, in less time than its trees would take to read. What a window draws depends on its pixel and the
seed, so blocks of a map fit together and threads do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.threads import spread
from smcatalog.methods.averaging.settings import LEARNERS, LearnerSettings
from smcatalog.methods.averaging.support import support_rows
from smcatalog.methods.averaging.trees import boosted_rows, forest_rows
from smcatalog.methods.averaging.windows import Windows, valid_samples
from smcatalog.methods.values import Matrix

__all__ = ["LocalLearners", "linear_coefficients"]

_WINDOWS_AT_ONCE: Final = 64
"""Windows that a thread takes at a time: enough to forget the call, few enough that none waits for the last."""
_LINEAR_AT_ONCE: Final = 4096
"""Windows whose normal equations are put up at once: bounds memory."""


class LocalLearners:
    """The learners of one day.

    Parameters
    ----------
    windows : Windows
        Window of each coarse pixel.
    features : ndarray of float, shape (p, t, rows, columns)
        Coarse predictors that the windows were found in.
    target : ndarray of float, shape (t, rows, columns)
        Coarse soil moisture [m³ m⁻³].
    settings : LearnerSettings or sequence of them
        Hyperparameters, or those of each group.
    groups : ndarray of int, shape (rows, columns), optional
        Which settings a pixel takes (its zone); below 0, none: it has no estimate. All take the first when absent.
    identity : ndarray of int, shape (rows, columns), optional
        Number of each pixel that stays the same whatever part of the world is worked on: what it draws follows
        from it. Its place in the arrays when absent.
    seed : int
        With the identity, seed of what a window draws; another for each day.
    bounds : tuple of float
        Every learner's estimates are clipped to it [m³ m⁻³]; the paper does not say what becomes of a line that leaves
        it.

    Raises
    ------
    UsageError
        When shapes do not belong together or a group has no settings.
    """

    def __init__(
        self,
        windows: Windows,
        features: Matrix,
        target: Matrix,
        settings: LearnerSettings | Sequence[LearnerSettings] | None = None,
        *,
        groups: NDArray[np.integer] | None = None,
        identity: NDArray[np.integer] | None = None,
        seed: int = 0,
        bounds: tuple[float, float] = (0.0, 0.6),
    ) -> None:
        valid_samples(features, target)  # their shapes
        shape = target.shape[1:]
        if windows.side.shape != shape:
            raise UsageError(
                f"windows of {windows.side.shape} pixels do not belong to a target of {shape}"
            )
        if settings is None or isinstance(settings, LearnerSettings):
            settings = [settings or LearnerSettings()]
        kind = np.zeros(shape, np.int64) if groups is None else groups
        if kind.shape != shape or kind.max(initial=0) >= len(settings):
            raise UsageError(f"{len(settings)} settings for groups up to {kind.max(initial=0)}")
        number = np.arange(kind.size) if identity is None else identity.ravel()
        self._take(
            windows.members,
            np.where(windows.exists, kind.ravel(), -1),
            features,
            target,
            tuple(settings),
            _mixed(number.astype(np.uint64), seed),
            bounds,
        )

    @classmethod
    def of_members(
        cls,
        members: NDArray[np.int32],
        features: Matrix,
        target: Matrix,
        settings: LearnerSettings,
        *,
        seed: int = 0,
        bounds: tuple[float, float] = (0.0, 0.6),
    ) -> Self:
        """Return learners of any sets of samples: "cells" are then places in ``members``.

        Parameters
        ----------
        members : ndarray of int32, shape (sets, m)
            Places in the flattened target, -1 after the last; at least one each.
        """
        made = cls.__new__(cls)
        groups = np.zeros(len(members), np.int64)
        seeds = _mixed(np.arange(len(members), dtype=np.uint64), seed)
        made._take(members, groups, features, target, (settings,), seeds, bounds)  # noqa: SLF001 - its own
        return made

    def _take(
        self,
        members: NDArray[np.int32],
        groups: NDArray[np.integer],
        features: Matrix,
        target: Matrix,
        settings: tuple[LearnerSettings, ...],
        seeds: NDArray[np.uint64],
        bounds: tuple[float, float],
    ) -> None:
        self._members = members
        self._groups = groups
        self._samples = np.ascontiguousarray(features.reshape(len(features), -1).T, np.float64)
        self._target = np.ascontiguousarray(target.ravel(), np.float64)
        self._settings = settings
        self._seeds = seeds
        self._bounds = bounds

    def predict(self, rows: NDArray[np.floating], cells: NDArray[np.integer]) -> Matrix:
        """Predict at fine pixels from the windows of their coarse pixels, shared out among threads.

        Parameters
        ----------
        rows : ndarray of float, shape (n, p)
            Predictors at the fine scale; NaN where unknown.
        cells : ndarray of int, shape (n,)
            Coarse pixel that holds each, a place in the flattened grid; below 0, none.

        Returns
        -------
        ndarray of float64, shape (n, 4)
            Estimates [m³ m⁻³] of the learners in the order of `LEARNERS`; NaN where a predictor is unknown or the pixel has
            no window.

        Raises
        ------
        UsageError
            When rows have other predictors or cells are not of the grid.
        """
        if rows.ndim != 2 or rows.shape != (len(cells), self._samples.shape[1]):  # noqa: PLR2004
            raise UsageError(
                f"rows to predict are (n, {self._samples.shape[1]}) with n cells, got {rows.shape} and {len(cells)}"
            )
        if len(cells) and cells.max() >= len(self._groups):
            raise UsageError(f"cell {cells.max()} is not among the {len(self._groups)} of the grid")
        out = np.full((len(rows), len(LEARNERS)), np.nan)
        usable = (cells >= 0) & np.isfinite(rows).all(axis=1)
        usable[usable] = self._groups[cells[usable]] >= 0
        places = np.flatnonzero(usable)
        places = places[np.argsort(cells[places], kind="stable")]
        found, first = np.unique(cells[places], return_index=True)
        starts = np.append(first, len(places)).astype(np.int64)

        def fill(a: int, b: int) -> None:
            own = places[starts[a] : starts[b]]
            out[own] = self._part(rows, own, found[a:b], starts[a : b + 1])

        spread(fill, self._runs(found))
        np.clip(out, *self._bounds, out=out)
        return out

    def _runs(self, cells: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
        """Yield stretches of cells that share their settings."""
        kinds = self._groups[cells]
        edges = np.flatnonzero(np.diff(kinds)) + 1
        for a, b in zip([0, *edges], [*edges, len(cells)], strict=True):
            for start in range(a, b, _WINDOWS_AT_ONCE):
                yield start, min(start + _WINDOWS_AT_ONCE, b)

    def _part(
        self,
        rows: NDArray[np.floating],
        places: NDArray[np.int64],
        cells: NDArray[np.integer],
        starts: NDArray[np.int64],
    ) -> Matrix:
        """Fit the windows of some cells and predict the rows in them."""
        x = np.ascontiguousarray(rows[places], np.float64)
        starts = starts - starts[0]
        members = np.ascontiguousarray(self._members[cells])
        settings = self._settings[self._groups[cells[0]]]
        forest, support, boosting = settings.forest, settings.support, settings.boosting
        data = (self._samples, self._target, members, x, starts)
        out = np.empty((len(LEARNERS), len(x)))
        tries = min(forest.tries, x.shape[1])
        forest_rows(*data, self._seeds[cells], forest.trees, tries, forest.least, out[0])
        lines = linear_coefficients(self._samples, self._target, members, settings.linear.ridge)
        owner = np.repeat(np.arange(len(cells)), np.diff(starts))
        out[1] = lines[owner, 0] + np.einsum("np,np->n", x, lines[owner, 1:])
        support_rows(
            *data,
            support.cost,
            support.tube,
            support.width,
            support.tolerance,
            support.steps,
            out[2],
        )
        boosted_rows(
            *data,
            boosting.rounds,
            boosting.depth,
            boosting.rate,
            boosting.shrink,
            boosting.least_gain,
            boosting.least_weight,
            out[3],
        )
        return out.T


def linear_coefficients(
    samples: Matrix, target: Matrix, members: NDArray[np.int32], ridge: float
) -> Matrix:
    """Fit a line in each window (Liu et al. 2024, eq. 3), all by one batch of normal equations.

    Sums run over gathered windows and not over differences of cumulative sums: elevation changes by
    kilometres over the region and by metres in a flat window, and the difference of large sums would lose what
    is left. Predictors are standardised in the window; one that is constant there gets no slope.

    Parameters
    ----------
    samples : ndarray of float64, shape (s, p)
    target : ndarray of float64, shape (s,)
    members : ndarray of int32, shape (windows, m)
        -1 after the last; at least one each.
    ridge : float
        See `LinearSettings`.

    Returns
    -------
    ndarray of float64, shape (windows, p + 1)
        Intercept and slopes.
    """
    parts = [
        _lines(samples, target, members[start : start + _LINEAR_AT_ONCE], ridge)
        for start in range(0, len(members), _LINEAR_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty((0, samples.shape[1] + 1))


def _lines(samples: Matrix, target: Matrix, members: NDArray[np.int32], ridge: float) -> Matrix:
    there = members >= 0
    n = there.sum(axis=1)[:, None]
    x = np.where(there[..., None], samples[members], 0.0)
    y = np.where(there, target[members], 0.0)
    centre, middle = x.sum(axis=1) / n, y.sum(axis=1, keepdims=True) / n
    x = np.where(there[..., None], x - centre[:, None], 0.0)
    y = np.where(there, y - middle, 0.0)
    spread = np.sqrt((x**2).sum(axis=1) / n)
    varies = spread > 1e-9 * (1 + np.abs(centre))
    scale = np.where(varies, spread, 1.0)
    x = np.where(varies[:, None], x / scale[:, None], 0.0)
    gram = np.einsum("wmp,wmq->wpq", x, x) / n[..., None]
    p = x.shape[2]
    diagonal = np.arange(p)
    gram[:, diagonal, diagonal] += ~varies  # its slope is 0 whatever else
    # the rest after rounding of a singular matrix may be below 0
    flat = np.linalg.eigvalsh(gram)[:, 0] < ridge
    gram[:, diagonal, diagonal] += np.where(flat, ridge, 0.0)[:, None]
    moments = np.einsum("wmp,wm->wp", x, y) / n
    slopes = np.linalg.solve(gram, moments[..., None])[..., 0] / scale
    intercept = middle[:, 0] - (slopes * centre).sum(axis=1)
    return np.column_stack([intercept, slopes])


def _mixed(numbers: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return seeds that have nothing to do with each other, by the steps of SplitMix64."""
    with np.errstate(over="ignore"):
        z = numbers * np.uint64(0xD1342543DE82EF95) + np.uint64(seed % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return z ^ (z >> np.uint64(31))
