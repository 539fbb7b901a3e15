"""What each feature adds to an estimate: SHAP values of the learners that have exact ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.methods.base import Method
from smcatalog.methods.values import Matrix

__all__ = ["contributions", "explainable", "summary"]

Explained = tuple[Matrix, Matrix]


def contributions(method: Method, features: Matrix) -> Explained:
    """Return what each feature adds to a method's estimates.

    Parameters
    ----------
    method : Method
        Fitted; a linear regression, a random forest or a booster.
    features : ndarray, shape (n, p)

    Returns
    -------
    contributions : ndarray, shape (n, p, d)
        SHAP values [m³ m⁻³]: of trees by the paths that samples take (Lundberg et al. 2020), of a linear model
        the coefficient times the difference from the samples' mean.
    base : ndarray, shape (d,)
        With the contributions it adds up to `Method.estimate`; boosters count in single precision.

    Raises
    ------
    UsageError
        When the method is none of these.
    """
    if not explainable(method):
        raise UsageError(
            f"contributions of features are known of {', '.join(_EXPLAINERS)}, not of {method.name}"
        )
    values, base = _EXPLAINERS[method.name](method, features)
    return np.asarray(values, np.float64), np.asarray(base, np.float64)


def explainable(method: Method) -> bool:
    """Say whether contributions of features are known of a method."""
    return method.name in _EXPLAINERS


def summary(
    names: Sequence[str], features: Matrix, values: Matrix, base: Matrix, shown: int
) -> dict[str, Any]:
    """Return what figures of contributions need, as plain values (Xu et al. 2024, figure 10).

    Parameters
    ----------
    names : sequence of str
        Of the features.
    features : ndarray, shape (n, p)
        By lot: the first ones stand for all.
    values : ndarray, shape (n, p, d)
        Their contributions [m³ m⁻³].
    base : ndarray, shape (d,)
        What they add up to the estimate from [m³ m⁻³].
    shown : int
        Samples that are kept one by one at most.

    Returns
    -------
    dict
        ``samples``; ``base``; ``mean_abs``, the mean size of each feature's contributions [m³ m⁻³] over samples and
        depths; ``points`` with, by feature, ``features`` (four digits) and ``contributions`` (to 1e-5 m³ m⁻³, mean
        of the depths) of the samples that are kept.
    """
    mean = np.abs(values).mean(axis=(0, 2))
    few, their = features[:shown], values[:shown].mean(axis=2)
    return {
        "samples": len(features),
        "base": base.tolist(),
        "mean_abs": dict(zip(names, mean.tolist(), strict=True)),
        "points": {
            name: {
                "features": [float(f"{x:.4g}") for x in few[:, i]],
                "contributions": np.round(their[:, i], 5).tolist(),
            }
            for i, name in enumerate(names)
        },
    }


def _of_linear(method: Any, features: Matrix) -> Explained:
    standard = (features - method.centre_) / method.scale_
    return standard[..., np.newaxis] * method.coefficients_[1:], method.coefficients_[0]


def _of_forest(method: Any, features: Matrix) -> Explained:
    with warnings.catch_warnings():
        # its colours for plots, which nobody asked for, are made in a way that their library gives up
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap  # noqa: PLC0415 - slow to load

    explainer = shap.TreeExplainer(method.forest_, feature_perturbation="tree_path_dependent")
    # trees compare single precision
    values = explainer.shap_values(np.ascontiguousarray(features, np.float32))
    return np.reshape(values, (*features.shape, -1)), np.atleast_1d(explainer.expected_value)


def _of_xgboost(method: Any, features: Matrix) -> Explained:
    import xgboost  # noqa: PLC0415 - slow to load

    data = xgboost.DMatrix(np.ascontiguousarray(features, np.float32))
    return _joined([model.predict(data, pred_contribs=True) for model in method.model_])


def _of_lightgbm(method: Any, features: Matrix) -> Explained:
    return _joined([model.predict(features, pred_contrib=True) for model in method.model_])


def _of_catboost(method: Any, features: Matrix) -> Explained:
    from catboost import Pool  # noqa: PLC0415 - slow to load

    pool = Pool(features)
    found = [model.get_feature_importance(pool, type="ShapValues") for model in method.model_]
    return _joined(found)


def _joined(depths: list[Any]) -> Explained:
    """Join matrices of (n, p + 1), a depth each, whose last column is the base, the same in each row."""
    joined = np.stack([np.asarray(one, np.float64) for one in depths], axis=-1)
    return joined[:, :-1], joined[0, -1]


_EXPLAINERS: Final[dict[str, Callable[[Any, Matrix], Explained]]] = {
    "linear_regression": _of_linear,
    "random_forest": _of_forest,
    "xgboost": _of_xgboost,
    "lightgbm": _of_lightgbm,
    "catboost": _of_catboost,
}
