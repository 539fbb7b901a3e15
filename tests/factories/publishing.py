"""A product whose maps are published and withdrawn by the services, with files that exist as values only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from smcatalog.bench.press import files_of, stranger
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.maps import MapStatus, PublishedMap
from smcatalog.core.time import Period
from smcatalog.database.maps import NewMap
from smcatalog.database.products import ModelRecord, ProductVersionRecord
from smcatalog.products import Definition
from smcatalog.services.publish import publish
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
        with engine.begin() as connection:
            like = stranger(connection, definition, definition.first_day)
        (layer,) = like.coarse
        workspace = inputs.workspace(engine, folder)
        return cls(workspace, definition, like.version, like.model, layer)

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
            files=files_of(mark),
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
