"""Days around its own that the map of a day reads, because its method learns from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["AVERAGING", "window_days"]

AVERAGING: Final = "bayesian_model_averaging"
"""The method that is fitted anew in a window around each place and day."""

_LAST_DAYS: Final = 3
"""Longest window when the definition does not say: after Liu et al. (2024), section 3.4."""


def window_days(method: str, parameters: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return how many days before and after its own a map's method learns from; None where it learns nothing then.

    Parameters
    ----------
    method : str
        Registered name.
    parameters : mapping
        Its parameters.

    Examples
    --------
    >>> window_days("bayesian_model_averaging", {"windows": {"last_days": 5}})
    (2, 2)
    """
    if method != AVERAGING:
        return None
    windows: Mapping[str, Any] = parameters.get("windows") or {}
    length: int = windows.get("last_days", _LAST_DAYS)
    back = length - 1 if windows.get("past_only") else length // 2
    return back, length - 1 - back
