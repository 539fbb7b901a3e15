"""The second layer of a stack: how much of each learner's estimate there is in the stack's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.optimize import nnls

from smcatalog.core.errors import UsageError
from smcatalog.methods.values import Matrix

__all__ = ["SECOND_LAYERS", "fit_second_layer"]


def _least_squares_above_nought(estimates: Matrix, target: Matrix, _: float) -> Matrix:
    weights, _ = nnls(estimates, target)
    if not weights.any():  # no learner goes with the target: they are worth the same, nothing
        weights = np.full(len(weights), 1.0 / len(weights))
    return np.asarray(weights, np.float64)


def _ridge(estimates: Matrix, target: Matrix, strength: float) -> Matrix:
    product = estimates.T @ estimates
    penalty = strength * np.trace(product) / len(product)
    found = np.linalg.solve(product + penalty * np.eye(len(product)), estimates.T @ target)
    return np.asarray(found, np.float64)


SECOND_LAYERS: Final[dict[str, Callable[[Matrix, Matrix, float], Matrix]]] = {
    "nnls": _least_squares_above_nought,
    "ridge": _ridge,
}
"""By name: from estimates (n, m), target (n,) and the ridge's strength to weights (m,)."""


def fit_second_layer(
    kind: str, estimates: Matrix, target: Matrix, *, intercept: bool, strength: float
) -> tuple[Matrix, float]:
    """Fit a linear second layer for one depth.

    Parameters
    ----------
    kind : str
        ``nnls``: least squares with weights of nought or more (Lawson and Hanson 1974). ``ridge``: least squares
        with a penalty on the weights' squares.
    estimates : ndarray, shape (n, m)
        Of learners that did not see their samples [m³ m⁻³].
    target : ndarray, shape (n,)
        [m³ m⁻³].
    intercept : bool
        Whether a constant is added.
    strength : float
        Of the ridge's penalty, as a share of the learners' mean sum of squares: it has no unit.

    Returns
    -------
    weights : ndarray, shape (m,)
    constant : float
        [m³ m⁻³]; 0 without an intercept.

    Raises
    ------
    UsageError
        When there is no such kind, or the strength is not above 0.
    """
    if kind not in SECOND_LAYERS:
        raise UsageError(f"the second layer is one of {', '.join(SECOND_LAYERS)}, got '{kind}'")
    if strength <= 0:
        raise UsageError(f"the strength of the ridge is above 0, got {strength:g}")
    fit = SECOND_LAYERS[kind]
    if not intercept:
        return fit(estimates, target, strength), 0.0
    centre, level = estimates.mean(axis=0), float(target.mean())
    weights = fit(estimates - centre, target - level, strength)
    return weights, level - float(centre @ weights)
