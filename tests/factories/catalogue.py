"""A small catalogue for tests: products, maps with real files, stations and observations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text

from smcatalog.core.encoding import NODATA, QUALITY_NODATA, encode
from smcatalog.core.grids import Grid, grid
from smcatalog.core.raster import Raster
from smcatalog.core.time import DAY, Period, utc_midnight
from smcatalog.core.variables import variable
from smcatalog.services.layers import write_layer
from smcatalog.store import CogBand, FolderStore, write_cog

GRID = grid("M01").crop((146.0, -35.0, 146.5, -34.5))
COARSE = grid("M36").crop((146.0, -35.0, 146.5, -34.5))


def centre(on: Grid, row: int, column: int) -> tuple[float, float]:
    """Return longitude and latitude of a pixel's centre."""
    from pyproj import Transformer

    x, y = on.centres()
    to_degrees = Transformer.from_crs(str(on.crs), "EPSG:4326", always_xy=True)
    return to_degrees.transform(x[column], y[row])


class Catalogue:
    """Rows written straight into the tables, so that tests of queries need nothing else to work."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self.engine = engine
        self.store = FolderStore(root)
        self._numbers = itertools.count(1)

    def one(self, statement: str, **values: object) -> int:
        with self.engine.begin() as connection:
            return connection.execute(text(statement), values).scalar_one()

    def run(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, statement: str, **values: object) -> list[dict[str, object]]:
        with self.engine.connect() as connection:
            return [dict(r) for r in connection.execute(text(statement), values).mappings()]

    def sha(self) -> str:
        return f"{next(self._numbers):064x}"

    # -- products and maps

    def product(self, name: str = "test") -> int:
        return self.one(
            "INSERT INTO smcatalog.products (name, title) VALUES (:name, :name) RETURNING id",
            name=name,
        )

    def version(
        self, product: int, depths: Sequence[tuple[float, float]] = ((0.0, 0.05),), number: int = 1
    ) -> int:
        listed = ", ".join(f'{{"top": {top}, "bottom": {bottom}}}' for top, bottom in depths)
        return self.one(
            "INSERT INTO smcatalog.product_versions "
            "(product_id, number, definition, fingerprint, training_until) "
            "VALUES (:product, :number, CAST(:definition AS jsonb), :sha, '2020-01-01') "
            "RETURNING id",
            product=product,
            number=number,
            definition=f'{{"depths": [{listed}]}}',
            sha=self.sha(),
        )

    def model(self, version: int) -> int:
        partition = self.one(
            "INSERT INTO smcatalog.partitions "
            "(product_version_id, period, zone, start_time, end_time) "
            "VALUES (:version, 'all', 'all', '2018-01-01', '2020-01-01') RETURNING id",
            version=version,
        )
        return self.one(
            "INSERT INTO smcatalog.models (partition_id, fingerprint, samples_fingerprint, "
            "n_samples, method, scores, key, sha256) "
            "VALUES (:partition, :sha, :sha, 10, 'linear', '{}', 'models/m', :sha) RETURNING id",
            partition=partition,
            sha=self.sha(),
        )

    def map(
        self,
        product: int,
        version: int,
        model: int,
        period: Period,
        field: np.ndarray,
        *,
        revision: int = 1,
        coarse: np.ndarray | None = None,
    ) -> int:
        """Publish a map; the field has shape (bands, rows, columns) in m³ m⁻³."""
        number = next(self._numbers)
        map_id = self.one(
            "INSERT INTO smcatalog.maps (product_id, product_version_id, day, start_time, end_time, "
            "revision, item_id, grid, status, fingerprint, model_id) VALUES (:product, :version, "
            ":day, :start, :end, :revision, :item, :grid, 'final', :sha, :model) RETURNING id",
            product=product,
            version=version,
            day=period.day,
            start=period.start,
            end=period.end,
            revision=revision,
            item=f"item{number}",
            grid=GRID.name,
            sha=self.sha(),
            model=model,
        )
        missing = np.isnan(field)
        quality = np.where(missing, QUALITY_NODATA, 4).astype(np.uint16)
        for kind, values, nodata, resampling in (
            ("soil_moisture", encode(field), NODATA, "average"),
            ("quality", quality, QUALITY_NODATA, "mode"),
        ):
            key = f"maps/{number}_{kind}.tif"
            path = self.store.path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            bands = [CogBand(band, f"{kind}{i}") for i, band in enumerate(values)]
            write_cog(path, bands, GRID, nodata=nodata, resampling=resampling)
            self.run(
                "INSERT INTO smcatalog.map_files (map_id, kind, key, sha256, size) "
                "VALUES (:map, :kind, :key, :sha, 1)",
                map=map_id,
                kind=kind,
                key=key,
                sha=self.sha(),
            )
        if coarse is not None:
            self.link(map_id, self.layer(period, coarse), "coarse")
        return map_id

    def supersede(self, old: int, new: int) -> None:
        self.run(
            "UPDATE smcatalog.maps SET superseded_at = clock_timestamp(), superseded_by = :new "
            "WHERE id = :old",
            old=old,
            new=new,
        )

    def layer(self, period: Period, values: np.ndarray) -> int:
        raster = Raster.good(variable("sm"), COARSE, values, period)
        with self.store.work() as work:
            new = write_layer(self.store, work, "SMAP", raster)
        return self.one(
            "INSERT INTO smcatalog.layers (source, variable, grid, day, start_time, end_time, key, "
            "sha256, size) VALUES ('SMAP', 'sm', :grid, :day, :start, :end, :key, :sha, 1) "
            "RETURNING id",
            grid=COARSE.name,
            day=period.day,
            start=period.start,
            end=period.end,
            key=new.key,
            sha=new.sha256,
        )

    def granule(self, name: str, layer: int) -> int:
        granule = self.one(
            "INSERT INTO smcatalog.granules (source, name, subject, production, delivered_as, sha256, size) "
            "VALUES ('SMAP', :name, :name, '', :name, :sha, 1) RETURNING id",
            name=name,
            sha=self.sha(),
        )
        self.run("INSERT INTO smcatalog.layer_granules VALUES (:l, :g)", l=layer, g=granule)
        return granule

    def link(self, map_id: int, layer: int, role: str) -> None:
        self.run(
            "INSERT INTO smcatalog.map_layers (map_id, layer_id, role) VALUES (:m, :l, :r)",
            m=map_id,
            l=layer,
            r=role,
        )

    # -- stations

    def network(self, name: str) -> int:
        return self.one(
            "INSERT INTO smcatalog.networks (name) VALUES (:name) "
            "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
            name=name,
        )

    def station(
        self, network: str, name: str, place: tuple[float, float], *, twin: int | None = None
    ) -> int:
        return self.one(
            "INSERT INTO smcatalog.stations (network_id, name, geometry, coordinate_decimals, "
            "same_site_as) VALUES (:network, :name, "
            "public.ST_SetSRID(public.ST_MakePoint(:lon, :lat), 4326), 4, :twin) RETURNING id",
            network=self.network(network),
            name=name,
            lon=place[0],
            lat=place[1],
            twin=twin,
        )

    def sensor(
        self,
        station: int,
        top: float = 0.0,
        bottom: float = 0.05,
        *,
        step: int = 1,
        kind: str = "sm",
    ) -> int:
        return self.one(
            "INSERT INTO smcatalog.sensors (station_id, name, variable, depth_top, depth_bottom, "
            "step_hours) VALUES (:station, :name, :kind, :top, :bottom, :step) RETURNING id",
            station=station,
            name=f"probe {next(self._numbers)}",
            kind=kind,
            top=top,
            bottom=bottom,
            step=step,
        )

    def observe(
        self, sensor: int, values: Iterable[tuple[datetime, float]], *, good: bool = True
    ) -> None:
        rows = [
            {"sensor": sensor, "time": time, "value": value, "good": good} for time, value in values
        ]
        with self.engine.begin() as connection:
            for year in {row["time"].year for row in rows}:
                connection.execute(
                    text("SELECT smcatalog.ensure_observation_partition(:year)"), {"year": year}
                )
            connection.execute(
                text(
                    "INSERT INTO smcatalog.observations (sensor_id, time, value, good) "
                    "SELECT * FROM unnest(CAST(:s AS bigint[]), CAST(:t AS timestamptz[]), "
                    "CAST(:v AS real[]), CAST(:g AS boolean[]))"
                ),
                {
                    "s": [row["sensor"] for row in rows],
                    "t": [row["time"] for row in rows],
                    "v": [row["value"] for row in rows],
                    "g": [row["good"] for row in rows],
                },
            )

    def observe_day(self, sensor: int, day: date, value: float, *, hours: int = 24) -> None:
        start = utc_midnight(day)
        self.observe(sensor, [(start + DAY / 24 * hour, value) for hour in range(hours)])


def days(first: date, count: int, step: int = 1) -> list[date]:
    return [first + timedelta(days=step * i) for i in range(count)]
