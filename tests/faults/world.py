"""A world that is delivered in waves: real granules of a small place over some weeks, and a product over them.

Within a wave no two granules teach the same partition, but for the first, which is ingested before there is a product. So
each model is fitted, and each map made, a number of times that does not depend on who was faster: what a
disturbed run leaves behind can be compared with an undisturbed one to the last row.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from smcatalog.core.grids import grid
from smcatalog.products import Partitioning, partition_name
from tests.factories import granules, modis, smap

PRODUCT = "faults"
LAST = date(2020, 1, 16)
ROWS, COLUMNS = slice(79, 81), slice(486, 489)
"""Six coarse cells south of Algiers, which the tile h18v05 sees whole."""
_CORNER, _SHAPE = (138, 284), (92, 118)
_STATIONS = (("Inland", 37.21, 1.92), ("Coast", 37.40, 2.33))
_DELIVERED = datetime(2020, 3, 1).timestamp()  # noqa: DTZ001 - any time in the past

_RECIPE = """
name = "{name}"
title = "Soil moisture of a few cells"
description = "Made to be disturbed."
license = "CC0-1.0"
citation = ""
bbox = [{bbox}]
grid = "M01"
depths = [[0.0, 0.05]]
first_day = {first}
training_until = {last}
step = "day"
partitions = "16-day"
min_samples = 24

[coarse]
source = "SPL3SMP"
variable = "sm_am"
grid = "M36"
min_coverage = 0.3
accept = "recommended"

[[covariates]]
variable = "lst_day"
source = "MOD11A1"
time = "day"
accept = "recommended"

[[covariates]]
variable = "elevation"
source = "DEM-100m"
time = "static"

[method]
name = "linear_regression"
"""


@dataclass(frozen=True)
class World:
    """Where its files lie and what they span.

    Parameters
    ----------
    folder : Path
        With a folder of files for each wave, and the product's definition.
    days : tuple of date
        Days that are mapped in the end.
    waves : int
        How often files are delivered.
    """

    folder: Path
    days: tuple[date, ...]
    waves: int

    @property
    def recipe(self) -> Path:
        return self.folder / f"{PRODUCT}.toml"

    def deliver(self, wave: int, inbox: Path) -> int:
        """Put the files of a wave into an inbox; return how many."""
        inbox.mkdir(parents=True, exist_ok=True)
        files = sorted((self.folder / f"wave{wave}").iterdir())
        for path in files:
            shutil.copy2(path, inbox / path.name)
        return len(files)


def make_world(folder: Path, days: int, seed: int, waves: int = 4) -> World:
    """Write the files of a world that ends with `LAST`, the last waves left out where fewer are asked for.

    Beside the granules of each day it has a station archive, a file that is cut off, one that comes late for
    each partition, one that is produced anew, and a late one of the coarse product.
    """
    dice = random.Random(seed)
    span = [LAST - timedelta(days=days - 1 - n) for n in range(days)]
    weather = _Weather(seed)
    late, anew, late_coarse = {}, {}, {}
    for part in _partitions(span):
        late_day, new_day, coarse_day = dice.sample(part, 3)
        late[late_day], anew[new_day], late_coarse[coarse_day] = 2, 3, 4
    for wave in range(1, 5):
        (folder / f"wave{wave}").mkdir(parents=True)
    for number, day in enumerate(span):
        weather.temperature(folder / f"wave{late.get(day, 1)}", day, number, "2020060081500")
        weather.moisture(folder / f"wave{late_coarse.get(day, 1)}", day, number)
        if day in anew:
            weather.temperature(folder / "wave3", day, number, "2020140120000", warmer=40)
    first = folder / "wave1"
    _relief(first / "DEM_100m_resampled.tif")
    for name, latitude, longitude in _STATIONS:
        _station(first, name, latitude, longitude, span)
    whole = next(iter(sorted((folder / "wave2").glob("*.hdf")))).read_bytes()
    cut = modis.MOD11A1_NAME.replace("A2020001", "A2020050")
    (folder / "wave2" / cut).write_bytes(whole[: len(whole) // 3])
    _declare(folder / f"{PRODUCT}.toml", span)
    for path in folder.glob("wave*/*"):
        os.utime(path, (_DELIVERED, _DELIVERED))
    return World(folder, tuple(span), waves)


def _partitions(span: list[date]) -> Iterator[list[date]]:
    names: dict[str, list[date]] = {}
    for day in span:
        names.setdefault(partition_name(Partitioning.SIXTEEN_DAYS, day), []).append(day)
    yield from names.values()


class _Weather:
    """What sensors saw, from a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def temperature(
        self, folder: Path, day: date, number: int, produced: str, warmer: int = 0
    ) -> None:
        name = f"MOD11A1.A{day:%Y%j}.h18v05.061.{produced}.hdf"
        rows, columns = np.indices(_SHAPE)
        rng = np.random.default_rng([self._seed, number])
        stored = 14_800 + 120 * np.sin(rows / 9 + number) + 160 * np.cos(columns / 13 - number / 2)
        stored += rng.normal(0, 15, _SHAPE) + warmer
        modis.lst(folder / name, stored.astype(np.uint16), name=name, corner=_CORNER)

    def moisture(self, folder: Path, day: date, number: int) -> None:
        name = f"SMAP_L3_SM_P_{day:%Y%m%d}_R19240_001.h5"
        rng = np.random.default_rng([self._seed, number, 1])
        places = [(r, c) for r in range(*ROWS.indices(1000)) for c in range(*COLUMNS.indices(1000))]
        cells = tuple(smap.Cell(r, c, 0.1 + 0.25 * rng.random()) for r, c in places)
        smap.spl3smp(
            folder / name,
            cells,
            cells[:1],
            name=name,
            begin=f"{day}T00:00:00.000Z",
            end=f"{day}T23:59:59.999Z",
        )


def _relief(path: Path) -> None:
    from affine import Affine

    west, _, east, north = grid("M36").window(ROWS, COLUMNS).bbox()
    step = 0.004
    rows, columns = np.indices((int(0.8 / step), int((east - west + 0.1) / step)))
    height = 200 + 90 * np.sin(rows / 20) + 70 * np.cos(columns / 30)
    where = Affine(step, 0, west - 0.05, 0, -step, north + 0.05)
    granules.geotiff(path, height.astype("f4"), transform=where)


def _station(folder: Path, name: str, latitude: float, longitude: float, span: list[date]) -> None:
    probe = f"NET_NET_{name}_sm_0.000000_0.050000_Probe_{span[0]:%Y%m%d}_{span[-1]:%Y%m%d}.stm"
    header = f"NET NET {name} {latitude} {longitude} 150.0 0.0000 0.0500 Probe"
    level = int(hashlib.sha256(name.encode()).hexdigest()[:4], 16) / 0x100000
    lines = [
        f"{day:%Y/%m/%d} {hour:02d}:00 {0.15 + level + n / 500 + hour / 2000:8.4f} G M"
        for n, day in enumerate(span)
        for hour in range(24)
    ]
    granules.ismn(folder / probe, lines, header=header)


def _declare(path: Path, span: list[date]) -> None:
    west, south, east, north = grid("M36").window(ROWS, COLUMNS).bbox()
    edge = 1e-4
    box = f"{west + edge}, {south + edge}, {east - edge}, {north - edge}"
    path.write_text(
        _RECIPE.format(name=PRODUCT, bbox=box, first=span[0], last=span[-1]), encoding="utf-8"
    )
