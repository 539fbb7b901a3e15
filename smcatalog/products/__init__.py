"""Declared products: recipes in TOML."""

from smcatalog.products.definition import (
    Accept,
    Aggregate,
    Coarse,
    Covariate,
    DayOfYear,
    Definition,
    InSituChoice,
    MethodChoice,
    Reprocess,
    Step,
    TimeRule,
    Update,
)
from smcatalog.products.partitions import Partitioning, partition_name
from smcatalog.products.reading import builtin_names, load_builtin, read_definition

__all__ = [
    "Accept",
    "Aggregate",
    "Coarse",
    "Covariate",
    "DayOfYear",
    "Definition",
    "InSituChoice",
    "MethodChoice",
    "Partitioning",
    "Reprocess",
    "Step",
    "TimeRule",
    "Update",
    "builtin_names",
    "load_builtin",
    "partition_name",
    "read_definition",
]
