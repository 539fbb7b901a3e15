"""What each feature adds to an estimate: SHAP values of the learners that have exact ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from smcatalog.core.errors import UsageError
from smcatalog.methods.base import Method
from smcatalog.methods.values import Matrix

__all__ = ["contributions", "explainable"]

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
