"""Histories without files: layers, models and maps that stand in the database alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.grids import Grid
from smcatalog.core.stations import Depth, Site, StationSeries
from smcatalog.core.time import Period
from smcatalog.database.inputs import GranuleRecord, NewLayer, record_granule, record_layer
from smcatalog.database.observations import record_series
from smcatalog.database.products import ProductVersionRecord, model_by_id, record_model
from smcatalog.database.training import put_model_in_force, trained_partitions
from smcatalog.products import Definition
from smcatalog.services.plan import Plan, PlannedDay, make_plan, states_of
from smcatalog.services.produce import map_fingerprint
from smcatalog.services.refresh import algorithm_of, model_fingerprint
from tests.factories import inputs as make

_NUMBERS = itertools.count()


def put_layer(
    connection: Connection,
    source: str,
    variable: str,
    when: date | Period | None,
    content: object = 0,
    where: Grid | None = None,
) -> None:
    """Record a layer of some content, as if a granule had brought it."""
    period = Period.of_day(when) if isinstance(when, date) else when
    grid = where or (make.COARSE if source == "C" else make.FINE)
    sha = fingerprint([source, variable, str(when), grid.name, content])
    name = f"{source}-{when}-{content}"
    granule = GranuleRecord(source, name, name, fingerprint([sha, next(_NUMBERS)]), 1, period)
    key = record_granule(connection, granule)
    layer = NewLayer(source, variable, grid.name, period, f"layers/{sha}.tif", sha, 1)
    if key is not None:
        record_layer(connection, layer, key)


def put_layers(
    connection: Connection, source: str, variable: str, periods: Iterable[Period]
) -> None:
    """Record many layers at once."""
    grid = (make.COARSE if source == "C" else make.FINE).name
    rows = [
        {
            "source": source, "variable": variable, "grid": grid, "day": period.day,
            "start": period.start, "end": period.end, "name": f"{source}-{period.day}-0",
            "sha": fingerprint([source, variable, str(period.day), grid, 0]),
        }
        for period in periods
    ]  # fmt: skip
    connection.execute(
        text("""
            WITH granule AS (
                INSERT INTO smcatalog.granules (source, name, subject, production, delivered_as, sha256,
                                                size, start_time, end_time)
                VALUES (:source, :name, :name, '', :name, :sha, 1, :start, :end) RETURNING id
            ), layer AS (
                INSERT INTO smcatalog.layers (source, variable, grid, day, start_time, end_time, key,
                                              sha256, size)
                VALUES (:source, :variable, :grid, :day, :start, :end, 'layers/' || :sha, :sha, 1)
                RETURNING id
            )
            INSERT INTO smcatalog.layer_granules SELECT layer.id, granule.id FROM layer, granule
        """),
        rows,
    )


def observe(connection: Connection, day: date, value: float, station: str = "one") -> None:
    """Record what a station in the middle of the region observed on a day, in place of what it did before."""
    west, south, east, north = make.COARSE.bbox()
    site = Site("NET", station, (south + north) / 2, (west + east) / 2, 3)
    series = StationSeries(
        site,
        "probe",
        "sm",
        Depth(0.0, 0.05),
        24,
        np.array([day], "datetime64[s]"),
        np.array([value], np.float32),
        np.array([""]),
        np.array([True]),
    )
    record_series(connection, series)


def take_layer(connection: Connection, source: str, when: date | Period) -> bool:
    """Take the live layers of a source and period out of use; say whether there was one."""
    period = Period.of_day(when) if isinstance(when, date) else when
    done = connection.execute(
        text("""
            UPDATE smcatalog.layers SET superseded_at = clock_timestamp()
            WHERE source = :source AND start_time = :start AND end_time = :end
              AND superseded_at IS NULL
        """),
        {"source": source, "start": period.start, "end": period.end},
    )
    return bool(done.rowcount)


def pretend(
    connection: Connection, definition: Definition, now: datetime | None = None
) -> tuple[Plan, list[date]]:
    """Fit and make all that the plan asks for, in the database alone; return the plan and the days made."""
    plan = make_plan(connection, definition, now=now)
    for partition in trained_partitions(connection, plan.version.id):
        if partition.model_id is None:
            own = model_fingerprint(definition, partition.fingerprint)
            model = record_model(connection, partition.id, _model(own))
            put_model_in_force(connection, partition.id, model.id, partition.fingerprint)
    states = states_of(connection, definition, plan.version, now=now, open_only=True)
    to_make = [day for day in states if day.to_make]
    _publish(connection, definition, plan.version, to_make)
    return plan, [day.day for day in to_make]


def _rows(connection: Connection, version: ProductVersionRecord) -> list[Any]:
    query = text(
        "SELECT day, inputs_fingerprint FROM smcatalog.plan_days WHERE product_version_id = :id"
    )
    return list(connection.execute(query, {"id": version.id}))


def _model(own: str) -> dict[str, Any]:
    return {
        "fingerprint": own, "samples_fingerprint": own, "n_samples": 1, "method": "linear_regression",
        "scores": {}, "key": f"models/{own}.json", "sha256": own,
    }  # fmt: skip


def _publish(
    connection: Connection,
    definition: Definition,
    version: ProductVersionRecord,
    days: list[PlannedDay],
) -> None:
    """Record maps as `record_map` does, all at once."""
    if not days:
        return
    inputs = {row.day: row.inputs_fingerprint for row in _rows(connection, version)}
    models = {
        p.name: model_by_id(connection, p.model_id)
        for p in trained_partitions(connection, version.id)
        if p.model_id is not None
    }
    rows = []
    for day in days:
        model, made_of = models[day.partition or ""], inputs[day.day]
        mark = map_fingerprint(definition, made_of, model.fingerprint, day.status)
        rows.append(
            {
                "product": version.product_id, "version": version.id, "day": day.day,
                "start": day.period.start, "end": day.period.end, "status": day.status.value,
                "grid": definition.output_grid().name, "mark": mark, "made_of": made_of,
                "algorithm": algorithm_of(definition), "model": model.id,
            }
        )  # fmt: skip
    drawn = connection.scalars(
        text(
            "SELECT nextval(pg_get_serial_sequence('smcatalog.maps', 'id')) FROM generate_series(1, :n)"
        ),
        {"n": len(rows)},
    )
    rows = [{**row, "id": key} for row, key in zip(rows, drawn, strict=True)]
    connection.execute(
        text("""
            UPDATE smcatalog.maps SET superseded_at = clock_timestamp(), superseded_by = :id
            WHERE product_id = :product AND day = :day AND superseded_at IS NULL
        """),
        rows,
    )
    connection.execute(
        text("""
            INSERT INTO smcatalog.maps (id, product_id, product_version_id, day, start_time, end_time,
                revision, item_id, grid, status, fingerprint, algorithm, inputs_fingerprint, model_id)
            VALUES (:id, :product, :version, :day, :start, :end,
                    1 + (SELECT count(*) FROM smcatalog.maps m
                         WHERE m.product_version_id = :version AND m.day = :day),
                    'item' || CAST(:id AS text), :grid, :status, :mark, :algorithm, :made_of, :model)
        """),
        rows,
    )
    connection.execute(
        text("""
            INSERT INTO smcatalog.map_layers (map_id, layer_id, role)
            SELECT m.id, l.id, 'covariate' FROM smcatalog.maps m
            JOIN smcatalog.layers l ON l.superseded_at IS NULL AND l.source <> 'C'
                 AND l.start_time < m.end_time AND l.end_time > m.start_time
            WHERE m.product_id = :product AND m.day = ANY (:days) AND m.superseded_at IS NULL
        """),
        {"product": version.product_id, "days": [day.day for day in days]},
    )
