"""Which sensors count for a depth and what makes their daily mean: SQL that match-ups and series share."""

from __future__ import annotations

from typing import Final

__all__ = ["ENOUGH", "SHIFT", "in_depth"]

SHIFT: Final = "CASE {sensor}.step_hours WHEN 24 THEN interval '12 hours' ELSE interval '0' END"
"""What is added to an observation's time before its day is taken: daily values may stand at either end."""

ENOUGH: Final = "count(*) >= CASE {sensor}.step_hours WHEN 24 THEN 1 ELSE 12 END"
"""Whether a day's observations suffice for its mean."""


def in_depth(top: str, bottom: str) -> str:
    """Return the condition that a sensor ``s`` belongs to the layer between two depths.

    Parameters
    ----------
    top, bottom : str
        SQL of the layer's bounds [m], rounded like the sensor's ``s.top`` and ``s.bottom``.
    """
    return (
        f"CASE WHEN s.top = s.bottom THEN {top} < s.top AND s.top <= {bottom} "
        f"OR s.top = 0 AND {top} = 0 "
        f"ELSE {top} <= (s.top + s.bottom) / 2 AND (s.top + s.bottom) / 2 < {bottom} END"
    )
