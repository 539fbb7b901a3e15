"""Downscaling methods behind one interface, and the registry that names them."""

from smcatalog.methods.base import Covariates, Method, Prediction, Samples
from smcatalog.methods.registry import create, load, method_names
from smcatalog.methods.sampling import coarse_samples, join_samples

__all__ = [
    "Covariates",
    "Method",
    "Prediction",
    "Samples",
    "coarse_samples",
    "create",
    "join_samples",
    "load",
    "method_names",
]
