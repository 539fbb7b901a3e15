"""Catalogues for benchmarks: databases of a server of their own, and products with made-up layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Connection

from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.settings import Settings
from smcatalog.core.time import Period
from smcatalog.core.variables import variable
from smcatalog.database.cluster import Cluster
from smcatalog.database.inputs import GranuleRecord, NewLayer, record_granule, record_layer
from smcatalog.database.upgrade import upgrade
from smcatalog.products import (
    Accept,
    Coarse,
    Covariate,
    Definition,
    MethodChoice,
    Partitioning,
    Step,
    TimeRule,
    load_builtin,
)
from smcatalog.resample import cell_index
from smcatalog.services.layers import write_layer
from smcatalog.services.workspace import Workspace
from smcatalog.store import Store

__all__ = [
    "COARSE",
    "FINE",
    "FIRST",
    "BenchServer",
    "daily_product",
    "put",
    "put_coarse",
    "put_day",
    "put_relief",
    "relief",
    "small_region",
    "truth",
    "wetness",
]

FIRST: Final = date(2020, 1, 1)
FINE: Final = grid("M01").window(slice(318 * 36, 320 * 36), slice(872 * 36, 875 * 36))
COARSE: Final = grid("M36").window(slice(318, 320), slice(872, 875))


@dataclass(frozen=True, slots=True)
class BenchServer:
    """A private server with databases that are laid out.

    Parameters
    ----------
    cluster : Cluster
        The server.
    folder : Path
        For homes.
    """

    cluster: Cluster
    folder: Path

    @classmethod
    def start(cls, folder: Path) -> BenchServer:
        """Start a server whose home is in a folder."""
        cluster = Cluster(folder / "server")
        cluster.start()
        return cls(cluster, folder)

    def workspace(self, name: str, template: str = "template1") -> Workspace:
        """Make a home and a database, empty or as a copy of another one that nobody uses."""
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        with psycopg.connect(
            self.cluster.libpq_url(database="postgres"), autocommit=True
        ) as connection:
            connection.execute(query)
        url = self.cluster.url(database=name)
        upgrade(url)  # also of a copy: settings of a database do not come with it
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return Workspace.open(Settings(home=home, store=home / "store", database_url=url))

    def close(self) -> None:
        """Stop the server and remove all that it held."""
        self.cluster.destroy()


def small_region() -> tuple[float, float, float, float]:
    """Return the box of the six coarse cells: west, south, east, north [°]."""
    west, south, east, north = COARSE.bbox()
    edge = 1e-4
    return west + edge, south + edge, east - edge, north - edge


def daily_product(name: str, first: date, training_until: date, **changes: object) -> Definition:
    """Return a product with a map a day, a model for each 16 days, over six coarse cells."""
    made = replace(
        load_builtin("yanco-linear"),
        name=name,
        bbox=small_region(),
        first_day=first,
        last_day=None,
        training_until=training_until,
        step=Step.DAY,
        partitions=Partitioning.SIXTEEN_DAYS,
        min_samples=6,
        coarse=Coarse("C", "sm", "M36", 0.5),
        covariates=(
            Covariate("lst_day", "L", TimeRule.DAY, Accept.RECOMMENDED),
            Covariate("elevation", "D", TimeRule.STATIC),
        ),
        method=MethodChoice("linear_regression"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def relief() -> NDArray[np.float64]:
    """Return heights of the region [m], shape of `FINE`."""
    rows, columns = np.indices(FINE.shape)
    return np.asarray(100 + 60 * np.sin(rows / 15) + 80 * np.cos(columns / 20), np.float64)


def wetness(day: date) -> NDArray[np.float64]:
    """Return a day's soil water of a model [m³ m⁻³], shape of `FINE`."""
    rows, columns = np.indices(FINE.shape)
    shift = (day - FIRST).days
    waves = 0.22 + 0.1 * np.sin(columns / 30 + shift) + 0.05 * np.cos(rows / 25 + shift)
    return np.asarray(waves, np.float64)


def truth(day: date) -> NDArray[np.float64]:
    """Return soil moisture that the coarse product averages [m³ m⁻³]: linear in `wetness` and `relief`."""
    return 0.05 + 0.8 * wetness(day) - 0.0004 * (relief() - 100)


def put(
    place: Workspace,
    source: str,
    name: str,
    where: Grid,
    values: NDArray[np.float64],
    when: date | Period | None,
    granule: str = "1",
    quality: NDArray[np.integer] | None = None,
    also: Callable[[Connection], object] = lambda _: None,
) -> None:
    """Store and record a layer as ingesting does: its file first, then one transaction.

    Parameters
    ----------
    place : Workspace
        The catalogue.
    source, name : str
        Source and variable.
    where : Grid
        Geometry.
    values : ndarray, shape of the grid
        In the variable's unit.
    when : date, Period or None
        What it speaks of; None for what holds always.
    granule : str
        Tells granules of a source and period apart.
    quality : ndarray of int, shape of the grid, optional
        Bits of `InputQuality`; all good by default.
    also : callable
        What else is done in the transaction.
    """
    period = Period.of_day(when) if isinstance(when, date) else when
    bits = np.zeros(where.shape, np.uint16) if quality is None else quality.astype(np.uint16)
    raster = Raster(variable(name), where, values.astype(np.float32), bits, period)
    store: Store = place.store
    with store.work() as work:
        layer: NewLayer = write_layer(store, work, source, raster)
    label = f"{source}-{when}-{granule}"
    record = GranuleRecord(source, label, label, fingerprint([label, layer.sha256]), 1, period)
    with place.engine.begin() as connection:
        key = record_granule(connection, record)
        if key is not None:
            record_layer(connection, layer, key)
        also(connection)


def put_relief(place: Workspace) -> None:
    """Record the relief, which all maps read."""
    put(place, "D", "elevation", FINE, relief(), None)


def put_coarse(place: Workspace, day: date, offset: float = 0.0, granule: str = "1") -> None:
    """Record the coarse product of a day, the truth's means."""
    mean = cell_index(FINE, COARSE).mean(truth(day)).mean
    put(place, "C", "sm", COARSE, mean + offset, day, granule)


def put_day(
    place: Workspace,
    day: date,
    *,
    coarse: bool = True,
    also: Callable[[Connection], object] = lambda _: None,
) -> None:
    """Record the temperature of a day and, where it is to teach, the coarse product."""
    if coarse:
        put_coarse(place, day)
    put(place, "L", "lst_day", FINE, 320 - 60 * wetness(day), day, also=also)
