"""A small catalogue of made-up layers with a planted relation, for the services' tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.settings import Settings
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from smcatalog.database.inputs import GranuleRecord, record_granule, record_layer
from smcatalog.products import Coarse, Covariate, Definition, MethodChoice, TimeRule, load_builtin
from smcatalog.resample import cell_index
from smcatalog.services.layers import write_layer
from smcatalog.services.workspace import Workspace
from smcatalog.store import FolderStore

FIRST = date(2020, 1, 1)
FINE = grid("M01").window(slice(318 * 36, 320 * 36), slice(872 * 36, 875 * 36))
COARSE = grid("M36").window(slice(318, 320), slice(872, 875))


def definition(**changes: object) -> Definition:
    """A daily product over six coarse cells, learned by linear regression."""
    west, south, east, north = COARSE.bbox()
    edge = 1e-4
    made = replace(
        load_builtin("yanco-linear"),
        name="tiny",
        bbox=(west + edge, south + edge, east - edge, north - edge),
        first_day=FIRST,
        training_until=FIRST + timedelta(days=9),
        coarse=Coarse("C", "sm", "M36", 0.5),
        covariates=(
            Covariate("swvl1", "W", TimeRule.PERIOD_MEAN),
            Covariate("elevation", "D", TimeRule.STATIC),
        ),
        method=MethodChoice("linear_regression"),
    )
    return replace(made, **changes)


def workspace(engine: Engine, folder: Path) -> Workspace:
    return Workspace(Settings(folder, folder / "store"), engine, FolderStore(folder / "store"))


def elevation() -> np.ndarray:
    rows, columns = np.indices(FINE.shape)
    return 100 + 60 * np.sin(rows / 15) + 80 * np.cos(columns / 20)


def wetness(day: date) -> np.ndarray:
    rows, columns = np.indices(FINE.shape)
    shift = (day - FIRST).days
    return 0.22 + 0.1 * np.sin(columns / 30 + shift) + 0.05 * np.cos(rows / 25 + shift)


def truth(day: date) -> np.ndarray:
    """Soil moisture at 1 km that the coarse product averages: linear in the covariates."""
    return 0.05 + 0.8 * wetness(day) - 0.0004 * (elevation() - 100)


def put(place: Workspace, source: str, name: str, where: Grid, values: np.ndarray,
        when: date | Period | None, granule: str = "1", quality: np.ndarray | None = None) -> None:  # fmt: skip
    """Record one layer as if a granule had brought it."""
    period = Period.of_day(when) if isinstance(when, date) else when
    bits = np.zeros(where.shape, np.uint16) if quality is None else quality.astype(np.uint16)
    raster = Raster(variable(name), where, values.astype(np.float32), bits, period)
    with place.store.work() as work:
        layer = write_layer(place.store, work, source, raster)
    label = f"{source}-{when}-{granule}"
    record = GranuleRecord(source, label, label, fingerprint([label, layer.sha256]), 1, period)
    with place.engine.begin() as connection:
        key = record_granule(connection, record)
        if key is not None:
            record_layer(connection, layer, key)


def put_day(place: Workspace, day: date, **changes: float) -> None:
    """Record the coarse product and the covariate of a day."""
    put_coarse(place, day)
    put(place, "W", "swvl1", FINE, wetness(day) + changes.get("wetness", 0.0), day)


def put_coarse(place: Workspace, day: date, offset: float = 0.0, granule: str = "1") -> None:
    mean = cell_index(FINE, COARSE).mean(truth(day)).mean
    put(place, "C", "sm", COARSE, mean + offset, day, granule)


def put_static(place: Workspace) -> None:
    put(place, "D", "elevation", FINE, elevation(), None)


def days(number: int) -> list[date]:
    return [FIRST + timedelta(days=i) for i in range(number)]
