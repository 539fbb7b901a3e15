"""Declared products: recipes in TOML."""

from smcatalog.products.definition import (
    Coarse,
    Covariate,
    Definition,
    MethodChoice,
    TimeRule,
)
from smcatalog.products.reading import builtin_names, load_builtin, read_definition

__all__ = [
    "Coarse",
    "Covariate",
    "Definition",
    "MethodChoice",
    "TimeRule",
    "builtin_names",
    "load_builtin",
    "read_definition",
]
