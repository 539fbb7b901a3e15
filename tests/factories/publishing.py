"""A product whose maps are published and withdrawn by the services, with files that exist as values only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from smcatalog.core.encoding import asset_kinds
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.maps import MapFile, MapStatus, PublishedMap
from smcatalog.core.time import Period
from smcatalog.database.maps import NewMap
from smcatalog.database.products import (
    ModelRecord,
    ProductVersionRecord,
    record_model,
)
from smcatalog.products import Definition
from smcatalog.services.plan import activate
from smcatalog.services.publish import announce_collection, publish
from smcatalog.services.withdraw import withdraw
from smcatalog.services.workspace import Workspace
from tests.factories import inputs


@dataclass
class Press:
    """Publishes maps of one product."""

    place: Workspace
    definition: Definition
    version: ProductVersionRecord
    model: ModelRecord
    layer: int
    numbers: Iterable[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, engine: Engine, folder: Path, **changes: Any) -> Press:
        definition = inputs.definition(**changes)
        first = Period.of_day(definition.first_day)
        with engine.begin() as connection:
            version = activate(connection, definition)
            announce_collection(connection, definition)
            label = fingerprint(["model", definition.name])
            partition = connection.execute(
                text(
                    "INSERT INTO smcatalog.partitions (product_version_id, period, zone, start_time, "
                    "end_time) VALUES (:version, 'all', 'all', :start, :end) RETURNING id"
                ),
                {"version": version.id, "start": first.start, "end": first.end},
            ).scalar_one()
            model = record_model(
                connection,
                partition,
                {
                    **dict.fromkeys(("fingerprint", "samples_fingerprint", "sha256"), label),
                    "n_samples": 1,
                    "method": "linear",
                    "scores": {},
                    "key": "models/m",
                },
            )
            layer = connection.execute(
                text(
                    "INSERT INTO smcatalog.layers (source, variable, grid, key, sha256, size) "
                    "VALUES (:name, 'sm', 'M36', 'layers/l', :label, 1) RETURNING id"
                ),
                {"name": definition.name, "label": label},
            ).scalar_one()
        return cls(inputs.workspace(engine, folder), definition, version, model, layer)

    def new(self, day: date, status: MapStatus = MapStatus.FINAL) -> NewMap:
        """Return a map that nothing like it was published before."""
        mark = fingerprint([self.definition.name, next(iter(self.numbers))])
        return NewMap(
            version=self.version,
            period=Period.of_day(day),
            grid=self.definition.output_grid().name,
            status=status,
            fingerprint=mark,
            algorithm="1/test-1",
            inputs_fingerprint=mark,
            model=self.model,
            files=tuple(
                MapFile(kind.name, f"maps/{mark[:16]}_{kind.name}.tif", mark, 1)
                for kind in asset_kinds()
            ),
            coarse=(self.layer,),
            covariates=(),
        )

    def publish(
        self, day: date, now: datetime | None = None, status: MapStatus = MapStatus.FINAL
    ) -> PublishedMap:
        published = publish(self.place, self.definition, self.new(day, status), now=now)
        assert published is not None
        return published

    def withdraw(
        self, day: date, reason: str = "wrong", now: datetime | None = None
    ) -> PublishedMap | None:
        return withdraw(self.place, self.definition, self.version.product_id, day, reason, now=now)

    def items(self) -> dict[str, dict[str, Any]]:
        """Return the properties of the product's items in the STAC catalogue, with their links, by identifier."""
        with self.place.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT id, content FROM pgstac.items WHERE collection = :name ORDER BY id"),
                {"name": self.definition.name},
            ).all()
        return {
            name: {
                **content["properties"],
                **{
                    link["rel"]: link["title"]
                    for link in content["links"]
                    if link["rel"].endswith("-version")
                },
            }
            for name, content in rows
        }
