"""Downscaling methods behind one interface, and the registry that names them."""

from smcatalog.methods.registry import create, learner_names, load, method_names, recipe
from smcatalog.methods.values import Covariates, InSitu, Prediction, Samples

__all__ = [
    "Covariates",
    "InSitu",
    "Prediction",
    "Samples",
    "create",
    "learner_names",
    "load",
    "method_names",
    "recipe",
]
