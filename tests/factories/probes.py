"""Small worlds and plain states for the tests of what is written of stations and ground."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from ingest.world.landscape import Landscape, landscape
from ingest.world.presets import preset
from ingest.world.state import DayState
from ingest.world.writer import MakeWriter

FIRST = date(2018, 6, 1)


@cache
def small_land(name: str = "rao2022", seed: int = 1, size_km: float = 60.0) -> Landscape:
    return landscape(preset(name), seed, size_km)


def even_state(land: Landscape, day: date, water: float = 0.2, **overrides: object) -> DayState:
    """Return a state in which layer ``i`` holds ``water + i / 100`` everywhere and at every hour."""
    shape = land.grid.shape
    flat = np.zeros(shape, np.float32)
    no = np.zeros(shape, bool)
    profile = np.broadcast_to(
        (water + np.arange(10, dtype=np.float32) / 100)[:, None, None], (10, *shape)
    ).astype(np.float32)
    state = DayState(
        land=land, day=day, before=profile, after=profile, rain=flat, rain_hour=12.0,
        coldest=flat, warmest=flat, snow=flat, frozen=no, ndvi=flat, evi=flat,
        vegetation_water=flat, lst_day=flat, lst_night=flat, cloud_day=no, cloud_night=no,
    )  # fmt: skip
    return replace(state, **overrides)


def even_days(land: Landscape, count: int, first: date = FIRST) -> Iterator[DayState]:
    """Yield days that get wetter in waves of ten days."""
    for i in range(count):
        yield even_state(land, first + timedelta(days=i), 0.15 + 0.1 * np.sin(i / 10 * 2 * np.pi))


def written(make: MakeWriter, folder: Path, land: Landscape, days: int = 0) -> dict[str, Path]:
    """Run a writer; return its files by name."""
    writer = make(land, folder)
    for state in even_days(land, days):
        writer.day(state)
    writer.end()
    return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
