"""A writer for the figure of searches: publishes maps of a product as fast as it can, day after day.

``python -m smcatalog.bench.press`` reads on its input what to publish, a JSON object, and writes the
items that it published into the file that it names.
The maps' files are values only: what is measured is the catalogue.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

from sqlalchemy import Connection, text

from smcatalog.bench.places import daily_product
from smcatalog.core.encoding import asset_kinds
from smcatalog.core.fingerprint import fingerprint
from smcatalog.core.maps import MapFile, MapStatus
from smcatalog.core.settings import Settings
from smcatalog.core.time import DAY, Period
from smcatalog.database.engine import transaction
from smcatalog.database.maps import NewMap
from smcatalog.database.products import record_model
from smcatalog.products import Definition
from smcatalog.services.plan import activate
from smcatalog.services.publish import announce_collection, publish
from smcatalog.services.workspace import Workspace

__all__ = ["files_of", "publish_for", "stranger"]


def stranger(connection: Connection, definition: Definition, day: date) -> NewMap:
    """Declare a product with a model and a layer that nobody fitted or stored; return its map of a day."""
    version = activate(connection, definition)
    announce_collection(connection, definition)
    period = Period.of_day(day)
    mark = fingerprint(["press", definition.name])
    partition = connection.execute(
        text(
            "INSERT INTO smcatalog.partitions (product_version_id, period, zone, start_time, end_time) "
            "VALUES (:version, 'all', 'all', :start, :end) RETURNING id"
        ),
        {"version": version.id, "start": period.start, "end": period.end},
    ).scalar_one()
    model = record_model(
        connection,
        partition,
        {
            **dict.fromkeys(("fingerprint", "samples_fingerprint", "sha256"), mark),
            "n_samples": 1,
            "method": "linear_regression",
            "scores": {},
            "key": "models/press",
        },
    )
    layer = connection.execute(
        text(
            "INSERT INTO smcatalog.layers (source, variable, grid, key, sha256, size) "
            "VALUES (:name, 'sm', 'M36', 'layers/press', :mark, 1) RETURNING id"
        ),
        {"name": definition.name, "mark": mark},
    ).scalar_one()
    return NewMap(
        version=version,
        period=period,
        grid=definition.output_grid().name,
        status=MapStatus.FINAL,
        fingerprint=mark,
        algorithm="1/press-1",
        inputs_fingerprint=mark,
        model=model,
        files=(),
        coarse=(layer,),
        covariates=(),
    )


def files_of(mark: str) -> tuple[MapFile, ...]:
    """Return a map's files, which are values only, told apart by a mark."""
    return tuple(
        MapFile(kind.name, f"maps/{mark[:16]}_{kind.name}.tif", mark, 1) for kind in asset_kinds()
    )


def publish_for(
    place: Workspace, definition: Definition, first: date, days: int, seconds: float
) -> list[str]:
    """Publish the maps of some days again and again for some seconds; return all items' names."""
    new = transaction(place.engine, lambda c: stranger(c, definition, first))
    items: list[str] = []
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        day = first + (number % days) * DAY
        mark = fingerprint([definition.name, number])
        one = replace(new, period=Period.of_day(day), fingerprint=mark, files=files_of(mark))
        published = publish(place, definition, one)
        if published is not None:
            items.append(published.item_id)
        number += 1
    return items


def main() -> None:
    """Publish what the input asks for."""
    asked = json.loads(sys.stdin.readline())
    home = Path(asked["home"])
    settings = Settings(home=home, store=home / "store", database_url=asked["url"])
    place = Workspace.open(settings)
    first = date.fromisoformat(asked["first"])
    product = daily_product(asked["product"], first, first)
    items = publish_for(place, product, first, asked["days"], asked["seconds"])
    place.engine.dispose()
    Path(asked["items"]).write_text(json.dumps(items), encoding="utf-8")


if __name__ == "__main__":
    main()
