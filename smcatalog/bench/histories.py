"""Histories of thousands of days, as nights would have left them, put into a database in bulk."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, text

from smcatalog.bench.places import COARSE, FINE
from smcatalog.core.encoding import asset_kinds
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.maps import item_id
from smcatalog.core.time import Period
from smcatalog.database import matchups
from smcatalog.database.engine import transaction
from smcatalog.database.maps import load_map
from smcatalog.database.products import ProductVersionRecord, model_by_id, record_model
from smcatalog.database.statistics import refresh_statistics
from smcatalog.database.training import put_model_in_force, trained_partitions
from smcatalog.methods import Samples, create
from smcatalog.products import Definition
from smcatalog.services.plan import PlannedDay, make_plan, states_of
from smcatalog.services.produce import map_fingerprint
from smcatalog.services.publish import announce_collection
from smcatalog.services.refresh import algorithm_of, model_fingerprint
from smcatalog.services.workspace import Workspace
from smcatalog.stac.items import build_item, instant, item_href
from smcatalog.stac.pgstac import ensure_year_partition

__all__ = ["pretend_history"]

_STATIONS: Final = 4
_AT_ONCE: Final = 500


def pretend_history(
    place: Workspace, definition: Definition, days: Sequence[date], ahead: int
) -> None:
    """Put layers, models, maps, items, announcements, observations and match-ups of days into a catalogue.

    Everything stands in the database as if it had been made night by night; of the files only one model's is
    there, which all partitions share.

    Parameters
    ----------
    days : sequence of date
        In the order of time, without gaps.
    ahead : int
        Days after the last one for which there are observations already.
    """
    engine = place.engine
    transaction(engine, lambda c: _put_layers(c, days))
    model = _store_model(place, definition)

    def plan(connection: Connection) -> ProductVersionRecord:
        announce_collection(connection, definition)
        version = make_plan(connection, definition).version
        for partition in trained_partitions(connection, version.id):
            own = model_fingerprint(definition, partition.fingerprint)
            record = record_model(connection, partition.id, model | {"fingerprint": own})
            put_model_in_force(connection, partition.id, record.id, partition.fingerprint)
        return version

    version = transaction(engine, plan)
    for year in sorted({day.year for day in days}):
        ensure_year_partition(engine, definition.name, Period.of_day(date(year, 6, 1)))

    def publish(connection: Connection) -> None:
        states = states_of(connection, definition, version, open_only=True)
        _put_maps(connection, definition, version, [day for day in states if day.to_make])
        _put_items(connection, version)

    transaction(engine, publish)
    transaction(engine, lambda c: _put_observations(c, days, ahead))
    _match(place, version.product_id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _put_layers(connection: Connection, days: Sequence[date]) -> None:
    rows = [
        {
            "source": source, "variable": name, "grid": where.name, "day": day,
            "start": Period.of_day(day).start, "end": Period.of_day(day).end,
            "name": f"{source}-{day}", "sha": fingerprint([source, str(day)]),
        }
        for day in days
        for source, name, where in (("C", "sm", COARSE), ("L", "lst_day", FINE))
    ]  # fmt: skip
    connection.execute(
        text("""
            WITH given AS (
                SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
                    source text, variable text, grid text, day date, start timestamptz,
                    "end" timestamptz, name text, sha text)
            ), granule AS (
                INSERT INTO smcatalog.granules (source, name, subject, production, delivered_as,
                                                sha256, size, start_time, end_time)
                SELECT source, name, name, '', name, sha, 1, start, "end" FROM given
                RETURNING id, sha256
            ), layer AS (
                INSERT INTO smcatalog.layers (source, variable, grid, day, start_time, end_time, key,
                                              sha256, size)
                SELECT source, variable, grid, day, start, "end", 'layers/' || sha, sha, 1 FROM given
                RETURNING id, sha256
            )
            INSERT INTO smcatalog.layer_granules
            SELECT layer.id, granule.id FROM layer JOIN granule USING (sha256)
        """),
        {"rows": json.dumps(rows, default=str)},
    )


def _store_model(place: Workspace, definition: Definition) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    names = definition.feature_names
    features = rng.uniform((295, 0), (320, 250), (60, 2))
    target = (0.9 - 0.0025 * features[:, :1]) + rng.normal(0, 0.01, (60, 1))
    day = np.full(60, np.datetime64("2020-01-01", "D"))
    method = create("linear_regression", {}).fit(
        Samples(names, features, target, np.arange(60), day)
    )
    with place.store.work() as work:
        stored = place.store.add("models/bench", method.suffix, method.save, work=work)
    return {
        "samples_fingerprint": stored.sha256, "n_samples": 60, "method": method.name, "scores": {},
        "key": stored.key, "sha256": stored.sha256,
    }  # fmt: skip


def _put_maps(
    connection: Connection,
    definition: Definition,
    version: ProductVersionRecord,
    days: Sequence[PlannedDay],
) -> None:
    asked = text(
        "SELECT day, inputs_fingerprint FROM smcatalog.plan_days WHERE product_version_id = :id"
    )
    made_of: dict[date, str] = dict(connection.execute(asked, {"id": version.id}).tuples().all())
    models = {
        one.name: model_by_id(connection, one.model_id)
        for one in trained_partitions(connection, version.id)
        if one.model_id is not None
    }
    rows = []
    for day in days:
        model, inputs = models[day.partition or ""], made_of[day.day]
        rows.append(
            {
                "day": day.day, "start": day.period.start, "end": day.period.end,
                "status": day.status.value, "made_of": inputs, "model": model.id,
                "item": item_id(definition.name, day.period, version.number, 1),
                "mark": map_fingerprint(definition, inputs, model.fingerprint, day.status),
            }
        )  # fmt: skip
    connection.execute(
        text("""
            WITH given AS (
                SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
                    day date, start timestamptz, "end" timestamptz, status text, made_of text,
                    model bigint, item text, mark text)
            ), map AS (
                INSERT INTO smcatalog.maps (product_id, product_version_id, day, start_time, end_time,
                    revision, item_id, grid, status, fingerprint, algorithm, inputs_fingerprint,
                    model_id)
                SELECT :product, :version, day, start, "end", 1, item, :grid, status, mark,
                       :algorithm, made_of, model
                FROM given ORDER BY day RETURNING id, start_time, end_time, fingerprint
            ), file AS (
                INSERT INTO smcatalog.map_files (map_id, kind, key, sha256, size)
                SELECT map.id, kind, 'maps/' || fingerprint || kind, fingerprint, 1
                FROM map CROSS JOIN unnest(CAST(:kinds AS text[])) AS kind
            ), told AS (
                INSERT INTO smcatalog.announcements (kind, map_id, delivered_at)
                SELECT 'new', id, clock_timestamp() FROM map ORDER BY id
            )
            INSERT INTO smcatalog.map_layers (map_id, layer_id, role)
            SELECT map.id, l.id, 'covariate' FROM map JOIN smcatalog.layers l
                ON l.source = 'D'
                OR (l.source = 'L' AND (l.start_time, l.end_time) = (map.start_time, map.end_time))
        """),
        {
            "rows": json.dumps(rows, default=str),
            "product": version.product_id,
            "version": version.id,
            "grid": definition.output_grid().name,
            "algorithm": algorithm_of(definition),
            "kinds": [kind.name for kind in asset_kinds()],
        },
    )


def _put_items(connection: Connection, version: ProductVersionRecord) -> None:
    """Write the items of all maps, each after the likeness of the first."""
    asked = text(
        "SELECT id, item_id, start_time, end_time FROM smcatalog.maps WHERE product_id = :id ORDER BY day"
    )
    maps = connection.execute(asked, {"id": version.product_id}).all()
    kinds = [kind.name for kind in asset_kinds()]
    like = build_item(load_map(connection, maps[0].id, kinds)).to_dict(
        include_self_link=False, transform_hrefs=False
    )
    for start in range(0, len(maps), _AT_ONCE):
        items = [_item(like, version.name, row) for row in maps[start : start + _AT_ONCE]]
        connection.execute(
            text("SELECT pgstac.create_items(CAST(:items AS jsonb))"), {"items": json.dumps(items)}
        )


def _item(like: dict[str, Any], product: str, row: Any) -> dict[str, Any]:
    item, period = copy.deepcopy(like), Period(row.start_time, row.end_time)
    item["id"] = row.item_id
    item["properties"] |= {
        "datetime": instant(datetime.combine(period.day, time(12), tzinfo=UTC)),
        "start_datetime": instant(period.start),
        "end_datetime": instant(period.last_second),
        "title": item_href(product, row.item_id),
    }
    return item


def _put_observations(connection: Connection, days: Sequence[date], ahead: int) -> None:
    """Write daily observations of stations within the region."""
    west, south, east, north = FINE.bbox()
    last = days[-1] + timedelta(days=ahead)
    connection.execute(
        text("""
            WITH network AS (
                INSERT INTO smcatalog.networks (name) VALUES ('BENCH') RETURNING id
            ), station AS (
                INSERT INTO smcatalog.stations (network_id, name, geometry, coordinate_decimals)
                SELECT network.id, 'S' || n,
                       public.ST_SetSRID(public.ST_MakePoint(:west + (:east - :west) * n / 9.0,
                                                             (:south + :north) / 2), 4326), 4
                FROM network CROSS JOIN generate_series(1, :stations) n RETURNING id
            )
            INSERT INTO smcatalog.sensors (station_id, name, variable, depth_top, depth_bottom,
                                           step_hours)
            SELECT id, 'probe', 'sm', 0, 0.05, 24 FROM station
        """),
        {"west": west, "south": south, "east": east, "north": north, "stations": _STATIONS},
    )
    connection.execute(
        text(
            "SELECT smcatalog.ensure_observation_partition(y) FROM generate_series("
            "CAST(:first AS integer), CAST(:last AS integer)) y"
        ),
        {"first": days[0].year, "last": last.year},
    )
    connection.execute(
        text("""
            INSERT INTO smcatalog.observations (sensor_id, time, value, good)
            SELECT s.id, t, 0.2 + 0.1 * sin(extract(epoch FROM t) / 5e5 + s.id), true
            FROM smcatalog.sensors s CROSS JOIN generate_series(
                CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 day') t
        """),
        {"first": Period.of_day(days[0]).start, "last": Period.of_day(last).start},
    )


def _match(place: Workspace, product_id: int) -> None:
    """Write the match-ups of all maps, with estimates that no file was read for."""
    engine = place.engine

    def find(connection: Connection) -> list[matchups.PendingMatchup]:
        stations = [station for station, _, _ in matchups.station_places(connection)]
        grids = matchups.grids_in_force(connection, product_id)
        inside = [(name, station) for name in grids for station in stations]
        return matchups.outdated(connection, product_id, inside)[0]

    made = [matchups.NewMatchup(one, one.reference, None, 0) for one in transaction(engine, find)]
    transaction(engine, lambda c: matchups.write(c, made))
    transaction(engine, lambda c: refresh_statistics(c, product_id))
