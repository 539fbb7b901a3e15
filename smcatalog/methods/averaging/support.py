"""Support vector regression of small windows in compiled code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smcatalog.methods.averaging.compiled import compiled
from smcatalog.methods.values import Matrix

__all__ = ["support_rows"]

_TAU = 1e-12
"""Least curvature of a step, as in LIBSVM."""
_FLAT = 1e-9
"""Standard deviation below which numbers are all the same."""


@compiled
def _pair(alpha: Matrix, gradient: Matrix, kernel: Matrix, cost: float) -> tuple[int, int, float]:
    """Choose two variables by second-order information (Fan et al. 2005, WSS 2); the third is what is left to gain."""
    n = len(kernel)
    most = -np.inf
    first = -1
    for t in range(2 * n):
        up = alpha[t] < cost if t < n else alpha[t] > 0
        value = -gradient[t] if t < n else gradient[t]
        if up and value >= most:
            most = value
            first = t
    least = np.inf
    second = -1
    best = np.inf
    i = first % n
    for t in range(2 * n):
        low = alpha[t] > 0 if t < n else alpha[t] < cost
        if not low:
            continue
        value = -gradient[t] if t < n else gradient[t]
        least = min(least, value)
        step = most - value
        if step > 0:
            j = t % n
            curve = kernel[i, i] + kernel[j, j] - 2 * kernel[i, j]
            gain = -(step * step) / max(curve, _TAU)
            if gain <= best:
                best = gain
                second = t
    return first, second, most - least


@compiled
def _solve(
    kernel: Matrix, target: Matrix, cost: float, tube: float, tolerance: float, steps: int
) -> tuple[Matrix, float]:
    """Solve the dual of epsilon-SVR by sequential minimal optimisation (Chang and Lin 2011, section 4).

    Returns
    -------
    beta : ndarray of float64, shape (n,)
    offset : float
    """
    n = len(target)
    alpha = np.zeros(2 * n)
    gradient = np.empty(2 * n)
    for t in range(n):
        gradient[t] = tube - target[t]
        gradient[t + n] = tube + target[t]
    for _ in range(steps):
        first, second, gap = _pair(alpha, gradient, kernel, cost)
        if second < 0 or gap < tolerance:
            break
        i, j = first % n, second % n
        one = 1.0 if first < n else -1.0
        two = 1.0 if second < n else -1.0
        curve = max(kernel[i, i] + kernel[j, j] - 2 * kernel[i, j], _TAU)
        step = (-one * gradient[first] + two * gradient[second]) / curve
        # along the line that keeps the sum, inside the box
        room_first = cost - alpha[first] if one > 0 else alpha[first]
        room_second = alpha[second] if two > 0 else cost - alpha[second]
        step = min(step, room_first, room_second)
        alpha[first] += one * step
        alpha[second] -= two * step
        # rounding must not leave a variable a hair from its bound
        if step == room_first:
            alpha[first] = cost if one > 0 else 0.0
        if step == room_second:
            alpha[second] = 0.0 if two > 0 else cost
        for t in range(n):
            change = step * (kernel[i, t] - kernel[j, t])
            gradient[t] += change
            gradient[t + n] -= change
    return alpha[:n] - alpha[n:], _offset(alpha, gradient, cost)


@compiled
def _offset(alpha: Matrix, gradient: Matrix, cost: float) -> float:
    """Return the constant of the fit: the mean over free variables, else the middle of its bounds."""
    n = len(alpha) // 2
    lower, upper = -np.inf, np.inf
    total = 0.0
    free = 0
    for t in range(2 * n):
        sign = 1.0 if t < n else -1.0
        value = sign * gradient[t]
        if 0 < alpha[t] < cost:
            total += value
            free += 1
        elif (alpha[t] > 0) == (sign > 0):
            lower = max(lower, value)
        else:
            upper = min(upper, value)
    return -(total / free if free else 0.5 * (lower + upper))


@compiled
def _standard(samples: Matrix) -> tuple[Matrix, Matrix]:
    """Return mean and factor of each predictor; 0 for one that is constant."""
    p = samples.shape[1]
    centre, scale = np.empty(p), np.empty(p)
    for feature in range(p):
        centre[feature] = samples[:, feature].mean()
        spread = samples[:, feature].std()
        scale[feature] = 1 / spread if spread > _FLAT * (1 + abs(centre[feature])) else 0.0
    return centre, scale


@compiled
def _kernel(samples: Matrix, width: float) -> Matrix:
    """Return the Gaussian kernel between samples, shape (n, n)."""
    size, p = samples.shape
    kernel = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            distance = 0.0
            for feature in range(p):
                distance += (samples[i, feature] - samples[j, feature]) ** 2
            kernel[i, j] = kernel[j, i] = np.exp(-width * distance)
    return kernel


@compiled
def support_rows(
    features: Matrix,
    target: Matrix,
    members: NDArray[np.int32],
    rows: Matrix,
    starts: NDArray[np.int64],
    cost: float,
    tube: float,
    width: float,
    tolerance: float,
    steps: int,
    out: Matrix,
) -> None:
    """Fit epsilon-SVR with a Gaussian kernel to each window and predict its rows.

    Predictors and target are standardised in the window: the cost and the tube then mean the same in a dry
    and a wet one. A predictor that is constant in the window says nothing there and is left out, whatever it is in
    a row; with a constant target so is the prediction.

    Parameters
    ----------
    features, target, members, rows, starts, out
        As for `smcatalog.methods.averaging.trees.forest_rows`.
    cost, tube : float
        C and epsilon, in standard deviations of the window's target.
    width : float
        The kernel is exp(-width |x - z|²).
    tolerance : float
        Largest violation of the optimum's conditions that ends the search.
    steps : int
        Most steps of the search.
    """
    p = features.shape[1]
    row = np.empty(p)
    for window in range(len(members)):
        size = 0
        while size < members.shape[1] and members[window, size] >= 0:
            size += 1
        samples = np.empty((size, p))
        values = np.empty(size)
        for place in range(size):
            samples[place] = features[members[window, place]]
            values[place] = target[members[window, place]]
        centre, scale = _standard(samples)
        samples = (samples - centre) * scale
        middle, unit = values.mean(), values.std()
        begin, end = starts[window], starts[window + 1]
        if unit < _FLAT:
            out[begin:end] = middle
            continue
        kernel = _kernel(samples, width)
        beta, offset = _solve(kernel, (values - middle) / unit, cost, tube, tolerance, steps)
        holding = np.flatnonzero(beta)
        for place in range(begin, end):
            for feature in range(p):
                row[feature] = (rows[place, feature] - centre[feature]) * scale[feature]
            total = offset
            for i in holding:
                distance = 0.0
                for feature in range(p):
                    distance += (row[feature] - samples[i, feature]) ** 2
                total += beta[i] * np.exp(-width * distance)
            out[place] = total * unit + middle
