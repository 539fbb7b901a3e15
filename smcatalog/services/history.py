"""Finding maps in the catalogue as it is or as it stood."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection, Engine

from smcatalog.core.errors import UsageError
from smcatalog.core.grids import BBox, grid
from smcatalog.database.engine import transaction
from smcatalog.database.history import MapListing, grids_of_maps, maps_in_force
from smcatalog.database.products import product_version

__all__ = ["MapListing", "find_maps"]


def find_maps(
    engine: Engine,
    *,
    products: Sequence[str] | None = None,
    bbox: BBox | None = None,
    first: date | None = None,
    last: date | None = None,
    as_of: datetime | None = None,
) -> list[MapListing]:
    """Return the maps that are in force, or were at an instant.

    Parameters
    ----------
    engine : Engine
        Of the database.
    products : sequence of str, optional
        Only of these products; of all by default.
    bbox : BBox, optional
        Only maps that share a place with this box: west, south, east, north in degrees. West is
        greater than east when it crosses the antimeridian.
    first, last : date, optional
        Only maps dated from ``first`` to ``last``, both included.
    as_of : datetime, optional
        The instant; the present by default. Published then or before, and neither superseded nor
        withdrawn by then.

    Returns
    -------
    list of MapListing
        Ordered by product and day, at most one of each.

    Raises
    ------
    NotFoundError
        When a product was never produced here.
    UsageError
        When ``last`` is before ``first``.
    DatabaseUnavailable
        When no database answers.
    """
    if first is not None and last is not None and last < first:
        raise UsageError(f"the last day {last} is before the first day {first}")

    def find(connection: Connection) -> list[MapListing]:
        for product in products or ():
            product_version(connection, product)
        grids = None
        if bbox is not None:
            grids = [name for name in grids_of_maps(connection) if _meet(grid(name).bbox(), bbox)]
        return maps_in_force(
            connection, products=products, first=first, last=last, grids=grids, as_of=as_of
        )

    return transaction(engine, find)


def _meet(one: BBox, other: BBox) -> bool:
    """Say whether two boxes share more than an edge; the second may cross the antimeridian."""
    west, south, east, north = other
    if west > east:
        halves = (west, south, 180.0, north), (-180.0, south, east, north)
        return any(_meet(one, half) for half in halves)
    return one[0] < east and west < one[2] and one[1] < north and south < one[3]
