"""How well estimates agree with references."""

from smcatalog.validation.metrics import Scores

__all__ = ["Scores"]
