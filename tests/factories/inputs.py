"""A small catalogue of made-up layers with a planted relation, for the services' tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Engine

from smcatalog.bench.places import (
    COARSE,
    FINE,
    FIRST,
    put,
    put_coarse,
    small_region,
    truth,
    wetness,
)
from smcatalog.bench.places import put_relief as put_static
from smcatalog.bench.places import relief as elevation
from smcatalog.core.grids import grid
from smcatalog.core.settings import Settings
from smcatalog.core.time import Period
from smcatalog.products import Coarse, Covariate, Definition, MethodChoice, TimeRule, load_builtin
from smcatalog.resample import cell_index
from smcatalog.services.workspace import Workspace
from smcatalog.store import FolderStore

__all__ = [
    "COARSE",
    "FINE",
    "FIRST",
    "Period",
    "cell_index",
    "days",
    "definition",
    "elevation",
    "grid",
    "put",
    "put_coarse",
    "put_day",
    "put_static",
    "truth",
    "wetness",
    "workspace",
]


def definition(**changes: object) -> Definition:
    """A daily product over six coarse cells, learned by linear regression."""
    made = replace(
        load_builtin("yanco-linear"),
        name="tiny",
        bbox=small_region(),
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


def put_day(place: Workspace, day: date, **changes: float) -> None:
    """Record the coarse product and the covariate of a day."""
    put_coarse(place, day)
    put(place, "W", "swvl1", FINE, wetness(day) + changes.get("wetness", 0.0), day)


def days(number: int) -> list[date]:
    return [FIRST + timedelta(days=i) for i in range(number)]
