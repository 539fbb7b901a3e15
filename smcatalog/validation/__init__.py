"""How well estimates agree with references."""

from smcatalog.validation.metrics import Moments, Scores

__all__ = ["Moments", "Scores"]
