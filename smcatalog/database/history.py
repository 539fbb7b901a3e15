"""The catalogue as it stood: which maps were in force at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

__all__ = ["MapListing", "grids_of_maps", "maps_in_force"]


@dataclass(frozen=True, slots=True)
class MapListing:
    """A map that is or was in force.

    Parameters
    ----------
    product : str
        Name of the product, also of its STAC collection.
    day : date
        Day that the map is dated by.
    item_id : str
        Its STAC item.
    version, revision : int
        Number of the product version, and how often that version's map of the day was published.
    status : str
        Provisional or final.
    grid : str
        Name of its grid.
    key, sha256 : str
        Its soil moisture file in the store and that file's checksum.
    size : int
        Bytes of the file.
    published_at : datetime
        When it was published; UTC.
    """

    product: str
    day: date
    item_id: str
    version: int
    revision: int
    status: str
    grid: str
    key: str
    sha256: str
    size: int
    published_at: datetime


def maps_in_force(
    connection: Connection,
    *,
    products: Sequence[str] | None = None,
    first: date | None = None,
    last: date | None = None,
    grids: Sequence[str] | None = None,
    as_of: datetime | None = None,
) -> list[MapListing]:
    """Return the maps that are in force, or were at an instant: one a product and day at most.

    Parameters
    ----------
    products : sequence of str, optional
        Only of these products.
    first, last : date, optional
        Only dated from ``first`` to ``last``, both included.
    grids : sequence of str, optional
        Only on these grids.
    as_of : datetime, optional
        The instant; the present by default.

    Returns
    -------
    list of MapListing
        Ordered by product and day.
    """
    query = text("""
        SELECT product, day, item_id, version, revision, status, grid, key, sha256, size, published_at
        FROM views.maps_as_of(coalesce(CAST(:as_of AS timestamptz), 'infinity'))
        WHERE (CAST(:products AS text[]) IS NULL OR product = ANY (:products))
          AND (CAST(:grids AS text[]) IS NULL OR grid = ANY (:grids))
          AND day BETWEEN CAST(:first AS date) AND CAST(:last AS date)
        ORDER BY product, day
    """)
    rows = connection.execute(
        query,
        {
            "as_of": as_of,
            "products": list(products) if products is not None else None,
            "grids": list(grids) if grids is not None else None,
            "first": first or date.min,
            "last": last or date.max,
        },
    )
    return [MapListing(*row) for row in rows]


def grids_of_maps(connection: Connection) -> list[str]:
    """Return the names of all grids that maps were ever published on."""
    return list(connection.scalars(text("SELECT DISTINCT grid FROM smcatalog.maps ORDER BY grid")))
