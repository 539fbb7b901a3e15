"""States of the simulated world made by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from ingest.world.landscape import Landscape
from ingest.world.state import LAYERS_CM, DayState

_FLAT: dict[str, Any] = {
    "before": 0.2, "after": 0.2, "rain": 0.0, "rain_hour": 9.0, "coldest": 10.0, "warmest": 20.0,
    "snow": 0.0, "frozen": False, "ndvi": 0.4, "evi": 0.25, "vegetation_water": 1.0,
    "lst_day": 300.0, "lst_night": 285.0, "cloud_day": False, "cloud_night": False,
}  # fmt: skip


def flat_state(land: Landscape, day: date, **overrides: Any) -> DayState:
    """Return a day that is the same everywhere: a dry, mild one without clouds.

    ``overrides`` are fields of `DayState`: numbers, or arrays that broadcast to the landscape's shape
    (``before`` and ``after`` to the layers' too).
    """
    wanted = _FLAT | overrides
    layers = len(LAYERS_CM) - 1
    arrays: dict[str, Any] = {}
    for name, value in wanted.items():
        if name == "rain_hour":
            arrays[name] = float(value)
            continue
        shape = (layers, *land.grid.shape) if name in {"before", "after"} else land.grid.shape
        boolean = isinstance(_FLAT[name], bool)
        arrays[name] = np.broadcast_to(np.asarray(value, bool if boolean else "f4"), shape).copy()
    return DayState(land=land, day=day, **arrays)
