"""Bayesian model averaging of local learners (Liu et al. 2024): numerics on plain arrays."""
