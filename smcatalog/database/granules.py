"""Granules as people look them up: lists, and one with all that came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, text

from smcatalog.core.errors import NotFoundError
from smcatalog.core.time import DAY, utc_midnight

__all__ = ["GranuleListing", "GranuleUse", "find_granules", "granule_uses"]


@dataclass(frozen=True, slots=True)
class GranuleListing:
    """A granule.

    Parameters
    ----------
    source, name : str
        Product family and the provider's name.
    sha256 : str
        Checksum of the file.
    size : int
        Bytes.
    delivered_as : str
        File name under which it came first.
    start_time, end_time : datetime or None
        What it covers, the end not included; None for static data.
    subject, production : str
        What stays the same when the provider produces it anew, and which production it is.
    ingested_at : datetime
        When it was ingested.
    withdrawn_at : datetime or None
        When it was withdrawn.
    withdrawn_reason : str or None
        Why it was withdrawn.
    """

    source: str
    name: str
    sha256: str
    size: int
    delivered_as: str
    start_time: datetime | None
    end_time: datetime | None
    subject: str
    production: str
    ingested_at: datetime
    withdrawn_at: datetime | None
    withdrawn_reason: str | None


@dataclass(frozen=True, slots=True)
class GranuleUse:
    """A layer that was made of a granule.

    Parameters
    ----------
    sha256 : str
        Checksum of the granule.
    variable, grid : str
        What the layer is and on which grid.
    day : date or None
        Day that it is dated by; None when it is static.
    key : str
        Its file in the store.
    live : bool
        Whether it is in force.
    maps : int
        Live maps that were made of it.
    """

    sha256: str
    variable: str
    grid: str
    day: date | None
    key: str
    live: bool
    maps: int


_COLUMNS: Final = (
    "source, name, sha256, size, delivered_as, start_time, end_time, subject, production, ingested_at, "
    "withdrawn_at, withdrawn_reason"
)


def find_granules(
    connection: Connection,
    *,
    source: str | None = None,
    name: str | None = None,
    first: date | None = None,
    last: date | None = None,
    withdrawn: bool = False,
) -> list[GranuleListing]:
    """Return granules in the order of source, time and name.

    Parameters
    ----------
    source, name : str, optional
        Only those of this product family, or name.
    first, last : date, optional
        Only those that cover an instant of these days, both included; static data are left out then.
    withdrawn : bool
        Only those that were withdrawn.
    """
    query = text(f"""
        SELECT {_COLUMNS} FROM smcatalog.granules
        WHERE (CAST(:source AS text) IS NULL OR source = :source)
          AND (CAST(:name AS text) IS NULL OR name = :name)
          AND (CAST(:start AS timestamptz) IS NULL OR end_time > :start)
          AND (CAST(:end AS timestamptz) IS NULL OR start_time < :end)
          AND (NOT :withdrawn OR withdrawn_at IS NOT NULL)
        ORDER BY source, start_time NULLS FIRST, name, id
    """)  # noqa: S608 - put together from constants
    rows = connection.execute(
        query,
        {
            "source": source,
            "name": name,
            "start": utc_midnight(first) if first else None,
            "end": utc_midnight(last) + DAY if last else None,
            "withdrawn": withdrawn,
        },
    )
    return [GranuleListing(*row) for row in rows]


def granule_uses(connection: Connection, source: str, name: str) -> list[GranuleUse]:
    """Return the layers that were made of the granules of a source and name.

    Raises
    ------
    NotFoundError
        When no granule is called so.
    """
    if not find_granules(connection, source=source, name=name):
        raise NotFoundError(
            f"no granule of {source} is called '{name}': 'smcatalog granules list --source {source}' shows them"
        )
    query = text("""
        SELECT g.sha256, l.variable, l.grid, l.day, l.key, l.superseded_at IS NULL,
               (SELECT count(*) FROM smcatalog.map_layers c
                JOIN smcatalog.maps m ON m.id = c.map_id AND m.superseded_at IS NULL
                WHERE c.layer_id = l.id)
        FROM smcatalog.granules g
        JOIN smcatalog.layer_granules k ON k.granule_id = g.id
        JOIN smcatalog.layers l ON l.id = k.layer_id
        WHERE g.source = :source AND g.name = :name
        ORDER BY g.id, l.variable, l.grid, l.day, l.id
    """)
    rows = connection.execute(query, {"source": source, "name": name})
    return [GranuleUse(*row) for row in rows]
